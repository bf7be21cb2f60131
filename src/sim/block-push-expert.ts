// The block-push expert: a feedback law. The block in hand is pushed from behind along the line to its target; to get
// behind it the pusher walks round every block at a safe distance. Only which block comes first is committed to.

import { BLOCK_HALF, PUSHER_RADIUS } from './block-push-model.js';

export type Vec = readonly [number, number];

export interface PushView {
  readonly pusher: Vec;
  /** Centres of the two blocks and the two targets. */
  readonly blocks: readonly [Vec, Vec];
  readonly targets: readonly [Vec, Vec];
}

/** A block this near to its target is done with. */
export const DONE = 0.022;
/** How far the set point leads the pusher. */
const LEAD = 0.03;
const CONTACT = BLOCK_HALF + PUSHER_RADIUS;
/** Radius of the walk round a block. */
const WALK = BLOCK_HALF * Math.SQRT2 + PUSHER_RADIUS + 0.02;

const sub = (a: Vec, b: Vec): Vec => [a[0] - b[0], a[1] - b[1]];
const length = (a: Vec): number => Math.hypot(a[0], a[1]);
const unit = (a: Vec): Vec => {
  const n = Math.max(length(a), 1e-9);
  return [a[0] / n, a[1] / n];
};

/** Target index of each block: the assignment of the smaller sum of squared distances. */
export function assignment(view: PushView): readonly [number, number] {
  const cost = (b: number, t: number): number => length(sub(view.blocks[b]!, view.targets[t]!)) ** 2;
  return cost(0, 0) + cost(1, 1) <= cost(0, 1) + cost(1, 0) ? [0, 1] : [1, 0];
}

/** The block to work on: `first` until it is done, then the other; undefined when both are. */
export function blockInHand(view: PushView, first: number): number | undefined {
  const to = assignment(view);
  for (const b of [first, 1 - first])
    if (length(sub(view.blocks[b]!, view.targets[to[b]!]!)) > DONE) return b;
  return undefined;
}

/** A set point one lead towards `goal` that walks round `obstacle` when it is in the way. */
function walk(from: Vec, goal: Vec, obstacles: readonly Vec[]): Vec {
  let heading = unit(sub(goal, from));
  const far = length(sub(goal, from));
  for (const o of obstacles) {
    const to = sub(o, from);
    const near = length(to);
    const along = to[0] * heading[0] + to[1] * heading[1];
    const cross = heading[0] * to[1] - heading[1] * to[0];
    if (near < WALK) {
      // Too close: away from it, and along it towards the goal.
      const out = unit([-to[0], -to[1]]);
      const side = cross > 0 ? -1 : 1;
      const tangent: Vec = [-out[1] * side, out[0] * side];
      const press = Math.min(1, ((WALK - near) / WALK) * 5);
      const forward = along > 0 ? tangent : heading;
      heading = unit([forward[0] + press * out[0], forward[1] + press * out[1]]);
    } else if (along > 0 && along < far + WALK && Math.abs(cross) < WALK) {
      const angle = Math.atan2(to[1], to[0]) + (cross > 0 ? -1 : 1) * Math.asin(WALK / near);
      heading = [Math.cos(angle), Math.sin(angle)];
    }
  }
  const step = Math.min(LEAD, far);
  return [from[0] + heading[0] * step, from[1] + heading[1] * step];
}

/** Set point (x, y) of the pusher for the coming period. */
export function blockPushExpert(view: PushView, first: number): Vec {
  const b = blockInHand(view, first);
  const { pusher, blocks, targets } = view;
  if (b === undefined) return walk(pusher, pusher, []);
  const block = blocks[b]!;
  const goal = targets[assignment(view)[b]!]!;
  const towards = unit(sub(goal, block));
  const relative = sub(pusher, block);
  const behind = -(relative[0] * towards[0] + relative[1] * towards[1]);
  const aside = relative[0] * -towards[1] + relative[1] * towards[0];
  const other = blocks[1 - b]!;
  // Behind the block and nearly on the line: push, steering against the sideways error.
  if (behind > CONTACT * 0.75 && Math.abs(aside) < 0.014 && behind < WALK + 0.02) {
    const left = length(sub(goal, block));
    const speed = Math.min(LEAD, Math.max(0.012, left));
    const correct = -1.2 * aside;
    return [
      pusher[0] + towards[0] * speed - towards[1] * correct,
      pusher[1] + towards[1] * speed + towards[0] * correct,
    ];
  }
  const start: Vec = [block[0] - towards[0] * (WALK + 0.004), block[1] - towards[1] * (WALK + 0.004)];
  return walk(pusher, start, [block, other]);
}
