// Recordings as users make them, from the built program, and read by others: @mcap/core's own readers in a process of
// their own. `npm test` builds first.

import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { exportDataset } from '../../src/record/index.js';
import { observationOf, type ReadEvent, Recording, summarise } from '../../src/record/read.js';
import type { ActionChunk, Observation } from '../../src/types/index.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
const main = join(root, 'dist/cli/main.js');
const folder = mkdtempSync(join(tmpdir(), 'tendon-record-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const at = (name: string): string => join(folder, name);
const wait = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

const START = ['start', '--headless', '--steps', '2', '--precision', 'f32', '--threads', '1'];

/** Reads with nothing of ours: indexed where there is an index, else from the front. */
const STRANGER = `
import { readFileSync } from 'node:fs';
import { McapIndexedReader, McapStreamReader } from '@mcap/core';
const bytes = readFileSync(process.argv[1]);
const out = { indexed: false, topics: {}, encodings: [], first: {}, spans: [], metadata: [] };
const take = (topic, m) => {
  out.topics[topic] = (out.topics[topic] ?? 0) + 1;
  out.first[topic] ??= JSON.parse(Buffer.from(m.data).toString());
};
try {
  const readable = { size: async () => BigInt(bytes.length), read: async (o, n) => bytes.subarray(Number(o), Number(o + n)) };
  const reader = await McapIndexedReader.Initialize({ readable });
  out.indexed = true;
  out.encodings = [...reader.schemasById.values()].map((s) => [s.encoding, JSON.parse(Buffer.from(s.data).toString()).type]);
  out.counted = Number(reader.statistics.messageCount);
  out.spans = reader.chunkIndexes.map((c) => Number(c.messageEndTime - c.messageStartTime) / 1e6);
  for await (const m of reader.readMessages()) take(reader.channelsById.get(m.channelId).topic, m);
  for await (const m of reader.readMetadata()) out.metadata.push(m.name);
} catch {
  const reader = new McapStreamReader();
  reader.append(bytes);
  const topics = new Map();
  for (let r; (r = reader.nextRecord()); ) {
    if (r.type === 'Channel') topics.set(r.id, r.topic);
    if (r.type === 'Message') take(topics.get(r.channelId), r);
  }
}
console.log(JSON.stringify(out));
`;

function stranger(file: string) {
  const script = ['--input-type=module', '-e', STRANGER, file];
  const { stdout, stderr } = spawnSync(process.execPath, script, { encoding: 'utf8', cwd: root });
  expect(stderr).toBe('');
  return JSON.parse(stdout) as {
    indexed: boolean;
    topics: Record<string, number>;
    first: Record<string, Record<string, unknown>>;
    encodings: [string, string][];
    counted: number;
    spans: number[];
    metadata: string[];
  };
}

async function all(recording: Recording): Promise<ReadEvent[]> {
  const events: ReadEvent[] = [];
  for await (const event of recording.events()) events.push(event);
  return events;
}

/** The recorder as built: its thread is a file of the build. */
async function openRecorder(file: string, action_dim = 2) {
  const { SessionRecorder } = (await import(
    join(root, 'dist/record/recorder.js')
  )) as typeof import('../../src/record/recorder.js');
  const header = {
    robot: 'two',
    joint_names: ['a', 'b'],
    observation_dims: { position: 2 },
    action_dim,
    policy: { dir: '/nowhere', family: 'none', n_obs_steps: 1, n_action_steps: 1, horizon: 1 },
    load: {},
    isa: 'reference',
    seed: 7,
    controller: {
      rate_hz: 50,
      position_key: 'position',
      limits: { lower: [-1, -1], upper: [1, 1], velocity: [1, 1] },
      freshness_ms: 100,
      inference_ms: 100,
      lifetime_ms: 100,
    },
  };
  return SessionRecorder.open({ file, header }, () => performance.now() * 1e6);
}

describe('tendon start --record', () => {
  const file = at('start.mcap');
  beforeAll(() => {
    const { status, stderr } = spawnSync(
      process.execPath,
      [main, ...START, '--episodes', '2', '--candidates', '4', '--record', file],
      { encoding: 'utf8', timeout: 50_000 },
    );
    expect([status, stderr]).toEqual([0, '']);
  });

  test('a stranger reads it by its index: JSON schemas, every channel, chunks of at most 100 ms', () => {
    const read = stranger(file);
    expect(read.indexed).toBe(true);
    expect(read.encodings.length).toBeGreaterThan(8);
    for (const encoding of read.encodings) expect(encoding).toEqual(['jsonschema', 'object']);
    expect(read.counted).toBe(Object.values(read.topics).reduce((sum, n) => sum + n, 0));
    expect(read.topics['/episode']).toBe(2);
    for (const topic of ['/observation', '/tick', '/command', '/asked', '/chunk', '/state', '/input'])
      expect(read.topics[topic], topic).toBeGreaterThan(1);
    const { n_candidates, horizon, action_dim, candidates, actions } = read.first[
      '/chunk'
    ] as never as Record<'n_candidates' | 'horizon' | 'action_dim', number> & {
      candidates: number[];
      actions: number[];
    };
    expect(n_candidates).toBe(4);
    expect(actions).toHaveLength(horizon * action_dim);
    expect(candidates.slice(0, actions.length)).toEqual(actions);
    expect(candidates).toHaveLength(4 * horizon * action_dim);
    expect(read.metadata).toEqual(['tendon.session', 'tendon.summary']);
    // The middle one, because a busy machine may delay any of them.
    expect(read.spans.sort((a, b) => a - b)[read.spans.length >> 1]).toBeLessThan(100);
  });

  test('it says what the session was, and what happened in order', async () => {
    const recording = await Recording.open(file);
    expect(recording.header).toMatchObject({ robot: 'sim-arm', seed: 0, action_dim: 6 });
    expect(recording.header.joint_names).toHaveLength(6);
    const events = await all(recording);
    expect(recording.whole).toBe(true);
    const won = events.filter((e) => e.channel === 'episode' && e.body.success).length;
    expect(recording.summary).toMatchObject({ episodes: 2, successes: won, takeovers: 0 });
    const ticks = events.flatMap((e) => (e.channel === 'tick' ? [e.body] : []));
    expect(ticks.every((t, i) => i === 0 || t.now_ns > ticks[i - 1]!.now_ns)).toBe(true);
    let newest = -1;
    let commanded = 0;
    let tick = Number.NaN;
    for (const event of events) {
      if (event.channel === 'observation') {
        expect(event.body.number).toBe(newest + 1);
        newest++;
      } else if (event.channel === 'tick') {
        // Nothing is seen while the link is lost, as on a machine that is too busy to read.
        expect([newest, -1]).toContain(event.body.observation);
        tick = event.body.now_ns;
      } else if (event.channel === 'command') {
        expect(event.body.stamp_ns).toBe(tick);
        expect(event.body.values).toHaveLength(6);
        commanded++;
      }
    }
    expect(commanded).toBeGreaterThan(50);
    expect(events.filter((e) => e.channel === 'input' && e.body.kind === 'reset')).toHaveLength(1);
  });

  test('a recording is not written over', () => {
    const before = statSync(file).size;
    const { status, stderr } = spawnSync(process.execPath, [main, ...START, '--record', file], {
      encoding: 'utf8',
      timeout: 50_000,
    });
    expect(status).toBe(2);
    expect(stderr).toContain('never written over');
    expect(statSync(file).size).toBe(before);
  });

  test('kill -9 leaves a file that opens and ends shortly before', async () => {
    const killed = at('killed.mcap');
    const args = [main, ...START, '--episodes', '50', '--record', killed];
    const child = spawn(process.execPath, args, { stdio: 'ignore' });
    const size = (): number => statSync(killed, { throwIfNoEntry: false })?.size ?? 0;
    while (size() < 100_000) await wait(20);
    const end = new Promise((resolve) => child.once('exit', resolve));
    const killed_ns = Date.now() * 1e6;
    child.kill('SIGKILL');
    await end;
    const recording = await Recording.open(killed);
    const events = await all(recording);
    expect(recording.whole).toBe(false);
    const last = events.filter((e) => e.channel === 'tick').at(-1)!.body as { now_ns: number };
    // 100 ms are designed; ten times that for a machine that is busy with other tests.
    expect(killed_ns - (Number(recording.header.epoch_ns) + last.now_ns)).toBeLessThan(1e9);
    expect((await summarise(await Recording.open(killed))).duration_s).toBeGreaterThan(0.1);
    const read = stranger(killed);
    expect(read.indexed).toBe(false);
    expect(read.topics['/tick']).toBe(events.filter((e) => e.channel === 'tick').length);
  });
});

describe('the recorder', () => {
  test('numbers come back bit for bit, NaN and −0 too, and camera frames', async () => {
    const file = at('exact.mcap');
    const recorder = await openRecorder(file);
    const image = { width: 2, height: 1, channels: 3 as const, data: Uint8Array.of(1, 2, 3, 253, 254, 255) };
    const observation: Observation = {
      stamp_ns: 123_456_789,
      values: { position: Float32Array.of(0.1, -0), broken: Float32Array.of(Number.NaN, Infinity, 1e-45) },
      images: { front: image },
    };
    const command = Float64Array.of(1 / 3, -0);
    recorder.tick(1000, 10, observation);
    recorder.command(command, 2000, 'sent');
    // What the recorder copies may be used again; what it keeps never changes.
    command.fill(9);
    recorder.tick(2000, 11, observation);
    const chunk: ActionChunk = {
      stamp_ns: 5,
      period_ns: 6,
      horizon: 1,
      action_dim: 2,
      actions: Float32Array.of(0.3, -0.7),
      n_candidates: 1,
      chosen: 0,
      timing: { queue_ns: 1, observe_ns: 2, denoise_ns: 3, total_ns: 6 },
    };
    recorder.answered(2001, 'used', chunk, '');
    recorder.tick(3000, 12, { ...observation, stamp_ns: 123_456_790 });
    await recorder.close();
    const events = await all(await Recording.open(file));
    expect(events.map((e) => e.channel)).toEqual([
      'observation',
      'tick',
      'command',
      'tick',
      'chunk',
      'observation',
      'tick',
    ]);
    const first = events[0] as ReadEvent & { channel: 'observation' };
    expect(observationOf(first)).toEqual({
      ...observation,
      images: { front: { ...image, data: Buffer.from(image.data) } },
    });
    expect(Object.is(observationOf(first).values.position![1], -0)).toBe(true);
    expect(observationOf(events[5] as typeof first).images).toEqual(observationOf(first).images);
    expect(events[2]!.body).toMatchObject({ values: [1 / 3, '-0'], fate: 'sent', expires_ns: 2000 });
    expect((events[4]!.body as { actions: number[] }).actions.map(Math.fround)).toEqual([...chunk.actions]);
    expect(stranger(file).first['/camera/front']).toMatchObject({ encoding: 'rgb8', step: 6, width: 2 });
  });

  test('cut anywhere, or with any byte changed, it gives the events that came before and no other', async () => {
    const recorder = await openRecorder(at('torn.mcap'));
    for (let i = 0; i < 400; i++) {
      recorder.tick(i, 0, { stamp_ns: i, values: { position: Float32Array.of(i, -i) } });
      if (i % 40 === 0) await wait(55);
    }
    await recorder.close();
    const bytes = readFileSync(at('torn.mcap'));
    const whole = await all(await Recording.open(at('torn.mcap')));
    expect(whole).toHaveLength(800);
    const outcomes = { prefix: 0, refused: 0 };
    const look = async (damaged: Uint8Array): Promise<void> => {
      writeFileSync(at('damaged.mcap'), damaged);
      try {
        const events = await all(await Recording.open(at('damaged.mcap')));
        expect(events).toEqual(whole.slice(0, events.length));
        outcomes.prefix++;
      } catch (caught) {
        expect(caught).toMatchObject({ code: 'file_corrupt' });
        outcomes.refused++;
      }
    };
    for (let i = 1; i < 60; i++) await look(bytes.subarray(0, Math.floor((bytes.length * i) / 60)));
    expect(outcomes.prefix).toBeGreaterThan(40);
    const half = outcomes.prefix;
    for (let i = 0; i < 240; i++) {
      const flipped = Uint8Array.from(bytes);
      flipped[Math.floor((bytes.length * (i + 0.5)) / 240)]! ^= 0xff;
      await look(flipped);
    }
    expect(outcomes.prefix + outcomes.refused).toBe(299);
    expect(outcomes.prefix).toBeGreaterThan(half);
  });
});

describe('a recording with pictures', () => {
  const picture = (camera: string, bytes: number, now_ns: number) => ({
    stamp_ns: now_ns,
    values: { position: Float32Array.of(0, 0) },
    images: {
      [camera]: { width: bytes / 64, height: 64, channels: 1 as const, data: new Uint8Array(bytes) },
    },
  });

  test('that the disk does not keep up with is bounded in memory, and says what it left out', async () => {
    const file = at('behind.mcap');
    const recorder = await openRecorder(file);
    const inner = recorder as unknown as { post(): void; behind_bytes: number };
    const MB = 2 ** 20;
    for (let i = 0; i < 40; i++) {
      recorder.tick(i * 1e6, 0, picture('front', 8 * MB, i * 1e6));
      // The writer answers only when this loop is left: all of it waits.
      inner.post();
      expect(inner.behind_bytes).toBeLessThanOrEqual(256 * MB);
    }
    // Once it has caught up the next batch tells of the gap.
    while (inner.behind_bytes > 0) await new Promise((resolve) => setTimeout(resolve, 10));
    recorder.tick(41e6, 0, undefined);
    await recorder.close();
    const events = await all(await Recording.open(file));
    const gaps = events.flatMap((event) => (event.channel === 'gap' ? [event.body.batches] : []));
    expect(gaps.length).toBe(1);
    expect(gaps[0]).toBeGreaterThanOrEqual(8);
    expect(events.filter(({ channel }) => channel === 'tick').length).toBe(41 - gaps[0]!);
  });

  test('whose camera is named after a folder elsewhere is not exported there', async () => {
    const file = at('camera.mcap');
    const recorder = await openRecorder(file);
    const states: ((change: object) => void)[] = [];
    recorder.watch({ supervisor: { onChange: (l: never) => states.push(l), interventions: 0 } } as never);
    for (const tell of states) tell({ from: 'READY', to: 'TELEOP', cause: '' });
    for (let i = 0; i < 40; i++) {
      recorder.tick(i * 20e6, 0, picture('../../../evil', 64 * 64, i * 20e6));
      recorder.command(Float64Array.of(i, i), i * 20e6 + 1e8, 'sent');
    }
    await recorder.close();
    const exported = exportDataset([file], { dir: at('camera'), selection: 'interventions' });
    await expect(exported).rejects.toMatchObject({ code: 'file_unsafe' });
  });

  test('a command outside of a tick, such as a base’s last zero, is in it', async () => {
    const file = at('last.mcap');
    const recorder = await openRecorder(file);
    recorder.tick(1e6, 0, undefined);
    recorder.command(Float64Array.of(0.3, 0.1), 1e9, 'sent');
    recorder.command(Float64Array.of(0, 0), 2e9, 'sent');
    await recorder.close();
    const commands = (await all(await Recording.open(file))).flatMap((event) =>
      event.channel === 'command' ? [event.body.values] : [],
    );
    expect(commands).toEqual([
      [0.3, 0.1],
      [0, 0],
    ]);
  });
});
