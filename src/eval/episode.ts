// One closed-loop episode of a policy on a simulated task, as fast as the machine can: the policy's chunk is executed
// row by row at the task's rate. A function of (checkpoint, task, seed, options) alone.

import type { Task, TaskInstance } from '../sim/task.js';
import type { Policy } from '../types/index.js';

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
  const over = (): boolean => env.success() || env.failed() || steps >= spec.max_steps;
  while (!over()) {
    const chunk = await policy.infer({
      stamp_ns: Math.round((steps * 1e9) / spec.rate_hz),
      values: env.observe(),
    });
    infer_ms.push(chunk.timing.total_ns / 1e6);
    for (let row = 0; row < Math.min(execute, chunk.horizon) && !over(); row++, steps++) {
      const action = chunk.actions.subarray(row * dim, (row + 1) * dim);
      if (row === 0 && last !== undefined)
        for (let i = 0; i < dim; i++) jump = Math.max(jump, Math.abs(action[i]! - last[i]!));
      env.advance(action, 1 / spec.rate_hz);
      last = action;
    }
  }
  return { seed, success: env.success(), steps, mode: env.mode() ?? 'none', boundary_jump: jump, infer_ms };
}
