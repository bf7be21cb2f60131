// The PushT task: bring the T onto its goal, more than 95 % covered. 10 Hz; the action is the disc's set point.

import { Physics } from './mujoco.js';
import { pushtExpert } from './pusht-expert.js';
import { coverage, type Pose, rotate, toBody, type Vec, wrap } from './pusht-geometry.js';
import { AGENT_RADIUS, COVERAGE, DRAG_RADIUS, GOAL, PUSHT_MJCF, SIDE, T_RECTANGLES } from './pusht-model.js';
import { Random } from './random.js';
import type { Expert, Shape, Task, TaskInstance, TaskSpec } from './task.js';

const STEP_S = 0.005;
const FINE = [0.012, 0.003] as const;

export const PUSHT_SPEC: TaskSpec = {
  name: 'pusht',
  summary: 'a disc pushes a T onto its goal until more than 95 % is covered',
  rate_hz: 10,
  max_steps: 300,
  joint_names: ['agent_x', 'agent_y'],
  limits: { lower: [-0.05, -0.05], upper: [SIDE + 0.05, SIDE + 0.05], velocity: [1.5, 1.5] },
  observation_dims: { 'observation.state': 4, 'observation.environment_state': 23 },
  // The goal is part of the task: the policy knows no other.
  goal_dim: 0,
  modes: ['clockwise', 'counterclockwise'],
};

const half = ([x0, y0, x1, y1]: readonly number[]): [number, number, number] => [
  (x1! - x0!) / 2,
  (y1! - y0!) / 2,
  0.015,
];
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
const TEE: Shape['rgba'] = [0.44, 0.47, 0.58, 1];
const GHOST: Shape['rgba'] = [0.2, 0.78, 0.45, 0.45];
const SHAPES: readonly Shape[] = [
  shape('table', 'box', [0.256, 0.256, 0.01], [0.93, 0.93, 0.95, 1], 'scene'),
  shape('agent', 'cylinder', [AGENT_RADIUS, 0.02, 0], [0.25, 0.41, 0.88, 1], 'robot'),
  shape('t0', 'box', half(T_RECTANGLES[0]), TEE, 'object'),
  shape('t1', 'box', half(T_RECTANGLES[1]), TEE, 'object'),
  shape('goal', 'box', [half(T_RECTANGLES[0])[0], half(T_RECTANGLES[0])[1], 0.001], GHOST, 'goal'),
  shape('goal_stem', 'box', [half(T_RECTANGLES[1])[0], half(T_RECTANGLES[1])[1], 0.001], GHOST, 'goal'),
];
const SOLIDS = SHAPES.slice(0, 4);

class PushtInstance implements TaskInstance {
  readonly spec = PUSHT_SPEC;
  readonly shapes = SHAPES;
  private readonly geoms: readonly number[];
  private readonly teeBody: number;
  private target: Pose = GOAL;
  private turned = 0;
  private solved = false;
  private force: readonly [number, number, number] | undefined;

  constructor(private readonly physics: Physics) {
    this.geoms = SOLIDS.map((s) => physics.geomId(s.name));
    this.teeBody = physics.bodyId('tee');
  }

  reset(seed: number): void {
    const random = new Random(seed);
    const { physics } = this;
    physics.resetData();
    const { qpos, ctrl } = physics.views();
    this.target = GOAL;
    const tee: Pose = [random.uniform(0.1, 0.4), random.uniform(0.1, 0.4), random.uniform(-Math.PI, Math.PI)];
    let agent: Vec;
    do agent = [random.uniform(0.05, 0.45), random.uniform(0.05, 0.45)];
    while (Math.hypot(...toBody(agent, tee)) < 0.12);
    qpos.set([...agent, ...tee]);
    ctrl.set(agent);
    for (let i = 0; i < 2; i++) physics.scaleGain(i, random.uniform(0.9, 1.1));
    this.turned = 0;
    this.solved = false;
    this.force = undefined;
    physics.forward();
  }

  view(): { agent: Vec; tee: Pose; goal: Pose } {
    const { qpos } = this.physics.views();
    return { agent: [qpos[0]!, qpos[1]!], tee: [qpos[2]!, qpos[3]!, qpos[4]!], goal: this.target };
  }

  observe(): Record<string, Float32Array> {
    const { qpos, qvel } = this.physics.views();
    const { agent, tee, goal } = this.view();
    const inBody = toBody(agent, tee);
    const error = rotate([goal[0] - tee[0], goal[1] - tee[1]], -tee[2]);
    const turn = wrap(goal[2] - tee[2]);
    const env = [
      tee[0] - agent[0],
      tee[1] - agent[1],
      Math.sin(tee[2]),
      Math.cos(tee[2]),
      ...inBody,
      ...inBody.map((v) => Math.tanh(v / 0.03)),
      ...error,
      Math.sin(turn),
      Math.cos(turn),
      // The last millimetres and degrees, seen closer and closer.
      ...FINE.flatMap((scale) => [...error, turn * DRAG_RADIUS].map((v) => Math.tanh(v / scale))),
      Math.hypot(...error, turn * DRAG_RADIUS),
      goal[0] - tee[0],
      goal[1] - tee[1],
      Math.sin(2 * tee[2]),
      Math.cos(2 * tee[2]),
    ];
    return {
      'observation.state': Float32Array.of(qpos[0]!, qpos[1]!, qvel[0]!, qvel[1]!),
      'observation.environment_state': Float32Array.from(env),
    };
  }

  jointPosition(): Float64Array {
    return this.physics.views().qpos.slice(0, 2);
  }

  goal(): Float64Array {
    return Float64Array.from(this.target);
  }

  setGoal(goal: ArrayLike<number>): void {
    const inside = (v: number): number => Math.min(SIDE - 0.1, Math.max(0.1, v));
    this.target = [inside(goal[0]!), inside(goal[1]!), wrap(goal[2] ?? this.target[2])];
    this.solved = false;
  }

  advance(target: ArrayLike<number>, seconds: number): void {
    const { physics } = this;
    const v = physics.views();
    for (let i = 0; i < 2; i++) v.ctrl[i] = Math.min(SIDE, Math.max(0, target[i]!));
    v.xfrc.fill(0);
    if (this.force !== undefined) v.xfrc.set(this.force, this.teeBody * 6);
    this.force = undefined;
    const yaw = v.qpos[4]!;
    const steps = Math.max(1, Math.round(seconds / STEP_S));
    for (let i = 0; i < steps; i++) physics.step();
    this.turned += v.qpos[4]! - yaw;
    const { tee, goal } = this.view();
    if (Math.hypot(goal[0] - tee[0], goal[1] - tee[1]) < 0.01 && coverage(tee, goal) > COVERAGE)
      this.solved = true;
  }

  push(name: string, force: readonly [number, number, number]): void {
    if (name === 't0' || name === 't1') this.force = force;
  }

  poses(out: Float32Array): void {
    this.geoms.forEach((geom, i) => {
      this.physics.geomPose(geom, out, 7 * i);
    });
    T_RECTANGLES.forEach(([x0, y0, x1, y1], i) => {
      const [x, y, yaw] = this.target;
      const middle = rotate([(x0 + x1) / 2, (y0 + y1) / 2], yaw);
      out.set(
        [x + middle[0], y + middle[1], -0.014, Math.cos(yaw / 2), 0, 0, Math.sin(yaw / 2)],
        7 * (SOLIDS.length + i),
      );
    });
  }

  actionPoint(target: ArrayLike<number>): readonly [number, number, number] {
    return [target[0]!, target[1]!, 0.01];
  }

  pointAction(point: ArrayLike<number>): Float64Array {
    const { lower, upper } = this.spec.limits;
    return Float64Array.from([0, 1], (i) => Math.min(upper[i]!, Math.max(lower[i]!, point[i]!)));
  }

  success(): boolean {
    return this.solved;
  }

  failed(): boolean {
    const { tee } = this.view();
    return Math.max(Math.abs(tee[0] - SIDE / 2), Math.abs(tee[1] - SIDE / 2)) > SIDE * 0.6;
  }

  /** Which way the T has been turned so far, once that is plain. */
  mode(): string | undefined {
    return Math.abs(this.turned) < 0.3 ? undefined : this.turned > 0 ? 'counterclockwise' : 'clockwise';
  }

  save(): Uint8Array {
    const own = Float64Array.of(...this.target, this.turned, this.solved ? 1 : 0);
    const physics = this.physics.save();
    const out = new Uint8Array(own.byteLength + physics.byteLength);
    out.set(new Uint8Array(own.buffer), 0);
    out.set(physics, own.byteLength);
    return out;
  }

  restore(state: Uint8Array): void {
    const own = new Float64Array(state.slice(0, 40).buffer);
    this.physics.restore(state.subarray(40));
    this.target = [own[0]!, own[1]!, own[2]!];
    this.turned = own[3]!;
    this.solved = own[4] === 1;
    this.force = undefined;
  }

  dispose(): void {
    this.physics.dispose();
  }
}

export const pushtTask: Task = {
  spec: PUSHT_SPEC,
  create: async () => {
    const instance = new PushtInstance(await Physics.create(PUSHT_MJCF));
    instance.reset(0);
    return instance;
  },
  expert: (): Expert => ({
    act(instance) {
      const { agent, tee, goal } = (instance as PushtInstance).view();
      return Float64Array.from(pushtExpert(agent, tee, goal));
    },
  }),
};
