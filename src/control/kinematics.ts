// Where the tip of an arm is with its joints at given values, and how far outside the workspace that is.

import type { Workspace } from '../types/index.js';

/** Forward kinematics of the workspace's chain. Allocates nothing after construction: a tick asks many times. */
export class TipPosition {
  /** x, y, z in m, in the frame of the URDF's root. */
  readonly position = new Float64Array(3);
  private readonly pose = new Float64Array(12);
  private readonly next = new Float64Array(12);
  private readonly turn = new Float64Array(12);

  constructor(private readonly workspace: Workspace) {}

  /** How far outside the box the tip is with joints at `q`, m; 0 within it. */
  outside(q: ArrayLike<number>): number {
    this.at(q);
    const { lower, upper } = this.workspace;
    let squares = 0;
    for (let i = 0; i < 3; i++)
      squares += Math.max(0, lower[i]! - this.position[i]!, this.position[i]! - upper[i]!) ** 2;
    return Math.sqrt(squares);
  }

  /** `position` with joints at `q`, to be copied before the next is asked for. */
  at(q: ArrayLike<number>): Float64Array {
    this.place(q);
    return this.position;
  }

  /** Where every joint of the chain and, last, the tip is with joints at `q`: (chain + 1, 3), m; for drawing. */
  points(q: ArrayLike<number>): Float64Array {
    const out = new Float64Array(3 * (this.workspace.chain.length + 1));
    this.place(q, out);
    out.set(this.position, out.length - 3);
    return out;
  }

  private place(q: ArrayLike<number>, joints?: Float64Array): void {
    const { pose, turn } = this;
    pose.fill(0);
    for (const i of [0, 5, 10]) pose[i] = 1;
    for (let l = 0; l < this.workspace.chain.length; l++) {
      const link = this.workspace.chain[l]!;
      this.multiply(link.origin);
      for (let i = 0; joints !== undefined && i < 3; i++) joints[3 * l + i] = pose[4 * i + 3]!;
      if (link.kind === 'fixed') continue;
      const value = link.scale * q[link.joint]! + link.offset;
      const [x, y, z] = link.axis as [number, number, number];
      turn.fill(0);
      for (const i of [0, 5, 10]) turn[i] = 1;
      if (link.kind === 'prismatic') for (let i = 0; i < 3; i++) turn[4 * i + 3] = value * link.axis[i]!;
      else {
        const [c, s] = [Math.cos(value), Math.sin(value)];
        const k = 1 - c;
        turn.set([c + x * x * k, x * y * k - z * s, x * z * k + y * s], 0);
        turn.set([y * x * k + z * s, c + y * y * k, y * z * k - x * s], 4);
        turn.set([z * x * k - y * s, z * y * k + x * s, c + z * z * k], 8);
      }
      this.multiply(turn);
    }
    for (let i = 0; i < 3; i++) this.position[i] = pose[4 * i + 3]!;
  }

  /** pose ← pose · by */
  private multiply(by: ArrayLike<number>): void {
    const { pose, next } = this;
    for (let r = 0; r < 3; r++)
      for (let c = 0; c < 4; c++) {
        let sum = c === 3 ? pose[4 * r + 3]! : 0;
        for (let k = 0; k < 3; k++) sum += pose[4 * r + k]! * by[4 * k + c]!;
        next[4 * r + c] = sum;
      }
    pose.set(next);
  }
}
