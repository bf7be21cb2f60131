// The robot of the rig: it follows what reaches it, is moved by other hands now and then, and holds every command against
// limits, continuity and what it was last told.

import { createSocket, type Socket } from 'node:dgram';
import { header, jointState, type Message, RosbridgeServer } from '../../../src/rosbridge/index.js';

export const RATE_HZ = 50;
export const PERIOD_S = 1 / RATE_HZ;
export const LIFETIME_MS = 100;
export const LIMITS = { lower: [-1, -1], upper: [1, 1], velocity: [1, 1.5], acceleration: [8, 10] };
const JOINTS = ['a', 'b'];
/** A robot that was commanded at all within so long is taken to go on from there. */
const PAUSE_MS = 70;
/** A goal reaches so far ahead, and the slowest message is so long on its way. */
export const AHEAD_MS = 250;
export const SLOWEST_MS = 300;
/** How far the robot's own word about itself may lag behind it, ms: a message's way, and the controller's look at it. */
const LAG_MS = 150;

export type Way = 'topic' | 'base' | 'udp' | 'goals';

interface Heard {
  readonly at_ms: number;
  readonly stamp_ms: number;
  readonly values: readonly number[];
}

export class Drive {
  readonly broken: string[] = [];
  commands = 0;
  refused = 0;
  /** Said of itself: as it is, or as a fault has it. */
  lie: 'nan' | 'short' | 'stranger' | 'old' | 'silence' | undefined;
  position = [0, 0];
  private last: Heard | undefined;
  private readonly past: { readonly at_ms: number; readonly position: readonly number[] }[] = [];
  private readonly timers: NodeJS.Timeout[] = [];
  private socket: Socket | undefined;
  private plan: { readonly began_ms: number; readonly points: readonly number[][] } | undefined;
  private publishStop: ((msg: Message) => void) | undefined;

  private constructor(
    readonly way: Way,
    readonly server: RosbridgeServer,
  ) {}

  static async start(way: Way): Promise<Drive> {
    const drive = new Drive(way, await RosbridgeServer.start({ port: 0 }));
    await drive.listen();
    return drive;
  }

  get udp_port(): number {
    return this.socket?.address().port ?? 0;
  }

  /** True stops the robot. */
  stop(pressed: boolean): void {
    this.publishStop?.({ data: pressed });
  }

  /** Other hands move it while nobody commands it. */
  moved(position: readonly number[]): void {
    this.position = [...position];
    this.plan = undefined;
  }

  /** Since when nothing was commanded, ms. */
  get silent_ms(): number {
    return performance.now() - (this.last?.at_ms ?? 0);
  }

  async close(): Promise<void> {
    for (const timer of this.timers) clearInterval(timer);
    this.socket?.close();
    await this.server.close();
  }

  private async listen(): Promise<void> {
    const { server } = this;
    this.publishStop = server.advertise('/estop', 'std_msgs/Bool');
    const publish = server.advertise('/joint_states', 'sensor_msgs/JointState');
    this.timers.push(setInterval(() => this.tell(publish), 5));
    server.subscribe('/command', (msg: Message) => {
      const { stamp } = msg.header as { stamp: { sec: number; nanosec: number } };
      const stamp_ms = stamp.sec * 1e3 + stamp.nanosec / 1e6;
      const point = (msg.points as { positions: number[] }[] | undefined)?.[0]?.positions;
      const twist = msg.twist as { linear: { x: number }; angular: { z: number } } | undefined;
      this.hear(stamp_ms, point ?? [twist!.linear.x, twist!.angular.z]);
    });
    if (this.way === 'udp') {
      const socket = createSocket('udp4');
      this.socket = socket;
      await new Promise<void>((bound) => socket.bind(0, '127.0.0.1', bound));
      socket.on('message', (bytes) => {
        const stamp_ms = Number(bytes.readBigInt64LE(16)) / 1e6;
        this.hear(stamp_ms, [bytes.readDoubleLE(32), bytes.readDoubleLE(40)]);
      });
    }
    if (this.way === 'goals')
      server.action('/follow', 'control_msgs/FollowJointTrajectory', async (args, _, signal) => {
        const { points } = args.trajectory as { points: { positions: number[] }[] };
        this.follow(points.map(({ positions }) => positions));
        signal.addEventListener('abort', () => {
          this.plan = undefined;
        });
        return { error_code: 0 };
      });
  }

  private tell(publish: (msg: Message) => void): void {
    this.advance();
    this.past.push({ at_ms: performance.now(), position: [...this.position] });
    if (this.past.length > 400) this.past.shift();
    const { lie, position } = this;
    if (lie === 'silence') return;
    if (lie === 'nan') publish(jointState(header(), JOINTS, [Number.NaN, 0]));
    else if (lie === 'short') publish(jointState(header(), JOINTS, [0]));
    else if (lie === 'stranger') publish(jointState(header(), ['left_wheel', 'right_wheel'], [0, 0]));
    else if (lie === 'old') publish(jointState(header('', past(2)), JOINTS, position));
    else publish(jointState(header(), JOINTS, position));
  }

  /** Where its own controller has it on the trajectory in force. */
  private advance(): void {
    if (this.plan === undefined) return;
    const step = Math.floor((performance.now() - this.plan.began_ms) / (PERIOD_S * 1e3));
    const point = this.plan.points[Math.min(step, this.plan.points.length) - 1];
    if (point !== undefined) this.position = [...point];
  }

  private follow(points: number[][]): void {
    this.advance();
    const at_ms = performance.now();
    this.commands++;
    this.judgeRange(points.flat());
    let before = points[0]!;
    this.judgeBeginning(points[0]!, at_ms);
    for (const point of points.slice(1)) {
      this.judgeStep(before, point, PERIOD_S);
      before = point;
    }
    this.last = { at_ms, stamp_ms: at_ms, values: points[0]! };
    this.plan = { began_ms: at_ms, points };
  }

  private hear(stamp_ms: number, values: readonly number[]): void {
    const at_ms = performance.now();
    this.commands++;
    this.judgeRange(values);
    const age_ms = Date.now() - stamp_ms;
    // What the network made old or put out of order a drive refuses, by its stamp.
    if (age_ms > LIFETIME_MS || (this.last !== undefined && stamp_ms <= this.last.stamp_ms)) {
      this.refused++;
      return;
    }
    const { last } = this;
    const since_ms = last === undefined ? Number.POSITIVE_INFINITY : stamp_ms - last.stamp_ms;
    // A base's zero is allowed at any time.
    const halts = this.way === 'base' && values.every((v) => v === 0);
    if (since_ms > PAUSE_MS) {
      if (!halts) this.judgeBeginning(values, at_ms);
    } else if (!halts) {
      // Where some were lost the next is as many periods further.
      const period_ms = this.way === 'udp' ? 2 : PERIOD_S * 1e3;
      const periods = Math.max(1, Math.round(since_ms / period_ms) + 1);
      this.judgeStep(last!.values, values, (periods * period_ms) / 1e3);
    }
    this.last = { at_ms, stamp_ms, values };
    this.position = [...values];
  }

  private judgeRange(values: readonly number[]): void {
    values.forEach((v, i) => {
      if (!(v >= LIMITS.lower[i % 2]! && v <= LIMITS.upper[i % 2]!)) this.broken.push(`left the range: ${v}`);
    });
  }

  /**
   * After a pause: near where the robot was a moment ago, or is. A trajectory that replaces another counts from when it was
   * sent, so that a slow network shifts it by as much as the robot moved meanwhile.
   */
  private judgeBeginning(values: readonly number[], at_ms: number): void {
    const recent = this.past.filter((one) => one.at_ms >= at_ms - LAG_MS);
    const replaces = this.way === 'goals' && this.silent_ms < AHEAD_MS + SLOWEST_MS;
    const room = (i: number) => LIMITS.velocity[i]! * (replaces ? SLOWEST_MS / 1e3 : 2.5 * PERIOD_S);
    const near = recent.some(({ position }) => values.every((v, i) => Math.abs(v - position[i]!) <= room(i)));
    if (recent.length > 0 && !near)
      this.broken.push(`leapt to ${values} from ${this.position} after ${this.silent_ms.toFixed(0)} ms`);
  }

  private judgeStep(before: readonly number[], after: readonly number[], dt: number): void {
    after.forEach((v, i) => {
      const step = Math.abs(v - before[i]!);
      if (step > LIMITS.velocity[i]! * dt * (1 + 1e-6) + 1e-9)
        this.broken.push(`jumped by ${step} in ${dt} s`);
    });
  }
}

function past(seconds: number) {
  const ms = Date.now() - seconds * 1e3;
  return { sec: Math.floor(ms / 1e3), nanosec: Math.round((ms % 1e3) * 1e6) };
}
