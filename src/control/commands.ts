// One command a period: what is desired in this state, kept near the robot, inside the workspace and within the limits,
// and sent or dropped.

import {
  type Command,
  type ControlTap,
  type Nanoseconds,
  NS_PER_MS,
  NS_PER_S,
  type Observation,
} from '../types/index.js';
import { LIMITED, Limiter } from './limiter.js';
import type { ControllerOptions } from './options.js';
import { type PlanAhead, planAhead } from './plan-ahead.js';
import type { ChunkPlayer } from './player.js';
import type { SharedControl } from './shared-control.js';
import type { LoopStats } from './stats.js';
import type { Supervisor } from './supervisor.js';
import { WorkspaceGuard } from './workspace.js';

/** What commands need of the controller around them. */
export interface CommandsHost {
  readonly options: ControllerOptions;
  readonly supervisor: Supervisor;
  readonly stats: LoopStats;
  readonly shared: SharedControl;
  readonly tap: ControlTap | undefined;
}

export class Commands {
  private readonly limiter: Limiter;
  private readonly guard: WorkspaceGuard | undefined;
  private readonly desired: Float64Array;
  /** The command before the newest: what the robot has where the newest does not reach it. */
  private readonly heard: Float64Array;
  private readonly both: readonly [Command, Command];
  private turn = 0;
  private readonly period_ns: Nanoseconds;
  /** Nobody drove in the last period. */
  private following = false;
  /** The last command did not reach the robot. */
  private unheard = false;
  /** Periods in which a stop is still to be told. */
  private halts = 0;

  constructor(private readonly host: CommandsHost) {
    const { robot, limits, workspace, rate_hz } = host.options;
    const dim = robot.action_dim;
    this.period_ns = Math.round(NS_PER_S / rate_hz);
    this.limiter = new Limiter(limits, new Float64Array(dim));
    this.guard = workspace && new WorkspaceGuard(workspace, limits, dim);
    this.desired = new Float64Array(dim);
    this.heard = new Float64Array(dim);
    const command = (): Command => ({ stamp_ns: 0, expires_ns: 0, values: new Float64Array(dim) });
    this.both = [command(), command()];
  }

  /** The last command that was computed, (action_dim). */
  get last(): Float64Array {
    return this.limiter.previous;
  }

  /** Whether the last command was one of motion. */
  get underWay(): boolean {
    return this.velocities ? this.last.some((v) => v !== 0) : this.limiter.moving;
  }

  get velocities(): boolean {
    return this.host.options.quantity === 'velocity';
  }

  /** Begins anew where the robot is, at rest. */
  begin(observation: Observation): void {
    this.limiter.restart(this.measured(observation));
  }

  /** After a silence: joints that have moved on begin anew where they are. */
  rejoin(observation: Observation): void {
    this.limiter.rejoin(this.measured(observation));
  }

  /** The command of a period with nothing wrong in it. `underrun` is called when the chunk in force is used up. */
  act(observation: Observation, now_ns: Nanoseconds, player: ChunkPlayer, underrun: () => void): void {
    const { desired, limiter } = this;
    const { supervisor, shared, stats } = this.host;
    const { state } = supervisor;
    if (state === 'INIT' || state === 'STOPPED') return;
    if (state === 'READY') {
      // Not driving: the command follows the robot, so that the first one starts where it is.
      this.begin(observation);
      this.following = true;
      return;
    }
    // Other hands may have moved it since the last period.
    if (this.following) this.begin(observation);
    else if (this.unheard) this.rejoin(observation);
    this.following = false;
    const driven = state === 'RUNNING' || (state === 'TELEOP' && shared.target !== undefined);
    const has_action = driven && player.at(now_ns, desired);
    // Holding, or the first chunk is still being made: stay, by way of the limits.
    if (!has_action) this.stay();
    if (state === 'TELEOP') shared.mix(desired, has_action, player.current, now_ns);
    else if (state === 'RUNNING' && has_action) {
      if (player.played(now_ns) > 0) stats.played();
    } else if (state === 'RUNNING' && player.current !== undefined) underrun();
    this.stayNear(this.measured(observation));
    if (this.guard?.keep(limiter, desired, this.period_ns / NS_PER_S)) supervisor.count('workspace_limited');
    this.send(now_ns);
  }

  /** Comes to rest within the limits, or at once where `let_go`; false when there is nothing to send any more. */
  brake(now_ns: Nanoseconds, connected: boolean, let_go: boolean): boolean {
    if (this.velocities && !connected) this.limiter.restart(this.desired.fill(0));
    if (!connected || let_go) this.limiter.rest();
    if (!this.underWay) return false;
    this.stay();
    this.send(now_ns);
    return true;
  }

  /**
   * A base that was told a speed goes on at it until told otherwise, so a stop is told for as long as a command is good
   * for, where an arm is told nothing more. True when this period was one of it.
   */
  stopsVelocities(now_ns: Nanoseconds, connected: boolean): boolean {
    const { supervisor, options } = this.host;
    if (!this.velocities || supervisor.state !== 'STOPPED' || !connected) return false;
    if (this.underWay) this.halts = Math.ceil((options.lifetime_ms * NS_PER_MS) / this.period_ns);
    if (this.halts <= 0) return false;
    this.halts--;
    this.halt(now_ns);
    return true;
  }

  /** Commands no velocity at all, at once. */
  halt(now_ns: Nanoseconds): void {
    this.limiter.restart(this.desired.fill(0));
    this.send(now_ns);
  }

  /** What will be commanded from here on if nothing changes, for `ahead_ns`, and then braking. */
  ahead(ahead_ns: Nanoseconds, player: ChunkPlayer): PlanAhead {
    const { limiter, period_ns } = this;
    const { options, shared, supervisor } = this.host;
    const ghost = new Limiter(options.limits, new Float64Array(limiter.previous.length));
    ghost.copy(limiter);
    const { state } = supervisor;
    return planAhead(ghost, options.clock.now_ns(), period_ns, ahead_ns, (at_ns, out) => {
      const last = ghost.previous;
      const driven = state === 'RUNNING' || (state === 'TELEOP' && shared.target !== undefined);
      const has_action = driven && player.at(at_ns, out);
      if (!has_action) out.set(last);
      if (state === 'TELEOP') shared.mix(out, has_action, player.current, at_ns);
      if (this.guard?.keep(ghost, out, period_ns / NS_PER_S)) out.set(last);
    });
  }

  private measured(observation: Observation): Float32Array {
    return observation.values[this.host.options.position_key]!;
  }

  /** Desires to be where the last command was, or not to move. */
  private stay(): void {
    if (this.velocities) this.desired.fill(0);
    else this.desired.set(this.last);
  }

  /** Keeps targets near where the robot is: one that is blocked must not be left far behind and then let go. */
  private stayNear(measured: Float32Array): void {
    const { desired } = this;
    const step = this.host.options.limits.step_from_measured;
    if (step === undefined) return;
    let far = false;
    for (let i = 0; i < step.length; i++) {
      const kept = Math.min(measured[i]! + step[i]!, Math.max(measured[i]! - step[i]!, desired[i]!));
      // What is not finite is the limiter's to refuse.
      far ||= kept !== desired[i]! && Number.isFinite(desired[i]!);
      if (Number.isFinite(desired[i]!)) desired[i] = kept;
    }
    if (far) this.host.supervisor.count('step_limited');
  }

  /** What is desired, within the limits. */
  private send(now_ns: Nanoseconds): void {
    const { supervisor, options, stats, tap } = this.host;
    const command = this.both[this.turn++ & 1]!;
    this.heard.set(this.last);
    const bits = this.limiter.limit(this.desired, this.period_ns / NS_PER_S, command.values);
    if (bits !== 0) this.countLimits(bits);
    (command as { stamp_ns: number }).stamp_ns = now_ns;
    (command as { expires_ns: number }).expires_ns = now_ns + options.lifetime_ms * NS_PER_MS;
    const fate = options.dry_run ? 'dry' : options.robot.send(command) ? 'sent' : 'refused';
    this.unheard = fate === 'refused';
    if (fate === 'sent') stats.sent();
    if (this.unheard) {
      supervisor.count('send_failed');
      // The next one starts from what the robot has, at rest.
      this.limiter.restart(this.heard);
    }
    tap?.command(command.values, command.expires_ns, fate);
  }

  private countLimits(bits: number): void {
    const { supervisor } = this.host;
    if (bits & LIMITED.position) supervisor.count('position_limited');
    if (bits & LIMITED.velocity) supervisor.count('velocity_limited');
    if (bits & LIMITED.acceleration) supervisor.count('acceleration_limited');
    if (bits & LIMITED.jerk) supervisor.count('jerk_limited');
    if (bits & LIMITED.not_finite) supervisor.trouble('command_not_finite');
  }
}
