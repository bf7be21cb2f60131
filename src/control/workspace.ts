// Keeps the tip of an arm inside a box: a step is taken only if braking after it keeps the tip inside, or takes it no
// further out than braking at once would. Braking at once is always such a step, so the box holds as the limits do.

import type { Workspace } from '../types/index.js';
import { TipPosition } from './kinematics.js';
import { Limiter, type Limits } from './limiter.js';

/** Periods that braking may take before it counts as unsafe. */
const MOST_STEPS = 2000;
/** Rounding of sines and products, m. */
const SLACK_M = 1e-9;

export class WorkspaceGuard {
  private readonly tip: TipPosition;
  private readonly ghost: Limiter;
  private readonly hold: Float64Array;

  constructor(workspace: Workspace, limits: Limits, joints: number) {
    this.tip = new TipPosition(workspace);
    this.ghost = new Limiter(limits, new Float64Array(joints));
    this.hold = new Float64Array(joints);
  }

  /** Replaces `desired` by braking where it would lead out; whether it did. */
  keep(limiter: Limiter, desired: Float64Array, dt: number): boolean {
    const allowed = this.furthest(limiter, undefined, dt) + SLACK_M;
    if (this.furthest(limiter, desired, dt) <= allowed) return false;
    desired.set(limiter.previous);
    return true;
  }

  /** How far out the tip gets by one step towards `desired` and braking after it. */
  private furthest(limiter: Limiter, desired: Float64Array | undefined, dt: number): number {
    const { ghost, tip, hold } = this;
    ghost.copy(limiter);
    let most = tip.outside(ghost.previous);
    if (desired !== undefined) {
      ghost.limit(desired, dt, hold);
      most = Math.max(most, tip.outside(ghost.previous));
    }
    for (let i = 0; ghost.moving; i++) {
      if (i === MOST_STEPS) return Number.POSITIVE_INFINITY;
      hold.set(ghost.previous);
      ghost.limit(hold, dt, hold);
      most = Math.max(most, tip.outside(ghost.previous));
    }
    return most;
  }
}
