// The robot of the rig: it follows what reaches it, is moved by other hands now and then, and has every command judged.

import { createSocket, type Socket } from 'node:dgram';
import { header, jointState, type Message, RosbridgeServer } from '../../../src/rosbridge/index.js';
import type { Passage } from '../chaos-network.js';
import { Judge, now_ms, PERIOD_S, RATE_HZ } from './judge.js';
import { Stalls } from './stalls.js';

const JOINTS = ['a', 'b'];
/** A goal reaches so far ahead. */
export const AHEAD_MS = 250;
const UDP_PERIOD_MS = 2;
const STAMP = /"stamp":\{"sec":(\d+),"nanosec":(\d+)\}/;
const MOST_PASSAGES = 4000;

/** How commands leave, and what they are: `base` and `jog` are velocities. */
export const WAYS = ['topic', 'base', 'jog', 'udp', 'goals'] as const;
export type Way = (typeof WAYS)[number];
export const LIES = ['nan', 'short', 'stranger', 'old', 'silence'] as const;
export type Lie = (typeof LIES)[number];

export class Drive {
  readonly judge = new Judge();
  commands = 0;
  /** Too old because of the network, or overtaken in it. */
  late = 0;
  /** Said of itself: as it is, or as a fault has it. */
  lie: Lie | undefined;
  /** What the sender's stamps are ahead of this process' clock, ms. */
  ahead_ms: () => number = () => 0;
  position = [0, 0];
  private readonly stalls = new Stalls();
  private readonly timers: NodeJS.Timeout[] = [];
  private readonly passages = new Map<string, Passage>();
  private newest: Passage | undefined;
  private sequence = 0;
  private socket: Socket | undefined;
  private plan: { readonly start_ms: number; readonly points: readonly number[][] } | undefined;
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
    return this.judge.silent_ms;
  }

  /** A message that the network lets go now. */
  passes(text: string, passage: Passage): void {
    const stamp = STAMP.exec(text.slice(0, 600));
    if (stamp === null) return;
    this.passages.set(`${stamp[1]}.${stamp[2]}`, passage);
    if (this.passages.size > MOST_PASSAGES) this.passages.delete(this.passages.keys().next().value!);
  }

  async close(): Promise<void> {
    for (const timer of this.timers) clearInterval(timer);
    this.stalls.close();
    this.socket?.close();
    await this.server.close();
  }

  private async listen(): Promise<void> {
    const { server } = this;
    this.publishStop = server.advertise('/estop', 'std_msgs/Bool');
    const publish = server.advertise('/joint_states', 'sensor_msgs/JointState');
    this.timers.push(setInterval(() => this.tell(publish), 5));
    server.subscribe('/command', (msg: Message) => this.hear(stampOf(msg), valuesOf(msg)));
    if (this.way === 'udp') {
      const socket = createSocket('udp4');
      this.socket = socket;
      await new Promise<void>((bound) => socket.bind(0, '127.0.0.1', bound));
      socket.on('message', (bytes) => {
        const sequence = Number(bytes.readBigUInt64LE(8));
        const stamp_ms = Number(bytes.readBigInt64LE(16)) / 1e6;
        const values = [bytes.readDoubleLE(32), bytes.readDoubleLE(40)];
        const steps = this.sequence === 0 ? undefined : sequence - this.sequence;
        if (this.take(stamp_ms, 0, values, steps)) this.sequence = sequence;
      });
    }
    if (this.way === 'goals')
      server.action('/follow', 'control_msgs/FollowJointTrajectory', async (args, _, signal) => {
        const trajectory = args.trajectory as Message;
        const points = (trajectory.points as { positions: number[] }[]).map(({ positions }) => positions);
        if (this.follow(stampOf(trajectory), points))
          signal.addEventListener('abort', () => {
            this.plan = undefined;
          });
        return { error_code: 0 };
      });
  }

  private tell(publish: (msg: Message) => void): void {
    if (this.plan !== undefined) this.position = this.onPlan(this.plan, now_ms());
    this.judge.saw(this.position);
    const { lie, position } = this;
    if (lie === 'silence') return;
    if (lie === 'nan') publish(jointState(header(), JOINTS, [Number.NaN, 0]));
    else if (lie === 'short') publish(jointState(header(), JOINTS, [0]));
    else if (lie === 'stranger') publish(jointState(header(), ['left_wheel', 'right_wheel'], [0, 0]));
    else if (lie === 'old') publish(jointState(header('', past(2)), JOINTS, position));
    else publish(jointState(header(), JOINTS, position));
  }

  /** Where a trajectory has the robot at a time: as joint_trajectory_controller counts, from its stamp. */
  private onPlan({ start_ms, points }: NonNullable<Drive['plan']>, at_ms: number): number[] {
    const steps = ((at_ms - start_ms) / 1e3) * RATE_HZ;
    const step = Math.min(points.length, Math.max(1, Math.floor(steps)));
    const [from, to] = [points[step - 1]!, points[Math.min(points.length, step + 1) - 1]!];
    const share = Math.min(1, Math.max(0, steps - step));
    return from.map((v, i) => v + share * (to[i]! - v));
  }

  private hear({ key, ms }: Stamp, values: readonly number[]): void {
    const passage = this.passages.get(key);
    const { newest } = this;
    const same = newest !== undefined && newest.connection === passage?.connection;
    const steps = same ? Math.max(1, passage!.number - newest.number) : undefined;
    if (this.take(ms - this.ahead_ms(), passage?.held_ms ?? 0, values, steps)) this.newest = passage;
  }

  /** Whether it is followed. */
  private take(stamp_ms: number, held_ms: number, values: readonly number[], steps?: number): boolean {
    const at_ms = now_ms();
    this.commands++;
    this.judge.range(values);
    this.judge.age(at_ms - stamp_ms - held_ms - this.stalls.within(at_ms - stamp_ms));
    // What the network made old or put out of order a drive refuses, by its stamp.
    if (this.judge.late({ at_ms, stamp_ms }) || this.judge.overtaken({ stamp_ms })) {
      this.late++;
      return false;
    }
    const velocities = this.way === 'base' || this.way === 'jog';
    const halts = velocities && values.every((v) => v === 0);
    const period_ms = this.way === 'udp' ? UDP_PERIOD_MS : PERIOD_S * 1e3;
    const exact = this.way === 'udp';
    this.judge.follows({ at_ms, stamp_ms, values, period_ms, steps, exact }, halts);
    this.position = [...values];
    return true;
  }

  /**
   * As joint_trajectory_controller does: a goal that is late is followed from where it should be by now. One that is later
   * than a command may be is the network's, and its beginning is not judged. False: it is one that came before.
   */
  private follow({ key, ms }: Stamp, points: number[][]): boolean {
    const at_ms = now_ms();
    // Without a stamp it counts from its arrival: the sender does not know the robot's clock yet.
    const stamp_ms = ms === 0 ? at_ms : ms - this.ahead_ms();
    const held_ms = this.passages.get(key)?.held_ms ?? 0;
    this.commands++;
    this.judge.age(at_ms - stamp_ms - held_ms - this.stalls.within(at_ms - stamp_ms));
    if (this.judge.overtaken({ stamp_ms })) return false;
    const late = this.judge.late({ at_ms, stamp_ms });
    if (late) this.late++;
    if (this.plan !== undefined) this.judge.saw(this.onPlan(this.plan, at_ms));
    const next = { start_ms: stamp_ms, points };
    if (!late) this.judge.begins(this.onPlan(next, at_ms), at_ms);
    this.judge.plan(points, { at_ms, stamp_ms });
    this.plan = next;
    return true;
  }
}

interface Stamp {
  readonly key: string;
  readonly ms: number;
}

function stampOf({ header }: Message): Stamp {
  const { sec, nanosec } = (header as { stamp: { sec: number; nanosec: number } }).stamp;
  return { key: `${sec}.${nanosec}`, ms: sec * 1e3 + nanosec / 1e6 };
}

function valuesOf(msg: Message): readonly number[] {
  const point = (msg.points as { positions: number[] }[] | undefined)?.[0]?.positions;
  const twist = msg.twist as { linear: { x: number }; angular: { z: number } } | undefined;
  return point ?? (msg.velocities as number[] | undefined) ?? [twist!.linear.x, twist!.angular.z];
}

function past(seconds: number) {
  const ms = Date.now() - seconds * 1e3;
  return { sec: Math.floor(ms / 1e3), nanosec: Math.round((ms % 1e3) * 1e6) };
}
