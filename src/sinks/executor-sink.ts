// The real-time thread follows the chunks itself, at up to 1 kHz; a person's targets reach it once a control period. What
// it commands leaves as datagrams, and at a slower pace through the robot where the robot file asks for it.

import {
  type ActionChunk,
  type Command,
  type CommandCause,
  type CommandFate,
  type CommandQuantity,
  type CommandSink,
  type Nanoseconds,
  NS_PER_MS,
  NS_PER_S,
  type Robot,
  type SinkState,
  TendonError,
} from '../types/index.js';
import type { ExecutedCommand, RealTimeExecutor } from './executor.js';
import { PAUSE_PERIODS, type SinkTiming } from './gate.js';

/** What an ExecutorSink is made of. */
export interface ExecutorSinkOptions extends SinkTiming {
  readonly executor: RealTimeExecutor;
  /** Commands of the thread per second. */
  readonly executor_hz: number;
  readonly robot: Pick<Robot, 'send'>;
  /** The robot is sent the newest command at this pace; absent: datagrams are the only way out. */
  readonly publish_hz?: number | undefined;
  /** What is published is all that the robot gets: there are no datagrams. */
  readonly sole?: boolean | undefined;
  readonly quantity?: CommandQuantity | undefined;
  /** Told every command of the thread, up to BEAT_MS later. */
  readonly onCommand?: ((command: ExecutedCommand) => void) | undefined;
}

/** How often the thread hears that this process lives, and hands over its commands, ms. */
const BEAT_MS = 5;
/** A thread that is told to begin has so long to give its first command, ns. */
const BEGINS_NS = 50 * NS_PER_MS;
/** A target of a person is good for so many control periods. */
const TARGET_PERIODS = 5;

/** The way out through a native thread of up to 1 kHz, which finishes a chunk, brakes and holds by itself. */
export class ExecutorSink implements CommandSink {
  readonly kind = 'executor';
  private open = false;
  /** What the thread was last told to do. */
  private told: 'policy' | 'person' | 'hold' = 'hold';
  private chunk: ActionChunk | undefined;
  private fed: ActionChunk | undefined;
  private row_ns: Nanoseconds = 0;
  private begun_ns = 0;
  /** Stamp of the newest command of the thread. */
  private commanded_ns = Number.NEGATIVE_INFINITY;
  private last: Float64Array | undefined;
  private moving = false;
  private published_ns = Number.NEGATIVE_INFINITY;
  /** When the robot took a command for the last time. */
  private taken_ns = 0;
  private refused = false;
  private readonly timer: NodeJS.Timeout;

  /** Throws `config_invalid` for commands of velocity: the thread holds by repeating its last command. */
  constructor(private readonly options: ExecutorSinkOptions) {
    if (options.quantity === 'velocity')
      throw new TendonError(
        'config_invalid',
        'executor: expected command.quantity position, got velocity; an executor holds by repeating its last command, which would be a speed',
      );
    this.timer = setInterval(() => this.turn(), BEAT_MS);
  }

  begin(position: ArrayLike<number>): void {
    this.options.executor.begin(position);
    this.open = true;
    this.told = 'hold';
    this.fed = undefined;
    this.last = undefined;
    this.moving = false;
    this.refused = false;
    this.begun_ns = this.options.clock.now_ns();
    this.taken_ns = this.begun_ns;
  }

  follow(chunk: ActionChunk, period_ns: Nanoseconds): void {
    this.chunk = chunk;
    this.row_ns = period_ns;
    if (this.open && this.told === 'policy') this.feed();
  }

  command({ values, stamp_ns }: Command, cause: CommandCause): CommandFate {
    if (!this.open || cause === 'halt') return 'none';
    if (cause === 'policy') {
      if (this.told !== 'policy' || this.fed !== this.chunk) this.feed();
    } else if (cause === 'person') {
      const lifetime_ns = (TARGET_PERIODS * NS_PER_S) / this.options.rate_hz;
      this.options.executor.target(values, stamp_ns, lifetime_ns);
    } else if (this.told !== 'hold') this.options.executor.hold();
    this.told = cause;
    return this.refused ? 'refused' : 'executed';
  }

  hold(): void {
    this.chunk = undefined;
    this.told = 'hold';
    if (this.open) this.options.executor.hold();
  }

  stop(): void {
    this.shut();
  }

  suspend(): void {
    this.shut();
  }

  linkLost(): void {
    if (this.options.sole === true) this.shut();
  }

  state(): SinkState {
    this.drain();
    if (this.open && this.silent(this.options.clock.now_ns())) this.shut();
    return { live: this.open, moving: this.open && this.moving, fault: '' };
  }

  close(): void {
    clearInterval(this.timer);
    this.shut();
    this.drain();
  }

  private shut(): void {
    this.open = false;
    this.chunk = undefined;
    this.moving = false;
    this.options.executor.emergencyStop();
  }

  private feed(): void {
    if (this.chunk === undefined) return;
    this.fed = this.chunk;
    this.options.executor.feed(this.chunk, this.row_ns);
  }

  /** The thread stood still and waits to begin anew, or the robot has not taken what it was sent. */
  private silent(now_ns: Nanoseconds): boolean {
    const { executor_hz, publish_hz, sole } = this.options;
    const pause_ns = Math.max(BEGINS_NS, (PAUSE_PERIODS * NS_PER_S) / executor_hz);
    if (now_ns - Math.max(this.begun_ns, this.commanded_ns) > pause_ns) return true;
    return sole === true && now_ns - this.taken_ns > BEGINS_NS + (PAUSE_PERIODS * NS_PER_S) / publish_hz!;
  }

  private turn(): void {
    this.options.executor.beat();
    this.drain();
  }

  /** Takes what the thread has commanded, and publishes the newest of it when that is due. */
  private drain(): void {
    const { executor, onCommand } = this.options;
    let newest: ExecutedCommand | undefined;
    executor.drain((command) => {
      const { last } = this;
      this.moving = last?.some((v, i) => v !== command.values[i]) ?? false;
      this.last = command.values;
      this.commanded_ns = command.stamp_ns;
      newest = command;
      onCommand?.(command);
    });
    if (newest !== undefined) this.publish(newest);
  }

  private publish(newest: ExecutedCommand): void {
    const { publish_hz, robot, clock, sole } = this.options;
    // What was drained may have been made before a stop, or before the thread began anew.
    if (publish_hz === undefined || !this.open || newest.stamp_ns < this.begun_ns) return;
    const now_ns = clock.now_ns();
    if (now_ns - this.published_ns < NS_PER_S / publish_hz - (BEAT_MS * NS_PER_MS) / 2) return;
    if (newest.expires_ns <= now_ns) return;
    this.published_ns = now_ns;
    const taken = robot.send(newest);
    if (taken) this.taken_ns = now_ns;
    this.refused = !taken && sole === true;
  }
}
