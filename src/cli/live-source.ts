// The running session as the page sees it: scene, poses, chunks and status out; the operator's intents in, each one
// handed to the supervisor, the policy or the simulation, which decide.

import { LoopMetrics } from '../metrics/index.js';
import type { LoadOptions } from '../policies/index.js';
import { taskNames } from '../sim/tasks.js';
import {
  type ActionChunk,
  type LiveFrame,
  type LiveScene,
  type LiveSource,
  NS_PER_MS,
  type OperatorIntent,
  type SamplerChoice,
  TendonError,
} from '../types/index.js';
import { driversOf } from './drivers.js';
import { type EpisodeResult, SimSession, type SimSessionOptions } from './sim-session.js';

const STATUS_MS = 100;
const POSES_MS = 33;
/** Candidates drawn on the page; more would hide each other. */
const DRAWN = 16;

export class LiveSession implements LiveSource {
  private readonly listeners = new Set<(frame: LiveFrame) => void>();
  private timers: NodeJS.Timeout[] = [];
  private successes = 0;
  private done = 0;
  private paused = false;
  private drawnPoses: Float32Array | undefined;
  private switching = false;
  private counted: LoopMetrics | undefined;
  private readInfer: () => number[] = () => [];
  private readLate: () => number[] = () => [];
  private switched = 0;
  private readonly record: string | undefined;
  /** As asked for at the start: what was said of a sampler is the diffusion policy's. */
  private readonly load: LoadOptions;

  private constructor(private session: SimSession) {
    this.record = session.options.record;
    this.load = session.options.load ?? {};
  }

  static async open(options: SimSessionOptions): Promise<LiveSession> {
    let live: LiveSession | undefined;
    const onEpisode = (result: EpisodeResult): void => {
      live?.count(result);
      options.onEpisode?.(result);
    };
    live = new LiveSession(await SimSession.open({ ...options, onEpisode }));
    live.begin();
    return live;
  }

  get current(): SimSession {
    return this.session;
  }

  /** Of the session that runs; a change of task starts them anew. */
  get metrics(): LoopMetrics {
    return this.counted!;
  }

  scene(): LiveScene {
    const { spec, shapes } = this.session.twin;
    return {
      kind: 'scene',
      task: spec.name,
      summary: spec.summary,
      joint_names: spec.joint_names,
      limits: { lower: spec.limits.lower, upper: spec.limits.upper },
      shapes,
      goal_dim: spec.goal_dim,
      menu: { ...this.session.policy.menu(), drivers: this.drivers() },
      tasks: taskNames(),
    };
  }

  subscribe(listener: (frame: LiveFrame) => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  request(intent: OperatorIntent): { accepted: boolean; reason: string } {
    const { controller, robot } = this.session;
    const call = (service: string, args: Record<string, unknown>): void => {
      robot.call(service, args).catch((caught: Error) => this.session.options.onNote?.(caught.message));
    };
    switch (intent.kind) {
      case 'hold':
        controller.hold();
        break;
      case 'resume':
        if (controller.supervisor.state === 'STOPPED')
          return { accepted: false, reason: 'stopped: reset first' };
        controller.resume();
        break;
      case 'stop':
        controller.emergencyStop();
        break;
      case 'reset':
        this.session
          .restart(intent.seed)
          .catch((caught: Error) => this.session.options.onNote?.(caught.message));
        break;
      case 'pause':
        this.paused = intent.paused;
        call('pause', { data: intent.paused });
        break;
      case 'goal':
        if (intent.goal.length !== this.session.twin.spec.goal_dim)
          return { accepted: false, reason: `a goal here has ${this.session.twin.spec.goal_dim} numbers` };
        call('set_goal', { position: intent.goal });
        break;
      case 'push':
        call('push', { name: intent.name, force: intent.force });
        break;
      case 'choose':
        return this.choose(intent.choice);
      case 'driver':
        return this.switchDriver(intent.driver);
      case 'task':
        return this.switchTask(intent.task);
      case 'teleop':
        return this.drive(intent);
    }
    return { accepted: true, reason: '' };
  }

  async close(): Promise<void> {
    for (const timer of this.timers) clearInterval(timer);
    this.counted?.close();
    await this.session.close();
  }

  private drive(intent: OperatorIntent & { kind: 'teleop' }): { accepted: boolean; reason: string } {
    const { controller, twin } = this.session;
    const { engaged, values, point, repeat } = intent;
    if (values !== undefined && point !== undefined)
      return { accepted: false, reason: 'joint targets or a point for the hand, not both' };
    const { state, cause } = controller.supervisor;
    if (repeat === true && state !== 'TELEOP')
      return { accepted: false, reason: `nobody drives any more: ${state}, ${cause}` };
    if (!engaged) controller.takeOver(undefined);
    else if (
      !controller.takeOver(values ?? (point && [...twin.pointAction(point)]) ?? [...controller.command])
    )
      return { accepted: false, reason: `nobody can take over now (${controller.supervisor.state})` };
    return { accepted: true, reason: '' };
  }

  private choose(choice: Partial<SamplerChoice>): { accepted: boolean; reason: string } {
    this.session.policy
      .choose(choice)
      .catch((caught: Error) => this.session.options.onNote?.(`choice refused: ${caught.message}`));
    return { accepted: true, reason: '' };
  }

  /** What drives, by the name that the page has for it; one that was named by hand has its policy's kind. */
  private get driver(): string {
    const { options, policy } = this.session;
    const known = driversOf(options.task);
    return (
      known.find((d) => d.policy === (options.policy ?? known[0]!.policy))?.name ?? policy.menu().drivers[0]!
    );
  }

  private drivers(): string[] {
    const known = driversOf(this.session.options.task).map((d) => d.name);
    return known.includes(this.driver) ? known : [this.driver, ...known];
  }

  private switchTask(task: string): { accepted: boolean; reason: string } {
    if (!taskNames().includes(task)) return { accepted: false, reason: `there is no task ${task}` };
    const { policy: _, ...options } = this.session.options;
    return this.switchTo({ ...options, task, load: this.load }, `the task ${task}`);
  }

  /** Another episode, with the same seed for both to be compared by. */
  private switchDriver(name: string): { accepted: boolean; reason: string } {
    const { options } = this.session;
    if (name === this.driver) return { accepted: true, reason: '' };
    const found = driversOf(options.task).find((d) => d.name === name);
    if (found === undefined)
      return { accepted: false, reason: `there is no driver ${name} for the task ${options.task}` };
    // What was said of the sampler at the start was said of the first; what holds for any goes with the others.
    const { precision, threads, pool, isa, device } = this.load;
    const load = Object.fromEntries(
      Object.entries({ precision, threads, pool, isa, device }).filter(([, value]) => value !== undefined),
    );
    const own = found.name === driversOf(options.task)[0]!.name ? this.load : { ...load, ...found.load };
    return this.switchTo({ ...options, policy: found.policy, load: own }, `the driver ${name}`);
  }

  /** A new session in the place of this one; `what` is for people. */
  private switchTo(chosen: SimSessionOptions, what: string): { accepted: boolean; reason: string } {
    if (this.switching) return { accepted: false, reason: 'another session is being started' };
    this.switching = true;
    const old = this.session;
    const { record: _, ...options } = chosen;
    SimSession.open({
      ...options,
      ...(this.record === undefined ? {} : { record: numbered(this.record, ++this.switched) }),
    })
      .then(async (session) => {
        this.session = session;
        this.paused = false;
        this.successes = 0;
        this.done = 0;
        this.begin();
        this.emit(this.scene());
        await old.close();
      })
      .catch((caught: unknown) => {
        const reason = caught instanceof TendonError ? caught.message : String(caught);
        old.options.onNote?.(`${what} cannot be started: ${reason}`);
      })
      .finally(() => {
        this.switching = false;
      });
    return { accepted: true, reason: '' };
  }

  private begin(): void {
    for (const timer of this.timers) clearInterval(timer);
    const { session } = this;
    this.counted?.close();
    this.counted = new LoopMetrics(session);
    this.readInfer = session.controller.stats.infer_ms.reader();
    this.readLate = session.controller.stats.late_us.reader();
    session.controller.go();
    session.controller.onChunk((chunk) => this.emitChunk(session, chunk));
    this.timers = [
      setInterval(() => this.emitStatus(), STATUS_MS),
      setInterval(() => this.emitPoses(), POSES_MS),
    ];
  }

  private count(result: EpisodeResult): void {
    this.done++;
    if (result.success) this.successes++;
  }

  private emit(frame: LiveFrame): void {
    for (const listener of this.listeners) listener(frame);
  }

  private emitPoses(): void {
    const { poses } = this.session;
    if (poses === undefined || poses === this.drawnPoses) return;
    this.drawnPoses = poses;
    this.emit({ kind: 'poses', stamp_ns: now_ns(), poses });
  }

  private emitChunk(session: SimSession, chunk: ActionChunk): void {
    if (this.listeners.size === 0 || session !== this.session) return;
    const n = Math.min(chunk.n_candidates, DRAWN);
    const { horizon, action_dim } = chunk;
    const all = chunk.candidates ?? chunk.actions;
    const paths = new Float32Array(n * horizon * 3);
    for (let row = 0; row < n * horizon; row++)
      paths.set(session.twin.actionPoint(all.subarray(row * action_dim, (row + 1) * action_dim)), 3 * row);
    this.emit({
      kind: 'chunk',
      stamp_ns: chunk.stamp_ns,
      chosen: chunk.chosen,
      n_candidates: n,
      horizon,
      paths,
      ...(chunk.scores === undefined ? {} : { scores: chunk.scores.slice(0, n) }),
      infer_ms: chunk.timing.total_ns / NS_PER_MS,
    });
  }

  private emitStatus(): void {
    const { controller, robot, policy, status } = this.session;
    const { supervisor, stats } = controller;
    const observation = robot.latest();
    const position = observation?.values.joint_position;
    const goal = observation?.values.goal;
    const { drops } = robot;
    this.emit({
      kind: 'status',
      stamp_ns: now_ns(),
      state: supervisor.state,
      cause: supervisor.cause,
      paused: this.paused,
      connected: supervisor.state !== 'INIT',
      episode: status?.episode ?? 0,
      successes: this.successes,
      episodes_done: this.done,
      mode: status?.mode ?? '',
      command: [...controller.command],
      position: position === undefined ? [] : [...position],
      goal: goal === undefined ? [] : [...goal],
      hand: position === undefined ? [] : [...this.session.twin.actionPoint(position)],
      infer_ms: this.readInfer(),
      late_us: this.readLate(),
      ticks: stats.ticks,
      deadline_misses: stats.deadline_misses,
      interventions: supervisor.interventions,
      drops: Object.values(drops).reduce((sum, n) => sum + n, 0),
      choice: policy.choice,
      driver: this.driver,
    });
  }
}

const now_ns = (): number => Math.round(performance.now() * NS_PER_MS);

/** arm.mcap → arm.1.mcap, arm.2.mcap: another task is another recording. */
function numbered(file: string, n: number): string {
  return file.replace(/(\.mcap)?$/, `.${n}$1`);
}
