// Where the policy counts otherwise than the robot: per joint, robot = policy · scale + offset; speeds have no offset. The
// one place that says so, for what is observed, commanded and led.

import type { RobotFile } from '../../types/index.js';

export class Units {
  constructor(private readonly units: RobotFile['units']) {}

  /** Whether both count alike. */
  get same(): boolean {
    return this.units === undefined;
  }

  /** Features that are told in the robot's units. */
  get features(): readonly string[] {
    return this.units?.features ?? [];
  }

  /** `joint` by its place in joint_names. */
  toRobot(joint: number, value: number): number {
    const { units } = this;
    return units === undefined ? value : value * units.scale[joint]! + units.offset[joint]!;
  }

  toPolicy(joint: number, value: number): number {
    const { units } = this;
    return units === undefined ? value : (value - units.offset[joint]!) / units.scale[joint]!;
  }

  speedToRobot(joint: number, speed: number): number {
    return this.units === undefined ? speed : speed * this.units.scale[joint]!;
  }

  speedToPolicy(joint: number, speed: number): number {
    return this.units === undefined ? speed : speed / this.units.scale[joint]!;
  }
}
