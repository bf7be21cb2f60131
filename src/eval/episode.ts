// One closed-loop episode of a policy on a simulated task, as fast as the machine can: the policy's chunk is executed
// row by row at the task's rate. A function of (checkpoint, task, seed, options) alone.

import { ObservationWindow, overlapFor } from '../control/index.js';
import type { Task, TaskInstance } from '../sim/task.js';
import { type ActionChunk, NS_PER_S, type Policy, type PolicyState } from '../types/index.js';

export interface EpisodeRecord {
  readonly seed: number;
  readonly success: boolean;
  /** Steps at the task's rate. */
  readonly steps: number;
  readonly mode: string;
  /** Largest jump of the set point from one chunk to the next, in units of the joint. */
  readonly boundary_jump: number;
  readonly infer_ms: readonly number[];
  /** Of a policy with parts, by inference; absent of others. */
  readonly steering?: SteeredEpisode;
}

/** What parts did in an episode. */
export interface SteeredEpisode {
  /** The step of the first alarm of each monitor, −1 without one. */
  readonly alarms: Readonly<Record<string, number>>;
  /** The step at which a progress part first said that the goal is reached, −1 if it never did; absent without one. */
  readonly reached_at?: number;
  /** Inferences in which nothing was let through. */
  readonly held: number;
  /** What guardians did, by how often. */
  readonly guarded: Readonly<Record<string, number>>;
  readonly skipped: number;
  /** Scores of each scorer of what was played, by inference. */
  readonly scores: Readonly<Record<string, readonly number[]>>;
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
  // Where the task has a goal that can be set, it stands in the observation, as the simulated robot publishes it.
  const observed = (): Record<string, Float32Array> =>
    spec.goal_dim === 0 ? env.observe() : { ...env.observe(), goal: Float32Array.from(env.goal()) };
  const look = (): void =>
    seen.push({ stamp_ns: Math.round((steps * NS_PER_S) / spec.rate_hz), values: observed() });
  const { ensemble } = policy.spec;
  const overlap =
    ensemble === undefined ? undefined : overlapFor({ mode: 'ensemble', coeff: ensemble }, period_ns);
  let state: PolicyState | undefined;
  const parts = new PartsLog();
  const over = (): boolean => env.success() || env.failed() || steps >= spec.max_steps;
  while (!over()) {
    look();
    const answer = await policy.infer(seen.window()!, { state });
    state = answer.state;
    infer_ms.push(answer.timing.total_ns / 1e6);
    parts.add(answer, steps);
    if (answer.steering?.hold !== undefined) {
      // A person is asked for, and none is here.
      if (answer.steering.ask_person === true) break;
      // What a part holds stands still until the next question, as control has it.
      state = undefined;
      for (let row = 0; row < execute && !over(); row++, steps++)
        env.advance(
          spec.quantity === 'velocity' ? new Float64Array(dim) : env.jointPosition(),
          1 / spec.rate_hz,
        );
      continue;
    }
    const chunk = overlap?.merge(answer, undefined) ?? answer;
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
  // What is said of the last moment is said before the next action, which nobody waits for.
  if (parts.any && env.success()) {
    look();
    parts.add(await policy.infer(seen.window()!, { state }), steps);
  }
  const steering = parts.episode();
  return {
    ...{ seed, success: env.success(), steps, mode: env.mode() ?? 'none', boundary_jump: jump, infer_ms },
    ...(steering === undefined ? {} : { steering }),
  };
}

/** Gathers what parts say over an episode. */
export class PartsLog {
  /** Whether the policy has parts. */
  any = false;
  private reached_at: number | undefined;
  private readonly alarms: Record<string, number> = {};
  private readonly guarded: Record<string, number> = {};
  private readonly scores: Record<string, number[]> = {};
  private held = 0;
  private skipped = 0;

  /** `step`: steps of the episode before this inference. */
  add({ steering, chosen }: ActionChunk, step: number): void {
    if (steering === undefined) return;
    this.any = true;
    for (const { name, alarm } of steering.monitors) {
      this.alarms[name] ??= -1;
      if (alarm && this.alarms[name] < 0) this.alarms[name] = step;
    }
    for (const { name, did } of steering.guardians)
      this.guarded[`${name}: ${did}`] = (this.guarded[`${name}: ${did}`] ?? 0) + 1;
    for (const [name, list] of Object.entries(steering.scores)) {
      this.scores[name] ??= [];
      this.scores[name].push(list.length > 1 ? list[chosen]! : list[0]!);
    }
    for (const said of Object.values(steering.said ?? {})) {
      const { state } = (said ?? {}) as { readonly state?: unknown };
      if (typeof state !== 'string') continue;
      this.reached_at ??= -1;
      if (state === 'reached' && this.reached_at < 0) this.reached_at = step;
    }
    if (steering.hold !== undefined) this.held++;
    this.skipped += Object.keys(steering.skipped).length;
  }

  episode(): SteeredEpisode | undefined {
    const { alarms, guarded, scores, held, skipped, reached_at } = this;
    if (!this.any) return undefined;
    return { alarms, guarded, scores, held, skipped, ...(reached_at === undefined ? {} : { reached_at }) };
  }
}
