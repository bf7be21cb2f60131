// The arm's expert: a feedback law on the tip's position. It heads for the goal, or along the tangent to a safe
// circle round the post on its side; high while under way, down in a funnel over the goal, up again when the cup has
// let go. Everything but the side is read from the state, so it is good from anywhere.

import type { Point } from './arm-kinematics.js';
import { inverse } from './arm-kinematics.js';
import { BLOCK_HALF, POST_RADIUS } from './arm-model.js';

/** Tip height while carrying, and where the block rests on the table. */
export const CARRY_Z = 0.15;
export const PLACE_Z = 2 * BLOCK_HALF - 0.004;
/** How far the block's centre keeps from the post's axis. */
const CLEARANCE = POST_RADIUS + BLOCK_HALF * Math.SQRT2 + 0.065;
/** The set point leads the tip by this much, metres: about 0.35 m/s behind these servos. */
const LEAD = 0.05;

export interface ArmView {
  readonly tip: Point;
  readonly goal: readonly [number, number];
  readonly post: readonly [number, number];
  readonly held: boolean;
}

/** Which way the tip must turn round the post: +1 passes it on the left of the motion, −1 on the right. */
function turn(view: ArmView, inner: boolean): number {
  const towardsLeft = view.goal[1] >= view.tip[1];
  return towardsLeft === inner ? 1 : -1;
}

/** Direction (unit) in the plane that leads round the post, or straight to the goal. */
function heading(view: ArmView, inner: boolean): [number, number] {
  const { tip, goal, post } = view;
  const gx = goal[0] - tip[0];
  const gy = goal[1] - tip[1];
  const distance = Math.hypot(gx, gy);
  const px = post[0] - tip[0];
  const py = post[1] - tip[1];
  const near = Math.hypot(px, py);
  const along = (px * gx + py * gy) / Math.max(distance, 1e-9);
  const side = turn(view, inner);
  // Signed distance of the post from the line to the goal; positive when the post is left of it.
  const offset = (gx * py - gy * px) / Math.max(distance, 1e-9);
  const clear = along <= 0 || along >= distance + CLEARANCE * 0.5 || Math.abs(offset) >= CLEARANCE;
  if (near < CLEARANCE) {
    // Inside the circle: out of it, and on round it.
    const ux = -px / Math.max(near, 1e-9);
    const uy = -py / Math.max(near, 1e-9);
    const out = (CLEARANCE - near) / CLEARANCE;
    const tx = side * uy;
    const ty = -side * ux;
    const forward = along > 0 ? 1 : 0;
    const hx = forward ? tx : gx / Math.max(distance, 1e-9);
    const hy = forward ? ty : gy / Math.max(distance, 1e-9);
    return unit(hx + 3 * out * ux, hy + 3 * out * uy);
  }
  if (clear) return unit(gx, gy);
  const angle = Math.atan2(py, px) + side * Math.asin(CLEARANCE / near);
  return [Math.cos(angle), Math.sin(angle)];
}

function unit(x: number, y: number): [number, number] {
  const n = Math.max(Math.hypot(x, y), 1e-9);
  return [x / n, y / n];
}

/** Joint target (6) for the coming period. */
export function armExpert(view: ArmView, inner: boolean, out: Float64Array): void {
  const { tip, goal } = view;
  const distance = Math.hypot(goal[0] - tip[0], goal[1] - tip[1]);
  const [hx, hy] = heading(view, inner);
  const step = Math.min(LEAD, distance);
  let target: Point;
  if (!view.held) {
    target = [tip[0], tip[1], Math.min(CARRY_Z, tip[2] + LEAD)];
  } else {
    const funnel = Math.min(CARRY_Z, PLACE_Z + 1.5 * Math.max(0, distance - 0.014));
    const dz = Math.min(LEAD, Math.max(-LEAD * 0.6, funnel - tip[2]));
    target = [tip[0] + hx * step, tip[1] + hy * step, tip[2] + dz];
  }
  inverse(target, out);
}
