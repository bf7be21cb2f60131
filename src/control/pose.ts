// Orientations between rows: rotation vectors and quaternions (x, y, z, w as ROS writes them), turned along the shortest
// way (slerp, Shoemake 1985); and a trajectory of poses that waypoints are added to while it is followed, no faster than
// allowed, as diffusion_policy's arm controllers do (pose_trajectory_interpolator.py).

import type { Rotation } from '../types/index.js';

type Quaternion = readonly [x: number, y: number, z: number, w: number];

export function toQuaternion(v: ArrayLike<number>, at: number, as: Rotation['as']): Quaternion {
  const [x, y, z] = [v[at]!, v[at + 1]!, v[at + 2]!];
  if (as === 'quaternion') {
    const w = v[at + 3]!;
    const n = Math.hypot(x, y, z, w);
    return [x / n, y / n, z / n, w / n];
  }
  const angle = Math.hypot(x, y, z);
  // sin(a/2)/a, by its series where a division would lose everything.
  const k = angle < 1e-3 ? 0.5 - (angle * angle) / 48 : Math.sin(angle / 2) / angle;
  return [k * x, k * y, k * z, Math.cos(angle / 2)];
}

export function fromQuaternion(
  q: Quaternion,
  out: { [i: number]: number },
  at: number,
  as: Rotation['as'],
): void {
  if (as === 'quaternion') {
    for (let i = 0; i < 4; i++) out[at + i] = q[i]!;
    return;
  }
  // The same rotation with w ≥ 0 turns by at most half a turn.
  const sign = q[3] < 0 ? -1 : 1;
  const sine = Math.hypot(q[0], q[1], q[2]);
  const angle = 2 * Math.atan2(sine, sign * q[3]);
  const k = sign * (angle < 1e-3 ? 2 + (angle * angle) / 12 : angle / sine);
  for (let i = 0; i < 3; i++) out[at + i] = k * q[i]!;
}

/** From a (u = 0) to b (u = 1) at a steady rate, the shorter way round. */
export function slerp(a: Quaternion, b: Quaternion, u: number): Quaternion {
  let cosine = a[0] * b[0] + a[1] * b[1] + a[2] * b[2] + a[3] * b[3];
  const sign = cosine < 0 ? -1 : 1;
  cosine = Math.min(1, sign * cosine);
  const angle = Math.acos(cosine);
  const small = angle < 1e-6;
  const [wa, wb] = small
    ? [1 - u, u]
    : [Math.sin((1 - u) * angle) / Math.sin(angle), Math.sin(u * angle) / Math.sin(angle)];
  const at = (i: 0 | 1 | 2 | 3): number => wa * a[i] + sign * wb * b[i];
  const q = [at(0), at(1), at(2), at(3)] as const;
  const n = Math.hypot(...q);
  return [q[0] / n, q[1] / n, q[2] / n, q[3] / n];
}

/** Angle between two orientations, 0 to π. */
export function angleBetween(a: Quaternion, b: Quaternion): number {
  // The vector part of b·a⁻¹ and its scalar part.
  const x = -b[3] * a[0] + b[0] * a[3] - b[1] * a[2] + b[2] * a[1];
  const y = -b[3] * a[1] + b[1] * a[3] - b[2] * a[0] + b[0] * a[2];
  const z = -b[3] * a[2] + b[2] * a[3] - b[0] * a[1] + b[1] * a[0];
  const w = b[3] * a[3] + b[0] * a[0] + b[1] * a[1] + b[2] * a[2];
  return 2 * Math.atan2(Math.hypot(x, y, z), Math.abs(w));
}

/** x, y, z in m and a rotation vector in rad. */
export type Pose = readonly number[];

/** Waypoints with their times, s; straight lines and steady turns between them, still before the first and after the last. */
export class PoseTrajectory {
  private constructor(
    private readonly times: readonly number[],
    private readonly poses: readonly Pose[],
  ) {}

  static at(time_s: number, pose: Pose): PoseTrajectory {
    return new PoseTrajectory([time_s], [pose]);
  }

  pose(time_s: number): Pose {
    const { times, poses } = this;
    const next = times.findIndex((t) => t > time_s);
    if (next === 0) return poses[0]!;
    if (next < 0) return poses.at(-1)!;
    const u = (time_s - times[next - 1]!) / (times[next]! - times[next - 1]!);
    return between(poses[next - 1]!, poses[next]!, u);
  }

  /**
   * Goes to `pose` at `time_s`, later if that would be faster than `speed` (m/s) or `turning` (rad/s). What was to be
   * done after `last_s` is forgotten: the previous waypoint's time, or an earlier moment for one that replaces it. A
   * waypoint that is past at `now_s` changes nothing.
   */
  to(
    pose: Pose,
    time_s: number,
    now_s: number,
    last_s: number,
    speed: number,
    turning: number,
  ): PoseTrajectory {
    if (time_s <= now_s) return this;
    const kept_until = time_s <= last_s ? now_s : Math.max(last_s, now_s);
    const end = Math.min(kept_until, time_s);
    const start = Math.min(Math.max(now_s, this.times[0]!), end);
    const inside = this.times.filter((t) => t > start && t < end);
    const times = start === end ? [start] : [start, ...inside, end];
    const poses = times.map((t) => this.pose(t));
    const from = poses.at(-1)!;
    const far = Math.hypot(...[0, 1, 2].map((i) => pose[i]! - from[i]!));
    const turn = angleBetween(
      toQuaternion(from, 3, 'rotation_vector'),
      toQuaternion(pose, 3, 'rotation_vector'),
    );
    const lasts = Math.max(time_s - end, far / speed, turn / turning);
    return new PoseTrajectory([...times, end + lasts], [...poses, pose]);
  }
}

function between(a: Pose, b: Pose, u: number): Pose {
  const out = a.map((v, i) => v + u * (b[i]! - v));
  const q = slerp(toQuaternion(a, 3, 'rotation_vector'), toQuaternion(b, 3, 'rotation_vector'), u);
  fromQuaternion(q, out, 3, 'rotation_vector');
  return out;
}
