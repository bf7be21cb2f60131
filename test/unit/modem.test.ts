// MoDem-V2's options: the search around a centre, what critics are asked, and agency handed over plan by plan.

import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, test } from 'vitest';
import { addon, type GraphBuilder, type PlannerTable, type Value } from '../../src/native/index.js';
import { loadPolicy, type PlanningPolicy } from '../../src/policies/index.js';
import { LATENT_ITSELF, type WorldNetworks, worldGraph } from '../../src/policies/world-model/graph.js';
import { ModemConfig, modemTable, plannerShare } from '../../src/policies/world-model/modem.js';
import { golden } from '../golden/golden.js';

const TABLE: PlannerTable = { horizon: 3, action_dim: 2, samples: 4000, elites: 10, initial_std: 1 };

describe('a search around a centre', () => {
  const centre = Float32Array.of(0.5, -0.4, 0.2, 0, 0.3, -0.6);
  const moments = (rows: Float32Array, j: number): [number, number] => {
    const column = Array.from({ length: TABLE.samples }, (_, i) => rows[i * 6 + j]!);
    const mean = column.reduce((a, b) => a + b) / column.length;
    return [mean, Math.sqrt(column.reduce((a, b) => a + (b - mean) ** 2, 0) / column.length)];
  };

  it('draws about it, a tenth wide, whatever the plan before was', () => {
    const search = new (addon().Search)(TABLE);
    search.reset(3);
    for (let plan = 0; plan < 2; plan++) {
      search.begin(centre);
      const rows = search.propose()!;
      for (let j = 0; j < 6; j++) {
        const [mean, std] = moments(rows, j);
        // Six standard errors of 4000 draws; none is cut at ±1.
        expect(Math.abs(mean - centre[j]!)).toBeLessThan(0.01);
        expect(Math.abs(std - 0.1)).toBeLessThan(0.007);
      }
      search.update(new Float32Array(TABLE.samples).map((_, i) => rows[6 * i]!));
      search.finish();
    }
    search.begin();
    expect(moments(search.propose()!, 1)[1]).toBeGreaterThan(0.5);
  });

  it('takes its width from the table', () => {
    const search = new (addon().Search)({ ...TABLE, centre_std: 0.02 });
    search.begin(centre);
    expect(moments(search.propose()!, 0)[1]).toBeLessThan(0.03);
  });

  test.each([
    [new Float32Array(5), 'horizon × action_dim'],
    [Float32Array.of(0, 0, 0, 0, 0, Number.NaN), '−1 to 1'],
    [Float32Array.of(0, 0, 0, 0, 0, 1.5), '−1 to 1'],
  ])('a centre that is none is refused: %#', (wrong, text) => {
    expect(() => new (addon().Search)(TABLE).begin(wrong)).toThrow(text);
  });
});

describe('what critics are asked', () => {
  // One step; critic i says i·a, so they agree where a is 0 and the more a is from it the less.
  const critics = 4;
  const networks = (broken = -1): WorldNetworks => {
    const line = (g: GraphBuilder, v: Value, slope: number): Value => g.affine(v, slope, 0);
    return {
      ...LATENT_ITSELF,
      latent_dim: 1,
      tail_dim: 1,
      action_dim: 1,
      critics,
      encode: (g) => line(g, g.input('observation', [1, 1], 'observation'), 1),
      next: (g, z, a) => g.add(z, a),
      reward: (g, _z, a) => line(g, a, 0),
      // The action there is 0.
      value(g, i, tail, a) {
        const at = g.add(tail, a);
        return i === broken ? g.unary('log', g.affine(g.unary('square', at), -1, -1)) : line(g, at, i);
      },
      prior: (g, z) => line(g, z, 0),
    };
  };
  const actions = Float32Array.of(-0.8, -0.2, 0.1, 0.9);
  const scores = async (table: Partial<PlannerTable>, broken = -1) => {
    const graph = worldGraph(networks(broken), { horizon: 1, discount: 0.5 });
    const model = await addon().compileModel(graph.native, { precision: 'f32' });
    const planner = await model.openPlanner({
      horizon: 1,
      action_dim: 1,
      samples: 4,
      elites: 4,
      critics,
      drawn: critics,
      initial_std: 1,
      ...table,
    });
    const tape = { samples: actions, critics: Float32Array.of(0, 1, 2, 3) };
    return planner.plan({ inputs: { latent: new Float32Array(1) }, tape });
  };
  const sorted = (of: (a: number) => number): number[] => [...actions].map(of).sort((x, y) => y - x);
  // Of 0, a, 2a, 3a: mean 1.5a, standard deviation |a|·√(5/3).
  const spread = Math.sqrt(5 / 3);

  test.each<[string, Partial<PlannerTable>, (a: number) => number]>([
    ['their mean', { ask: 'mean' }, (a) => 1.5 * a],
    ['their minimum', { ask: 'minimum' }, (a) => Math.min(0, 3 * a)],
    [
      'mean and ten deviations less',
      { ask: 'weighted', ask_std: -10 },
      (a) => 1.5 * a - 10 * spread * Math.abs(a),
    ],
    [
      'a bit of each',
      { ask: 'weighted', ask_min: 0.5, ask_mean: 0.25, ask_std: 2 },
      (a) => 0.5 * Math.min(0, 3 * a) + 0.375 * a + 2 * spread * Math.abs(a),
    ],
  ])('%s', async (_, table, of) => {
    const { elite_scores } = await scores(table);
    const want = sorted((a) => 0.5 * of(a));
    want.forEach((score, i) => {
      expect(elite_scores[i]!).toBeCloseTo(score, 5);
    });
  });

  test.each(['mean', 'minimum', 'weighted'] as const)(
    '%s: one critic that says NaN makes a rollout the worst, wherever it stands',
    async (ask) => {
      for (const broken of [0, 2, 3]) {
        const { status, worst_count } = await scores({ ask }, broken);
        expect([status, worst_count]).toEqual(['not_finite', 4]);
      }
    },
  );

  it('the options ask the whole ensemble with the peers weights', () => {
    const modem = ModemConfig.parse({ value: {} });
    const table = modemTable({ ...TABLE, critics: 5, drawn: 2, with_replacement: true }, modem);
    expect(table).toMatchObject({ ask: 'weighted', ask_min: 0, ask_mean: 1, ask_std: -10, drawn: 5 });
    expect(table.with_replacement).toBe(false);
    expect(() => modemTable(TABLE, modem)).toThrow('two critics');
  });
});

it("the planner's share grows evenly between two plans", () => {
  const { handover } = ModemConfig.parse({ policy: 'x', handover: { begin: 10, end: 20 } });
  expect([0, 10, 15, 20, 99].map((n) => plannerShare(handover!, n))).toEqual([0, 0, 0.5, 1, 1]);
});

describe('agency of a checkpoint with a demonstration', () => {
  const io = golden('tdmpc2_tiny');
  const config = JSON.parse(readFileSync(join(io.dir, 'config.json'), 'utf8')) as object;
  const observation = { stamp_ns: 7, values: { 'observation.state': io.get('obs') } };

  /** The world model with those options, and its own prior, acting alone, as the demonstration's policy. */
  async function withModem<T>(modem: object, use: (dir: string) => Promise<T>, change = {}): Promise<T> {
    const dir = mkdtempSync(join(tmpdir(), 'tendon-modem-'));
    try {
      mkdirSync(join(dir, 'bc'));
      for (const folder of [dir, join(dir, 'bc')])
        copyFileSync(join(io.dir, 'model.safetensors'), join(folder, 'model.safetensors'));
      writeFileSync(join(dir, 'bc', 'config.json'), JSON.stringify({ ...config, mpc: false }));
      writeFileSync(join(dir, 'config.json'), JSON.stringify({ ...config, ...change, modem }));
      return await use(dir);
    } finally {
      rmSync(dir, { recursive: true, force: true });
    }
  }
  const acts = (
    modem: object,
    plans: number,
    change = {},
  ): Promise<{ actions: number[]; planned: boolean }[]> => {
    const use = async (dir: string) => {
      const policy = (await loadPolicy(dir, { compute: { threads: 1 } })) as PlanningPolicy;
      policy.reset(5);
      const found = [];
      for (let i = 0; i < plans; i++) {
        const { actions } = await policy.infer(observation);
        found.push({ actions: [...actions.slice(0, 3)], planned: policy.lastPlan !== undefined });
      }
      policy.close();
      return found;
    };
    return withModem(modem, use, change);
  };
  const shown = async (): Promise<number[]> =>
    withModem({}, async (dir) => {
      const policy = await loadPolicy(join(dir, 'bc'), { compute: { threads: 1 } });
      const { actions } = await policy.infer(observation);
      policy.close();
      return [...actions.slice(0, 3)];
    });

  it("is the policy's before the handover, the planner's after, and drawn between", async () => {
    const handover = { begin: 5, end: 25 };
    const found = await acts({ policy: 'bc', handover }, 40);
    const policys = await shown();
    for (const { actions, planned } of found.slice(0, 5)) {
      expect(planned).toBe(false);
      actions.forEach((a, j) => {
        expect(a).toBeCloseTo(policys[j]!, 6);
      });
    }
    expect(found.slice(25).every(({ planned }) => planned)).toBe(true);
    const between = found.slice(5, 25).filter(({ planned }) => planned).length;
    // 9.5 of 20 are expected.
    expect(between).toBeGreaterThan(3);
    expect(between).toBeLessThan(17);
    expect(await acts({ policy: 'bc', handover }, 40)).toEqual(found);
  });

  it('is mixed where it is asked to be', async () => {
    const handover = { begin: 0, end: 4, from: 0, to: 1, mode: 'blend' };
    const found = await acts({ policy: 'bc', centre_std: 0, handover }, 3);
    const policys = await shown();
    expect(found[0]!.planned).toBe(false);
    expect(found[2]!.planned).toBe(true);
    found[0]!.actions.forEach((a, j) => {
      expect(a).toBeCloseTo(policys[j]!, 6);
    });
  });

  it('searches around what the policy would do', async () => {
    const far = async (centre_std: number): Promise<number> => {
      const policys = await shown();
      const found = await acts({ policy: 'bc', centre_std }, 6, { num_pi_trajs: 0, iterations: 1 });
      return Math.max(...found.flatMap(({ actions }) => actions.map((a, j) => Math.abs(a - policys[j]!))));
    };
    // One of the first candidates, five deviations off at most.
    const near = await far(0.001);
    expect(near).toBeLessThan(0.005);
    expect(await far(0)).toBeGreaterThan(near);
  });

  test.each([
    [{ handover: { begin: 0, end: 5 } }, 'policy'],
    [{ policy: 'bc', handover: { begin: 5, end: 5 } }, 'begin'],
    [{ policy: 'elsewhere' }, 'elsewhere'],
    [{ policy: 'bc', centre_std: -1 }, 'centre_std'],
    [{ policy: '.' }, 'demonstrated by itself'],
    [{ policy: 'bc/..' }, 'demonstrated by itself'],
  ])('options that make no sense are refused by field: %#', async (modem, text) => {
    await withModem(modem, async (dir) => {
      await expect(loadPolicy(dir, { compute: { threads: 1 } })).rejects.toThrow(text);
    });
  });
});
