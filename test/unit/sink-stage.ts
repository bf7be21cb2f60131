// A controller before each kind of sink, with a robot that looks at everything that reaches it. Virtual time: the real-time
// thread is stepped by hand, and trajectories are followed as they were sent.

import { Controller, type ControllerOptions, ManualClock } from '../../src/control/index.js';
import { addon, native } from '../../src/native/index.js';
import {
  DirectSink,
  DrySink,
  ExecutorSink,
  type GoalPort,
  GoalsSink,
  RealTimeExecutor,
} from '../../src/sinks/index.js';
import type {
  Command,
  CommandCause,
  CommandFate,
  CommandQuantity,
  CommandSink,
  ExecutorPort,
  Observation,
  PlanAhead,
  Policy,
  Robot,
  RobotStatus,
  SinkKind,
} from '../../src/types/index.js';

export const PERIOD_NS = 10e6;
export const DT = PERIOD_NS / 1e9;
/** Periods without a command after which commands must begin anew. */
const PAUSE_NS = 3.5 * PERIOD_NS;
/** The real-time thread is given 50 ms. */
const SILENCE_NS = 60e6;
const FRESH_NS = 50e6;
/** Differences of positions near 2, divided by a period twice. */
const ROUNDING = 1e-9;

/** Positions in rad; where commands are velocities, m/s, m/s² and m/s³. */
export const LIMITS = {
  lower: [-1, -2],
  upper: [1, 2],
  velocity: [0.8, 1.5],
  acceleration: [8, 15],
};

export interface StageOptions {
  readonly sink: SinkKind;
  readonly quantity: CommandQuantity;
  readonly policy: Policy;
  /** Per s³. */
  readonly jerk?: readonly number[] | undefined;
  readonly more?: Partial<ControllerOptions>;
}

export interface Leaving {
  readonly at_ns: number;
  readonly values: readonly number[];
  readonly state: string;
}

/** A robot, its clock and its judge. */
export class Stage implements Robot {
  readonly observation_dims = { joint_position: 2 };
  readonly action_dim = 2;
  readonly clock = new ManualClock(1e9);
  readonly controller: Controller;
  readonly broken: string[] = [];
  readonly left: Leaving[] = [];
  /** Where it is, or where commands are velocities how fast it goes. */
  position = [0, 0];
  connected = true;
  reachable = true;
  frozen = false;
  refuses = false;
  /** How long each trajectory is on its way. */
  late_ns: () => number = () => 0;
  blocked = false;
  /** Of any value that left or that a trajectory promised. */
  furthest = 0;
  /** What is wrong with the next observation, or with all that follow. */
  odd: 'nan' | 'short' | 'future' | 'past' | 'missing' | undefined;
  once = false;
  /** A person held: only a person ends that. */
  held = false;
  readonly inner: CommandSink;
  private readonly options: StageOptions;
  private readonly step_ns: number;
  private status: ((status: RobotStatus) => void) | undefined;
  private seen: Observation | undefined;
  /** The last observation with nothing wrong in it: what the controller can know of the robot. */
  private known = { stamp_ns: 0, position: [0, 0] };
  /** Before this moment nobody watched the robot. */
  private watched_ns = 0;
  private begun: readonly number[] | undefined;
  private ended = true;
  /** The link was lost since commands began. */
  private parted = false;
  private cause: CommandCause = 'hold';
  private last:
    | {
        readonly at_ns: number;
        readonly values: readonly number[];
        readonly speed: readonly number[];
        readonly rate: readonly number[];
      }
    | undefined;
  private commanded = false;
  private plan: { readonly plan: PlanAhead; done: number } | undefined;
  /** Trajectories that are on their way. */
  private coming: { readonly at_ns: number; readonly plan: PlanAhead }[] = [];
  private port: ExecutorPort | undefined;
  private offset_ns = 0;
  private cleanup: (() => void)[] = [];

  constructor(options: StageOptions) {
    this.options = options;
    this.inner = this.sinkOf();
    this.step_ns = options.sink === 'executor' ? 2e6 : PERIOD_NS;
    this.controller = new Controller({
      robot: this,
      policy: options.policy,
      clock: this.clock,
      sink: this.spy(this.inner),
      quantity: options.quantity,
      limits: { ...LIMITS, jerk: options.jerk },
      rate_hz: 1 / DT,
      position_key: 'joint_position',
      freshness_ms: FRESH_NS / 1e6,
      inference_ms: 60,
      lifetime_ms: 50,
      ...options.more,
    });
    this.controller.start();
  }

  get quantity(): CommandQuantity {
    return this.options.quantity;
  }

  async connect(): Promise<void> {}
  call = () => Promise.reject(new Error('none'));
  async close(): Promise<void> {
    const stopped = this.controller.stop();
    // Asleep at most until a moment that the clock jumped back from.
    await this.clock.advance(2e9);
    await stopped;
    this.inner.close();
    for (const end of this.cleanup) end();
  }

  onStatus(listener: (status: RobotStatus) => void) {
    this.status = listener;
    this.link(true);
    return () => undefined;
  }

  /** `reachable`: commands get through, whatever is wrong with what is observed. */
  link(connected: boolean, reachable = connected): void {
    this.connected = connected;
    this.reachable = reachable;
    this.status?.({ connected, reachable, cause: connected ? '' : 'cut' });
  }

  latest() {
    this.followPlan();
    const now_ns = this.clock.now_ns();
    const { odd } = this;
    if (this.frozen && this.seen !== undefined) return this.seen;
    if (this.seen?.stamp_ns === now_ns && odd === undefined) return this.seen;
    const stamp_ns = now_ns + (odd === 'future' ? 1e9 : odd === 'past' ? -1e9 : 0);
    const values = odd === 'short' ? [0] : odd === 'nan' ? [0, Number.NaN] : this.position;
    const key = odd === 'missing' ? 'another' : 'joint_position';
    if (odd === undefined) this.known = { stamp_ns, position: [...this.position] };
    if (this.once) this.odd = undefined;
    this.once = false;
    this.seen = { stamp_ns, values: { [key]: Float32Array.from(values) } };
    return this.seen;
  }

  send(command: Command): boolean {
    const { sink } = this.options;
    if (sink === 'dry' || sink === 'goals') this.say('sent past its sink');
    if (!this.reachable || this.refuses) return false;
    if (sink === 'direct') this.leave(command.values, command.expires_ns);
    else this.moves(command.values);
    return true;
  }

  /** Follows a command, unless something is in its way. */
  private moves(values: ArrayLike<number>): void {
    if (!this.blocked) this.position = Array.from(values);
  }

  /** The process (and with it the thread) stands still, or its clock jumps; the robot is moved meanwhile. */
  paused(for_ns: number, position: readonly number[]): void {
    this.clock.jump(for_ns);
    this.position = [...position];
    if (for_ns >= 0 && for_ns <= PAUSE_NS) return;
    this.watched_ns = this.clock.now_ns();
    // The robot's own controller has come to rest meanwhile, by itself.
    this.plan = undefined;
    this.coming = [];
  }

  async ticks(n: number): Promise<void> {
    for (let i = 0; i < n; i++)
      for (let at_ns = 0; at_ns < PERIOD_NS; at_ns += this.step_ns) {
        await this.clock.advance(this.step_ns);
        this.port?.tick(this.clock.now_ns() + this.offset_ns);
        this.followPlan();
      }
  }

  private say(what: string): void {
    this.broken.push(`${what} (${this.controller.state})`);
  }

  /** Everything that must hold of a command that leaves. `dt`: the time to the one before. */
  private leave(given: ArrayLike<number>, expires_ns: number, dt = DT, now_ns = this.clock.now_ns()): void {
    const { state } = this.controller;
    const values = Array.from(given);
    const halts = this.cause === 'halt' && values.every((v) => v === 0);
    this.furthest = Math.max(this.furthest, ...values.map(Math.abs));
    this.left.push({ at_ns: now_ns, values, state });
    const idle = state === 'STOPPED' || state === 'INIT' || state === 'READY';
    if (idle && !(halts && this.commanded)) this.say(`sent ${values} in a state that sends nothing`);
    if (this.ended && !(halts && this.commanded)) this.say(`sent ${values} after a stop or a suspension`);
    // The thread and the robot's own controller go on with what they have.
    const { sink } = this.options;
    if (!this.reachable && (sink === 'direct' || sink === 'dry')) this.say('sent to a robot that is gone');
    if (!(expires_ns > now_ns)) this.say('sent with no life left');
    if (this.held && state !== 'HOLD' && state !== 'TELEOP' && !halts)
      this.say('went on from a hold by itself');
    this.commanded = true;
    const { lower, upper, velocity, acceleration } = LIMITS;
    const anew = this.begun;
    this.begun = undefined;
    const last =
      anew === undefined ? this.last : { at_ns: now_ns, values: anew, speed: [0, 0], rate: [0, 0] };
    if (last === undefined) {
      if (!halts) this.say('commanded without a beginning');
    } else if (Math.abs(now_ns - last.at_ns) > SILENCE_NS && !halts)
      this.say(`went on after ${(now_ns - last.at_ns) / 1e6} ms of silence`);
    const speed = values.map((v, i) => (last === undefined || halts ? 0 : (v - last.values[i]!) / dt));
    const rate = speed.map((v, i) => (last === undefined || halts ? 0 : (v - last.speed[i]!) / dt));
    for (let i = 0; i < 2; i++) {
      const value = values[i]!;
      if (!(value >= lower[i]! && value <= upper[i]!)) this.say(`left the range: ${value}`);
      if (halts || last === undefined) continue;
      if (!(Math.abs(speed[i]!) <= velocity[i]! + ROUNDING)) this.say(`jumped by ${speed[i]! * dt}`);
      if (!(Math.abs(rate[i]!) <= acceleration[i]! * (1 + 1e-6) + ROUNDING / dt))
        this.say(`changed its speed by ${rate[i]} per s`);
      const jerk = Math.abs(rate[i]! - last.rate[i]!) / dt;
      if (!(jerk <= (this.options.jerk?.[i] ?? Number.POSITIVE_INFINITY) * (1 + 1e-6) + ROUNDING / dt ** 2))
        this.say(`changed its acceleration by ${jerk} per s`);
    }
    this.last = { at_ns: now_ns, values, speed, rate };
    if (this.options.sink !== 'executor') this.moves(values);
  }

  /** Sees every call of the controller before the sink does. */
  private spy(sink: CommandSink): CommandSink {
    const end = (): void => {
      this.ended = true;
      if (this.options.quantity === 'position') this.last = undefined;
      this.begun = undefined;
    };
    return {
      kind: sink.kind,
      begin: (position) => {
        this.judgeBeginning(sink, position);
        sink.begin(position);
      },
      follow: (chunk, period_ns) => sink.follow(chunk, period_ns),
      command: (command: Command, cause: CommandCause, ahead): CommandFate => {
        this.cause = cause;
        const fate = sink.command(command, cause, ahead);
        if (fate === 'dry') this.leave(command.values, command.expires_ns);
        return fate;
      },
      hold: () => sink.hold(),
      stop: () => {
        sink.stop();
        end();
      },
      suspend: () => {
        sink.suspend();
        end();
      },
      linkLost: () => {
        sink.linkLost();
        // The thread goes on by its datagrams.
        this.parted = true;
      },
      state: () => sink.state(),
      close: () => sink.close(),
    };
  }

  /** Commands begin anew only after a pause, and at a position that was measured after it. */
  private judgeBeginning(sink: CommandSink, position: ArrayLike<number>): void {
    const { known } = this;
    const now_ns = this.clock.now_ns();
    const since_ns = now_ns - (this.last?.at_ns ?? Number.NEGATIVE_INFINITY);
    if (!this.ended && !this.parted && Math.abs(since_ns) <= PAUSE_NS - PERIOD_NS && sink.state().live)
      this.say(`began anew ${since_ns / 1e6} ms after a command`);
    const fresh = Math.abs(now_ns - known.stamp_ns) <= FRESH_NS && known.stamp_ns >= this.watched_ns;
    if (!fresh) this.say(`began at a position of ${(now_ns - known.stamp_ns) / 1e6} ms ago`);
    for (let i = 0; i < 2; i++)
      if (Math.abs(position[i]! - known.position[i]!) > 1e-6)
        this.say(`began at ${position[i]}, not at ${known.position[i]}`);
    this.begun = Array.from(position);
    this.parted = false;
    this.ended = false;
    this.plan = undefined;
    this.coming = [];
  }

  private sinkOf(): CommandSink {
    const { sink, quantity } = this.options;
    const timing = { clock: this.clock, rate_hz: 1 / DT };
    if (sink === 'direct') return new DirectSink(this, timing);
    if (sink === 'dry') return new DrySink(timing);
    if (sink === 'goals') {
      const port: GoalPort = {
        follow: (plan) => {
          if (!this.reachable) return undefined;
          if (this.refuses) return Promise.reject(new Error('refused'));
          for (const row of plan.positions) this.furthest = Math.max(this.furthest, ...row.map(Math.abs));
          this.coming.push({ at_ns: this.clock.now_ns() + this.late_ns(), plan });
          this.followPlan();
          return Promise.resolve();
        },
        cancel: () => {
          this.plan = undefined;
          this.coming = [];
        },
      };
      return new GoalsSink(port, { ...timing, interval_ms: 60, ahead_ms: 150, lifetime_ms: 50, quantity });
    }
    const { lower, upper, velocity, acceleration } = LIMITS;
    const port = native(
      () =>
        new (addon().Executor)({
          joints: 2,
          rate_hz: 500,
          limits: { lower, upper, velocity, acceleration, jerk: this.options.jerk },
          heartbeat_ms: 1e6,
          lifetime_ms: 50,
        }),
    );
    this.port = port;
    const executor = new RealTimeExecutor(port, this.clock);
    this.offset_ns = executor.ahead_ns;
    this.cleanup.push(() => executor.close());
    return new ExecutorSink({
      ...timing,
      executor,
      executor_hz: 500,
      robot: this,
      publish_hz: 1 / DT,
      sole: true,
      quantity,
      // Seen when it is drained; made before.
      onCommand: ({ values, stamp_ns, expires_ns }) => {
        if (this.ended) return;
        this.leave(values, expires_ns, 1 / 500, stamp_ns);
      },
    });
  }

  /** Where the trajectories that came by now have the robot, step by step. */
  private followPlan(): void {
    const now_ns = this.clock.now_ns();
    while (this.coming.length > 0 && this.coming[0]!.at_ns <= now_ns) {
      const { at_ns, plan } = this.coming.shift()!;
      this.followUntil(at_ns);
      // What of it is over is left out, as joint_trajectory_controller does.
      this.plan = { plan, done: Math.max(0, Math.round((at_ns - plan.made_ns) / plan.period_ns)) };
    }
    this.followUntil(now_ns);
  }

  private followUntil(now_ns: number): void {
    const { plan: current } = this;
    if (current === undefined || this.ended) return;
    const { plan } = current;
    const { made_ns } = plan;
    const now = Math.round((now_ns - made_ns) / plan.period_ns);
    for (; current.done < Math.min(now, plan.positions.length); current.done++) {
      const values = plan.positions[current.done]!;
      this.leave(values, Number.POSITIVE_INFINITY, DT, made_ns + (current.done + 1) * plan.period_ns);
    }
  }
}
