// An episode with an inference delay, in virtual time at the task's rate: a chunk asked for at one row takes effect
// `delay` rows later, while the one before it plays on. Overlap and playing are those of the controller, so the result
// is a function of (checkpoint, task, seed, mode, delay) alone.

import { ChunkPlayer, ObservationWindow, overlapFor } from '../control/index.js';
import type { Task, TaskInstance } from '../sim/task.js';
import { type ActionChunk, type ChunkMode, NS_PER_S, type Policy, type PolicyState } from '../types/index.js';
import { PartsLog, type SteeredEpisode } from './episode.js';

export interface DelayedRecord {
  readonly success: boolean;
  /** Largest step of the set point from one row to the next, in units of the joint. */
  readonly max_jump: number;
  /** Root mean square of the set point's third difference over the joints, units/s³. */
  readonly jerk: number;
  /** Rows of the task until it ended. */
  readonly steps: number;
  readonly steering?: SteeredEpisode | undefined;
}

/** `delay` is in whole rows. The first chunk is awaited with the world at rest; an empty player repeats its last row. */
export async function runDelayed(
  policy: Policy,
  task: Task,
  env: TaskInstance,
  seed: number,
  mode: ChunkMode,
  delay: number,
): Promise<DelayedRecord> {
  const { spec } = task;
  const period_ns = Math.round(NS_PER_S / spec.rate_hz);
  const overlap = overlapFor(mode, period_ns);
  const player = new ChunkPlayer(period_ns);
  const seen = new ObservationWindow(policy.spec.n_obs_steps, period_ns);
  const execute = overlap.execute(policy.spec.n_action_steps, policy.spec.horizon);
  const target = new Float64Array(policy.spec.action_dim);
  const smooth = new Smoothness(spec.rate_hz);
  let state: PolicyState | undefined;
  const parts = new PartsLog();
  let coming: { readonly chunk: ActionChunk; readonly row: number } | undefined;
  env.reset(seed);
  policy.reset(seed);
  let row = 0;
  for (; row < spec.max_steps && !env.success() && !env.failed(); row++) {
    const now_ns = row * period_ns;
    seen.push({ stamp_ns: now_ns, values: env.observe() });
    if (coming === undefined && (row === 0 || player.played(now_ns) + delay >= execute)) {
      const arrives_ns = now_ns + (row === 0 ? 0 : delay) * period_ns;
      const prefix = overlap.prefix?.(player.current, now_ns, arrives_ns);
      const chunk = await policy.infer(seen.window()!, {
        ...(prefix === undefined ? {} : { prefix }),
        ...(overlap.candidates === undefined ? {} : { candidates: overlap.candidates }),
        ...(player.current === undefined ? {} : { playing: player.current }),
        arrives_ns,
        state,
      });
      state = chunk.state;
      parts.add(chunk, row);
      const { hold, ask_person = false } = chunk.steering ?? {};
      if (ask_person) break;
      // What a part holds is never played: what plays goes on to its end, as the world does.
      if (hold === undefined) coming = { chunk, row: row === 0 ? 0 : row + delay };
    }
    if (coming !== undefined && row >= coming.row) {
      player.accept(overlap.merge(coming.chunk, player.current), now_ns, target);
      coming = undefined;
    }
    if (player.current === undefined) target.set(env.jointPosition());
    else player.at(now_ns, target);
    smooth.push(target);
    env.advance(target, 1 / spec.rate_hz);
  }
  const { max_jump, jerk } = smooth;
  return { success: env.success(), max_jump, jerk, steps: row, steering: parts.episode() };
}

class Smoothness {
  private readonly last: Float64Array[] = [];
  private sum = 0;
  private terms = 0;
  max_jump = 0;

  constructor(private readonly rate_hz: number) {}

  push(target: Float64Array): void {
    this.last.unshift(Float64Array.from(target));
    if (this.last.length > 4) this.last.pop();
    const [a, b, c, d] = this.last;
    for (let i = 0; i < target.length && b !== undefined; i++) {
      this.max_jump = Math.max(this.max_jump, Math.abs(a![i]! - b[i]!));
      if (c === undefined || d === undefined) continue;
      this.sum += ((a![i]! - 3 * b[i]! + 3 * c[i]! - d[i]!) * this.rate_hz ** 3) ** 2;
      this.terms++;
    }
  }

  get jerk(): number {
    return Math.sqrt(this.sum / Math.max(1, this.terms));
  }
}
