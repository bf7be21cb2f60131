// The controller node: at each tick it reads the clock once, looks at the newest observation, takes the action in
// force from the chunk, and lets the supervisor and the limits have the last word. Inference runs beside it, one at a
// time; nothing in a tick waits for anything.

import {
  type ActionChunk,
  asTendonError,
  type ChunkMode,
  type Clock,
  type Command,
  type CommandQuantity,
  type ControlInput,
  type ControlTap,
  type Goal,
  type Interpolation,
  type Nanoseconds,
  NS_PER_MS,
  NS_PER_S,
  type Observation,
  type Policy,
  type Robot,
  type Rotation,
  type TeleopShare,
  type Workspace,
} from '../types/index.js';
import { InferenceDelay } from './delay.js';
import { ObservationHistory } from './history.js';
import { LIMITED, Limiter, type Limits } from './limiter.js';
import { type Overlap, overlapFor } from './overlap.js';
import { type PlanAhead, planAhead } from './plan-ahead.js';
import { ChunkPlayer } from './player.js';
import { SharedControl } from './shared-control.js';
import { LoopStats } from './stats.js';
import { INTERVENTIONS, Supervisor } from './supervisor.js';
import { guarded } from './tap.js';
import { WorkspaceGuard } from './workspace.js';

export interface ControllerOptions {
  readonly robot: Robot;
  readonly policy: Policy;
  readonly clock: Clock;
  readonly limits: Limits;
  /** Commands per second. */
  readonly rate_hz: number;
  /** Observation whose first action_dim values are the measured joint positions. */
  readonly position_key: string;
  /** Oldest observation that may be acted on. */
  readonly freshness_ms: number;
  /** Longest an inference may take. */
  readonly inference_ms: number;
  /** How long a command is good for. */
  readonly lifetime_ms: number;
  /** Rows of a chunk to play before the next takes over; what the checkpoint and the mode say when absent. */
  readonly execute?: number | undefined;
  /** Between the rows of a chunk; hold when absent. */
  readonly interpolation?: Interpolation | undefined;
  /** Orientations in a command, which turn instead. */
  readonly rotations?: readonly Rotation[] | undefined;
  /** What is played where chunks overlap; receding when absent. */
  readonly chunks?: ChunkMode | undefined;
  /** Where the tip of the arm may be; anywhere when absent. */
  readonly workspace?: Workspace | undefined;
  /** How a person who drives shares the robot with the policy; take_over when absent. */
  readonly teleop?: TeleopShare | undefined;
  /** Holds when `operatorBeat` was not called for this long; without it nobody needs to be there. */
  readonly operator_timeout_ms?: number | undefined;
  /** What the numbers of a command are; positions when absent. Who holds a velocity commands zero. */
  readonly quantity?: CommandQuantity | undefined;
  /** Publishes nothing: everything runs but Robot.send. */
  readonly dry_run?: boolean | undefined;
  readonly goal?: () => Goal | undefined;
  /** Told everything that comes in and goes out. */
  readonly tap?: ControlTap | undefined;
}

/** Consecutive failed inferences that the chunk in force may bridge before the robot is held. */
const FAILURES_BRIDGED = 2;
/** A tick this many periods late is a clock that jumped (or a process that slept), not a busy machine. */
const JUMP_PERIODS = 25;

export class Controller {
  readonly supervisor = new Supervisor();
  readonly stats = new LoopStats();
  readonly player: ChunkPlayer;
  private readonly limiter: Limiter;
  private readonly history: ObservationHistory;
  private readonly desired: Float64Array;
  private readonly commands: readonly [Command, Command];
  private turn = 0;
  private readonly period_ns: Nanoseconds;
  private running = false;
  private loop: Promise<void> | undefined;
  private inferring: AbortController | undefined;
  private asked_ns = 0;
  private failures = 0;
  private epoch = 0;
  private connected = false;
  private lostCause = 'not connected yet';
  private readonly delay = new InferenceDelay();
  private readonly overlap: Overlap;
  private unsubscribe: (() => void) | undefined;
  private readonly chunkListeners = new Set<(chunk: ActionChunk) => void>();
  private readonly shared: SharedControl;
  private readonly guard: WorkspaceGuard | undefined;
  /** The operator took over from a running policy, which goes on when they give back. */
  private interrupted = false;
  private beat_ns = Number.NEGATIVE_INFINITY;
  /** Nothing is sent before an observation later than this; the first one is where commands begin anew. */
  private rebase_ns: Nanoseconds | undefined;
  /** Periods in which a stop is still to be told. */
  private halts = 0;
  /** Nothing was sent since a fault: the robot may be elsewhere by now. */
  private silent = false;
  private readonly tap: ControlTap | undefined;

  constructor(private readonly options: ControllerOptions) {
    const { robot, policy, rate_hz } = options;
    const dim = robot.action_dim;
    this.period_ns = Math.round(NS_PER_S / rate_hz);
    const policy_period_ns = NS_PER_S / (policy.spec.rate_hz ?? rate_hz);
    this.player = new ChunkPlayer(policy_period_ns, options.interpolation, options.rotations);
    this.overlap = overlapFor(options.chunks ?? { mode: 'receding' }, policy_period_ns);
    this.shared = new SharedControl(options.teleop ?? { kind: 'take_over' }, policy_period_ns);
    this.limiter = new Limiter(options.limits, new Float64Array(dim));
    this.guard = options.workspace && new WorkspaceGuard(options.workspace, options.limits, dim);
    this.history = new ObservationHistory(policy.spec.n_obs_steps, policy_period_ns);
    this.desired = new Float64Array(dim);
    const command = (): Command => ({ stamp_ns: 0, expires_ns: 0, values: new Float64Array(dim) });
    this.commands = [command(), command()];
    if (options.tap !== undefined)
      this.tap = guarded(options.tap, () => {
        this.stats.listener_errors++;
      });
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
    this.inferring?.abort();
    this.unsubscribe?.();
    await this.loop;
    if (this.velocities && this.connected) this.halt(this.options.clock.now_ns());
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
    this.forgetChunk();
  }

  /** Somebody is there who could stop the robot. */
  operatorBeat(): void {
    this.beat_ns = this.heard({ kind: 'beat' });
  }

  /** Before the robot is moved by other hands (a reset): sends nothing until `reset` and a later observation. */
  suspend(): void {
    this.heard({ kind: 'suspend' });
    this.rebase_ns = Number.POSITIVE_INFINITY;
    this.forgetChunk();
  }

  /** Clears a stop, forgets the episode and restarts the policy's noise at `seed`. */
  reset(seed: number): void {
    this.rebase_ns = this.heard({ kind: 'reset', seed });
    this.supervisor.event('reset', 'reset');
    this.forgetChunk();
    this.history.clear();
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
      this.forgetChunk();
      const released = supervisor.event('release', 'given back by the operator');
      if (released && this.interrupted) supervisor.event('resume', 'given back by the operator');
      return released;
    }
    if (values.length !== this.desired.length || !values.every(Number.isFinite)) return false;
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
    this.chunkListeners.add(listener);
    return () => this.chunkListeners.delete(listener);
  }

  /** The last command that was computed, (action_dim). */
  get command(): Float64Array {
    return this.limiter.previous;
  }

  /** Whether the last command was one of motion. */
  get underWay(): boolean {
    return this.velocities ? this.limiter.previous.some((v) => v !== 0) : this.limiter.moving;
  }

  /** What will be commanded from here on if nothing changes, for `ahead_ns`, and then braking. */
  planAhead(ahead_ns: Nanoseconds): PlanAhead {
    const { limiter, player, shared, options, period_ns } = this;
    const ghost = new Limiter(options.limits, new Float64Array(limiter.previous.length));
    ghost.copy(limiter);
    const { state } = this.supervisor;
    return planAhead(ghost, options.clock.now_ns(), period_ns, ahead_ns, (at_ns, out) => {
      const last = ghost.previous;
      const has_action = state !== 'HOLD' && player.at(at_ns, out);
      if (!has_action) out.set(last);
      if (state === 'TELEOP' && shared.target !== undefined)
        shared.mix(out, has_action, last, player.current, at_ns);
      if (this.guard?.keep(ghost, out, period_ns / NS_PER_S)) out.set(last);
    });
  }

  /** Tells the tap of something from outside; what is now for it. */
  private heard(input: ControlInput): Nanoseconds {
    const now_ns = this.options.clock.now_ns();
    this.tap?.input(input, now_ns);
    return now_ns;
  }

  private holdFor(cause: string): void {
    this.supervisor.event('hold', cause);
    this.forgetChunk();
  }

  private async run(): Promise<void> {
    const { clock } = this.options;
    let due_ns = this.heard({ kind: 'started' });
    while (this.running) {
      await clock.sleepUntil(due_ns);
      if (!this.running) break;
      const now_ns = clock.now_ns();
      const missed = this.stats.tick(now_ns - due_ns, this.period_ns);
      if (missed > JUMP_PERIODS || now_ns < due_ns - this.period_ns)
        this.supervisor.trouble('clock_jump', `${Math.round((now_ns - due_ns) / NS_PER_MS)} ms`);
      // The process may be holding an arm up: whatever goes wrong in one tick, there is a next one.
      try {
        this.tick(now_ns, now_ns - due_ns);
      } catch (caught) {
        this.forgetChunk();
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
      this.forgetChunk();
      this.history.clear();
      this.brake(now_ns);
      return;
    } else if (supervisor.state === 'INIT') {
      this.limiter.restart(observation!.values[options.position_key]!);
      supervisor.event('observed', 'ready');
    }
    if (this.rebase_ns !== undefined) {
      if (observation!.stamp_ns <= this.rebase_ns) return;
      this.rebase_ns = undefined;
      this.limiter.restart(observation!.values[options.position_key]!);
    }
    if (this.silent) {
      this.silent = false;
      this.limiter.rejoin(observation!.values[options.position_key]!);
    }
    this.watchOperator(now_ns);
    this.keepInferring(observation!, now_ns);
    this.act(observation!, now_ns);
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
    const { limiter } = this;
    if (this.stopsVelocities(now_ns)) return;
    if (this.velocities && !this.connected) limiter.restart(this.desired.fill(0));
    if (!this.connected || this.rebase_ns !== undefined || this.supervisor.state !== 'HOLD') limiter.rest();
    if (!this.underWay) {
      this.silent = true;
      return;
    }
    this.stay();
    this.send(now_ns);
  }

  /**
   * A base that was told a speed goes on at it until told otherwise, so a stop is told for as long as a command is good
   * for, where an arm is told nothing more. True when this period was one of it.
   */
  private stopsVelocities(now_ns: Nanoseconds): boolean {
    if (!this.velocities || this.supervisor.state !== 'STOPPED' || !this.connected) return false;
    if (this.underWay) this.halts = Math.ceil((this.options.lifetime_ms * NS_PER_MS) / this.period_ns);
    if (this.halts <= 0) return false;
    this.halts--;
    this.halt(now_ns);
    return true;
  }

  /** Commands no velocity at all, at once. */
  private halt(now_ns: Nanoseconds): void {
    this.limiter.restart(this.desired.fill(0));
    this.send(now_ns);
  }

  private get velocities(): boolean {
    return this.options.quantity === 'velocity';
  }

  /** Desires to be where the last command was, or not to move. */
  private stay(): void {
    if (this.velocities) this.desired.fill(0);
    else this.desired.set(this.limiter.previous);
  }

  private faultOf(observation: Observation | undefined, now_ns: Nanoseconds) {
    if (!this.connected || observation === undefined) return 'robot_lost' as const;
    // A stamp from the future is as little to be trusted as one from long ago.
    if (Math.abs(now_ns - observation.stamp_ns) > this.options.freshness_ms * NS_PER_MS)
      return 'observation_stale' as const;
    const position = observation.values[this.options.position_key];
    if (position === undefined || position.length < this.desired.length)
      return 'observation_invalid' as const;
    for (const key in observation.values) {
      const values = observation.values[key]!;
      for (let i = 0; i < values.length; i++)
        if (!Number.isFinite(values[i]!)) return 'observation_invalid' as const;
    }
    return undefined;
  }

  /** Computes and sends the command of this period. */
  private act(observation: Observation, now_ns: Nanoseconds): void {
    const { supervisor, player, desired, limiter } = this;
    const state = supervisor.state;
    if (this.stopsVelocities(now_ns)) return;
    if (state === 'INIT' || state === 'STOPPED') return;
    if (state === 'READY') {
      // Not driving: the command follows the robot, so that the first one starts where it is.
      limiter.restart(observation.values[this.options.position_key]!);
      return;
    }
    const has_action = player.at(now_ns, desired);
    if (state === 'TELEOP' && this.shared.target !== undefined) {
      this.shared.mix(desired, has_action, limiter.previous, player.current, now_ns);
    } else if (state === 'RUNNING' && has_action) {
      if (player.played(now_ns) > 0) this.stats.played();
    } else if (state === 'RUNNING' && player.current !== undefined) {
      supervisor.trouble('chunk_underrun');
      this.forgetChunk();
      this.stay();
    } else {
      // Holding, or the first chunk is still being made: stay, by way of the limits.
      this.stay();
    }
    this.stayNear(observation.values[this.options.position_key]!);
    if (this.guard?.keep(limiter, desired, this.period_ns / NS_PER_S)) supervisor.count('workspace_limited');
    this.send(now_ns);
  }

  /** Keeps targets near where the robot is: one that is blocked must not be left far behind and then let go. */
  private stayNear(measured: Float32Array): void {
    const step = this.options.limits.step_from_measured;
    if (step === undefined) return;
    let far = false;
    for (let i = 0; i < step.length; i++) {
      const kept = Math.min(measured[i]! + step[i]!, Math.max(measured[i]! - step[i]!, this.desired[i]!));
      // What is not finite is the limiter's to refuse.
      far ||= kept !== this.desired[i]! && Number.isFinite(this.desired[i]!);
      if (Number.isFinite(this.desired[i]!)) this.desired[i] = kept;
    }
    if (far) this.supervisor.count('step_limited');
  }

  /** What is desired, within the limits. */
  private send(now_ns: Nanoseconds): void {
    const { supervisor, desired, limiter, options } = this;
    const command = this.commands[this.turn++ & 1]!;
    const bits = limiter.limit(desired, this.period_ns / NS_PER_S, command.values);
    if (bits !== 0) this.countLimits(bits);
    (command as { stamp_ns: number }).stamp_ns = now_ns;
    (command as { expires_ns: number }).expires_ns = now_ns + options.lifetime_ms * NS_PER_MS;
    const sent = options.dry_run !== true && options.robot.send(command);
    if (sent) this.stats.sent();
    else if (options.dry_run !== true) supervisor.count('send_failed');
    this.tap?.command(
      command.values,
      command.expires_ns,
      sent ? 'sent' : options.dry_run ? 'dry' : 'refused',
    );
  }

  private countLimits(bits: number): void {
    const { supervisor } = this;
    if (bits & LIMITED.position) supervisor.count('position_limited');
    if (bits & LIMITED.velocity) supervisor.count('velocity_limited');
    if (bits & LIMITED.acceleration) supervisor.count('acceleration_limited');
    if (bits & LIMITED.jerk) supervisor.count('jerk_limited');
    if (bits & LIMITED.not_finite) supervisor.trouble('command_not_finite');
  }

  /** Starts an inference when the chunk in force will soon have been played as far as it should be. */
  private keepInferring(observation: Observation, now_ns: Nanoseconds): void {
    const { supervisor, options, player } = this;
    this.history.push(observation);
    if (supervisor.state === 'STOPPED' || supervisor.heldByOperator) return;
    if (supervisor.state === 'TELEOP' && !this.shared.asksPolicy) return;
    if (this.inferring !== undefined) {
      if (now_ns - this.asked_ns > options.inference_ms * NS_PER_MS && !this.inferring.signal.aborted) {
        this.inferring.abort();
        if (supervisor.state === 'RUNNING')
          supervisor.trouble('inference_late', `${options.inference_ms} ms`);
        this.forgetChunk();
      }
      return;
    }
    const { spec } = options.policy;
    const execute = options.execute ?? this.overlap.execute(spec.n_action_steps, spec.horizon);
    const period_ns = NS_PER_S / (spec.rate_hz ?? options.rate_hz);
    if (player.played(now_ns) * period_ns + this.delay.expected_ns + this.period_ns < execute * period_ns)
      return;
    const window = this.history.window();
    if (window !== undefined) void this.infer(window, now_ns);
  }

  private async infer(window: readonly Observation[], asked_ns: Nanoseconds): Promise<void> {
    const { options, supervisor } = this;
    const abort = new AbortController();
    const epoch = this.epoch;
    this.inferring = abort;
    this.asked_ns = asked_ns;
    try {
      const goal = options.goal?.();
      const { candidates } = this.overlap;
      const steered = supervisor.state === 'TELEOP' ? this.shared.prefix(this.limiter.previous) : undefined;
      const prefix =
        steered ??
        this.overlap.prefix?.(
          this.player.current,
          window.at(-1)!.stamp_ns,
          asked_ns + this.delay.expected_ns,
        );
      this.tap?.asked(asked_ns, window, goal);
      const chunk = await options.policy.infer(window, {
        signal: abort.signal,
        ...(goal === undefined ? {} : { goal }),
        ...(prefix === undefined ? {} : { prefix }),
        ...(candidates === undefined ? {} : { candidates }),
      });
      const now_ns = options.clock.now_ns();
      this.stats.inferred(now_ns - asked_ns);
      this.delay.push(now_ns - asked_ns);
      // What was asked before a hold, stop or reset is not acted on.
      if (epoch !== this.epoch) return this.tap?.answered(now_ns, 'forgotten', chunk, '');
      const fault = faultOfChunk(chunk, this.desired.length);
      if (fault !== undefined) throw new Error(fault);
      this.failures = 0;
      this.tap?.answered(now_ns, 'used', chunk, '');
      const joined = this.overlap.merge(chunk, this.player.current);
      this.player.accept(joined, now_ns, this.desired);
      supervisor.event('recovered', 'running again');
      this.tell(joined);
    } catch (caught) {
      const gone = abort.signal.aborted || epoch !== this.epoch;
      const { message } = asTendonError(caught, 'inference');
      this.tap?.answered(options.clock.now_ns(), gone ? 'cancelled' : 'failed', undefined, message);
      if (gone) return;
      this.failures++;
      if (this.failures > FAILURES_BRIDGED && supervisor.state === 'RUNNING') {
        supervisor.trouble('inference_failed', message);
        this.forgetChunk();
      } else supervisor.count('inference_failed');
    } finally {
      if (this.inferring === abort) this.inferring = undefined;
    }
  }

  /** Those who listen may fail without consequence for the robot. */
  private tell(chunk: ActionChunk): void {
    for (const listener of this.chunkListeners) {
      try {
        listener(chunk);
      } catch {
        this.stats.listener_errors++;
      }
    }
  }

  /** Nothing inferred from here back is acted on any more. */
  private forgetChunk(): void {
    this.epoch++;
    this.player.clear();
    this.overlap.reset();
  }
}

/** What is wrong with a chunk for a robot of `joints`, or undefined. */
function faultOfChunk(chunk: ActionChunk, joints: number): string | undefined {
  const { action_dim, horizon, actions, stamp_ns, period_ns } = chunk;
  if (action_dim !== joints || actions.length !== horizon * action_dim)
    return `the chunk is ${horizon} × ${action_dim} in ${actions.length} numbers, the robot has ${joints} joints`;
  if (!Number.isFinite(stamp_ns) || !(period_ns >= 0)) return 'the chunk has no valid stamp or period';
  return actions.every(Number.isFinite) ? undefined : 'the chunk has numbers that are not finite';
}
