// What a moment of the arm task is worth to a planner: less the longer the way that is left round the post, the farther
// the tip is from the height for it, the more the tool is tilted. It is of the order of metres, and 0 at best.

import { CARRY_Z, PLACE_Z } from './arm-expert.js';
import { BLOCK_HALF, POST_RADIUS } from './arm-model.js';

/** How far the block's centre should keep from the post's axis. */
const CLEARANCE = POST_RADIUS + BLOCK_HALF * Math.SQRT2 + 0.045;

export interface ArmMoment {
  readonly tip: readonly [number, number, number];
  readonly block: readonly [number, number];
  readonly goal: readonly [number, number];
  readonly post: readonly [number, number];
  readonly joints: ArrayLike<number>;
  readonly held: boolean;
  /** The block was let go in the period that ends here. */
  readonly released: boolean;
  /** How far the free block was pushed along the table in the period, metres. */
  readonly pushed: number;
  /** Whether the block is where success wants it. */
  readonly placed: boolean;
  /** The post was touched. */
  readonly touched: boolean;
}

/** The shortest way from `a` to `b` that keeps outside the circle of `radius` about `centre`; m. */
export function wayRound(
  a: readonly number[],
  b: readonly number[],
  centre: readonly number[],
  radius: number,
): number {
  const from = [a[0]! - centre[0]!, a[1]! - centre[1]!] as const;
  const to = [b[0]! - centre[0]!, b[1]! - centre[1]!] as const;
  const near = Math.max(radius, Math.hypot(...from));
  const far = Math.max(radius, Math.hypot(...to));
  const angle = Math.abs(Math.atan2(from[0] * to[1] - from[1] * to[0], from[0] * to[0] + from[1] * to[1]));
  // Two tangents and the arc between them, or nothing in the way.
  const arc = angle - Math.acos(radius / near) - Math.acos(radius / far);
  if (arc <= 0) return Math.hypot(a[0]! - b[0]!, a[1]! - b[1]!);
  return Math.sqrt(near ** 2 - radius ** 2) + Math.sqrt(far ** 2 - radius ** 2) + radius * arc;
}

export function armReward({
  tip,
  block,
  goal,
  post,
  joints,
  held,
  released,
  pushed,
  placed,
  touched,
}: ArmMoment): number {
  const tilt = joints[3]! ** 2 + (joints[1]! + joints[2]! + joints[4]! - Math.PI) ** 2;
  let cost = 0.5 * tilt + (touched ? 30 : 0);
  if (held) {
    const off = Math.hypot(goal[0] - tip[0], goal[1] - tip[1]);
    const height = Math.min(CARRY_Z, PLACE_Z + 1.5 * Math.max(0, off - 0.014));
    const inside = CLEARANCE - Math.hypot(tip[0] - post[0], tip[1] - post[1]);
    // 1: what every period after letting go on the spot earns.
    cost += 1 + 2 * wayRound(tip, goal, post, CLEARANCE);
    cost += 2 * Math.abs(tip[2] - height) + 10 * Math.max(0, inside);
  } else {
    // Up and away from what was placed, and it stays where it is; a block that comes to rest moves by a millimetre or two.
    cost += 0.5 * Math.abs(tip[2] - CARRY_Z) + 200 * Math.max(0, pushed - 0.002);
  }
  if (released) {
    // Paid at once and not as long as it lies there: where it lies is not observed afterwards. Success asks for 3 cm; a
    // planner that foresees a centimetre less than rightly should still be inside.
    const off = Math.hypot(goal[0] - block[0], goal[1] - block[1]);
    cost += (placed ? 0 : 10) + Math.min(20, 300 * Math.max(0, off - 0.008));
  }
  return -cost;
}
