// Goal-conditioned agents against their authors' own classes (test/golden: ogbench_*, hiql_original, hilp_*, smore, ttgs_hiql),
// from the training folder as it lies: actions, subgoals, representations, values and the choice among candidates.

import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { GoalScorer, loadPolicy } from '../../src/policies/index.js';
import type { LoadedPolicy } from '../../src/policies/load.js';
import { type Golden, golden, relativeError } from './golden.js';

const BAR = 1e-5;

const rowsOf = (all: Float32Array, n: number): Float32Array[] =>
  Array.from({ length: all.length / n }, (_, i) => all.slice(i * n, (i + 1) * n));
const rows = (io: Golden, name: string): Float32Array[] => {
  const [first, ...rest] = io.shape(name);
  return rowsOf(io.get(name), first === undefined ? 1 : rest.reduce((n, d) => n * d, 1));
};

/** One action for each observation, towards its goal. */
async function acted(
  policy: LoadedPolicy,
  states: Float32Array[],
  goals: Float32Array[],
  noise?: Float32Array[],
) {
  const { image_shapes, n_obs_steps } = policy.spec;
  const [camera] = Object.entries(image_shapes);
  const out: number[] = [];
  for (const [i, state] of states.entries()) {
    const goal = { goal: goals[i]! };
    const window = Array.from({ length: n_obs_steps }, (_, frame) => {
      if (camera === undefined) return { stamp_ns: frame, values: { 'observation.state': state } };
      const [key, [channels, height, width]] = camera;
      const data = Uint8Array.from({ length: channels * height * width }, (_, at) => {
        const pixel = Math.floor(at / channels);
        return state[(pixel * n_obs_steps + frame) * channels + (at % channels)]!;
      });
      const image = { width, height, channels: channels as 1 | 3, data };
      return { stamp_ns: frame, values: {}, images: { [key]: image } };
    });
    const chunk = await policy.infer(window, { goal, ...(noise === undefined ? {} : { noise: noise[i]! }) });
    out.push(...chunk.actions);
  }
  return out;
}

/** A copy of the case, as a training leaves it, with `config` in its config.json. */
function folder<T>(name: string, config: object | undefined, use: (dir: string) => Promise<T>): Promise<T> {
  const dir = mkdtempSync(join(tmpdir(), 'tendon-actor-'));
  cpSync(golden(name).dir, dir, { recursive: true });
  rmSync(join(dir, 'config.json'));
  if (config !== undefined) writeFileSync(join(dir, 'config.json'), JSON.stringify(config));
  return use(dir).finally(() => rmSync(dir, { recursive: true, force: true }));
}

const PLAIN = { type: 'actor', goal_dim: 3 };
const SMORE = {
  type: 'actor',
  goal_dim: 3,
  normalization: Object.fromEntries(
    ['observations', 'goals'].map((of) => [
      of,
      Object.fromEntries(
        ['mean', 'std'].map((stat) => [stat, [...golden('smore').get(`normalizer.${of}.${stat}`)]]),
      ),
    ]),
  ),
};
/** What each folder needs beside what its training left. */
const CASES: readonly (readonly [string, object | undefined])[] = [
  ['ogbench_gciql', undefined],
  ['ogbench_crl', undefined],
  ['ogbench_qrl_iqe', undefined],
  ['ogbench_saw', undefined],
  ['ogbench_hiql', undefined],
  ['ogbench_ota', undefined],
  ['ttgs_hiql', undefined],
  ['hiql_original', undefined],
  ['hilp_gcrl', undefined],
  ['hilp_zsrl', { type: 'actor' }],
  // Recorded behind the normaliser; the episode below before it.
  ['smore', PLAIN],
  ['ogbench_hiql_pixels', { type: 'actor', observation_shape: [12, 10, 3] }],
  ['ogbench_gcbc_discrete', { type: 'actor', observation_shape: [9, 14, 9] }],
];

describe.each(CASES)('%s', (name, config) => {
  const io = golden(name);
  it('acts as its authors’ code', () =>
    folder(name, config, async (dir) => {
      const policy = await loadPolicy(dir, { compute: { precision: 'f32' } });
      const got = await acted(policy, rows(io, 'observations'), rows(io, 'goals'));
      expect(relativeError(got, io.get('actions'))).toBeLessThan(BAR);
    }));

  if (io.has('sampled.actions'))
    it('samples with the draws that were taped', () =>
      folder(name, { ...config, type: 'actor', temperature: 0.7 }, async (dir) => {
        const policy = await loadPolicy(dir, { compute: { precision: 'f32' } });
        const got = await acted(policy, rows(io, 'observations'), rows(io, 'goals'), drawsOf(io));
        expect(relativeError(got, io.get('sampled.actions'))).toBeLessThan(io.has('logits') ? 1e-9 : BAR);
      }));
});

describe('episodes of the authors’ own evaluation loops', () => {
  const repeated = (row: Float32Array, n: number): Float32Array[] => Array.from({ length: n }, () => row);
  it.each(CASES.map(([name, config]) => [name, name === 'smore' ? SMORE : config] as const))(
    '%s',
    (name, config) =>
      folder(name, config, async (dir) => {
        const io = golden(name);
        if (!io.has('episode.actions')) return expect(name).toBe('hilp_zsrl');
        const seen = rows(io, io.has('episode.observations') ? 'episode.observations' : 'episode.frames');
        const goal = io.get(io.has('episode.goal') ? 'episode.goal' : 'episode.goal_frame');
        const policy = await loadPolicy(dir, { compute: { precision: 'f32' } });
        const got = await acted(policy, seen, repeated(goal, seen.length));
        expect(relativeError(got, io.get('episode.actions'))).toBeLessThan(BAR);
      }),
  );
});

/** x of each row: the action's draws, then the subgoal's. A Gumbel draw is given as the normal one that it stands for. */
function drawsOf(io: Golden): Float32Array[] {
  if (io.has('sampled.noise0.gumbel'))
    return rows(io, 'sampled.noise0.gumbel').map((row) =>
      row.map((v) => normalQuantile(Math.exp(-Math.exp(-v)))),
    );
  if (!io.has('sampled.noise1.low')) return rows(io, 'sampled.noise0');
  const low = rows(io, 'sampled.noise1.low');
  return rows(io, 'sampled.noise0.high').map((high, i) => Float32Array.from([...low[i]!, ...high]));
}

/** By bisection on the distribution function; precise enough to order draws. */
function normalQuantile(p: number): number {
  const cdf = (x: number): number => {
    // Abramowitz and Stegun 26.2.17.
    const t = 1 / (1 + 0.2316419 * Math.abs(x));
    const poly =
      t * (0.31938153 + t * (-0.356563782 + t * (1.781477937 + t * (-1.821255978 + t * 1.330274429))));
    const upper = (Math.exp((-x * x) / 2) / Math.sqrt(2 * Math.PI)) * poly;
    return x >= 0 ? 1 - upper : upper;
  };
  let [low, high] = [-8, 8];
  for (let i = 0; i < 60; i++) {
    const middle = (low + high) / 2;
    if (cdf(middle) < p) low = middle;
    else high = middle;
  }
  return low;
}

describe('scores', () => {
  const score = async (
    name: string,
    config: object | undefined,
    which: string,
    bar: number,
    want: ArrayLike<number>,
    action = false,
  ) =>
    folder(name, config, async (dir) => {
      const io = golden(name);
      const scorer = await GoalScorer.open(dir);
      const got = await scorer.score(which, {
        observations: io.get('observations'),
        goals: io.get('goals'),
        ...(action ? { actions: io.get('actions_given') } : {}),
      });
      expect([which, relativeError(got, want) < bar, relativeError(got, want)]).toEqual([
        which,
        true,
        expect.any(Number),
      ]);
    });
  const mean = ([a, b]: Float32Array[]): Float32Array => a!.map((v, i) => (v + b![i]!) / 2);
  const least = ([a, b]: Float32Array[]): Float32Array => a!.map((v, i) => Math.min(v, b![i]!));

  it.each(['ogbench_hiql', 'ogbench_saw', 'ttgs_hiql', 'hiql_original'])(
    '%s: value, goal_rep',
    async (name) => {
      const io = golden(name);
      await score(name, undefined, 'value', 2e-5, mean(rowsOf(io.get('values'), 5)));
      await score(name, undefined, 'goal_rep', BAR, io.get('goal_rep'));
      if (io.has('subgoal')) await score(name, undefined, 'subgoal', BAR, io.get('subgoal'));
    },
  );

  it('gciql and crl: critics', async () => {
    for (const name of ['ogbench_gciql', 'ogbench_crl'])
      await score(name, undefined, 'critic', 2e-5, least(rowsOf(golden(name).get('critics'), 5)), true);
    await score('ogbench_gciql', undefined, 'value', 2e-5, golden('ogbench_gciql').get('values'));
  });

  it('qrl: the interval quasimetric', () =>
    score('ogbench_qrl_iqe', undefined, 'distance', 2e-5, golden('ogbench_qrl_iqe').get('distance')));

  it('ota: both distances and their mix', async () => {
    const io = golden('ogbench_ota');
    await score('ogbench_ota', undefined, 'low_distance', 2e-3, io.get('low_distance'));
    await score('ogbench_ota', undefined, 'high_distance', 2e-3, io.get('high_distance'));
    await score('ogbench_ota', undefined, 'distance', 2e-3, io.get('distance'));
  });

  it('hilp: φ, skill and value', async () => {
    const gcrl = golden('hilp_gcrl');
    await score('hilp_gcrl', undefined, 'phi', BAR, gcrl.get('phi_observations'));
    await score('hilp_gcrl', undefined, 'skill', BAR, gcrl.get('skills'));
    await score('hilp_gcrl', undefined, 'value', 2e-5, rowsOf(gcrl.get('values'), 5)[0]!);
    const zsrl = golden('hilp_zsrl');
    await score('hilp_zsrl', { type: 'actor' }, 'phi', BAR, zsrl.get('phi_observations'));
    await score('hilp_zsrl', { type: 'actor' }, 'skill', BAR, zsrl.get('skills'));
  });

  it('smore: the score of actions, and the best of six', async () => {
    const io = golden('smore');
    await score('smore', PLAIN, 'critic', 2e-5, least(rowsOf(io.get('critics'), 5)), true);
    await score('smore', PLAIN, 'value', 2e-5, io.get('values'));
    await folder('smore', PLAIN, async (dir) => {
      const scorer = await GoalScorer.open(dir);
      const repeat = (all: Float32Array[]): Float32Array =>
        Float32Array.from(all.flatMap((row) => Array.from({ length: 6 }, () => [...row]).flat()));
      const got = await scorer.score('critic', {
        observations: repeat(rows(io, 'observations')),
        goals: repeat(rows(io, 'goals')),
        actions: io.get('candidate_actions'),
      });
      const best = rowsOf(got, 6).map((six) => six.indexOf(Math.max(...six)));
      expect(best).toEqual([...io.get('candidate_best')]);
    });
  });

  it.each(['ogbench_hiql', 'ogbench_saw', 'ogbench_qrl_iqe', 'ttgs_hiql'])(
    '%s: the best of six goals',
    (name) =>
      folder(name, undefined, async (dir) => {
        const io = golden(name);
        const scorer = await GoalScorer.open(dir);
        const observations = Float32Array.from(
          rows(io, 'observations').flatMap((row) => Array.from({ length: 6 }, () => [...row]).flat()),
        );
        const got = await scorer.score('value', { observations, goals: io.get('candidate_goals') });
        expect(rowsOf(got, 6).map((six) => six.indexOf(Math.max(...six)))).toEqual([
          ...io.get('candidate_best'),
        ]);
      }),
  );

  it('a score that an agent does not have is refused with those it has', () =>
    folder('ogbench_crl', undefined, async (dir) => {
      const scorer = await GoalScorer.open(dir);
      await expect(
        scorer.score('distance', { observations: new Float32Array(6), goals: new Float32Array(6) }),
      ).rejects.toThrow(/critic/);
    }));
});

describe('refusals', () => {
  const flags = JSON.parse(readFileSync(join(golden('ogbench_hiql').dir, 'flags.json'), 'utf8')) as {
    agent: Record<string, unknown>;
  };
  const withFlags = (text: string | undefined) =>
    folder('ogbench_hiql', undefined, async (dir) => {
      rmSync(join(dir, 'flags.json'));
      if (text !== undefined) writeFileSync(join(dir, 'flags.json'), text);
      return loadPolicy(dir);
    });

  it('missing flags, another agent, a wrong field: named', async () => {
    await expect(withFlags(undefined)).rejects.toThrow(/flags\.json is not there.*agent\.agent_name/);
    await expect(withFlags('{"agent": {"agent_name": "dreamer"}}')).rejects.toThrow(
      /agent_name is "dreamer".*hiql/,
    );
    await expect(withFlags('{"agent": {}}')).rejects.toThrow(/agent_name/);
    await expect(withFlags(JSON.stringify({ agent: { ...flags.agent, discount: 'much' } }))).rejects.toThrow(
      /discount/,
    );
  });

  it('an agent whose arrays are of another one', async () => {
    await expect(
      withFlags(JSON.stringify({ agent: { ...flags.agent, agent_name: 'gcbc' } })),
    ).rejects.toThrow(/modules_actor/);
  });

  it('entries that count may be given alone, and the rest is the present state’s', () =>
    folder('ogbench_hiql', { type: 'actor', goal_use: [1, 4] }, async (dir) => {
      const policy = await loadPolicy(dir, { precision: 'f32' });
      const io = golden('ogbench_hiql');
      const [state] = rows(io, 'observations');
      const [goal] = rows(io, 'goals');
      const to = async (values: Float32Array) => [
        ...(await policy.infer({ stamp_ns: 0, values: { 'observation.state': state!, goal: values } }))
          .actions,
      ];
      const mixed = state!.slice();
      for (const i of [1, 4]) mixed[i] = goal![i]!;
      expect(await to(Float32Array.of(goal![1]!, goal![4]!))).toEqual(await to(mixed));
      expect(await to(goal!)).toEqual(await to(mixed));
      await expect(to(new Float32Array(3))).rejects.toThrow(/expected 7 numbers, or the 2 that count/);
    }));

  it('no goal', () =>
    folder('ogbench_hiql', undefined, async (dir) => {
      const policy = await loadPolicy(dir, { compute: { precision: 'f32' } });
      const state = { stamp_ns: 0, values: { 'observation.state': new Float32Array(7) } };
      await expect(policy.infer(state)).rejects.toThrow(/goal: .*expected 7/);
    }));
});
