// Inference beside the control loop: one at a time, asked for as far ahead as it takes, its chunk joined to the one in
// force. What was asked before a hold, a stop or a reset is never acted on.

import { Emitter } from '../base/index.js';
import {
  type ActionChunk,
  asTendonError,
  type ChunkMode,
  type ControlTap,
  type Nanoseconds,
  NS_PER_MS,
  NS_PER_S,
  type Observation,
  type PolicyState,
} from '../types/index.js';
import { InferenceDelay } from './delay.js';
import type { ControllerOptions } from './options.js';
import { overlapFor } from './overlap.js';
import type { Overlap } from './overlap-kind.js';
import { ChunkPlayer } from './player.js';
import type { SharedControl } from './shared-control.js';
import type { LoopStats } from './stats.js';
import type { Supervisor } from './supervisor.js';
import { ObservationWindow } from './window.js';

/** Consecutive failed inferences that the chunk in force may bridge before the robot is held. */
const FAILURES_BRIDGED = 2;

/** What inference needs of the controller around it. */
export interface InferenceHost {
  readonly options: ControllerOptions;
  readonly supervisor: Supervisor;
  readonly stats: LoopStats;
  readonly shared: SharedControl;
  readonly tap: ControlTap | undefined;
  /** The last command, (action_dim). */
  readonly command: Float64Array;
  /** Whether nothing forbids going on by itself from a fault that has passed. */
  mayRecover(): boolean;
  /** The chunk now in force. */
  follow(chunk: ActionChunk, period_ns: Nanoseconds): void;
}

export class Inference {
  readonly player: ChunkPlayer;
  private readonly window: ObservationWindow;
  private readonly overlap: Overlap;
  private readonly delay = new InferenceDelay();
  private readonly scratch: Float64Array;
  private readonly chunks = new Emitter<ActionChunk>('chunks');
  private readonly row_ns: Nanoseconds;
  private readonly tick_ns: Nanoseconds;
  private running: AbortController | undefined;
  private asked_ns = 0;
  private failures = 0;
  /** One more with every hold, stop, reset and outage. What was asked in one counts in no other. */
  private epoch = 0;
  /** What the policy carries on from its last answer of this epoch. */
  private state: PolicyState | undefined;

  constructor(private readonly host: InferenceHost) {
    const { robot, policy, rate_hz, interpolation, rotations, chunks } = host.options;
    this.tick_ns = Math.round(NS_PER_S / rate_hz);
    this.row_ns = NS_PER_S / (policy.spec.rate_hz ?? rate_hz);
    this.player = new ChunkPlayer(this.row_ns, interpolation, rotations);
    this.overlap = overlapFor(modeOf(chunks, policy.spec.ensemble), this.row_ns);
    this.window = new ObservationWindow(policy.spec.n_obs_steps, this.row_ns);
    this.scratch = new Float64Array(robot.action_dim);
  }

  onChunk(listener: (chunk: ActionChunk) => void): () => void {
    return this.chunks.on(listener);
  }

  /** Nothing inferred from here back is acted on any more. */
  forget(): void {
    this.epoch++;
    this.state = undefined;
    this.player.clear();
    this.overlap.reset();
  }

  /** Nothing seen from here back is looked at any more either. */
  forgetAll(): void {
    this.forget();
    this.window.clear();
  }

  abort(): void {
    this.running?.abort();
  }

  /** Starts an inference when the chunk in force will soon have been played as far as it should be. */
  keep(observation: Observation, now_ns: Nanoseconds): void {
    const { player } = this;
    const { supervisor, options, shared, stats } = this.host;
    this.window.push(observation);
    if (supervisor.state === 'STOPPED' || supervisor.heldByOperator) return;
    if (supervisor.state === 'TELEOP' && !shared.asksPolicy) return;
    if (this.running !== undefined) {
      if (now_ns - this.asked_ns > options.inference_ms * NS_PER_MS && !this.running.signal.aborted) {
        this.running.abort();
        if (supervisor.state === 'RUNNING')
          supervisor.trouble('inference_late', `${options.inference_ms} ms`);
        this.forget();
      }
      return;
    }
    const { spec } = options.policy;
    const execute = options.execute ?? this.overlap.execute(spec.n_action_steps, spec.horizon);
    const ready_ns = player.played(now_ns) * this.row_ns + this.delay.expected_ns + this.tick_ns;
    if (ready_ns < execute * this.row_ns) return;
    const window = this.window.window();
    stats.windows_unfilled = this.window.unfilled;
    if (window !== undefined) void this.infer(window, now_ns);
  }

  /** Alarms are counted, whether or not they hold. */
  private warn({ steering }: ActionChunk): void {
    const { supervisor } = this.host;
    if (steering?.monitors.some(({ alarm }) => alarm)) supervisor.count('monitor_alarm');
    if (steering !== undefined && Object.keys(steering.skipped).length > 0) supervisor.count('part_skipped');
  }

  /** A part lets nothing be played. While a person drives they go on; what a monitor held is a person's to end. */
  private holdFor(why: string, asks_person: boolean): void {
    const { supervisor } = this.host;
    if (supervisor.state === 'TELEOP') return;
    if (asks_person) {
      supervisor.event('hold', why);
      this.forget();
    } else if (supervisor.state === 'RUNNING') {
      supervisor.trouble('part_held', why);
      this.forget();
    }
  }

  private async infer(seen: readonly Observation[], asked_ns: Nanoseconds): Promise<void> {
    const window = told(seen, this.host.options.task?.());
    const { options, supervisor, shared, stats, tap, command } = this.host;
    const abort = new AbortController();
    const epoch = this.epoch;
    this.running = abort;
    this.asked_ns = asked_ns;
    try {
      const goal = options.goal?.();
      const { candidates } = this.overlap;
      const steered = supervisor.state === 'TELEOP' ? shared.prefix(command) : undefined;
      const prefix =
        steered ??
        this.overlap.prefix?.(
          this.player.current,
          window.at(-1)!.stamp_ns,
          asked_ns + this.delay.expected_ns,
        );
      tap?.asked(asked_ns, window, goal);
      const chunk = await options.policy.infer(window, {
        signal: abort.signal,
        ...(goal === undefined ? {} : { goal }),
        ...(prefix === undefined ? {} : { prefix }),
        ...(candidates === undefined ? {} : { candidates }),
        ...(this.player.current === undefined ? {} : { playing: this.player.current }),
        budget_ms: options.inference_ms,
        arrives_ns: asked_ns + this.delay.expected_ns,
        state: this.state,
      });
      const now_ns = options.clock.now_ns();
      stats.inferred(now_ns - asked_ns);
      this.delay.push(now_ns - asked_ns);
      // What was asked before a hold, stop or reset is not acted on.
      if (epoch !== this.epoch) return tap?.answered(now_ns, 'forgotten', chunk, '');
      const latest_ns = now_ns + options.freshness_ms * NS_PER_MS;
      const fault = faultOfChunk(chunk, this.scratch.length, latest_ns);
      if (fault !== undefined) throw new Error(fault);
      this.failures = 0;
      this.state = chunk.state;
      const held = chunk.steering?.hold;
      tap?.answered(now_ns, held === undefined ? 'used' : 'held', chunk, held ?? '');
      this.warn(chunk);
      if (held !== undefined) return this.holdFor(held, chunk.steering?.ask_person === true);
      const joined = this.overlap.merge(chunk, this.player.current);
      this.player.accept(joined, now_ns, this.scratch);
      if (this.host.mayRecover()) supervisor.event('recovered', 'running again');
      this.host.follow(joined, this.row_ns);
      const before = this.chunks.errors;
      this.chunks.emit(joined);
      this.host.stats.listener_errors += this.chunks.errors - before;
    } catch (caught) {
      const gone = abort.signal.aborted || epoch !== this.epoch;
      const { message } = asTendonError(caught, 'inference');
      tap?.answered(options.clock.now_ns(), gone ? 'cancelled' : 'failed', undefined, message);
      if (gone) return;
      this.failures++;
      if (this.failures > FAILURES_BRIDGED && supervisor.state === 'RUNNING') {
        supervisor.trouble('inference_failed', message);
        this.forget();
      } else supervisor.count('inference_failed');
    } finally {
      if (this.running === abort) this.running = undefined;
    }
  }
}

/** A checkpoint that asks for an ensemble gets one, unless the robot file asks for another way of joining chunks. */
function modeOf(mode: ChunkMode | undefined, ensemble: number | undefined): ChunkMode {
  if (mode !== undefined && mode.mode !== 'receding') return mode;
  return ensemble === undefined ? { mode: 'receding' } : { mode: 'ensemble', coeff: ensemble };
}

/** What is wrong with a chunk for a robot of `joints` that may begin at `latest_ns` or before, or undefined. */
function faultOfChunk(chunk: ActionChunk, joints: number, latest_ns: Nanoseconds): string | undefined {
  const { action_dim, horizon, actions, stamp_ns, period_ns, candidates, n_candidates } = chunk;
  if (action_dim !== joints || actions.length !== horizon * action_dim)
    return `the chunk is ${horizon} × ${action_dim} in ${actions.length} numbers, the robot has ${joints} joints`;
  if (!Number.isInteger(horizon)) return `the chunk has ${horizon} rows`;
  if (!Number.isFinite(stamp_ns) || !(period_ns >= 0 && period_ns < Number.POSITIVE_INFINITY))
    return 'the chunk has no valid stamp or period';
  // Its first row would be held until then, and nothing else asked for.
  if (stamp_ns > latest_ns) return 'the chunk has a stamp from the future';
  if (!actions.every(Number.isFinite)) return 'the chunk has numbers that are not finite';
  // One of these may be chosen instead.
  if (candidates === undefined) return undefined;
  if (!(n_candidates >= 1) || candidates.length !== n_candidates * actions.length)
    return `the chunk has ${n_candidates} candidates in ${candidates.length} numbers`;
  return candidates.every(Number.isFinite) ? undefined : 'a candidate has numbers that are not finite';
}

/** The window with the task in its newest observation, so that who records the one has the other. */
function told(window: readonly Observation[], task: string | undefined): readonly Observation[] {
  const newest = window.at(-1);
  if (task === undefined || newest === undefined) return window;
  return [...window.slice(0, -1), { ...newest, texts: { ...newest.texts, task } }];
}
