// How planning scales: plans per second of the TD-MPC2 row against its samples, measured and as two numbers predict them;
// and rollouts per second of information-theoretic MPPI whose cost is a function in JavaScript.

import type { MachineLimits } from '../src/host/machine-limits.js';
import { addon } from '../src/native/index.js';
import { mppi } from '../src/policies/index.js';
import { tdmpc2Table } from '../src/policies/tdmpc2/index.js';
import { quantile } from './contest.js';
import { CONFIG, planFlops, planWork } from './plan.js';

const SAMPLES = [64, 128, 256, 512, 1024] as const;

/** The model is t = t₀ + work/rate, its two numbers from the fewest and the most samples; what lies between is a prediction. */
export async function planScaling(
  folder: string,
  threads: number,
  budget_ms: number,
  limits: MachineLimits,
  say: (line: string) => void,
): Promise<void> {
  const { graph, latent } = planWork(folder);
  const pool = new (addon().Pool)({ threads });
  const model = await addon().compileModel(graph.native, { precision: 'f32', pool });
  const planners = await Promise.all(
    SAMPLES.map((samples) =>
      model.openPlanner({ ...tdmpc2Table(CONFIG), samples: samples - CONFIG.num_pi_trajs }),
    ),
  );
  const times = SAMPLES.map(() => [] as number[]);
  const until = performance.now() + budget_ms;
  for (let round = 0; round < 4 || performance.now() < until; round++)
    for (const [i, planner] of planners.entries()) {
      const { total_ns } = await planner.plan({ inputs: { latent } });
      if (round > 0) times[i]!.push(total_ns / 1e6);
    }
  // Whatever else the machine does only adds to a time: the quickest is the model's.
  const took = times.map((t) => Math.min(...t));
  const work = SAMPLES.map((n) => planFlops(n));
  const rate = (work.at(-1)! - work[0]!) / (took.at(-1)! - took[0]!);
  const fixed_ms = took[0]! - work[0]! / rate;
  const share = (await limits.least_ms('f32', work.at(-1)!, 0, 0)) / (work.at(-1)! / rate);
  say(
    `\n  tdmpc2-5m.samples, f32: t = ${fixed_ms.toFixed(2)} ms + work at ${(rate / 1e6).toFixed(0)} GFLOP/s (${(100 * share).toFixed(0)} % of the peak), from the first and the last line`,
  );
  say('    samples      GFLOP   plans/s   predicted   measured/predicted');
  for (const [i, samples] of SAMPLES.entries()) {
    const predicted = 1e3 / (fixed_ms + work[i]! / rate);
    const measured = 1e3 / took[i]!;
    say(
      `    ${String(samples).padStart(7)} ${(work[i]! / 1e9).toFixed(2).padStart(10)} ${measured.toFixed(2).padStart(9)} ${predicted.toFixed(2).padStart(11)} ${(measured / predicted).toFixed(2).padStart(20)}`,
    );
  }
}

const HORIZON = 50;
const ROLLOUTS = 1024;

/** A point mass pushed along a line, 50 steps of 20 ms; the search is native, the plant and its cost are not. */
export async function plantRollouts(budget_ms: number, say: (line: string) => void): Promise<void> {
  const search = mppi({ horizon: HORIZON, action_dim: 1, samples: ROLLOUTS, lambda: 0.05, std: 0.5 });
  let [x, v] = [1, 0];
  const score = (rows: Float32Array, count: number): Float32Array => {
    const scores = new Float32Array(count);
    for (let i = 0; i < count; i++) {
      let [p, q, cost] = [x, v, 0];
      for (let t = 0; t < HORIZON; t++) {
        const force = rows[i * HORIZON + t]!;
        p += 0.02 * q;
        q += 0.02 * force;
        cost += p * p + 0.1 * q * q + 0.01 * force * force;
      }
      scores[i] = -cost;
    }
    return scores;
  };
  const times: number[] = [];
  const until = performance.now() + budget_ms / 3;
  for (let round = 0; round < 20 || performance.now() < until; round++) {
    const began = performance.now();
    const { actions } = await search.plan(score);
    if (round >= 5) times.push(performance.now() - began);
    x += 0.02 * v;
    v += 0.02 * actions[0]!;
  }
  const ms = quantile(times, 0.5);
  say(
    `\n  mppi.point-mass: ${(ROLLOUTS / ms).toFixed(0)} thousand rollouts/s of ${HORIZON} steps (${ROLLOUTS} a plan, ${ms.toFixed(2)} ms), one thread`,
  );
}
