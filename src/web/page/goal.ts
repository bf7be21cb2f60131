// Which numbers of a goal vector a ghost stands for. Goals are (goal_dim) in world units, laid out by the task; the
// page is told no layout, so it finds the pair that equals where the ghost is drawn. No DOM, no three.js.

export interface Point {
  readonly x: number;
  readonly y: number;
  readonly z: number;
}

/** Index i such that goal[i], goal[i + 1] are nearest to the ghost's x and y; undefined when the goal has no pair. */
export function goalSlot(goal: readonly number[], ghost: Point): number | undefined {
  let best: number | undefined;
  let best_distance = Number.POSITIVE_INFINITY;
  for (let i = 0; i + 1 < goal.length; i++) {
    const distance = Math.hypot(goal[i]! - ghost.x, goal[i + 1]! - ghost.y);
    if (distance < best_distance - 1e-9) {
      best = i;
      best_distance = distance;
    }
  }
  return best;
}

/** The goal with the ghost of slot `slot` moved; its height follows only when the goal holds that height. */
export function moveGoal(goal: readonly number[], slot: number, ghost: Point, delta: Point): number[] {
  const moved = [...goal];
  moved[slot] = moved[slot]! + delta.x;
  moved[slot + 1] = moved[slot + 1]! + delta.y;
  const z = moved[slot + 2];
  if (z !== undefined && Math.abs(z - ghost.z) < 1e-3) moved[slot + 2] = z + delta.z;
  return moved;
}
