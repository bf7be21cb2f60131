// The binary layouts and the intent reader: what goes in comes out, and what is broken is refused with a reason.

import { describe, expect, test } from 'vitest';
import { hostAllowed, originAllowed } from '../../src/net/index.js';
import type { LiveChunk, LivePoses } from '../../src/types/live.js';
import { decodeFrame, encodeFrame } from '../../src/web/frames.js';
import { readIntent } from '../../src/web/intents.js';
import { goalSlot, moveGoal } from '../../src/web/page/goal.js';
import { roundUp, Series, Window } from '../../src/web/page/stats.js';

const bytesOf = (frame: LivePoses | LiveChunk): Uint8Array => encodeFrame(frame) as Uint8Array;
const bufferOf = (bytes: Uint8Array): ArrayBuffer => Uint8Array.from(bytes).buffer;

const POSES: LivePoses = {
  kind: 'poses',
  stamp_ns: 7_776_000_000_000_001,
  poses: Float32Array.from({ length: 21 }, (_, i) => i / 3 - 2),
};
const CHUNK: LiveChunk = {
  kind: 'chunk',
  stamp_ns: 12,
  chosen: 1,
  n_candidates: 2,
  horizon: 3,
  paths: Float32Array.from({ length: 18 }, (_, i) => Math.sqrt(i)),
  scores: Float32Array.of(-0.5, 4),
  infer_ms: 3.25,
};

describe('frames', () => {
  test('poses and chunks survive the wire', () => {
    expect(decodeFrame(bufferOf(bytesOf(POSES)))).toEqual(POSES);
    expect(decodeFrame(bufferOf(bytesOf(CHUNK)))).toEqual(CHUNK);
    const { scores: _, ...unscored } = CHUNK;
    expect(decodeFrame(bufferOf(bytesOf(unscored)))).toEqual(unscored);
  });

  test('a view into a larger buffer is encoded alone', () => {
    const wide = Float32Array.from({ length: 30 }, (_, i) => i);
    const part: LivePoses = { ...POSES, poses: wide.subarray(3, 10) };
    const read = decodeFrame(bufferOf(bytesOf(part))) as LivePoses;
    expect([...read.poses]).toEqual([3, 4, 5, 6, 7, 8, 9]);
  });

  test('the layout is the documented one', () => {
    const view = new DataView(bufferOf(bytesOf(CHUNK)));
    expect([view.getUint8(0), view.getUint8(1)]).toEqual([2, 1]);
    expect([2, 4, 6].map((at) => view.getUint16(at, true))).toEqual([2, 3, 1]);
    expect(view.getFloat64(8, true)).toBe(12);
    expect(view.getFloat32(16, true)).toBe(3.25);
    expect(view.getFloat32(24 + 4, true)).toBe(1);
    expect(view.byteLength).toBe(24 + 4 * (18 + 2));
  });

  test('every truncation is refused, and a foreign kind or version too', () => {
    for (const frame of [POSES, CHUNK]) {
      const bytes = bytesOf(frame);
      for (let n = 0; n < bytes.length; n++)
        expect(() => decodeFrame(bufferOf(bytes.subarray(0, n))), `${n} bytes`).toThrow(RangeError);
    }
    const foreign = bytesOf(POSES);
    foreign[0] = 9;
    expect(() => decodeFrame(bufferOf(foreign))).toThrow(/kind 9/);
    foreign[1] = 2;
    expect(() => decodeFrame(bufferOf(foreign))).toThrow(/layout 2/);
  });
});

describe('intents', () => {
  test('each kind is read as it was sent', () => {
    const intents = [
      { kind: 'hold' },
      { kind: 'resume' },
      { kind: 'stop' },
      { kind: 'reset' },
      { kind: 'reset', seed: 4 },
      { kind: 'pause', paused: true },
      { kind: 'goal', goal: [0.1, -2] },
      { kind: 'push', name: 'block', force: [1, 0, -3] },
      { kind: 'choose', choice: { steps: 5, guidance_scale: 1.5 } },
      { kind: 'driver', driver: 'world model' },
      { kind: 'task', task: 'pusht' },
      { kind: 'teleop', engaged: true, values: [0, 1] },
      { kind: 'teleop', engaged: false },
    ];
    for (const intent of intents)
      expect(readIntent(JSON.stringify({ id: 3, intent }))).toEqual({ ok: true, message: { id: 3, intent } });
  });

  test.each([
    ['not JSON', -1, 'hold'],
    ['no intent', 5, '{"id":5}'],
    ['unknown kind', 5, '{"id":5,"intent":{"kind":"explode"}}'],
    ['infinite force', 5, '{"id":5,"intent":{"kind":"push","name":"b","force":[1e999,0,0]}}'],
    ['null in a goal', 5, '{"id":5,"intent":{"kind":"goal","goal":[null,1]}}'],
    ['empty goal', 5, '{"id":5,"intent":{"kind":"goal","goal":[]}}'],
    ['half a step', 5, '{"id":5,"intent":{"kind":"choose","choice":{"steps":0.5}}}'],
    ['a field too many', 5, '{"id":5,"intent":{"kind":"hold","force":true}}'],
    ['negative id', -1, '{"id":-5,"intent":{"kind":"hold"}}'],
  ])('%s is refused with a reason', (_, id, text) => {
    const read = readIntent(text);
    expect(read).toMatchObject({ ok: false, id });
    expect((read as { reason: string }).reason.length).toBeGreaterThan(5);
  });
});

describe('who may talk', () => {
  test('a host is loopback, an address, or listed', () => {
    for (const host of ['localhost:80', '127.0.0.1:8080', '[::1]:9', '192.168.1.5:3000', 'robot.lan:1'])
      expect(hostAllowed(host, ['robot.lan']), host).toBe(true);
    for (const host of [
      undefined,
      '',
      'evil.example:8080',
      'localhost.evil.example',
      'a b',
      'x@127.0.0.1',
      '127.0.0.1/x',
    ])
      expect(hostAllowed(host, ['robot.lan']), String(host)).toBe(false);
  });

  test('an origin is the page itself or no browser', () => {
    const host = '127.0.0.1:8080';
    expect(originAllowed({ host }, 'own')).toBe(true);
    expect(originAllowed({ host, origin: 'http://127.0.0.1:8080' }, 'own')).toBe(true);
    for (const origin of [
      'http://127.0.0.1:8081',
      'http://localhost:8080',
      'https://evil.example',
      'null',
      'file://',
    ])
      expect(originAllowed({ host, origin }, 'own'), origin).toBe(false);
  });
});

describe('goal vectors', () => {
  test('a ghost is found in the goal by where it stands', () => {
    expect(goalSlot([0.4, 0.3], { x: 0.1, y: 0.1, z: 0 })).toBe(0);
    expect(goalSlot([0.4, 0.3, -0.2, 0.1], { x: -0.2, y: 0.1, z: 0 })).toBe(2);
    expect(goalSlot([0.4], { x: 0.4, y: 0, z: 0 })).toBeUndefined();
  });

  test('height follows only where the goal holds it', () => {
    const by = { x: 0.1, y: -0.1, z: 0.5 };
    expect(moveGoal([1, 2, 3], 0, { x: 1, y: 2, z: 3 }, by)).toEqual([1.1, 1.9, 3.5]);
    expect(moveGoal([1, 2, 0.7], 0, { x: 1, y: 2, z: 0.02 }, by)).toEqual([1.1, 1.9, 0.7]);
  });
});

describe('rolling windows', () => {
  test('a series keeps its last rows and shows holes as gaps', () => {
    const series = new Series(2, 3);
    for (let i = 0; i < 5; i++) series.push(i, [i * 10, i === 3 ? Number.NaN : undefined]);
    expect(series.data).toEqual([
      [2, 3, 4],
      [20, 30, 40],
      [null, null, null],
    ]);
  });

  test('quantiles are nearest rank, bins hold every sample', () => {
    const window = new Window(100);
    expect(window.quantile(0.5)).toBeNaN();
    window.push(Array.from({ length: 250 }, (_, i) => i + 1));
    expect([window.size, window.quantile(0.5), window.quantile(0.99), window.quantile(1)]).toEqual([
      100, 200, 249, 250,
    ]);
    const { counts, width } = window.histogram(10);
    expect(counts.reduce((sum, count) => sum + count)).toBe(100);
    expect(10 * width).toBeGreaterThanOrEqual(250);
  });

  test('one stray sample lands in the last bin and leaves the others their width', () => {
    const window = new Window(100);
    window.push([...Array.from({ length: 99 }, () => 2), 500]);
    const { counts, width } = window.histogram(10);
    expect(10 * width).toBeLessThan(10);
    expect([counts.at(-1), counts.reduce((sum, count) => sum + count)]).toEqual([1, 100]);
  });

  test('bin widths are round', () => {
    expect([0.013, 0.02, 3, 7, 100].map(roundUp)).toEqual([0.02, 0.02, 5, 10, 100]);
  });
});
