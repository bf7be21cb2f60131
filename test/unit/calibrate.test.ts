// Bands and memories from runs: what a band promises is held against successes that it was made without, and both are read back by
// the parts that need them.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, expect, it } from 'vitest';
import { simulatedRuns } from '../../src/eval/experience.js';
import { parseManifest, readBand } from '../../src/parts/index.js';
import { calibrate, fingerprintOf, loadSteered, remembered } from '../../src/steering/index.js';
import type { Experience } from '../../src/types/index.js';
import { writeSafetensors } from '../../src/weights/index.js';

const ARM = fileURLToPath(new URL('../../models/arm/', import.meta.url));
const dir = mkdtempSync(join(tmpdir(), 'tendon-calibrate-'));
afterAll(() => rmSync(dir, { recursive: true }));

const manifest = parseManifest(
  {
    parts: {
      known: { kind: 'scorer', form: 'function' },
      ood: { kind: 'monitor', score: 'known', accumulate: 'sum', band: 'ood.json' },
    },
  },
  'test',
);
/** A run whose scorer says `scores`. */
const run = (success: boolean, scores: readonly number[]): Experience => ({
  success,
  steps: scores.map((score, i) => ({
    observation: { stamp_ns: i, values: {} },
    chunk: {
      ...{ stamp_ns: i, period_ns: 1, horizon: 1, action_dim: 1, actions: new Float32Array(1) },
      ...{ n_candidates: 1, chosen: 0, timing: { queue_ns: 0, observe_ns: 0, denoise_ns: 0, total_ns: 0 } },
      steering: {
        ...{ scores: { known: [score] }, order: [0], ruled: false, monitors: [], guardians: [], skipped: {} },
      },
    },
  })),
});
const options = { monitor: 'ood', alpha: 0.1, modulation: 'const', fingerprint: 'f'.repeat(64) } as const;

it('a band of successes, held against those it was made without and against failures', () => {
  // Successes that get 1 … 60 hundredths against them in each of four inferences; failures get 2.
  const good = Array.from({ length: 60 }, (_, i) => run(true, Array(4).fill(-(i + 1) / 100)));
  const bad = Array.from({ length: 8 }, () => run(false, [-0.3, -2, -2, -2]));
  const { bands, successes, failures, false_alarms, detected, early } = calibrate(
    manifest,
    [...good, ...bad],
    options,
  );
  expect([successes, failures, detected, early]).toEqual([60, 8, 8, 2]);
  // Rank ⌈41 · 0.9⌉ of the 40 that set the width: the 37th of them, 0.56; by hand.
  expect(bands[0]!.upper.at(-1)).toBeCloseTo(4 * 0.56, 6);
  expect(false_alarms).toBeGreaterThan(0);
  expect(false_alarms).toBeLessThan(12);
  expect(readBand(JSON.parse(JSON.stringify(bands[0])), 'band')).toEqual(bands[0]);
});

it.each([
  ['too few successes for the promise', [run(true, [0]), run(true, [0])], {}, /at least 9/],
  ['no such monitor', [], { monitor: 'odd' }, /expected a monitor of the manifest \(ood\), got "odd"/],
  [
    'runs without scores',
    [
      {
        success: true,
        steps: [
          { ...run(true, [0]).steps[0]!, chunk: { ...run(true, [0]).steps[0]!.chunk, steering: undefined } },
        ],
      },
    ],
    {},
    /recorded without parts/,
  ],
])('%s', (_, runs, changes, sentence) => {
  expect(() => calibrate(manifest, runs as Experience[], { ...options, ...changes })).toThrow(sentence);
});

it('a band that is no band is named', () => {
  expect(() => readBand({ upper: [] }, 'ood.json')).toThrow(/ood.json is no band of `tendon calibrate`/);
});

it('simulated runs become a memory, which scores what is new and recalls what was done', async () => {
  const runs: Experience[] = [];
  const load = { compute: { precision: 'f32', threads: 1 } } as const;
  for await (const one of simulatedRuns({ policy: ARM, task: 'arm', seeds: [0, 1], load, parts: false }))
    runs.push(one);
  expect(runs.map(({ success }) => success)).toEqual([true, true]);
  const { spec } = await loadSteered(ARM, load, { parts: false });
  writeSafetensors(
    join(dir, 'memory.safetensors'),
    remembered(runs, { spec, most: 1000, inputs: 'observation' }),
  );
  const file = join(dir, 'steering.json');
  const data = 'memory.safetensors';
  writeFileSync(
    file,
    JSON.stringify({
      parts: {
        known: { kind: 'scorer', form: 'knn', data, inputs: ['observation'], neighbours: 1 },
        done: { kind: 'memory', data },
      },
    }),
  );
  const policy = await loadSteered(ARM, load, { parts: file });
  policy.reset(0);
  const { observation, chunk } = runs[0]!.steps[0]!;
  const same = await policy.infer([observation], { state: undefined });
  // Its own first moment is an entry: at no distance, and what was done then competes.
  expect(same.steering!.scores.known).toEqual([-0]);
  expect(same.candidates!.slice(96)).toEqual(chunk.actions);
  expect(same.n_candidates).toBe(2);
  policy.close();
  expect(fingerprintOf(ARM)).toMatch(/^[0-9a-f]{64}$/);
});
