// The arm task: carry the block round the post, on either side, and place it on the spot. Joint-space position
// targets at 20 Hz; touching the post fails the episode. The observation is what encoders and a camera would give,
// relative to the tip of the tool.

import { armExpert, CARRY_Z } from './arm-expert.js';
import type { Point } from './arm-kinematics.js';
import { forward, inverse } from './arm-kinematics.js';
import { ARM_MJCF, BLOCK_HALF, JOINTS, LOWER, POST_HEIGHT, POST_RADIUS, SPEED, UPPER } from './arm-model.js';
import { armReward } from './arm-reward.js';
import { Physics } from './mujoco.js';
import { Random } from './random.js';
import type { Expert, Shape, Task, TaskInstance, TaskSpec } from './task.js';

const STEP_S = 0.004;
/** The block's centre this near to the spot, metres, resting: the episode succeeds. */
export const TOLERANCE = 0.03;
/** Offsets from the goal are seen twice: as they are, and through a tanh of this scale, for the last centimetres. */
const FINE = 0.04;
/** The cup lets go when the block's centre is this low. */
const RELEASE_Z = BLOCK_HALF + 0.004;
/** Nominal, kg; every episode has its own. */
const BLOCK_MASS = 0.08;

export const ARM_SPEC: TaskSpec = {
  name: 'arm',
  summary: 'a 6-joint arm carries a block round a post, on either side, and places it on a spot',
  rate_hz: 20,
  max_steps: 160,
  joint_names: JOINTS,
  limits: { lower: LOWER, upper: UPPER, velocity: SPEED },
  observation_dims: {
    'observation.state': 12,
    'observation.environment_state': 9,
    'observation.goal': 7,
  },
  goal_dim: 2,
  modes: ['inner', 'outer'],
};

const RGBA = {
  table: [0.78, 0.72, 0.63, 1],
  steel: [0.86, 0.88, 0.91, 1],
  accent: [0.93, 0.49, 0.19, 1],
  dark: [0.2, 0.23, 0.28, 1],
  block: [0.2, 0.55, 0.83, 1],
  post: [0.45, 0.48, 0.55, 1],
  goal: [0.2, 0.78, 0.45, 0.55],
} as const;

const shape = (
  name: string,
  kind: Shape['kind'],
  size: [number, number, number],
  rgba: Shape['rgba'],
  role: Shape['role'] = 'robot',
): Shape => ({ name, kind, size, rgba, role });

/** Every geom by its name in the MJCF, then the goal, which physics does not know. */
const SHAPES: readonly Shape[] = [
  shape('table', 'box', [0.45, 0.6, 0.02], RGBA.table, 'scene'),
  shape('pedestal', 'cylinder', [0.075, 0.05, 0], RGBA.dark),
  shape('turret', 'cylinder', [0.06, 0.06, 0], RGBA.steel),
  shape('upper_arm', 'capsule', [0.045, 0.18, 0], RGBA.accent),
  shape('elbow', 'sphere', [0.052, 0, 0], RGBA.dark),
  shape('forearm', 'capsule', [0.035, 0.17, 0], RGBA.steel),
  shape('wrist', 'sphere', [0.04, 0, 0], RGBA.dark),
  shape('tool', 'capsule', [0.022, 0.0425, 0], RGBA.accent),
  shape('cup', 'cylinder', [0.018, 0.015, 0], RGBA.dark),
  shape('block', 'box', [BLOCK_HALF, BLOCK_HALF, BLOCK_HALF], RGBA.block, 'object'),
  shape('post', 'cylinder', [POST_RADIUS, POST_HEIGHT / 2, 0], RGBA.post, 'scene'),
  shape('goal', 'cylinder', [0.035, 0.002, 0], RGBA.goal, 'goal'),
];

class ArmInstance implements TaskInstance {
  readonly spec = ARM_SPEC;
  readonly shapes = SHAPES;
  private readonly geoms: readonly number[];
  private readonly blockBody: number;
  private readonly toolBody: number;
  private readonly postGeom: number;
  private readonly tableGeom: number;
  private readonly goalXy: [number, number] = [0.4, 0.3];
  private held = true;
  /** In the last advance. */
  private released = false;
  /** Where the block was when the last advance began, or when it was let go. */
  private lay: readonly [number, number] = [0, 0];
  private touched = false;
  private rested = 0;
  private side: string | undefined;
  private force: readonly [number, number, number] | undefined;

  constructor(private readonly physics: Physics) {
    this.geoms = SHAPES.slice(0, -1).map((s) => physics.geomId(s.name));
    this.blockBody = physics.bodyId('block');
    this.toolBody = physics.bodyId('tool');
    this.postGeom = physics.geomId('post');
    this.tableGeom = physics.geomId('table');
  }

  reset(seed: number): void {
    const random = new Random(seed);
    const { physics } = this;
    physics.resetData();
    const towards = random.next() < 0.5 ? 1 : -1;
    const start: Point = [
      random.uniform(0.32, 0.5),
      -towards * random.uniform(0.2, 0.36),
      CARRY_Z + random.uniform(-0.02, 0.03),
    ];
    this.goalXy[0] = random.uniform(0.32, 0.52);
    this.goalXy[1] = towards * random.uniform(0.2, 0.36);
    const v = physics.views();
    v.mocap[0] = random.uniform(0.39, 0.46);
    v.mocap[1] = random.uniform(-0.05, 0.05);
    v.mocap[2] = POST_HEIGHT / 2;
    // Gains within ±10 %, the block's mass within ±30 %: what differs from one robot to the next.
    const gain = random.uniform(0.9, 1.1);
    for (let i = 0; i < 6; i++) physics.scaleGain(i, gain);
    physics.setMass(this.blockBody, BLOCK_MASS * random.uniform(0.7, 1.3));
    inverse(start, v.qpos.subarray(0, 6));
    for (let i = 0; i < 6; i++) v.qpos[i] = v.qpos[i]! + random.uniform(-0.02, 0.02);
    v.ctrl.set(v.qpos.subarray(0, 6));
    physics.setEqualities(true);
    physics.forward();
    // The block hangs on the cup as the weld wants it: in the tool's frame, half a block below the tip.
    const tip = forward(v.qpos);
    v.qpos.set([tip[0], tip[1], tip[2] - BLOCK_HALF], 6);
    v.qpos.set(v.xquat.subarray(4 * this.toolBody, 4 * this.toolBody + 4), 9);
    this.held = true;
    this.touched = false;
    this.rested = 0;
    this.side = undefined;
    this.force = undefined;
    physics.forward();
    // Let the weld and the servos settle on the start.
    for (let i = 0; i < 25; i++) physics.step();
    physics.forward();
  }

  private tip(): [number, number, number] {
    return forward(this.physics.views().qpos);
  }

  view() {
    const v = this.physics.views();
    return {
      tip: this.tip(),
      goal: this.goalXy as readonly [number, number],
      post: [v.mocap[0]!, v.mocap[1]!] as const,
      held: this.held,
    };
  }

  reward(): number {
    const v = this.physics.views();
    const block = [v.qpos[6]!, v.qpos[7]!] as const;
    const { tip, goal, post, held } = this.view();
    const placed = Math.hypot(goal[0] - block[0], goal[1] - block[1]) < TOLERANCE;
    return armReward({
      ...{ tip, block, goal, post, held, placed },
      joints: v.qpos,
      released: this.released,
      pushed: held ? 0 : Math.hypot(block[0] - this.lay[0], block[1] - this.lay[1]),
      touched: this.touched,
    });
  }

  /** From what encoders and camera give: the block hangs on the cup, or lies where the cup has let it go. */
  recall(values: Readonly<Record<string, Float32Array>>): void {
    const { physics } = this;
    const state = values['observation.state']!;
    const seen = values['observation.environment_state']!;
    const goal = values['observation.goal']!;
    physics.resetData();
    for (let i = 0; i < 6; i++) physics.scaleGain(i, 1);
    physics.setMass(this.blockBody, BLOCK_MASS);
    const v = physics.views();
    v.qpos.set(state.subarray(0, 6));
    v.ctrl.set(state.subarray(0, 6));
    v.qvel.set(state.subarray(6, 12));
    const tip = this.tip();
    v.mocap.set([tip[0] + seen[3]!, tip[1] + seen[4]!, POST_HEIGHT / 2]);
    this.goalXy[0] = tip[0] + goal[0]!;
    this.goalXy[1] = tip[1] + goal[1]!;
    this.held = seen[8]! > 0.5;
    this.touched = false;
    this.rested = 0;
    this.side = undefined;
    this.force = undefined;
    physics.setEqualities(this.held);
    physics.forward();
    if (this.held) {
      v.qpos.set([tip[0], tip[1], tip[2] - BLOCK_HALF], 6);
      v.qpos.set(v.xquat.subarray(4 * this.toolBody, 4 * this.toolBody + 4), 9);
      // It moves with the tip: its velocity is the tip's, over a thousandth of a second.
      const soon = forward(Array.from({ length: 6 }, (_, i) => v.qpos[i]! + 1e-3 * v.qvel[i]!));
      for (let i = 0; i < 3; i++) v.qvel[6 + i] = (soon[i]! - tip[i]!) / 1e-3;
    } else {
      v.qpos.set([tip[0], tip[1], BLOCK_HALF, 1, 0, 0, 0], 6);
    }
    physics.forward();
  }

  observe(): Record<string, Float32Array> {
    const v = this.physics.views();
    const state = new Float32Array(12);
    for (let i = 0; i < 6; i++) {
      state[i] = v.qpos[i]!;
      state[6 + i] = v.qvel[i]!;
    }
    const { tip, post, goal } = this.view();
    const px = post[0] - tip[0];
    const py = post[1] - tip[1];
    const gx = goal[0] - tip[0];
    const gy = goal[1] - tip[1];
    const near = Math.hypot(px, py);
    const far = Math.max(Math.hypot(gx, gy), 1e-3);
    return {
      'observation.state': state,
      'observation.environment_state': Float32Array.of(
        ...tip,
        px,
        py,
        near,
        px / near,
        py / near,
        this.held ? 1 : 0,
      ),
      'observation.goal': Float32Array.of(
        gx,
        gy,
        far,
        gx / far,
        gy / far,
        Math.tanh(gx / FINE),
        Math.tanh(gy / FINE),
      ),
    };
  }

  jointPosition(): Float64Array {
    return this.physics.views().qpos.slice(0, 6);
  }

  goal(): Float64Array {
    return Float64Array.from(this.goalXy);
  }

  setGoal(goal: ArrayLike<number>): void {
    this.goalXy[0] = Math.min(0.56, Math.max(0.28, goal[0]!));
    this.goalXy[1] = Math.min(0.42, Math.max(-0.42, goal[1]!));
  }

  advance(target: ArrayLike<number>, seconds: number): void {
    const { physics } = this;
    const v = physics.views();
    for (let i = 0; i < 6; i++) v.ctrl[i] = Math.min(UPPER[i]!, Math.max(LOWER[i]!, target[i]!));
    v.xfrc.fill(0);
    if (this.force !== undefined) v.xfrc.set(this.force, this.blockBody * 6);
    this.force = undefined;
    this.released = false;
    this.lay = [v.qpos[6]!, v.qpos[7]!];
    const steps = Math.max(1, Math.round(seconds / STEP_S));
    for (let i = 0; i < steps; i++) {
      physics.step();
      this.watch(STEP_S);
    }
  }

  /** The cup lets go of a block that touches the table; a touch of the post ends the hope of success. */
  private watch(dt: number): void {
    const v = this.physics.views();
    const z = v.qpos[8]!;
    if (this.held && z < RELEASE_Z) {
      this.held = false;
      this.released = true;
      this.lay = [v.qpos[6]!, v.qpos[7]!];
      this.physics.setEqualities(false);
    }
    if (this.side === undefined && Math.abs(v.qpos[7]! - v.mocap[1]!) < 0.02 && this.held) {
      this.side = v.qpos[6]! < v.mocap[0]! ? 'inner' : 'outer';
    }
    const pairs = this.physics.contacts();
    for (let i = 0; i < pairs.length; i += 2) {
      const [a, b] = [pairs[i]!, pairs[i + 1]!];
      if ((a === this.postGeom || b === this.postGeom) && a !== this.tableGeom && b !== this.tableGeom)
        this.touched = true;
    }
    const still = Math.hypot(v.qvel[6]!, v.qvel[7]!, v.qvel[8]!) < 0.02;
    this.rested = !this.held && still && z < BLOCK_HALF + 0.006 ? this.rested + dt : 0;
  }

  push(name: string, force: readonly [number, number, number]): void {
    if (name === 'block') this.force = force;
  }

  poses(out: Float32Array): void {
    this.geoms.forEach((geom, i) => {
      this.physics.geomPose(geom, out, 7 * i);
    });
    out.set([this.goalXy[0], this.goalXy[1], 0.002, 1, 0, 0, 0], 7 * this.geoms.length);
  }

  actionPoint(target: ArrayLike<number>): readonly [number, number, number] {
    return forward(target);
  }

  /** With the tool down, as the expert holds it. */
  pointAction(point: ArrayLike<number>): Float64Array {
    const joints = new Float64Array(6);
    inverse([point[0]!, point[1]!, point[2]!], joints);
    return joints;
  }

  success(): boolean {
    const v = this.physics.views();
    const error = Math.hypot(v.qpos[6]! - this.goalXy[0], v.qpos[7]! - this.goalXy[1]);
    return !this.touched && this.rested >= 0.2 && error < TOLERANCE;
  }

  failed(): boolean {
    const v = this.physics.views();
    if (this.touched || v.qpos[8]! < -0.05) return true;
    return (
      this.rested >= 0.2 && Math.hypot(v.qpos[6]! - this.goalXy[0], v.qpos[7]! - this.goalXy[1]) >= TOLERANCE
    );
  }

  mode(): string | undefined {
    return this.side;
  }

  save(): Uint8Array {
    const own = Float64Array.of(
      this.goalXy[0],
      this.goalXy[1],
      this.held ? 1 : 0,
      this.touched ? 1 : 0,
      this.rested,
      this.side === undefined ? -1 : ARM_SPEC.modes.indexOf(this.side),
    );
    const physics = this.physics.save();
    const out = new Uint8Array(own.byteLength + physics.byteLength);
    out.set(new Uint8Array(own.buffer), 0);
    out.set(physics, own.byteLength);
    return out;
  }

  restore(state: Uint8Array): void {
    const own = new Float64Array(state.slice(0, 48).buffer);
    this.physics.restore(state.subarray(48));
    this.goalXy[0] = own[0]!;
    this.goalXy[1] = own[1]!;
    this.held = own[2] === 1;
    this.touched = own[3] === 1;
    this.rested = own[4]!;
    this.side = own[5]! < 0 ? undefined : ARM_SPEC.modes[own[5]!];
    this.force = undefined;
  }

  dispose(): void {
    this.physics.dispose();
  }
}

/** The side the state already leans to, else the seed's. */
function commitment(instance: TaskInstance, seed: number, mode: string | undefined): boolean {
  if (mode !== undefined) return mode === 'inner';
  const { tip, goal, post } = (instance as ArmInstance).view();
  const gx = goal[0] - tip[0];
  const gy = goal[1] - tip[1];
  const offset = (gx * (post[1] - tip[1]) - gy * (post[0] - tip[0])) / Math.max(Math.hypot(gx, gy), 1e-9);
  if (Math.abs(offset) > 0.03) return offset > 0 !== gy >= 0;
  return new Random(seed).next() < 0.5;
}

export const armTask: Task = {
  spec: ARM_SPEC,
  model: {
    reach: [0.15, 0.15, 0.15, 0.15, 0.15, 0.15],
    travel: 0.39,
    horizon: 10,
    reward: (instance) => (instance as ArmInstance).reward(),
    recall: (instance, values) => (instance as ArmInstance).recall(values),
  },
  create: async () => {
    const instance = new ArmInstance(await Physics.create(ARM_MJCF));
    instance.reset(0);
    return instance;
  },
  expert: (seed, mode): Expert => {
    let inner: boolean | undefined;
    return {
      act(instance) {
        inner ??= commitment(instance, seed, mode);
        const out = new Float64Array(6);
        armExpert((instance as ArmInstance).view(), inner, out);
        return out;
      },
    };
  },
};
