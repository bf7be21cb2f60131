// The controller node: at each tick it reads the clock once, looks at the newest observation, takes the action in
// force from the chunk, and lets the supervisor and the limits have the last word. Inference runs beside it, one at a
// time; nothing in a tick waits for anything.

import { DirectSink } from '../sinks/index.js';
import {
  type ActionChunk,
  asTendonError,
  type CommandSink,
  type ControlInput,
  type ControlState,
  type ControlTap,
  type Nanoseconds,
  NS_PER_MS,
  NS_PER_S,
  type PlanAhead,
  type TeleopShare,
} from '../types/index.js';
import { Commands } from './commands.js';
import { Inference } from './inference.js';
import { observationFault } from './observation-fault.js';
import type { ControllerOptions } from './options.js';
import { Outage } from './outage.js';
import { People } from './people.js';
import type { ChunkPlayer } from './player.js';
import { SharedControl } from './shared-control.js';
import { LoopStats } from './stats.js';
import { Supervisor } from './supervisor.js';
import { guarded } from './tap.js';
import { tickOn } from './ticker.js';

/** A tick this many periods late is a clock that jumped (or a process that slept), not a busy machine. */
const JUMP_PERIODS = 25;
/** A tick this many periods after the last: the robot may be elsewhere. */
const PAUSE_PERIODS = 3.5;
/** How long a person's word to drive is good for, when they do not say, ms. */
const TAKEOVER_MS = 300;

/**
 * The control loop: takes the newest observation at the robot's rate, asks the policy when a chunk is due, and sends one command a
 * tick through the limits to a sink. Knows ports only (Robot, Policy, Clock, CommandSink). States and transitions: docs/safety.md.
 */
export class Controller {
  readonly supervisor = new Supervisor();
  readonly stats = new LoopStats();
  /** How a person shares the robot with the policy; their target is set by `takeOver`. */
  readonly shared: SharedControl;
  readonly tap: ControlTap | undefined;
  readonly sink: CommandSink;
  private readonly commands: Commands;
  private readonly inference: Inference;
  private readonly outage: Outage;
  private readonly people: People;
  private readonly period_ns: Nanoseconds;
  private running = false;
  private loop: Promise<void> | undefined;
  private connected = false;
  private reachable = false;
  private lostCause = 'not connected yet';
  private unsubscribe: (() => void) | undefined;
  /** Commands do not begin anew before an observation later than this. */
  private rebase_ns: Nanoseconds | undefined;
  private ticked_ns: Nanoseconds = 0;

  /** Throws `config_invalid` for limits that would not limit and for a workspace that could not be guarded. */
  constructor(readonly options: ControllerOptions) {
    const { policy, rate_hz, tap, teleop, robot, clock } = options;
    this.period_ns = Math.round(NS_PER_S / rate_hz);
    this.shared = new SharedControl(
      teleop ?? { kind: 'take_over' },
      NS_PER_S / (policy.spec.rate_hz ?? rate_hz),
    );
    if (tap !== undefined)
      this.tap = guarded(tap, () => {
        this.stats.listener_errors++;
      });
    this.sink = options.sink ?? new DirectSink(robot, { clock, rate_hz });
    this.commands = new Commands(this);
    this.inference = new Inference(this);
    this.outage = new Outage(this.supervisor, options);
    this.people = new People(this.supervisor, this.shared, options);
  }

  /** What is being played. */
  get player(): ChunkPlayer {
    return this.inference.player;
  }

  /** Starts the loop; resolves at once. The robot should be connecting or connected. */
  start(): void {
    if (this.running) return;
    this.running = true;
    this.unsubscribe = this.options.robot.onStatus((status) => {
      const { connected, reachable = connected, listening = reachable, cause } = status;
      this.heard({ kind: 'status', connected, reachable, listening, cause });
      this.outage.link(listening);
      if (this.reachable && !reachable) this.sink.linkLost();
      this.connected = connected;
      this.reachable = reachable;
      this.lostCause = cause;
    });
    const { period_ns, stats } = this;
    const { clock } = this.options;
    const tick = (now_ns: Nanoseconds, late_ns: Nanoseconds): void => this.tickSafely(now_ns, late_ns);
    this.ticked_ns = this.heard({ kind: 'started' });
    this.loop = tickOn({ clock, period_ns, stats, tick }, this.ticked_ns, () => this.running);
  }

  /** Ends the loop and whatever is being inferred; the robot is left to its own watchdog, a base is told zero. */
  async stop(): Promise<void> {
    this.running = false;
    this.inference.abort();
    this.unsubscribe?.();
    await this.loop;
    this.sink.suspend();
    if (this.reachable) this.commands.halt(this.options.clock.now_ns());
  }

  get state(): ControlState {
    return this.supervisor.state;
  }

  go(): void {
    this.heard({ kind: 'go' });
    this.outage.operatorSpoke();
    this.supervisor.event('start', 'running');
  }

  hold(cause = 'held by the operator'): void {
    this.heard({ kind: 'hold', cause });
    this.holdFor(cause);
  }

  /** An operator's word that the robot may go on, whatever held it. */
  resume(): void {
    this.heard({ kind: 'resume' });
    this.outage.operatorSpoke();
    this.supervisor.event('resume', 'resumed by the operator');
  }

  /** Latched, and in force at once: no command leaves until `reset`, but a base's zero. */
  emergencyStop(cause = 'stopped by the operator'): void {
    this.heard({ kind: 'stop', cause });
    this.supervisor.event('stop', cause);
    this.commands.stop();
    this.inference.forget();
  }

  /** Word of the topic that can stop the robot: stopped, which is latched, or not. */
  stopState(stopped: boolean, cause = 'stopped by the operator'): void {
    if (stopped) {
      this.emergencyStop(cause);
      return;
    }
    this.heard({ kind: 'stop_state', stopped });
    this.outage.stopIsKnown();
  }

  /** Somebody is there who could stop the robot. */
  operatorBeat(): void {
    this.people.beat(this.heard({ kind: 'beat' }));
    this.outage.stopIsKnown();
  }

  /**
   * Before the robot is moved by other hands (a reset): sends nothing until `reset` and a later observation; a base is
   * told zero. As a stop, it does not brake an arm.
   */
  suspend(): void {
    this.heard({ kind: 'suspend' });
    this.rebase_ns = Number.POSITIVE_INFINITY;
    this.commands.suspend();
    this.inference.forget();
  }

  /** Clears a stop, forgets the episode and restarts the policy's noise at `seed`. */
  reset(seed: number): void {
    this.rebase_ns = this.heard({ kind: 'reset', seed });
    this.supervisor.event('reset', 'reset');
    this.inference.abort();
    this.inference.forgetAll();
    this.options.policy.reset(seed);
  }

  /**
   * The operator's joint targets (action_dim) instead of the policy's, good for `lifetime_ms`: a person who drives says
   * so again and again, and one who falls silent leaves the robot held. Undefined gives back deliberately: the policy
   * goes on where it was interrupted. False, and nothing changes, for targets that are not as many finite numbers or in
   * a state that nobody may take over in.
   */
  takeOver(values: readonly number[] | undefined, lifetime_ms = TAKEOVER_MS): boolean {
    const said = values === undefined ? null : [...values];
    const now_ns = this.heard({ kind: 'take_over', values: said, lifetime_ms });
    if (values === undefined) {
      this.inference.forget();
      return this.people.giveBack();
    }
    if (values.length !== this.command.length || !values.every(Number.isFinite)) return false;
    return this.people.drive(values, lifetime_ms, now_ns);
  }

  /** How much of a say the policy has while a person drives; in force from the next tick on. */
  shareWith(share: TeleopShare): void {
    this.heard({ kind: 'share', share });
    this.shared.share = share;
  }

  onChunk(listener: (chunk: ActionChunk) => void): () => void {
    return this.inference.onChunk(listener);
  }

  /** The last command that was computed, (action_dim). */
  get command(): Float64Array {
    return this.commands.last;
  }

  /** Whether the last command was one of motion. */
  get underWay(): boolean {
    return this.commands.underWay;
  }

  /** What will be commanded from here on if nothing changes, for `ahead_ns`, and then braking. */
  planAhead(ahead_ns: Nanoseconds): PlanAhead {
    return this.commands.plan(ahead_ns);
  }

  /** Whether nothing forbids going on by itself from a fault that has passed. */
  mayRecover(): boolean {
    return this.outage.over;
  }

  /** The chunk now in force, for sinks that follow it themselves. */
  follow(chunk: ActionChunk, period_ns: Nanoseconds): void {
    this.commands.follow(chunk, period_ns);
  }

  /** Tells the tap of something from outside; what is now for it. */
  private heard(input: ControlInput): Nanoseconds {
    const now_ns = this.options.clock.now_ns();
    this.tap?.input(input, now_ns);
    return now_ns;
  }

  private holdFor(cause: string): void {
    this.supervisor.event('hold', cause);
    this.inference.forget();
  }

  /** The process may be holding an arm up: whatever goes wrong in one period, there is a next one. */
  private tickSafely(now_ns: Nanoseconds, late_ns: Nanoseconds): void {
    try {
      this.tick(now_ns, late_ns);
    } catch (caught) {
      this.inference.forget();
      this.supervisor.trouble('internal_error', asTendonError(caught, 'control').message);
    }
  }

  /** One control period. */
  private tick(now_ns: Nanoseconds, late_ns: Nanoseconds): void {
    const { supervisor, options, commands } = this;
    const { lost, fault: sink_fault } = commands.look();
    const observation = options.robot.latest();
    this.tap?.tick(now_ns, late_ns, observation);
    // Commands begin anew, and at a position that was measured after whatever happened.
    if (lost && this.rebase_ns !== Number.POSITIVE_INFINITY) this.rebase_ns = now_ns;
    this.watchClock(now_ns);
    if (sink_fault !== '') supervisor.trouble('send_failed', sink_fault);
    if (commands.halts(now_ns, this.reachable)) return;
    const fault = this.connected
      ? observationFault(observation, now_ns, this.command.length, options)
      : 'robot_lost';
    if (fault !== undefined) {
      if (supervisor.state === 'RUNNING' || supervisor.state === 'TELEOP' || supervisor.state === 'READY')
        supervisor.trouble(fault, fault === 'robot_lost' ? this.lostCause : '');
      this.inference.forgetAll();
      this.outage.goesOn(now_ns);
      commands.brake(now_ns, this.reachable);
      return;
    }
    this.outage.ends(now_ns);
    if (supervisor.state === 'INIT') supervisor.event('observed', 'ready');
    if (this.rebase_ns !== undefined) {
      // What is under way is braked meanwhile.
      if (observation!.stamp_ns <= this.rebase_ns) {
        commands.brake(now_ns, this.reachable);
        return;
      }
      this.rebase_ns = undefined;
    }
    const silent = this.people.silent(now_ns);
    if (silent !== undefined) this.holdFor(silent);
    this.inference.keep(observation!, now_ns);
    commands.act(observation!, now_ns, this.player, () => {
      supervisor.trouble('chunk_underrun');
      this.inference.forget();
    });
  }

  /** After a pause of this process or a jump of its clock the robot may be anywhere, and nobody watched it. */
  private watchClock(now_ns: Nanoseconds): void {
    const since_ns = now_ns - this.ticked_ns;
    this.ticked_ns = now_ns;
    if (since_ns >= 0 && since_ns <= PAUSE_PERIODS * this.period_ns) return;
    // Not before `reset`, where the robot is suspended.
    if (this.rebase_ns !== Number.POSITIVE_INFINITY) this.rebase_ns = now_ns;
    if (since_ns >= 0 && since_ns <= JUMP_PERIODS * this.period_ns) return;
    this.inference.forgetAll();
    const { state } = this.supervisor;
    if (state === 'RUNNING' || state === 'TELEOP' || state === 'READY')
      this.supervisor.trouble('clock_jump', `${Math.round(since_ns / NS_PER_MS)} ms`);
    this.outage.paused(since_ns);
  }
}
