// A person's targets beside a policy's: what is commanded while somebody drives, and what the policy is asked to head for.
// Everything leaves through the limits like any other command, which is what makes a hand-over smooth.

import { positionIn } from '../parts/index.js';
import type { ActionChunk, ChunkPrefix, Nanoseconds, TeleopShare } from '../types/index.js';

export class SharedControl {
  /** What the person wants, (action_dim) in physical units; undefined when nobody drives. */
  target: Float64Array | undefined;

  constructor(
    public share: TeleopShare,
    private readonly fallback_period_ns: Nanoseconds,
  ) {}

  /** Whether the policy has a say while a person drives. */
  get asksPolicy(): boolean {
    return this.share.kind !== 'take_over';
  }

  /**
   * Makes the command out of `out`, which holds the policy's action, or staying where it has none: then the person
   * drives alone, unless they have no say themselves. Without a person `out` stays as it is.
   */
  mix(out: Float64Array, has_action: boolean, chunk: ActionChunk | undefined, now_ns: Nanoseconds): void {
    const { target } = this;
    if (target === undefined) return;
    const share = this.personsShare(chunk, now_ns);
    if (share === 0) return;
    if (share === 1 || !has_action) out.set(target);
    else for (let i = 0; i < out.length; i++) out[i] = (1 - share) * out[i]! + share * target[i]!;
  }

  /** What the next chunk should be drawn towards: from `previous` to where the person points. */
  prefix(previous: Float64Array): ChunkPrefix | undefined {
    const { share, target } = this;
    if (share.kind !== 'steer' || target === undefined) return undefined;
    const { rows, strength } = share;
    const actions = new Float32Array(rows * target.length);
    for (let row = 0; row < rows; row++)
      for (let i = 0; i < target.length; i++)
        actions[row * target.length + i] = previous[i]! + ((row + 1) / rows) * (target[i]! - previous[i]!);
    return { actions, weights: new Float32Array(rows).fill(strength), derivative: true };
  }

  private personsShare(chunk: ActionChunk | undefined, now_ns: Nanoseconds): number {
    const { share } = this;
    if (share.kind === 'take_over') return 1;
    if (share.kind === 'steer') return 0;
    if (share.kind === 'blend') return share.share;
    // A policy that cannot say how sure it is counts as unsure.
    if (chunk?.candidates === undefined) return 1;
    const spread = this.spread(chunk, chunk.candidates, now_ns);
    return Math.min(1, Math.max(0, (spread - share.low) / (share.high - share.low)));
  }

  /** Root mean square over joints and candidates of how far they are from their mean in the row in force. */
  private spread(chunk: ActionChunk, candidates: Float32Array, now_ns: Nanoseconds): number {
    const { horizon, action_dim, n_candidates } = chunk;
    const position = positionIn(chunk, now_ns, this.fallback_period_ns);
    const row = Math.min(horizon - 1, Math.max(0, Math.floor(position)));
    let squares = 0;
    for (let i = 0; i < action_dim; i++) {
      let mean = 0;
      for (let c = 0; c < n_candidates; c++) mean += candidates[(c * horizon + row) * action_dim + i]!;
      mean /= n_candidates;
      for (let c = 0; c < n_candidates; c++)
        squares += (candidates[(c * horizon + row) * action_dim + i]! - mean) ** 2;
    }
    return Math.sqrt(squares / (action_dim * n_candidates));
  }
}
