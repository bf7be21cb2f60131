// Information-theoretic MPPI for a cost of one's own, on a plant whose best control is known; and actions that are
// relative to where the robot will be.

import { describe, expect, it } from 'vitest';
import { actionCodec, mppi } from '../../src/policies/index.js';
import { wayRound } from '../../src/sim/arm-reward.js';

const HORIZON = 15;
const DT = 0.1;
/** A point mass pushed with at most 1 N/kg; cost of position, velocity and force. */
const roll = (x: number, v: number, forces: ArrayLike<number>): { cost: number; x: number; v: number } => {
  let cost = 0;
  for (let t = 0; t < forces.length; t++) {
    x += v * DT;
    v += forces[t]! * DT;
    cost += x * x + 0.1 * v * v + 0.01 * forces[t]! ** 2;
  }
  return { cost, x, v };
};
const score =
  (x: number, v: number) =>
  (rows: Float32Array, count: number): Float32Array =>
    Float32Array.from(
      { length: count },
      (_, i) => -roll(x, v, rows.subarray(i * HORIZON, (i + 1) * HORIZON)).cost,
    );

describe('mppi', () => {
  it('answers with the mean of the draws, each weighing exp(−(S − S_min)/λ)', async () => {
    const lambda = 0.3;
    const search = mppi({ horizon: HORIZON, action_dim: 1, samples: 64, lambda, std: 0.6 });
    let drawn = new Float32Array(0);
    let costs: number[] = [];
    const plan = await search.plan((rows, count) => {
      const scores = score(1, 0)(rows, count);
      [drawn, costs] = [rows.slice(), [...scores].map((s) => -s)];
      return scores;
    });
    const least = Math.min(...costs);
    const weights = costs.map((s) => Math.exp(-(s - least) / lambda));
    const total = weights.reduce((a, b) => a + b);
    for (let t = 0; t < HORIZON; t++) {
      const mean = weights.reduce((sum, w, i) => sum + (w / total) * drawn[i * HORIZON + t]!, 0);
      // Scores and weights are floats there, doubles here.
      expect(plan.actions[t]).toBeCloseTo(mean, 4);
    }
  });

  it('brings a point mass to rest at the origin, its cost within a tenth of the best control', async () => {
    const search = mppi({
      horizon: HORIZON,
      action_dim: 1,
      samples: 256,
      lambda: 0.05,
      std: 0.5,
      iterations: 2,
    });
    search.reset(3);
    let [x, v, cost] = [1, 0, 0];
    for (let step = 0; step < 60; step++) {
      const { actions } = await search.plan(score(x, v));
      const after = roll(x, v, actions.subarray(0, 1));
      cost += after.cost;
      [x, v] = [after.x, after.v];
    }
    expect(Math.abs(x)).toBeLessThan(0.05);
    expect(Math.abs(v)).toBeLessThan(0.1);
    expect(cost).toBeLessThan(1.1 * riccati(1, 0));
  });

  it('counts a rollout that is not finite as worst and never answers with it', async () => {
    const search = mppi({ horizon: 1, action_dim: 1, samples: 64, lambda: 1e-3, std: 0.5 });
    const plan = await search.plan((rows) => rows.map((a) => (a > 0 ? Number.NaN : a)));
    expect(plan.worst_count).toBeGreaterThan(10);
    expect(plan.actions[0]).toBeLessThanOrEqual(0);
    expect(plan.actions[0]).toBeGreaterThan(-0.2);
  });

  it('refuses a λ that is none', () => {
    expect(() => mppi({ horizon: 1, action_dim: 1, samples: 8, lambda: 0, std: 1 })).toThrow('λ above 0');
  });
});

/** Cost of 60 steps under the best linear feedback, its force cut to ±1: what the plant can do. */
function riccati(x: number, v: number): number {
  // The recursion for next = A·s + B·f with the cost taken after the step, as above.
  let [a, b, c] = [0, 0, 0];
  let gain: readonly [number, number] = [0, 0];
  for (let i = 0; i < 2000; i++) {
    const [p, q, r] = [a + 1, b, c + 0.1];
    const den = r * DT * DT + 0.01;
    const [gx, gv] = [(q * DT) / den, ((q * DT + r) * DT) / den];
    gain = [gx, gv];
    a = p - gx * q * DT;
    b = p * DT + q - gx * (q * DT + r) * DT;
    c = p * DT * DT + 2 * q * DT + r - gv * (q * DT + r) * DT;
  }
  let cost = 0;
  for (let step = 0; step < 60; step++) {
    const force = Math.min(1, Math.max(-1, -gain[0] * x - gain[1] * v));
    const after = roll(x, v, [force]);
    cost += after.cost;
    [x, v] = [after.x, after.v];
  }
  return cost;
}

describe('actions relative to where the robot will be', () => {
  const affine = {
    mul: Float64Array.of(4, 2),
    add: Float64Array.of(0, 0),
    back_mul: Float64Array.of(0.25, 0.5),
    back_add: Float64Array.of(0, 0),
  };
  const newest = { stamp_ns: 0, values: { 'observation.state': Float32Array.of(1, -1, 9) } };

  it('each row leaves from what the rows before have covered', () => {
    const rows = Float32Array.of(1, 1, 1, -1, 0, 0.5);
    actionCodec({ affine, relative: { key: 'observation.state' } }, 0.5).decode(rows, newest);
    expect([...rows]).toEqual([1.25, -0.5, 1.375, -1.25, 1.25, -0.75]);
  });

  it.each([0, 0.39])('come back from targets as they were, travel %f', (travel) => {
    const codec = actionCodec({ affine, relative: { key: 'observation.state' } }, travel);
    const rows = Float32Array.of(0.3, -0.2, 0.9, 0.1, -1, 0.7);
    const there = rows.slice();
    codec.decode(there, newest);
    codec.encode(there, newest);
    // Floats of the order of 1 through two roundings, times 4.
    for (const [i, v] of rows.entries()) expect(there[i]).toBeCloseTo(v, 5);
  });
});

describe('the way round a circle', () => {
  it('is straight where nothing is in the way, two tangents and an arc where something is', () => {
    expect(wayRound([0, 0], [3, 4], [9, 9], 1)).toBe(5);
    expect(wayRound([-2, 0], [2, 0], [0, 0], 1)).toBeCloseTo(2 * Math.sqrt(3) + Math.PI / 3, 12);
  });
});
