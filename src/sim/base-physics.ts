// A differential-drive base among walls, in MuJoCo: told a speed ahead and a turn rate, it follows them as its motors can, and
// slides along what it touches.

import { Physics } from './mujoco.js';
import type { Shape } from './task.js';

/** m */
export const BASE_RADIUS = 0.2;
const STEP_S = 0.01;
/** kg, and N·s/m of the servo on the speed: what is asked for is reached within some 0.2 s. */
const MASS = 10;
const SPEED_GAIN = 60;
const TURN_GAIN = 1.5;
const WALL_HEIGHT = 0.15;

export type Box = readonly [x0: number, y0: number, x1: number, y1: number];

export interface BasePose {
  readonly x: number;
  readonly y: number;
  /** rad, −π…π */
  readonly yaw: number;
}

const half = ([x0, y0, x1, y1]: Box): [number, number, number] => [(x1 - x0) / 2, (y1 - y0) / 2, WALL_HEIGHT];

const mjcf = (walls: readonly Box[]): string => `
<mujoco model="tendon_base">
  <compiler angle="radian"/>
  <option timestep="${STEP_S}" integrator="implicitfast" gravity="0 0 0"/>
  <size memory="400K"/>
  <default><geom condim="1" solref="0.02 1"/></default>
  <worldbody>
    <geom name="ground" type="box" size="8 8 0.01" pos="0 0 -0.01" contype="0" conaffinity="0"/>
    ${walls
      .map(
        (box, i) =>
          `<geom name="wall${i}" type="box" size="${half(box).join(' ')}" pos="${(box[0] + box[2]) / 2} ${(box[1] + box[3]) / 2} ${WALL_HEIGHT}" contype="1" conaffinity="2"/>`,
      )
      .join('\n    ')}
    <body name="base" pos="0 0 0.12">
      <joint name="x" type="slide" axis="1 0 0"/>
      <joint name="y" type="slide" axis="0 1 0"/>
      <joint name="yaw" type="hinge" axis="0 0 1"/>
      <geom name="base" type="cylinder" size="${BASE_RADIUS} 0.12" mass="${MASS}" contype="2" conaffinity="1"/>
      <geom name="nose" type="box" size="0.07 0.02 0.02" pos="0.12 0 0.14" mass="0.001" contype="0" conaffinity="0"/>
    </body>
  </worldbody>
  <actuator>
    <velocity name="x" joint="x" kv="${SPEED_GAIN}"/>
    <velocity name="y" joint="y" kv="${SPEED_GAIN}"/>
    <velocity name="yaw" joint="yaw" kv="${TURN_GAIN}"/>
  </actuator>
</mujoco>`;

/** Drawn: the walls, the base and which way it faces, in the order of `poses`. */
export const baseShapes = (walls: readonly Box[]): Shape[] => [
  ...walls.map(
    (box, i): Shape => ({
      name: `wall${i}`,
      kind: 'box',
      size: half(box),
      rgba: [0.62, 0.66, 0.74, 1],
      role: 'scene',
    }),
  ),
  {
    name: 'base',
    kind: 'cylinder',
    size: [BASE_RADIUS, 0.12, 0],
    rgba: [0.25, 0.41, 0.88, 1],
    role: 'robot',
  },
  { name: 'nose', kind: 'box', size: [0.07, 0.02, 0.02], rgba: [0.98, 0.8, 0.3, 1], role: 'robot' },
];

export const wrap = (angle: number): number => Math.atan2(Math.sin(angle), Math.cos(angle));

export class BasePhysics {
  private readonly geoms: readonly number[];

  private constructor(
    private readonly physics: Physics,
    walls: readonly Box[],
  ) {
    this.geoms = baseShapes(walls).map(({ name }) => physics.geomId(name));
  }

  static async create(walls: readonly Box[]): Promise<BasePhysics> {
    return new BasePhysics(await Physics.create(mjcf(walls)), walls);
  }

  place({ x, y, yaw }: BasePose): void {
    this.physics.resetData();
    this.physics.views().qpos.set([x, y, yaw]);
    this.physics.forward();
  }

  get pose(): BasePose {
    const { qpos } = this.physics.views();
    return { x: qpos[0]!, y: qpos[1]!, yaw: wrap(qpos[2]!) };
  }

  /** Speed ahead, m/s, and turn rate, rad/s, as wheels would tell. */
  get twist(): [ahead: number, turn: number] {
    const { qpos, qvel } = this.physics.views();
    return [qvel[0]! * Math.cos(qpos[2]!) + qvel[1]! * Math.sin(qpos[2]!), qvel[2]!];
  }

  /** Whether it touches a wall. */
  get touching(): boolean {
    return this.physics.contacts().length > 0;
  }

  /** `ahead` m/s and `turn` rad/s are asked of the motors for `seconds`. */
  drive(ahead: number, turn: number, seconds: number): void {
    const { physics } = this;
    const steps = Math.max(1, Math.round(seconds / STEP_S));
    for (let i = 0; i < steps; i++) {
      const { qpos, ctrl } = physics.views();
      ctrl[0] = ahead * Math.cos(qpos[2]!);
      ctrl[1] = ahead * Math.sin(qpos[2]!);
      ctrl[2] = turn;
      physics.step();
    }
  }

  /** Of `baseShapes`, (n, 7). */
  poses(out: Float32Array): void {
    this.geoms.forEach((geom, i) => {
      this.physics.geomPose(geom, out, 7 * i);
    });
  }

  save(): Uint8Array {
    return this.physics.save();
  }

  restore(state: Uint8Array): void {
    this.physics.restore(state);
  }

  dispose(): void {
    this.physics.dispose();
  }
}
