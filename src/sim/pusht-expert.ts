// The PushT expert: a feedback law. Pushing without friction against viscous drag moves the T along a known twist for
// each point of its edge, so the point is chosen whose twist takes off most of the remaining error, less the way there;
// the disc walks round to it and pushes as far as that twist helps. Nothing is remembered.

import { lazily } from '../types/index.js';
import { clear, type Pose, RING, rotate, toBody, toWorld, type Vec, wrap } from './pusht-geometry.js';
import { AGENT_RADIUS, DRAG_RADIUS, SIDE } from './pusht-model.js';

interface Contact {
  /** On the edge, body frame, and the inward normal. */
  readonly at: Vec;
  readonly normal: Vec;
  /** Twist per metre of push: x, y, and yaw × DRAG_RADIUS. */
  readonly twist: readonly [number, number, number];
  /** Where the disc stands before it pushes. */
  readonly start: Vec;
}

const contact = (x: number, y: number, nx: number, ny: number): Contact => ({
  at: [x, y],
  normal: [nx, ny],
  twist: [nx, ny, (x * ny - y * nx) / DRAG_RADIUS],
  start: [x - nx * (AGENT_RADIUS + 0.008), y - ny * (AGENT_RADIUS + 0.008)],
});

const CONTACTS: readonly Contact[] = [
  // Against the top of the bar.
  ...[-0.05, -0.025, 0, 0.025, 0.05].map((x) => contact(x, -0.0407, 0, 1)),
  // Its ends.
  contact(-0.06, -0.0257, 1, 0),
  contact(0.06, -0.0257, -1, 0),
  // Under the bar.
  contact(-0.047, -0.0107, 0, -1),
  contact(0.047, -0.0107, 0, -1),
  // The sides of the stem and its end.
  ...[0.022, 0.045, 0.068].flatMap((y) => [contact(-0.015, y, 1, 0), contact(0.015, y, -1, 0)]),
  contact(0, 0.0793, 0, -1),
];

/** What a metre of way costs in metres of error. */
const WAY_COST = 0.05;
/** Pushes shorter than this are started only when no longer one is left, m: the T may not be quite there yet. */
const WORTH = 0.0012;
const LEAST = 0.0001;
const LEAD = 0.045;

const ringLength = RING.map((p, i) => {
  const q = RING[(i + 1) % RING.length]!;
  return Math.hypot(q[0] - p[0], q[1] - p[1]);
});
/** Length of the ring from i to j, the shorter way. */
const ringWay = lazily(() =>
  RING.map((_, i) =>
    RING.map((_, j) => {
      let there = 0;
      for (let k = i; k !== j; k = (k + 1) % RING.length) there += ringLength[k]!;
      const whole = ringLength.reduce((a, b) => a + b, 0);
      return Math.min(there, whole - there);
    }),
  ),
);
/** Ring points from which each contact's start is in sight. */
const gates = lazily(() =>
  CONTACTS.map((c) => RING.map((p, k) => (clear(p, c.start) ? k : -1)).filter((k) => k >= 0)),
);

/** Whether the disc may be sent to world point `v`. */
const inside = (v: Vec): boolean => v.every((x) => x >= 0 && x <= SIDE);

const far = (a: Vec, b: Vec): number => Math.hypot(a[0] - b[0], a[1] - b[1]);

/** The way from body point `from` to contact c: its length, and the point to head for first. */
function way(from: Vec, c: number, seen: readonly number[]): { length: number; next: Vec } {
  const { start } = CONTACTS[c]!;
  if (clear(from, start)) return { length: far(from, start), next: start };
  let best = { length: Number.POSITIVE_INFINITY, next: start };
  for (const k of seen)
    for (const g of gates()[c]!) {
      const length = far(from, RING[k]!) + ringWay()[k]![g]! + far(RING[g]!, start);
      if (length < best.length) best = { length, next: RING[k]! };
    }
  return best;
}

/** Set point (x, y) of the disc for the coming period. */
export function pushtExpert(agent: Vec, tee: Pose, goal: Pose): Vec {
  const error = rotate([goal[0] - tee[0], goal[1] - tee[1]], -tee[2]);
  const e = [error[0], error[1], wrap(goal[2] - tee[2]) * DRAG_RADIUS] as const;
  const size = Math.hypot(...e);
  const body = toBody(agent, tee);
  const seen = RING.map((p, k) => (clear(body, p) ? k : -1)).filter((k) => k >= 0);

  let chosen = -1;
  let best = Number.NEGATIVE_INFINITY;
  let amount = 0;
  let next: Vec = body;
  const consider = (c: Contact, i: number, worth: number): void => {
    const along = e[0] * c.twist[0] + e[1] * c.twist[1] + e[2] * c.twist[2];
    const norm = c.twist[0] ** 2 + c.twist[1] ** 2 + c.twist[2] ** 2;
    if (along <= 0) return;
    const gain = size - Math.sqrt(Math.max(0, size * size - (along * along) / norm));
    const push = along / norm;
    if (push < worth) return;
    const path = way(body, i, seen);
    const score = gain - WAY_COST * path.length;
    if (score > best) [best, chosen, amount, next] = [score, i, push, path.next];
  };
  const standing = CONTACTS.map((c) => inside(toWorld(c.start, tee)));
  for (const worth of [WORTH, LEAST])
    if (chosen < 0)
      CONTACTS.forEach((c, i) => {
        if (standing[i]) consider(c, i, worth);
      });
  if (chosen < 0) return agent;

  const c = CONTACTS[chosen]!;
  const relative: Vec = [body[0] - c.at[0], body[1] - c.at[1]];
  const back = -(relative[0] * c.normal[0] + relative[1] * c.normal[1]);
  const aside = relative[0] * -c.normal[1] + relative[1] * c.normal[0];
  let target: Vec;
  if (Math.abs(aside) < 0.006 && back > AGENT_RADIUS - 0.004 && back < AGENT_RADIUS + 0.02) {
    // In place: close the gap and push on by what is left, the slower the less is left.
    const forward = Math.max(0, back - AGENT_RADIUS) + Math.min(0.03, 1.1 * amount + 0.0025);
    target = [
      body[0] + c.normal[0] * forward + c.normal[1] * aside * 0.8,
      body[1] + c.normal[1] * forward - c.normal[0] * aside * 0.8,
    ];
  } else {
    const length = Math.max(far(body, next), 1e-6);
    const step = Math.min(LEAD, length * 1.3);
    target = [
      body[0] + ((next[0] - body[0]) / length) * step,
      body[1] + ((next[1] - body[1]) / length) * step,
    ];
  }
  return toWorld(target, tee);
}
