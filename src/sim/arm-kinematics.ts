// Closed-form kinematics of the arm with the tool pointing straight down: which joints put the cup's tip at a point.

import { FOREARM, LOWER, SHOULDER_Z, TOOL, UPPER, UPPER_ARM } from './arm-model.js';

export type Point = readonly [number, number, number];

/** Joints (6) that hold the tip at `p` (world, metres), tool down, block square to the table; clamped to reach. */
export function inverse(p: Point, out: Float64Array): void {
  const yaw = Math.atan2(p[1], p[0]);
  const reach = Math.hypot(p[0], p[1]);
  const height = p[2] + TOOL - SHOULDER_Z;
  const far = Math.min(Math.hypot(reach, height), (UPPER_ARM + FOREARM) * 0.999);
  // Elbow up: the angle at the elbow by the cosine rule, then the shoulder.
  const cosine = (far * far - UPPER_ARM * UPPER_ARM - FOREARM * FOREARM) / (2 * UPPER_ARM * FOREARM);
  const elbow = Math.acos(Math.min(1, Math.max(-1, cosine)));
  const towards = Math.atan2(reach, height);
  const shoulder = towards - Math.atan2(FOREARM * Math.sin(elbow), UPPER_ARM + FOREARM * Math.cos(elbow));
  const joints = [yaw, shoulder, elbow, 0, Math.PI - shoulder - elbow, yaw];
  for (let i = 0; i < 6; i++) out[i] = Math.min(UPPER[i]!, Math.max(LOWER[i]!, joints[i]!));
}

/** Where the tip is for joints `q` (6). */
export function forward(q: ArrayLike<number>): [number, number, number] {
  // Directions of the tube and the tool in the frame turned by the base yaw: x forward, y left, z up.
  const pitch = q[1]! + q[2]!;
  const wrist: Point = [
    UPPER_ARM * Math.sin(q[1]!) + FOREARM * Math.sin(pitch),
    0,
    SHOULDER_Z + UPPER_ARM * Math.cos(q[1]!) + FOREARM * Math.cos(pitch),
  ];
  // Tool axis: down the tube, pitched by the wrist, rolled about the tube by the forearm.
  const s = Math.sin(q[4]!);
  const c = Math.cos(q[4]!);
  const across: Point = [s * Math.cos(q[3]!), s * Math.sin(q[3]!), c];
  const dx = across[0] * Math.cos(pitch) + across[2] * Math.sin(pitch);
  const dz = -across[0] * Math.sin(pitch) + across[2] * Math.cos(pitch);
  const x = wrist[0] + TOOL * dx;
  const y = TOOL * across[1];
  const z = wrist[2] + TOOL * dz;
  const cy = Math.cos(q[0]!);
  const sy = Math.sin(q[0]!);
  return [cy * x - sy * y, sy * x + cy * y, z];
}
