// One closed-loop episode of a policy on a simulated task, as fast as the machine can: the policy's chunk is executed
// row by row at the task's rate. A function of (checkpoint, task, seed, options) alone.

import { ObservationWindow, overlapFor } from '../control/index.js';
import type { Task, TaskInstance } from '../sim/task.js';
import { NS_PER_S, type Policy, type PolicyState } from '../types/index.js';

export interface EpisodeRecord {
  readonly seed: number;
  readonly success: boolean;
  /** Steps at the task's rate. */
  readonly steps: number;
  readonly mode: string;
  /** Largest jump of the set point from one chunk to the next, in units of the joint. */
  readonly boundary_jump: number;
  readonly infer_ms: readonly number[];
}

/** `execute` rows of each chunk are played before the next is asked for. */
export async function runEpisode(
  policy: Policy,
  task: Task,
  env: TaskInstance,
  seed: number,
  execute: number,
): Promise<EpisodeRecord> {
  const { spec } = task;
  const dim = policy.spec.action_dim;
  env.reset(seed);
  policy.reset(seed);
  const infer_ms: number[] = [];
  let steps = 0;
  let jump = 0;
  let last: Float32Array | undefined;
  const period_ns = NS_PER_S / (policy.spec.rate_hz ?? spec.rate_hz);
  const seen = new ObservationWindow(policy.spec.n_obs_steps, period_ns);
  const look = (): void =>
    seen.push({ stamp_ns: Math.round((steps * NS_PER_S) / spec.rate_hz), values: env.observe() });
  const { ensemble } = policy.spec;
  const overlap =
    ensemble === undefined ? undefined : overlapFor({ mode: 'ensemble', coeff: ensemble }, period_ns);
  let state: PolicyState | undefined;
  const over = (): boolean => env.success() || env.failed() || steps >= spec.max_steps;
  while (!over()) {
    look();
    const answer = await policy.infer(seen.window()!, { state });
    state = answer.state;
    const chunk = overlap?.merge(answer, undefined) ?? answer;
    infer_ms.push(chunk.timing.total_ns / 1e6);
    for (let row = 0; row < Math.min(execute, chunk.horizon) && !over(); row++, steps++) {
      // The policy sees every step, as in training.
      if (row > 0) look();
      const action = chunk.actions.subarray(row * dim, (row + 1) * dim);
      if (row === 0 && last !== undefined)
        for (let i = 0; i < dim; i++) jump = Math.max(jump, Math.abs(action[i]! - last[i]!));
      env.advance(action, 1 / spec.rate_hz);
      last = action;
    }
  }
  return { seed, success: env.success(), steps, mode: env.mode() ?? 'none', boundary_jump: jump, infer_ms };
}
