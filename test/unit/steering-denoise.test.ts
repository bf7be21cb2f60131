// What steers a denoiser on its way, on the arm's own checkpoint: nothing changes where nothing is asked, a term moves chunks up
// its scorer's gradient, and particles tilt what is drawn by as much as they should.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, expect, it } from 'vitest';
import type { ScoreFunction } from '../../src/parts/index.js';
import { loadPolicy } from '../../src/policies/index.js';
import { findTask } from '../../src/sim/tasks.js';
import { loadSteered, type SteeredPolicy } from '../../src/steering/index.js';
import type { Observation } from '../../src/types/index.js';

const ARM = fileURLToPath(new URL('../../models/arm/', import.meta.url));
const dir = mkdtempSync(join(tmpdir(), 'tendon-denoise-'));
afterAll(() => rmSync(dir, { recursive: true }));

/** The arm before its post, which it may pass on either side. */
const task = findTask('arm');
const env = await task.create();
env.reset(0);
const seen: Observation = { stamp_ns: 1e9, values: env.observe() };
const tip = (action: ArrayLike<number>) => env.actionPoint(action);
let files = 0;
async function steered(
  content: object,
  functions: Readonly<Record<string, ScoreFunction>> = {},
  sampler = 'euler',
): Promise<SteeredPolicy> {
  const parts = join(dir, `${files++}.json`);
  writeFileSync(parts, JSON.stringify(content));
  const load = { compute: { precision: 'f32', threads: 1 }, sampling: { sampler, steps: 10 } } as const;
  const policy = await loadSteered(ARM, load, { parts, functions, tip });
  policy.reset(0);
  return policy as SteeredPolicy;
}
const q = { kind: 'scorer', form: 'function' };

it('a term without weight leaves the chunk as the core draws it', async () => {
  const load = {
    compute: { precision: 'f32', threads: 1 },
    sampling: { sampler: 'euler', steps: 10 },
  } as const;
  const plain = await loadPolicy(ARM, load);
  plain.reset(0);
  const want = (await plain.infer([seen], { state: undefined })).actions;
  const policy = await steered(
    { parts: { q }, denoise: { terms: [{ score: 'q', scale: 0 }] } },
    { q: ({ n }) => Array(n).fill(1) },
  );
  const { actions, steering } = await policy.infer([seen], { state: undefined });
  const worst = Math.max(...actions.map((v, i) => Math.abs(v - want[i]!)));
  // The loop in float64 beside the core's in float32.
  expect(worst).toBeLessThan(1e-4);
  expect(steering!.skipped).toEqual({});
  plain.close();
  policy.close();
});

it('clearance keeps the tip further from a ball that stands in its way', async () => {
  const free = await steered({ parts: { q } }, { q: ({ n }) => Array(n).fill(1) });
  const { actions } = await free.infer([seen], { state: undefined });
  // Where the plain chunk would be after its fourth row.
  const center = [...tip(actions.subarray(18, 24))];
  free.close();
  const body = { center, radius: 0.02 };
  const parts = { clear: { kind: 'scorer', form: 'clearance', body } };
  const least = async (scale: number): Promise<number> => {
    const policy = await steered({ parts, denoise: { terms: [{ score: 'clear', scale, most: 0.5 }] } });
    const { steering } = await policy.infer([seen], { state: undefined });
    policy.close();
    return steering!.scores.clear![0]!;
  };
  const [without, with_it] = [await least(0), await least(3)];
  expect(without).toBeLessThan(0);
  expect(with_it).toBeGreaterThan(without + 0.005);
});

it('particles move the share of what scores better towards its exact tilting', async () => {
  // 1 where the tip ends to the left of where it begins, by the last row.
  const side: ScoreFunction = ({ values, n, horizon, action_dim }) =>
    Array.from({ length: n }, (_, i) => {
      const last = values.subarray(((i + 1) * horizon - 1) * action_dim, (i + 1) * horizon * action_dim);
      return tip(last)[0]! > center ? 1 : 0;
    });
  let center = Number.NEGATIVE_INFINITY;
  const plain = await steered(
    { parts: { q }, candidates: 64 },
    { q: ({ n }) => Array(n).fill(1) },
    'euler_ancestral',
  );
  const ends: number[] = [];
  for (let i = 0; i < 4; i++) {
    const { candidates, n_candidates } = await plain.infer([seen], { state: undefined });
    for (let k = 0; k < n_candidates; k++) ends.push(tip(candidates!.subarray(k * 96 + 90, k * 96 + 96))[0]!);
  }
  plain.close();
  center = ends.sort((a, b) => a - b)[Math.floor(ends.length / 2)]!;
  const p = ends.filter((x) => x > center).length / ends.length;
  const lambda = 1;
  const policy = await steered(
    {
      parts: { q },
      candidates: 8,
      denoise: { particles: { score: 'q', lambda, potential: 'diff', ess: 1, start: 4 } },
    },
    { q: side },
    'euler_ancestral',
  );
  let [won, all] = [0, 0];
  for (let i = 0; i < 40; i++) {
    const { steering } = await policy.infer([seen], { state: undefined });
    expect(steering!.skipped).toEqual({});
    for (const score of steering!.scores.q!) {
      won += score;
      all++;
    }
  }
  policy.close();
  const tilted = (p * Math.exp(lambda)) / (p * Math.exp(lambda) + 1 - p);
  // Particles of one inference depend on each other: as many independent draws as there were inferences, three deviations.
  const allowed = 3 * Math.sqrt((tilted * (1 - tilted)) / 40);
  expect(Math.abs(won / all - tilted)).toBeLessThan(allowed);
  expect(won / all).toBeGreaterThan(p + 0.1);
});

it('what cannot be steered says so', async () => {
  await expect(
    steered({
      parts: { v: { kind: 'scorer', form: 'variance' } },
      denoise: { particles: { score: 'v', lambda: 1 } },
    }),
  ).rejects.toThrow(/looks at no chunk/);
  const failing = await steered(
    { parts: { q }, denoise: { terms: [{ score: 'q', scale: 1 }] } },
    {
      q: () => {
        throw new Error('no gradient');
      },
    },
  );
  const { steering, actions } = await failing.infer([seen], { state: undefined });
  expect(steering!.skipped.term0).toMatch(/no gradient/);
  expect(actions.every(Number.isFinite)).toBe(true);
  failing.close();
});
