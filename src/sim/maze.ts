// The maze task: a differential-drive base finds its way to a far goal. 5 Hz; an action is a speed ahead (m/s) and a turn rate
// (rad/s), both within ±1, as OGBench's agents give them.

import { BASE_RADIUS, BasePhysics, baseShapes, wrap } from './base-physics.js';
import { CELL, cellOf, corridor, FREE, middleOf, passes, type Spot, stepsTo, WALLS } from './maze-map.js';
import { Random } from './random.js';
import type { Expert, Shape, Task, TaskInstance, TaskSpec } from './task.js';

/** Reached within this distance, m. */
export const REACH = 0.35;
/** Cells that lie between start and goal at least. */
export const FAR = 10;
/** Room that is kept to walls where there is a choice, m. */
const ROOM = 0.04;

export const MAZE_SPEC: TaskSpec = {
  name: 'maze',
  summary: 'a mobile base finds its way through a maze to a far goal',
  rate_hz: 5,
  max_steps: 300,
  joint_names: ['linear.x', 'angular.z'],
  quantity: 'velocity',
  limits: { lower: [-1, -1], upper: [1, 1], velocity: [4, 6] },
  observation_dims: { 'observation.state': 6 },
  goal_dim: 2,
  modes: [],
};

const SHAPES: readonly Shape[] = [
  ...baseShapes(WALLS),
  { name: 'goal', kind: 'cylinder', size: [REACH, 0.01, 0], rgba: [0.2, 0.78, 0.45, 0.6], role: 'goal' },
];

export class MazeInstance implements TaskInstance {
  readonly spec = MAZE_SPEC;
  readonly shapes = SHAPES;
  private target: Spot = [0, 0];
  private arrived = false;

  constructor(private readonly base: BasePhysics) {}

  reset(seed: number): void {
    const random = new Random(seed);
    const start = random.pick(FREE);
    const steps = stepsTo(start);
    this.begin(near(start, random), random.uniform(-Math.PI, Math.PI));
    this.setGoal(near(random.pick(FREE.filter((cell) => steps[cell]! >= FAR)), random));
  }

  /** Puts the base somewhere, at rest. */
  begin([x, y]: Spot, yaw: number): void {
    this.base.place({ x, y, yaw });
    this.arrived = false;
  }

  /** x, y in m, cos and sin of the yaw, speed ahead and turn rate; `goal` holds the same with the place to go to. */
  observe(): Record<string, Float32Array> {
    const { x, y, yaw } = this.base.pose;
    return { 'observation.state': Float32Array.of(x, y, Math.cos(yaw), Math.sin(yaw), ...this.base.twist) };
  }

  jointPosition(): Float64Array {
    return Float64Array.from(this.base.twist);
  }

  goal(): Float64Array {
    return Float64Array.from(this.target);
  }

  /** The nearest place at which the base can stand. */
  setGoal(goal: ArrayLike<number>): void {
    const [x, y] = middleOf(cellOf([goal[0]!, goal[1]!]));
    const most = CELL / 2 - BASE_RADIUS - ROOM;
    const beside = (v: number, middle: number): number => Math.min(middle + most, Math.max(middle - most, v));
    this.target = [beside(goal[0]!, x), beside(goal[1]!, y)];
    this.arrived = false;
  }

  advance(target: ArrayLike<number>, seconds: number): void {
    const { lower, upper } = this.spec.limits;
    const [ahead, turn] = [0, 1].map((i) => Math.min(upper[i]!, Math.max(lower[i]!, target[i]!)));
    this.base.drive(ahead!, turn!, seconds);
    const { x, y } = this.base.pose;
    if (Math.hypot(x - this.target[0], y - this.target[1]) < REACH) this.arrived = true;
  }

  push(): void {}

  poses(out: Float32Array): void {
    this.base.poses(out);
    out.set([...this.target, 0.01, 1, 0, 0, 0], 7 * (SHAPES.length - 1));
  }

  seen(values: Readonly<Record<string, ArrayLike<number>>>): void {
    const state = values['observation.state'];
    if (state === undefined) return;
    this.base.place({ x: state[0]!, y: state[1]!, yaw: Math.atan2(state[3]!, state[2]!) });
  }

  /** Where the base would be after one period. */
  actionPoint(target: ArrayLike<number>): readonly [number, number, number] {
    const { x, y, yaw } = this.base.pose;
    const along = target[0]! / this.spec.rate_hz;
    const angle = yaw + target[1]! / this.spec.rate_hz / 2;
    return [x + along * Math.cos(angle), y + along * Math.sin(angle), 0.1];
  }

  pointAction(point: ArrayLike<number>): Float64Array {
    return Float64Array.from(towards(this.base.pose, [point[0]!, point[1]!]));
  }

  statePoint(state: ArrayLike<number>): readonly [number, number, number] {
    return [state[0]!, state[1]!, 0.1];
  }

  success(): boolean {
    return this.arrived;
  }

  failed(): boolean {
    return false;
  }

  mode(): undefined {
    return undefined;
  }

  view(): { at: Spot; yaw: number; goal: Spot; touching: boolean } {
    const { x, y, yaw } = this.base.pose;
    return { at: [x, y], yaw, goal: this.target, touching: this.base.touching };
  }

  save(): Uint8Array {
    const own = Float64Array.of(...this.target, this.arrived ? 1 : 0);
    const physics = this.base.save();
    const out = new Uint8Array(own.byteLength + physics.byteLength);
    out.set(new Uint8Array(own.buffer), 0);
    out.set(physics, own.byteLength);
    return out;
  }

  restore(state: Uint8Array): void {
    const own = new Float64Array(state.slice(0, 24).buffer);
    this.base.restore(state.subarray(24));
    this.target = [own[0]!, own[1]!];
    this.arrived = own[2] === 1;
  }

  dispose(): void {
    this.base.dispose();
  }
}

/** A place in a cell at which the base can stand. */
export function near(cell: number, random: Random): Spot {
  const [x, y] = middleOf(cell);
  const most = CELL / 2 - BASE_RADIUS - ROOM;
  return [x + random.uniform(-most, most), y + random.uniform(-most, most)];
}

/** Turns towards a spot, and goes the faster the better it faces it. */
function towards(pose: { x: number; y: number; yaw: number }, [x, y]: Spot): [number, number] {
  const off = wrap(Math.atan2(y - pose.y, x - pose.x) - pose.yaw);
  const far = Math.hypot(x - pose.x, y - pose.y);
  const facing = Math.max(0, Math.cos(off)) ** 3;
  return [Math.min(1, 2 * far + 0.1) * facing, Math.min(1, Math.max(-1, 3 * off))];
}

/** Heads for the furthest middle of a cell on the way that can be reached straight. A feedback law: nothing is remembered. */
export function mazeExpert(instance: MazeInstance): [number, number] {
  const { at, yaw, goal } = instance.view();
  const way = corridor(cellOf(at), cellOf(goal));
  const spots: Spot[] = [...way.slice(1, -1).map(middleOf), goal];
  let aim = spots[0]!;
  for (const spot of spots.slice(0, 5)) if (passes(at, spot, BASE_RADIUS + ROOM)) aim = spot;
  // Close to a wall nothing passes with room to spare: first to the middle of the cell.
  if (aim === spots[0] && !passes(at, aim, BASE_RADIUS + 0.005)) aim = middleOf(way[0]!);
  return towards({ x: at[0], y: at[1], yaw }, aim);
}

export const mazeTask: Task = {
  spec: MAZE_SPEC,
  create: async () => {
    const instance = new MazeInstance(await BasePhysics.create(WALLS));
    instance.reset(0);
    return instance;
  },
  expert: (): Expert => ({
    act: (instance) => Float64Array.from(mazeExpert(instance as MazeInstance)),
  }),
};
