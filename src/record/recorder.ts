// Records a session as it happens: what the controller's tap and the supervisor tell is kept in memory for at most 50 ms,
// then handed to the writer's thread. On the control path this is a row of numbers per tick, and an object where something
// new came in.

import type { Worker } from 'node:worker_threads';
import type { Controller } from '../control/index.js';
import type { ExecutedCommand } from '../sinks/index.js';
import {
  type ActionChunk,
  type Answer,
  COMMAND_FATES,
  type CommandFate,
  type ControlInput,
  type ControlTap,
  type Goal,
  type Image,
  NS_PER_MS,
  type Observation,
  type SamplerChoice,
  type SteeringSetting,
  TendonError,
} from '../types/index.js';
import { startWorker } from '../types/package.js';
import type { ChannelName, SessionHeader, SessionSummary } from './events.js';
import {
  type FromWorker,
  type PostedEvent,
  TICK,
  TICK_COLUMNS,
  type ToWorker,
  type WorkerData,
} from './worker.js';

/** With as much again for the disk, no more than 100 ms are lost when the process is killed. */
const BATCH_MS = 50;
const BATCH_TICKS = 256;
/** What may wait for the disk: ten seconds of batches, and no more memory than this; the rest is left out and counted. */
const MOST_BEHIND = 200;
const MOST_BEHIND_BYTES = 256 * 1024 * 1024;
/** An event without a picture, roughly. */
const EVENT_BYTES = 512;

export interface RecorderOptions {
  /** Must not exist yet. */
  readonly file: string;
  readonly header: Omit<SessionHeader, 'format' | 'started' | 'epoch_ns'>;
  /** The sampler's choice in force. */
  readonly choice?: () => SamplerChoice;
  /** Of a policy with parts: what decides its next inference. */
  readonly setting?: () => SteeringSetting | undefined;
  /** Told, once, when the disk refuses; the session goes on without a recording. */
  readonly onFailure?: (sentence: string) => void;
}

/**
 * Writes everything that a controller sees and does to an MCAP file that replays bit for bit (docs/recording.md). Made by a
 * session.
 */
export class SessionRecorder implements ControlTap {
  private rows: Float64Array;
  private ticks = 0;
  /** The newest tick has no command yet. */
  private tick_open = false;
  private events: PostedEvent[] = [];
  private order = 0;
  private seen: Observation | undefined;
  private seenImages = new Map<string, Image>();
  private observations = 0;
  /** Bytes of each batch that waits for the disk, oldest first. */
  private readonly behind: number[] = [];
  private behind_bytes = 0;
  private event_bytes = 0;
  private left_out = 0;
  private failed = false;
  private closing: (() => void) | undefined;
  private readonly width: number;
  private readonly timer: NodeJS.Timeout;
  private controller: Controller | undefined;
  private intervened = 0;
  private readonly began_ms = performance.now();
  private readonly summary = { episodes: 0, successes: 0, takeovers: 0 };

  private constructor(
    private readonly options: RecorderOptions,
    private readonly worker: Worker,
    private readonly now_ns: () => number,
  ) {
    this.width = TICK_COLUMNS + options.header.action_dim;
    this.rows = new Float64Array(BATCH_TICKS * this.width);
    this.timer = setInterval(() => this.post(), BATCH_MS);
    this.timer.unref();
    worker.on('message', (message: FromWorker) => this.heard(message));
    worker.on('error', (cause) => this.fail(cause.message));
  }

  /** Throws `file_missing` when the file cannot be made or is there already. */
  static async open(options: RecorderOptions, now_ns: () => number): Promise<SessionRecorder> {
    const epoch_ns = BigInt(Date.now()) * BigInt(NS_PER_MS) - BigInt(Math.round(now_ns()));
    const header: SessionHeader = {
      format: 1,
      started: new Date().toISOString(),
      epoch_ns: String(epoch_ns),
      ...options.header,
    };
    const workerData: WorkerData = {
      file: options.file,
      header: JSON.stringify(header),
      epoch_ns,
      action_dim: header.action_dim,
    };
    const worker = startWorker('dist/record/worker.js', workerData);
    await new Promise<void>((resolve, reject) => {
      const refuse = (cause: string): void =>
        reject(
          new TendonError(
            'file_missing',
            `${options.file}: cannot record there: ${cause}. A recording is never written over; name another file.`,
            { file: options.file },
          ),
        );
      worker.once('message', (first: FromWorker) =>
        first.kind === 'failed' ? refuse(first.cause) : resolve(),
      );
      worker.once('error', (cause) => refuse(cause.message));
    });
    return new SessionRecorder(options, worker, now_ns);
  }

  /** Follows the states and counts of the controller that this recorder is the tap of. */
  watch(controller: Controller): void {
    this.controller = controller;
    controller.supervisor.onChange(({ from, to, cause }) => {
      if (to === 'TELEOP') this.summary.takeovers++;
      this.add('state', { now_ns: this.now_ns(), from, to, cause });
    });
  }

  input(input: ControlInput, now_ns: number): void {
    this.add('input', { now_ns, ...input });
  }

  tick(now_ns: number, late_ns: number, observation: Observation | undefined): void {
    if (observation !== undefined && observation !== this.seen) this.observed(observation, now_ns);
    if (this.ticks === BATCH_TICKS) this.post();
    const at = this.width * this.ticks++;
    this.rows[at + TICK.order] = this.order++;
    this.rows[at + TICK.now_ns] = now_ns;
    this.rows[at + TICK.late_ns] = late_ns;
    this.rows[at + TICK.observation] = observation === undefined ? -1 : this.observations - 1;
    this.rows[at + TICK.fate] = 0;
    this.tick_open = true;
  }

  command(values: Float64Array, expires_ns: number, fate: CommandFate): void {
    // Such as the zero that a base is told when the loop has ended.
    if (!this.tick_open) {
      const now_ns = this.now_ns();
      this.add('command', { now_ns, stamp_ns: now_ns, expires_ns, fate, values: values.slice() });
      return;
    }
    this.tick_open = false;
    const at = this.width * (this.ticks - 1);
    this.rows[at + TICK.fate] = COMMAND_FATES.indexOf(fate);
    this.rows[at + TICK.expires_ns] = expires_ns;
    this.rows.set(values, at + TICK_COLUMNS);
  }

  asked(now_ns: number, window: readonly Observation[], goal: Goal | undefined): void {
    const choice = this.options.choice?.();
    const setting = this.options.setting?.();
    this.add('asked', {
      now_ns,
      window_ns: window.map(({ stamp_ns }) => stamp_ns),
      ...(goal === undefined ? {} : { goal }),
      ...(choice === undefined ? {} : { choice }),
      ...(setting === undefined ? {} : { setting }),
    });
  }

  answered(now_ns: number, answer: Answer, chunk: ActionChunk | undefined, cause: string): void {
    // What the policy carries on is its own, and computed again by a replay.
    const { state: _, ...recorded } = chunk ?? {};
    this.add('chunk', { now_ns, answer, cause, ...recorded });
  }

  executed(command: ExecutedCommand): void {
    this.add('executed', { ...command }, command.stamp_ns);
  }

  episode(result: { seed: number; success: boolean; seconds: number; mode: string }): void {
    this.summary.episodes++;
    if (result.success) this.summary.successes++;
    this.add('episode', { now_ns: this.now_ns(), ...result });
  }

  /** Ends the file with its index; the controller should have stopped. */
  async close(): Promise<void> {
    clearInterval(this.timer);
    this.post();
    if (this.failed) return;
    const summary: SessionSummary = {
      duration_s: (performance.now() - this.began_ms) / 1000,
      ...this.summary,
      interventions: this.intervened,
    };
    await new Promise<void>((resolve) => {
      this.closing = resolve;
      this.send({ kind: 'close', summary: JSON.stringify(summary) });
    });
  }

  private observed(observation: Observation, now_ns: number): void {
    this.seen = observation;
    const { stamp_ns, values, images = {} } = observation;
    for (const [camera, image] of Object.entries(images)) {
      if (this.seenImages.get(camera) === image) continue;
      this.seenImages.set(camera, image);
      this.event_bytes += image.data.byteLength;
      this.events.push({ order: this.order++, now_ns, stamp_ns, channel: { camera }, body: image });
    }
    const body = { number: this.observations++, stamp_ns, values, images: Object.keys(images) };
    this.events.push({ order: this.order++, now_ns, stamp_ns, channel: 'observation', body });
  }

  private add(channel: ChannelName, body: object, now_ns = (body as { now_ns: number }).now_ns): void {
    if (!this.failed) this.events.push({ order: this.order++, now_ns, channel, body });
  }

  private post(): void {
    this.countInterventions();
    const { ticks, events } = this;
    if (ticks === 0 && events.length === 0) return;
    const bytes = this.event_bytes + EVENT_BYTES * events.length + 8 * this.width * ticks;
    this.ticks = 0;
    this.events = [];
    this.event_bytes = 0;
    this.tick_open = false;
    if (this.failed) return;
    if (this.behind.length >= MOST_BEHIND || this.behind_bytes + bytes > MOST_BEHIND_BYTES) {
      this.left_out++;
      return;
    }
    if (this.left_out > 0) events.unshift(this.gapBefore(ticks, events));
    this.behind.push(bytes);
    this.behind_bytes += bytes;
    this.send({ kind: 'batch', ticks: this.rows.slice(0, ticks * this.width), events });
  }

  /** Says, in the place of the last event that was left out, that some were. */
  private gapBefore(ticks: number, events: readonly PostedEvent[]): PostedEvent {
    const first = Math.min(events[0]?.order ?? this.order, ticks > 0 ? this.rows[TICK.order]! : this.order);
    const now_ns = this.now_ns();
    const batches = this.left_out;
    this.left_out = 0;
    return { order: first - 1, now_ns, channel: 'gap', body: { now_ns, batches } };
  }

  private countInterventions(): void {
    const supervisor = this.controller?.supervisor;
    if (supervisor === undefined || supervisor.interventions === this.intervened) return;
    this.intervened = supervisor.interventions;
    const counts = Object.fromEntries(Object.entries(supervisor.counts).filter(([, n]) => n > 0));
    this.add('interventions', { now_ns: this.now_ns(), counts });
  }

  private send(message: ToWorker): void {
    this.worker.postMessage(message);
  }

  private heard(message: FromWorker): void {
    if (message.kind === 'failed') this.fail(message.cause);
    else if (message.kind === 'written') this.behind_bytes -= this.behind.shift() ?? 0;
    else if (message.kind === 'closed') this.closing?.();
  }

  private fail(cause: string): void {
    if (this.failed) return;
    this.failed = true;
    clearInterval(this.timer);
    this.options.onFailure?.(`the recording ${this.options.file} ends here: ${cause}`);
    this.closing?.();
  }
}
