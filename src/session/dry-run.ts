// `tendon run --dry-run`: everything happens but publishing, and this shows what would have been published: once a
// second in the words of the wire, and at the end, joint by joint, how near it came to the limits. It stands where a
// recorder stands, and passes on to one.

import type { RunLog } from '../host/log.js';
import type { RosbridgeRobot } from '../rosbridge/index.js';
import type { CommandFate, ControlTap, Observation, RobotFile } from '../types/index.js';
import { NS_PER_S } from '../types/index.js';

const SHOW_MS = 1000;

export class DryRun implements ControlTap {
  private readonly low: Float64Array;
  private readonly high: Float64Array;
  /** Per joint, the fastest from one command to the next, per s; commands of velocity: the fastest change. */
  private readonly fastest: Float64Array;
  private readonly last: Float64Array;
  private commands = 0;
  private first_ns: number | undefined;
  private now_ns = 0;
  private last_ns = 0;
  private measured: Float32Array | undefined;

  constructor(
    private readonly file: RobotFile,
    /** The observation that holds the measured values. */
    private readonly measured_key: string,
    private readonly inner: ControlTap | undefined,
  ) {
    const joints = file.joint_names.length;
    this.low = new Float64Array(joints).fill(Number.POSITIVE_INFINITY);
    this.high = new Float64Array(joints).fill(Number.NEGATIVE_INFINITY);
    this.fastest = new Float64Array(joints);
    this.last = new Float64Array(joints);
  }

  input(...args: Parameters<ControlTap['input']>): void {
    this.inner?.input(...args);
  }

  tick(now_ns: number, late_ns: number, observation: Observation | undefined): void {
    this.now_ns = now_ns;
    this.measured = observation?.values[this.measured_key];
    this.inner?.tick(now_ns, late_ns, observation);
  }

  command(values: Float64Array, expires_ns: number, fate: CommandFate): void {
    // After a pause commands begin anew where the robot is, which is no motion.
    const pause_ns = this.now_ns - this.last_ns;
    const follows = this.commands > 0 && pause_ns < 2.5 * (NS_PER_S / this.file.rate_hz);
    for (let i = 0; i < values.length; i++) {
      const value = values[i]!;
      this.low[i] = Math.min(this.low[i]!, value);
      this.high[i] = Math.max(this.high[i]!, value);
      if (follows)
        this.fastest[i] = Math.max(this.fastest[i]!, Math.abs(value - this.last[i]!) * this.file.rate_hz);
      this.last[i] = value;
    }
    this.last_ns = this.now_ns;
    this.first_ns ??= this.now_ns;
    this.commands++;
    this.inner?.command(values, expires_ns, fate);
  }

  asked(...args: Parameters<ControlTap['asked']>): void {
    this.inner?.asked(...args);
  }

  answered(...args: Parameters<ControlTap['answered']>): void {
    this.inner?.answered(...args);
  }

  /** Shows what would be sent, now and then; the returned function shows the whole of it and stops. */
  show(robot: Pick<RosbridgeRobot, 'messages'>, log: RunLog): () => void {
    for (const { topic, type } of this.file.command.parts)
      log.record('dry_run', { topic, type }, `dry run: nothing is published on ${topic} (${type})`);
    let shown = 0;
    const timer = setInterval(() => {
      if (this.commands === shown) return;
      shown = this.commands;
      const would = robot.messages(this.last);
      log.record(
        'would_send',
        { messages: would, measured: [...(this.measured ?? [])] },
        `measured ${numbers(this.measured ?? [])}\n${Object.entries(would)
          .map(([topic, message]) => `    would send ${topic} ${JSON.stringify(message, rounded)}`)
          .join('\n')}`,
      );
    }, SHOW_MS);
    return () => {
      clearInterval(timer);
      this.summarise(log);
    };
  }

  private summarise(log: RunLog): void {
    const seconds = this.first_ns === undefined ? 0 : (this.now_ns - this.first_ns) / NS_PER_S;
    const { commands } = this;
    if (commands === 0) {
      log.record('dry_run_end', { commands }, 'dry run: there was no command to send');
      return;
    }
    const { velocity } = this.file.limits;
    const joints = this.file.joint_names.map((joint, i) => ({
      joint,
      low: this.low[i]!,
      high: this.high[i]!,
      fastest: this.fastest[i]!,
      limit: velocity[i]!,
    }));
    const width = Math.max(...this.file.joint_names.map((joint) => joint.length), 5);
    const rows = joints.map(
      ({ joint, low, high, fastest, limit }) =>
        `    ${joint.padEnd(width)}  ${fixed(low)} … ${fixed(high)}   ${fixed(fastest)} of ${fixed(limit)} per s`,
    );
    log.record(
      'dry_run_end',
      { commands, seconds, joints },
      `dry run: ${commands} commands in ${seconds.toFixed(1)} s, none published; lowest … highest, and the fastest of what is allowed:\n${rows.join('\n')}`,
    );
  }
}

const fixed = (value: number): string => value.toFixed(3).padStart(7);
const numbers = (values: Iterable<number>): string =>
  `[${[...values].map((value) => value.toFixed(3)).join(', ')}]`;

/** JSON's replacer for people: fractions to four places. */
const rounded = (_: string, value: unknown): unknown =>
  typeof value === 'number' && !Number.isInteger(value) ? Number(value.toFixed(4)) : value;
