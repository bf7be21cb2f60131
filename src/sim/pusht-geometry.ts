// Plane geometry of the T: covered area, distance, and a ring of way points round it.

import { AGENT_RADIUS, T_RECTANGLES } from './pusht-model.js';

export type Vec = readonly [number, number];
export type Pose = readonly [number, number, number];

export const rotate = (v: Vec, yaw: number): Vec => {
  const c = Math.cos(yaw);
  const s = Math.sin(yaw);
  return [c * v[0] - s * v[1], s * v[0] + c * v[1]];
};
export const toWorld = (v: Vec, pose: Pose): Vec => {
  const r = rotate(v, pose[2]);
  return [r[0] + pose[0], r[1] + pose[1]];
};
export const toBody = (v: Vec, pose: Pose): Vec => rotate([v[0] - pose[0], v[1] - pose[1]], -pose[2]);
export const wrap = (angle: number): number => Math.atan2(Math.sin(angle), Math.cos(angle));

function corners(rectangle: readonly number[], pose: Pose): Vec[] {
  const [x0, y0, x1, y1] = rectangle as [number, number, number, number];
  return (
    [
      [x0, y0],
      [x1, y0],
      [x1, y1],
      [x0, y1],
    ] as Vec[]
  ).map((v) => toWorld(v, pose));
}

/** The part of convex polygon `subject` inside convex polygon `clip`, both counterclockwise (Sutherland–Hodgman). */
export function clipConvex(subject: readonly Vec[], clip: readonly Vec[]): Vec[] {
  let polygon = [...subject];
  clip.forEach((a, i) => {
    const b = clip[(i + 1) % clip.length]!;
    const side = (p: Vec): number => (b[0] - a[0]) * (p[1] - a[1]) - (b[1] - a[1]) * (p[0] - a[0]);
    const next: Vec[] = [];
    polygon.forEach((p, j) => {
      const q = polygon[(j + 1) % polygon.length]!;
      const sp = side(p);
      const sq = side(q);
      if (sp >= 0) next.push(p);
      if (sp >= 0 !== sq >= 0) {
        const t = sp / (sp - sq);
        next.push([p[0] + t * (q[0] - p[0]), p[1] + t * (q[1] - p[1])]);
      }
    });
    polygon = next;
  });
  return polygon;
}

export function area(polygon: readonly Vec[]): number {
  let sum = 0;
  polygon.forEach((p, i) => {
    const q = polygon[(i + 1) % polygon.length]!;
    sum += p[0] * q[1] - p[1] * q[0];
  });
  return sum / 2;
}

const T_AREA = T_RECTANGLES.reduce((sum, [x0, y0, x1, y1]) => sum + (x1 - x0) * (y1 - y0), 0);

/** Share of the T at `goal` that the T at `pose` covers. Rectangles of one T do not overlap, so pairs add up. */
export function coverage(pose: Pose, goal: Pose): number {
  let sum = 0;
  for (const a of T_RECTANGLES)
    for (const b of T_RECTANGLES) sum += area(clipConvex(corners(a, pose), corners(b, goal)));
  return sum / T_AREA;
}

/** Distance from body point `v` to the T; 0 inside. */
export function distance(v: Vec): number {
  let best = Number.POSITIVE_INFINITY;
  for (const [x0, y0, x1, y1] of T_RECTANGLES)
    best = Math.min(best, Math.hypot(Math.max(x0 - v[0], 0, v[0] - x1), Math.max(y0 - v[1], 0, v[1] - y1)));
  return best;
}

/** Whether the disc may go straight from `a` to `b` (body frame) without touching the T. */
export function clear(a: Vec, b: Vec): boolean {
  const length = Math.hypot(b[0] - a[0], b[1] - a[1]);
  const n = Math.max(1, Math.ceil(length / 0.006));
  // The start may already touch: only a way that comes nearer counts as blocked.
  const margin = Math.min(AGENT_RADIUS + 0.003, distance(a) - 0.0005);
  for (let i = 1; i <= n; i++) {
    const t = i / n;
    if (distance([a[0] + t * (b[0] - a[0]), a[1] + t * (b[1] - a[1])]) < margin) return false;
  }
  return true;
}

const OFF = AGENT_RADIUS + 0.018;
/** Way points round the T, in order, body frame. */
export const RING: readonly Vec[] = [
  [-0.06 - OFF, -0.0407 - OFF],
  [-0.02, -0.0407 - OFF],
  [0.02, -0.0407 - OFF],
  [0.06 + OFF, -0.0407 - OFF],
  [0.06 + OFF, -0.0257],
  [0.06 + OFF, -0.0107 + OFF],
  [0.015 + OFF, -0.0107 + OFF],
  [0.015 + OFF, 0.05],
  [0.015 + OFF, 0.0793 + OFF],
  [-0.015 - OFF, 0.0793 + OFF],
  [-0.015 - OFF, 0.05],
  [-0.015 - OFF, -0.0107 + OFF],
  [-0.06 - OFF, -0.0107 + OFF],
  [-0.06 - OFF, -0.0257],
];
