// The controller node: at each tick it reads the clock once, looks at the newest observation, takes the action in
// force from the chunk, and lets the supervisor and the limits have the last word. Inference runs beside it, one at a
// time; nothing in a tick waits for anything.

import {
  type ActionChunk,
  asTendonError,
  type ControlInput,
  type ControlState,
  type ControlTap,
  type Nanoseconds,
  NS_PER_MS,
  NS_PER_S,
  type Observation,
  type TeleopShare,
} from '../types/index.js';
import { Commands } from './commands.js';
import { Inference } from './inference.js';
import type { ControllerOptions } from './options.js';
import type { PlanAhead } from './plan-ahead.js';
import type { ChunkPlayer } from './player.js';
import { SharedControl } from './shared-control.js';
import { LoopStats } from './stats.js';
import { INTERVENTIONS, Supervisor } from './supervisor.js';
import { guarded } from './tap.js';

/** A tick this many periods late is a clock that jumped (or a process that slept), not a busy machine. */
const JUMP_PERIODS = 25;

export class Controller {
  readonly supervisor = new Supervisor();
  readonly stats = new LoopStats();
  /** How a person shares the robot with the policy; their target is set by `takeOver`. */
  readonly shared: SharedControl;
  readonly tap: ControlTap | undefined;
  private readonly commands: Commands;
  private readonly inference: Inference;
  private readonly period_ns: Nanoseconds;
  private running = false;
  private loop: Promise<void> | undefined;
  private connected = false;
  private lostCause = 'not connected yet';
  private unsubscribe: (() => void) | undefined;
  /** The operator took over from a running policy, which goes on when they give back. */
  private interrupted = false;
  private beat_ns = Number.NEGATIVE_INFINITY;
  /** Nothing is sent before an observation later than this; the first one is where commands begin anew. */
  private rebase_ns: Nanoseconds | undefined;
  /** Nothing was sent since a fault: the robot may be elsewhere by now. */
  private silent = false;

  constructor(readonly options: ControllerOptions) {
    const { policy, rate_hz, tap, teleop } = options;
    this.period_ns = Math.round(NS_PER_S / rate_hz);
    this.shared = new SharedControl(
      teleop ?? { kind: 'take_over' },
      NS_PER_S / (policy.spec.rate_hz ?? rate_hz),
    );
    if (tap !== undefined)
      this.tap = guarded(tap, () => {
        this.stats.listener_errors++;
      });
    this.commands = new Commands(this);
    this.inference = new Inference(this);
  }

  /** What is being played. */
  get player(): ChunkPlayer {
    return this.inference.player;
  }

  /** Starts the loop; resolves at once. The robot should be connecting or connected. */
  start(): void {
    if (this.running) return;
    this.running = true;
    this.unsubscribe = this.options.robot.onStatus(({ connected, cause }) => {
      this.heard({ kind: 'status', connected, cause });
      this.connected = connected;
      this.lostCause = cause;
    });
    this.loop = this.run();
  }

  /** Ends the loop and whatever is being inferred; the robot is left to its own watchdog. */
  async stop(): Promise<void> {
    this.running = false;
    this.inference.abort();
    this.unsubscribe?.();
    await this.loop;
    if (this.commands.velocities && this.connected) this.commands.halt(this.options.clock.now_ns());
  }

  get state(): ControlState {
    return this.supervisor.state;
  }

  go(): void {
    this.heard({ kind: 'go' });
    this.supervisor.event('start', 'running');
  }

  hold(cause = 'held by the operator'): void {
    this.heard({ kind: 'hold', cause });
    this.holdFor(cause);
  }

  resume(): void {
    this.heard({ kind: 'resume' });
    this.supervisor.event('resume', 'resumed by the operator');
  }

  /** Latched: no command leaves until `reset`. In force from the next tick on at the latest. */
  emergencyStop(cause = 'stopped by the operator'): void {
    this.heard({ kind: 'stop', cause });
    this.supervisor.event('stop', cause);
    this.inference.forget();
  }

  /** Somebody is there who could stop the robot. */
  operatorBeat(): void {
    this.beat_ns = this.heard({ kind: 'beat' });
  }

  /** Before the robot is moved by other hands (a reset): sends nothing until `reset` and a later observation. */
  suspend(): void {
    this.heard({ kind: 'suspend' });
    this.rebase_ns = Number.POSITIVE_INFINITY;
    this.inference.forget();
  }

  /** Clears a stop, forgets the episode and restarts the policy's noise at `seed`. */
  reset(seed: number): void {
    this.rebase_ns = this.heard({ kind: 'reset', seed });
    this.supervisor.event('reset', 'reset');
    this.inference.forgetAll();
    this.options.policy.reset(seed);
  }

  /**
   * The operator's joint targets (action_dim) instead of the policy's; undefined gives back. False, and nothing
   * changes, for targets that are not as many finite numbers or in a state that nobody may take over in.
   */
  takeOver(values: readonly number[] | undefined): boolean {
    const { supervisor } = this;
    this.heard({ kind: 'take_over', values: values === undefined ? null : [...values] });
    if (values === undefined) {
      this.shared.target = undefined;
      this.inference.forget();
      const released = supervisor.event('release', 'given back by the operator');
      if (released && this.interrupted) supervisor.event('resume', 'given back by the operator');
      return released;
    }
    if (values.length !== this.command.length || !values.every(Number.isFinite)) return false;
    this.shared.target = Float64Array.from(values);
    const interrupts = supervisor.state === 'RUNNING';
    if (supervisor.event('engage', 'the operator drives')) this.interrupted = interrupts;
    return supervisor.state === 'TELEOP';
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
    return this.commands.ahead(ahead_ns, this.player);
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

  private async run(): Promise<void> {
    const { clock } = this.options;
    let due_ns = this.heard({ kind: 'started' });
    while (this.running) {
      await clock.sleepUntil(due_ns);
      if (!this.running) break;
      const now_ns = clock.now_ns();
      const missed = this.stats.tick(due_ns, now_ns - due_ns, this.period_ns);
      if (missed > JUMP_PERIODS || now_ns < due_ns - this.period_ns)
        this.supervisor.trouble('clock_jump', `${Math.round((now_ns - due_ns) / NS_PER_MS)} ms`);
      // The process may be holding an arm up: whatever goes wrong in one tick, there is a next one.
      try {
        this.tick(now_ns, now_ns - due_ns);
      } catch (caught) {
        this.inference.forget();
        this.silent = true;
        this.supervisor.trouble('internal_error', asTendonError(caught, 'control').message);
      }
      // Periods that are past are skipped, never replayed.
      due_ns += this.period_ns * (1 + Math.max(0, missed));
      if (due_ns < now_ns - this.period_ns || due_ns > now_ns + 2 * this.period_ns)
        due_ns = now_ns + this.period_ns;
    }
  }

  /** One control period. */
  private tick(now_ns: Nanoseconds, late_ns: Nanoseconds): void {
    const { supervisor, options } = this;
    const observation = options.robot.latest();
    this.tap?.tick(now_ns, late_ns, observation);
    const fault = this.faultOf(observation, now_ns);
    if (fault !== undefined) {
      if (supervisor.state === 'RUNNING' || supervisor.state === 'TELEOP' || supervisor.state === 'READY')
        supervisor.trouble(fault, fault === 'robot_lost' ? this.lostCause : '');
      this.inference.forgetAll();
      this.brake(now_ns);
      return;
    } else if (supervisor.state === 'INIT') {
      this.commands.begin(observation!);
      supervisor.event('observed', 'ready');
    }
    if (this.rebase_ns !== undefined) {
      if (observation!.stamp_ns <= this.rebase_ns) return;
      this.rebase_ns = undefined;
      this.commands.begin(observation!);
    }
    if (this.silent) {
      this.silent = false;
      this.commands.rejoin(observation!);
    }
    this.watchOperator(now_ns);
    this.inference.keep(observation!, now_ns);
    if (this.commands.stopsVelocities(now_ns, this.connected)) return;
    this.commands.act(observation!, now_ns, this.player, () => {
      supervisor.trouble('chunk_underrun');
      this.inference.forget();
    });
  }

  /** Holds as a person would when none is heard any more: only a person sets the robot going again. */
  private watchOperator(now_ns: Nanoseconds): void {
    const { supervisor } = this;
    const limit_ms = this.options.operator_timeout_ms;
    if (limit_ms === undefined || now_ns - this.beat_ns <= limit_ms * NS_PER_MS) return;
    if (supervisor.state !== 'RUNNING' && supervisor.state !== 'TELEOP') return;
    supervisor.count('operator_silent');
    this.holdFor(INTERVENTIONS.operator_silent);
  }

  /** Without an observation to act on: comes to rest within the limits, then sends nothing. */
  private brake(now_ns: Nanoseconds): void {
    const { commands, connected } = this;
    if (commands.stopsVelocities(now_ns, connected)) return;
    const let_go = this.rebase_ns !== undefined || this.supervisor.state !== 'HOLD';
    if (!commands.brake(now_ns, connected, let_go)) this.silent = true;
  }

  private faultOf(observation: Observation | undefined, now_ns: Nanoseconds) {
    if (!this.connected || observation === undefined) return 'robot_lost' as const;
    // A stamp from the future is as little to be trusted as one from long ago.
    if (Math.abs(now_ns - observation.stamp_ns) > this.options.freshness_ms * NS_PER_MS)
      return 'observation_stale' as const;
    const position = observation.values[this.options.position_key];
    if (position === undefined || position.length < this.command.length)
      return 'observation_invalid' as const;
    for (const key in observation.values) {
      const values = observation.values[key]!;
      for (let i = 0; i < values.length; i++)
        if (!Number.isFinite(values[i]!)) return 'observation_invalid' as const;
    }
    return undefined;
  }
}
