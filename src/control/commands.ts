// One command a period: what is desired in this state, kept near the robot, inside the workspace and within the limits,
// and handed to the sink. This is the only way to the robot.

import {
  type ActionChunk,
  type AskAhead,
  type Command,
  type CommandCause,
  type CommandFate,
  type CommandSink,
  type ControlTap,
  type Nanoseconds,
  NS_PER_MS,
  NS_PER_S,
  type Observation,
  type SinkState,
} from '../types/index.js';
import { GUARDED, Guards } from './guards.js';
import { Limiter } from './limiter.js';
import type { ControllerOptions } from './options.js';
import { limiterAfter, type Planned, planAhead, stepsOver } from './plan-ahead.js';
import type { ChunkPlayer } from './player.js';
import type { SharedControl } from './shared-control.js';
import type { LoopStats } from './stats.js';
import type { Supervisor } from './supervisor.js';

/** What commands need of the controller around them. */
export interface CommandsHost {
  readonly options: ControllerOptions;
  readonly supervisor: Supervisor;
  readonly stats: LoopStats;
  readonly shared: SharedControl;
  readonly tap: ControlTap | undefined;
  readonly sink: CommandSink;
}

const NOTHING_NEW = { lost: false, fault: '' } as const;
/** Periods without a command after which a robot that is at rest is left alone. */
const REST_PERIODS = 3.5;

export class Commands {
  private readonly limiter: Limiter;
  /** The limiter as it was before the newest command: what the robot has when it did not take that one. */
  private readonly before: Limiter;
  private readonly guards: Guards;
  private readonly desired: Float64Array;
  private readonly both: readonly [Command, Command];
  private turn = 0;
  private readonly period_ns: Nanoseconds;
  private readonly ahead: AskAhead;
  /** Of the sink, as this period found it. */
  private sink: SinkState = { live: false, moving: false, fault: '' };
  private cause: CommandCause = 'hold';
  private player: ChunkPlayer | undefined;
  private now_ns: Nanoseconds = 0;
  private passed_ns: Nanoseconds = 0;
  /** What the robot was told ahead of time and follows by itself. */
  private planned: Planned | undefined;
  /** The robot has been commanded since it was last READY. */
  private commanded = false;
  /** Periods in which a base is still to be told zero. */
  private to_halt = 0;

  /** Throws `config_invalid` for limits and a workspace that would guard nothing. */
  constructor(private readonly host: CommandsHost) {
    const { robot, limits, rate_hz } = host.options;
    const dim = robot.action_dim;
    this.period_ns = Math.round(NS_PER_S / rate_hz);
    this.limiter = new Limiter(limits, new Float64Array(dim));
    this.before = new Limiter(limits, new Float64Array(dim));
    this.guards = new Guards(host.options, dim, this.period_ns);
    this.desired = new Float64Array(dim);
    const command = (): Command => ({ stamp_ns: 0, expires_ns: 0, values: new Float64Array(dim) });
    this.both = [command(), command()];
    this.ahead = (ahead_ns, lead_ns) => {
      this.planned = this.plan(ahead_ns, lead_ns);
      this.host.supervisor.limited(this.planned.bits);
      return this.planned;
    };
  }

  /** The last command that was computed, (action_dim). */
  get last(): Float64Array {
    return this.limiter.previous;
  }

  /** Whether the robot is in motion because of commands. */
  get underWay(): boolean {
    const moving = this.velocities ? this.last.some((v) => v !== 0) : this.limiter.moving;
    return (this.sink.live && moving) || this.sink.moving;
  }

  get velocities(): boolean {
    return this.host.options.quantity === 'velocity';
  }

  /**
   * Looks at the sink, once at the beginning of a period. `lost`: commands do not go on by themselves any more. `fault`:
   * what went wrong in it since the last look, or an empty string.
   */
  look(): { readonly lost: boolean; readonly fault: string } {
    const { sink, tap, options } = this.host;
    const state = sink.state();
    const { live, moving, fault } = state;
    const before = this.sink;
    if (live === before.live && moving === before.moving && fault === before.fault) return NOTHING_NEW;
    this.sink = state;
    tap?.input({ kind: 'sink', live, moving, fault }, options.clock.now_ns());
    return { lost: before.live && !live, fault: fault === before.fault ? '' : fault };
  }

  /** The command of a period with nothing wrong in it. `underrun` is called when the chunk in force is used up. */
  act(observation: Observation, now_ns: Nanoseconds, player: ChunkPlayer, underrun: () => void): void {
    const { desired } = this;
    const { supervisor, shared, stats } = this.host;
    const { state } = supervisor;
    this.see(observation, now_ns, player);
    if (state === 'INIT' || state === 'STOPPED') return;
    if (state === 'READY') {
      // Nobody drives: the command follows the robot, so that the first one starts where it is.
      this.limiter.restart(this.guards.measured);
      this.commanded = false;
      return;
    }
    if (!this.sink.live) this.begin();
    const person = state === 'TELEOP' && shared.target !== undefined;
    const has_action = (person || state === 'RUNNING') && player.at(now_ns, desired);
    // Holding, or the first chunk is still being made: stay, by way of the limits.
    if (!has_action) this.stay();
    if (person) shared.mix(desired, has_action, player.current, now_ns);
    else if (state === 'RUNNING' && has_action) {
      if (player.played(now_ns) > 0) stats.played();
    } else if (state === 'RUNNING' && player.current !== undefined) underrun();
    const guarded = this.guards.keep(this.limiter, desired);
    if (guarded & GUARDED.step) supervisor.count('step_limited');
    if (guarded & GUARDED.workspace) supervisor.count('workspace_limited');
    this.send(now_ns, person ? 'person' : has_action && supervisor.state === 'RUNNING' ? 'policy' : 'hold');
  }

  /** Without an observation to act on: comes to rest within the limits, and then sends nothing. */
  brake(now_ns: Nanoseconds, reachable: boolean): void {
    if (!this.sink.live) return;
    this.now_ns = now_ns;
    if (reachable && this.underWay) {
      this.stay();
      this.send(now_ns, 'hold');
      return;
    }
    // What runs ahead of the commands is given up where the robot cannot be reached, too.
    if (this.cause !== 'hold') this.hold();
    if (!this.sink.moving && Math.abs(now_ns - this.passed_ns) > REST_PERIODS * this.period_ns)
      this.suspend();
  }

  /** The chunk now in force, for sinks that follow it themselves. */
  follow(chunk: ActionChunk, period_ns: Nanoseconds): void {
    this.host.sink.follow(chunk, period_ns);
  }

  /** In force at once: nothing leaves any more but a base's zero. */
  stop(): void {
    this.host.sink.stop();
    this.leave();
  }

  /** The robot is left alone; a base is told zero first. */
  suspend(): void {
    this.host.sink.suspend();
    this.leave();
  }

  /**
   * A base that was told a speed goes on at it until told otherwise, so a stop is told for as long as a command is good
   * for, where an arm is told nothing more. True when this period was one of it.
   */
  halts(now_ns: Nanoseconds, reachable: boolean): boolean {
    if (this.to_halt <= 0) return false;
    this.to_halt--;
    if (reachable) this.halt(now_ns);
    return true;
  }

  /** The robot is told zero, if its commands are velocities and it was ever commanded. */
  halt(now_ns: Nanoseconds): void {
    if (!this.velocities || !this.commanded) return;
    this.limiter.restart(this.desired.fill(0));
    this.send(now_ns, 'halt');
  }

  /** What will be commanded from here on if nothing changes; see AskAhead. */
  plan(ahead_ns: Nanoseconds, lead_ns: Nanoseconds = 0): Planned {
    const { limiter, period_ns, player, now_ns, planned: before } = this;
    const { options, shared, supervisor } = this.host;
    const { state } = supervisor;
    const person = state === 'TELEOP' && shared.target !== undefined;
    const reach = { now_ns, period_ns, ahead_ns, lead_ns, before };
    return planAhead(options.limits, limiter, reach, (at_ns, ghost, out) => {
      const driven = person || state === 'RUNNING';
      const has_action = driven && player?.at(at_ns, out) === true;
      if (!has_action) out.set(ghost.previous);
      if (person) shared.mix(out, has_action, player?.current, at_ns);
      this.guards.keep(ghost, out);
    });
  }

  private see(observation: Observation, now_ns: Nanoseconds, player: ChunkPlayer): void {
    this.guards.see(observation.values[this.host.options.position_key]!);
    this.now_ns = now_ns;
    this.player = player;
  }

  /** Commands begin anew where the robot is, at rest. */
  private begin(): void {
    const { measured } = this.guards;
    this.limiter.restart(measured);
    this.host.sink.begin(measured);
    this.sink = { live: true, moving: false, fault: '' };
    this.planned = undefined;
    this.cause = 'hold';
  }

  private leave(): void {
    this.sink = { ...this.sink, live: false, moving: false };
    this.planned = undefined;
    this.limiter.rest();
    if (this.velocities && this.commanded)
      this.to_halt = Math.ceil((this.host.options.lifetime_ms * NS_PER_MS) / this.period_ns);
  }

  private hold(): void {
    this.cause = 'hold';
    this.host.sink.hold();
  }

  /** Desires to be where the last command was, or not to move. */
  private stay(): void {
    if (this.velocities) this.desired.fill(0);
    else this.desired.set(this.last);
  }

  /** What is desired, within the limits. */
  private send(now_ns: Nanoseconds, cause: CommandCause): void {
    const { supervisor, options, stats, tap, sink } = this.host;
    const { planned } = this;
    const command = this.both[this.turn++ & 1]!;
    this.before.copy(this.limiter);
    if (sink.kind === 'goals') this.followPlan(now_ns, command.values);
    else supervisor.limited(this.limiter.limit(this.desired, this.period_ns / NS_PER_S, command.values));
    (command as { stamp_ns: number }).stamp_ns = now_ns;
    (command as { expires_ns: number }).expires_ns = now_ns + options.lifetime_ms * NS_PER_MS;
    if (cause === 'hold' && this.cause !== 'hold') sink.hold();
    this.cause = cause;
    const fate = sink.command(command, cause, this.ahead);
    if (fate === 'refused') this.planned = planned;
    this.settle(fate, now_ns);
    if (fate === 'sent') stats.sent();
    if (fate === 'refused') supervisor.count('send_failed');
    if (fate !== 'none') tap?.command(command.values, command.expires_ns, fate);
  }

  /** The robot follows the trajectory in force, whatever is desired meanwhile: the next one goes on from there. */
  private followPlan(now_ns: Nanoseconds, out: Float64Array): void {
    const { planned, limiter } = this;
    if (planned !== undefined) {
      const over = stepsOver(planned, now_ns);
      if (over > 0) limiter.copy(limiterAfter(planned, over));
    }
    out.set(limiter.previous);
  }

  private settle(fate: CommandFate, now_ns: Nanoseconds): void {
    if (fate === 'refused' || fate === 'none') {
      // The next one starts from what the robot has.
      this.limiter.copy(this.before);
      if (fate === 'none') this.sink = { ...this.sink, live: false };
      return;
    }
    this.passed_ns = now_ns;
    this.commanded = true;
  }
}
