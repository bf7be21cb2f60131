// The simulated robot's side of a command: what it refuses, what it does until the next one, and its watchdog,
// which holds the measured position, or stands still, when commands stop coming.

import { type Message, readNumbers, readStrings } from '../rosbridge/index.js';
import { TendonError } from '../types/index.js';
import type { TaskSpec } from './task.js';

interface Point {
  /** Milliseconds after the trajectory's arrival. */
  readonly after_ms: number;
  readonly positions: Float64Array;
}

export class SimCommands {
  refused = 0;
  /** Why the newest refused command was refused. */
  refusal = '';
  /** Whether the watchdog holds the robot. */
  holding = true;
  /** Whether any was taken since `restart`. */
  begun = false;
  private points: readonly Point[] = [];
  private arrived_ms = Number.NEGATIVE_INFINITY;
  private from: Float64Array | undefined;
  private held: Float64Array | undefined;

  constructor(
    private readonly spec: TaskSpec,
    private readonly watchdog_ms: number,
  ) {}

  /** std_msgs/Float64MultiArray: absolute positions in the order of joint_names, from now on. */
  positions(msg: Message, accepting: boolean): void {
    this.take(accepting, () => [{ after_ms: 0, positions: this.checked(msg.data, '/command data') }]);
  }

  /** trajectory_msgs/JointTrajectory: positions by name, reached at time_from_start after arrival. */
  trajectory(msg: Message, accepting: boolean): void {
    this.take(accepting, () => {
      const names = readStrings(msg.joint_names, '/command_trajectory joint_names');
      const order = this.spec.joint_names.map((name) => {
        const index = names.indexOf(name);
        if (index < 0)
          throw new TendonError('input_invalid', `/command_trajectory: joint ${name} is missing.`);
        return index;
      });
      const given = Array.isArray(msg.points) ? msg.points : [];
      let last_ms = -1;
      const points = given.map((point: Message): Point => {
        const {
          sec = 0,
          nanosec = 0,
          secs = sec,
          nsecs = nanosec,
        } = (point.time_from_start ?? {}) as Message;
        const after_ms = Number(secs) * 1000 + Number(nsecs) / 1e6;
        if (!(after_ms > last_ms)) {
          throw new TendonError(
            'input_invalid',
            '/command_trajectory: time_from_start must grow from point to point.',
          );
        }
        last_ms = after_ms;
        const values = readNumbers(point.positions, '/command_trajectory positions');
        const ordered = order.map((index) => values[index] ?? Number.NaN);
        return { after_ms, positions: this.checked(ordered, '/command_trajectory positions') };
      });
      if (points.length === 0) throw new TendonError('input_invalid', '/command_trajectory: no points.');
      return points;
    });
  }

  /** Back to holding wherever the robot is. */
  forget(): void {
    this.points = [];
    this.from = undefined;
    this.held = undefined;
  }

  /** As `forget`, and nothing was ever commanded. */
  restart(): void {
    this.forget();
    this.begun = false;
  }

  /** The target in force at `now_ms`, given the measured `position`. */
  target(now_ms: number, position: Float64Array): Float64Array {
    const last = this.points.at(-1);
    const since_ms = now_ms - this.arrived_ms;
    this.holding = last === undefined || since_ms > last.after_ms + this.watchdog_ms;
    if (last === undefined || this.holding) {
      this.held ??= this.spec.quantity === 'velocity' ? new Float64Array(position.length) : position.slice();
      return this.held;
    }
    this.held = undefined;
    this.from ??= position.slice();
    let earlier: Point = { after_ms: 0, positions: this.from };
    for (const point of this.points) {
      if (since_ms < point.after_ms) {
        const part = (since_ms - earlier.after_ms) / (point.after_ms - earlier.after_ms);
        const { positions } = earlier;
        return point.positions.map((to, joint) => {
          const start = positions[joint] as number;
          return start + part * (to - start);
        });
      }
      earlier = point;
    }
    return last.positions;
  }

  private take(accepting: boolean, read: () => readonly Point[]): void {
    try {
      const points = read();
      if (!accepting) throw new TendonError('input_invalid', 'the robot is stopped or paused.');
      this.points = points;
      this.arrived_ms = performance.now();
      this.begun = true;
      this.from = undefined;
    } catch (caught) {
      ++this.refused;
      this.refusal = caught instanceof Error ? caught.message : String(caught);
    }
  }

  /** As many finite positions as joints, kept to the joints' range as a drive would. */
  private checked(value: unknown, what: string): Float64Array {
    const { joint_names, limits } = this.spec;
    const positions = readNumbers(value, what);
    if (positions.length !== joint_names.length) {
      throw new TendonError(
        'input_invalid',
        `${what}: expected ${joint_names.length} positions (${joint_names.join(', ')}), got ${positions.length}.`,
      );
    }
    return positions.map((position, joint) => {
      if (!Number.isFinite(position)) {
        throw new TendonError('input_invalid', `${what}: ${joint_names[joint]} is ${position}.`);
      }
      return Math.min(limits.upper[joint] as number, Math.max(limits.lower[joint] as number, position));
    });
  }
}
