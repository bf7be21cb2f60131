// The block-push task: two blocks to two targets, in either order, with a round pusher whose set point is the action.
// 10 Hz. Targets may be moved while it runs.

import { assignment, blockPushExpert, type PushView, type Vec } from './block-push-expert.js';
import { BLOCK_HALF, BLOCK_PUSH_MJCF, PUSHER_RADIUS, REACH, TOLERANCE } from './block-push-model.js';
import { Physics } from './mujoco.js';
import { Random } from './random.js';
import type { Expert, Shape, Task, TaskInstance, TaskSpec } from './task.js';

const STEP_S = 0.005;
/** Scale of the second, finer view of small offsets. */
const FINE = 0.03;

export const BLOCK_PUSH_SPEC: TaskSpec = {
  name: 'block-push',
  summary: 'a round pusher brings two blocks to two targets, in either order',
  rate_hz: 10,
  max_steps: 250,
  joint_names: ['pusher_x', 'pusher_y'],
  limits: { lower: [-REACH - 0.1, -REACH - 0.1], upper: [REACH + 0.1, REACH + 0.1], velocity: [1.2, 1.2] },
  observation_dims: { 'observation.state': 4, 'observation.environment_state': 32 },
  goal_dim: 4,
  modes: ['red first', 'blue first'],
};

const shape = (
  name: string,
  kind: Shape['kind'],
  size: [number, number, number],
  rgba: Shape['rgba'],
  role: Shape['role'],
): Shape => ({
  name,
  kind,
  size,
  rgba,
  role,
});
const SHAPES: readonly Shape[] = [
  shape('table', 'box', [0.42, 0.42, 0.02], [0.78, 0.72, 0.63, 1], 'scene'),
  shape('pusher', 'cylinder', [PUSHER_RADIUS, 0.04, 0], [0.2, 0.23, 0.28, 1], 'robot'),
  shape('red', 'box', [BLOCK_HALF, BLOCK_HALF, BLOCK_HALF], [0.86, 0.3, 0.27, 1], 'object'),
  shape('blue', 'box', [BLOCK_HALF, BLOCK_HALF, BLOCK_HALF], [0.23, 0.52, 0.86, 1], 'object'),
  shape('target_1', 'box', [TOLERANCE, TOLERANCE, 0.001], [0.2, 0.78, 0.45, 0.5], 'goal'),
  shape('target_2', 'box', [TOLERANCE, TOLERANCE, 0.001], [0.93, 0.7, 0.2, 0.5], 'goal'),
];
const SOLIDS = SHAPES.slice(0, 4);

class BlockPushInstance implements TaskInstance {
  readonly spec = BLOCK_PUSH_SPEC;
  readonly shapes = SHAPES;
  private readonly geoms: readonly number[];
  private readonly bodies: readonly [number, number];
  private readonly targets = new Float64Array(4);
  private firstDone: string | undefined;
  private force: { body: number; newtons: readonly [number, number, number] } | undefined;

  constructor(private readonly physics: Physics) {
    this.geoms = SOLIDS.map((s) => physics.geomId(s.name));
    this.bodies = [physics.bodyId('red'), physics.bodyId('blue')];
  }

  reset(seed: number): void {
    const random = new Random(seed);
    const { physics } = this;
    physics.resetData();
    const v = physics.views();
    const swap = random.next() < 0.5 ? 1 : -1;
    const side = (s: number): [number, number] => [
      s * random.uniform(0.07, 0.16),
      random.uniform(-0.1, 0.02),
    ];
    const red = side(swap);
    const blue = side(-swap);
    v.qpos.set([random.uniform(-0.05, 0.05), random.uniform(-0.26, -0.2)], 0);
    v.qpos.set([...red, random.uniform(-0.7, 0.7)], 2);
    v.qpos.set([...blue, random.uniform(-0.7, 0.7)], 5);
    this.targets.set([
      random.uniform(-0.16, -0.09),
      random.uniform(0.14, 0.22),
      random.uniform(0.09, 0.16),
      random.uniform(0.14, 0.22),
    ]);
    for (const body of this.bodies) physics.setMass(body, 0.12 * random.uniform(0.7, 1.3));
    for (let i = 0; i < 2; i++) physics.scaleGain(i, random.uniform(0.9, 1.1));
    v.ctrl.set([v.qpos[0]!, v.qpos[1]!]);
    this.firstDone = undefined;
    this.force = undefined;
    physics.forward();
  }

  view(): PushView {
    const { qpos } = this.physics.views();
    const t = this.targets;
    return {
      pusher: [qpos[0]!, qpos[1]!],
      blocks: [
        [qpos[2]!, qpos[3]!],
        [qpos[5]!, qpos[6]!],
      ],
      targets: [
        [t[0]!, t[1]!],
        [t[2]!, t[3]!],
      ],
    };
  }

  observe(): Record<string, Float32Array> {
    const { qpos, qvel } = this.physics.views();
    const { pusher, blocks, targets } = this.view();
    const to = assignment(this.view());
    const env: number[] = [];
    blocks.forEach((b, i) => {
      const yaw = qpos[4 + 3 * i]!;
      const px = b[0] - pusher[0];
      const py = b[1] - pusher[1];
      env.push(
        px,
        py,
        Math.hypot(px, py),
        Math.tanh(px / FINE),
        Math.tanh(py / FINE),
        Math.sin(4 * yaw),
        Math.cos(4 * yaw),
      );
      // The block's own target first: the square roots of the sums decide which that is.
      for (const t of [targets[to[i]!]!, targets[1 - to[i]!]!]) env.push(t[0] - b[0], t[1] - b[1]);
      const own = targets[to[i]!]!;
      const gx = own[0] - b[0];
      const gy = own[1] - b[1];
      const far = Math.max(Math.hypot(gx, gy), 1e-3);
      env.push(far, gx / far, gy / far, Math.tanh(far / FINE));
      // Where the pusher stands on the line of the push: behind, and aside.
      env.push((px * gx + py * gy) / far);
    });
    return {
      'observation.state': Float32Array.of(qpos[0]!, qpos[1]!, qvel[0]!, qvel[1]!),
      'observation.environment_state': Float32Array.from(env),
    };
  }

  jointPosition(): Float64Array {
    return this.physics.views().qpos.slice(0, 2);
  }

  goal(): Float64Array {
    return this.targets.slice();
  }

  setGoal(goal: ArrayLike<number>): void {
    for (let i = 0; i < 4; i++) this.targets[i] = Math.min(REACH - 0.06, Math.max(-REACH + 0.06, goal[i]!));
  }

  advance(target: ArrayLike<number>, seconds: number): void {
    const { physics } = this;
    const v = physics.views();
    for (let i = 0; i < 2; i++) v.ctrl[i] = Math.min(REACH, Math.max(-REACH, target[i]!));
    v.xfrc.fill(0);
    if (this.force !== undefined) v.xfrc.set(this.force.newtons, this.force.body * 6);
    this.force = undefined;
    const steps = Math.max(1, Math.round(seconds / STEP_S));
    for (let i = 0; i < steps; i++) physics.step();
    if (this.firstDone === undefined) {
      const placed = this.placed();
      if (placed[0] !== placed[1]) this.firstDone = placed[0] ? 'red first' : 'blue first';
    }
  }

  /** Whether each block stands within the tolerance of its own target. */
  private placed(): readonly [boolean, boolean] {
    const { blocks, targets } = this.view();
    const to = assignment(this.view());
    const near = (b: Vec, t: Vec): boolean => Math.hypot(b[0] - t[0], b[1] - t[1]) < TOLERANCE;
    return [near(blocks[0], targets[to[0]]!), near(blocks[1], targets[to[1]]!)];
  }

  push(name: string, force: readonly [number, number, number]): void {
    if (name === 'red' || name === 'blue')
      this.force = { body: this.bodies[name === 'red' ? 0 : 1], newtons: force };
  }

  poses(out: Float32Array): void {
    this.geoms.forEach((geom, i) => {
      this.physics.geomPose(geom, out, 7 * i);
    });
    for (let t = 0; t < 2; t++)
      out.set([this.targets[2 * t]!, this.targets[2 * t + 1]!, 0.001, 1, 0, 0, 0], 7 * (SOLIDS.length + t));
  }

  actionPoint(target: ArrayLike<number>): readonly [number, number, number] {
    return [target[0]!, target[1]!, 0.04];
  }

  pointAction(point: ArrayLike<number>): Float64Array {
    const { lower, upper } = this.spec.limits;
    return Float64Array.from([0, 1], (i) => Math.min(upper[i]!, Math.max(lower[i]!, point[i]!)));
  }

  success(): boolean {
    const [red, blue] = this.placed();
    return red && blue;
  }

  failed(): boolean {
    const { blocks } = this.view();
    return blocks.some((b) => Math.max(Math.abs(b[0]), Math.abs(b[1])) > 0.42);
  }

  mode(): string | undefined {
    return this.firstDone;
  }

  save(): Uint8Array {
    const own = Float64Array.of(
      ...this.targets,
      this.firstDone === undefined ? -1 : BLOCK_PUSH_SPEC.modes.indexOf(this.firstDone),
    );
    const physics = this.physics.save();
    const out = new Uint8Array(own.byteLength + physics.byteLength);
    out.set(new Uint8Array(own.buffer), 0);
    out.set(physics, own.byteLength);
    return out;
  }

  restore(state: Uint8Array): void {
    const own = new Float64Array(state.slice(0, 40).buffer);
    this.physics.restore(state.subarray(40));
    this.targets.set(own.subarray(0, 4));
    this.firstDone = own[4]! < 0 ? undefined : BLOCK_PUSH_SPEC.modes[own[4]!];
    this.force = undefined;
  }

  dispose(): void {
    this.physics.dispose();
  }
}

/** The block the pusher is nearer to comes first, unless they are about equally near: then the seed says. */
function commitment(view: PushView, seed: number, mode: string | undefined): number {
  if (mode !== undefined) return BLOCK_PUSH_SPEC.modes.indexOf(mode);
  const distance = view.blocks.map((b) => Math.hypot(b[0] - view.pusher[0], b[1] - view.pusher[1]));
  if (Math.abs(distance[0]! - distance[1]!) > 0.03) return distance[0]! < distance[1]! ? 0 : 1;
  return new Random(seed).next() < 0.5 ? 0 : 1;
}

export const blockPushTask: Task = {
  spec: BLOCK_PUSH_SPEC,
  create: async () => {
    const instance = new BlockPushInstance(await Physics.create(BLOCK_PUSH_MJCF));
    instance.reset(0);
    return instance;
  },
  expert: (seed, mode): Expert => {
    let first: number | undefined;
    return {
      act(instance) {
        const view = (instance as BlockPushInstance).view();
        first ??= commitment(view, seed, mode);
        return Float64Array.from(blockPushExpert(view, first));
      },
    };
  },
};
