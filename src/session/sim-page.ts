// The running session as the page sees it: scene, poses, chunks and status out; the operator's intents in, each one
// handed to the supervisor, the policy or the simulation, which decide.

import { Emitter } from '../base/index.js';
import { LoopMetrics } from '../metrics/index.js';
import { type LoadOptions, withOptions } from '../policies/index.js';
import type { TaskInstance } from '../sim/task.js';
import { taskNames } from '../sim/tasks.js';
import {
  type ActionChunk,
  type IntentAnswer,
  type LiveFrame,
  type LiveScene,
  type LiveSource,
  type OperatorIntent,
  TendonError,
} from '../types/index.js';
import { driversOf } from './drivers.js';
import {
  ACCEPTED,
  type ControlStatus,
  choose,
  controlStatus,
  liveChunk,
  pageTime,
  refused,
  steer,
  takeOver,
} from './live-feed.js';
import { liveProgress } from './live-progress.js';
import { type EpisodeResult, SimSession, type SimSessionOptions } from './sim-session.js';

const STATUS_MS = 100;
const POSES_MS = 33;

export class LiveSession implements LiveSource {
  private readonly listeners = new Emitter<LiveFrame>('page');
  private timers: NodeJS.Timeout[] = [];
  private successes = 0;
  private done = 0;
  private paused = false;
  private drawnPoses: Float32Array | undefined;
  /** What the parts said last. */
  private report: ActionChunk['steering'];
  private switching = false;
  private counted: LoopMetrics | undefined;
  private readStatus: (() => ControlStatus) | undefined;
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
      simulated: true,
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
    return this.listeners.on(listener);
  }

  request(intent: OperatorIntent): IntentAnswer {
    const { controller, robot } = this.session;
    const call = (service: string, args: Record<string, unknown>): void => {
      robot.call(service, args).catch((caught: Error) => this.session.options.onNote?.(caught.message));
    };
    switch (intent.kind) {
      case 'hold':
        controller.hold(intent.cause);
        break;
      case 'resume':
        if (controller.supervisor.state === 'STOPPED') return refused('stopped: reset first');
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
          return refused(`a goal here has ${this.session.twin.spec.goal_dim} numbers`);
        call('set_goal', { position: intent.goal });
        break;
      case 'push':
        call('push', { name: intent.name, force: intent.force });
        break;
      case 'part':
      case 'condition':
        return steer(this.session.policy, intent);
      case 'choose':
        return choose(this.session.policy, intent.choice);
      case 'words':
        return refused('the policies of the simulated tasks are told nothing in words');
      case 'driver':
        return this.switchDriver(intent.driver);
      case 'task':
        return this.switchTask(intent.task);
      case 'teleop':
        return takeOver(controller, intent, (point) => this.twin.pointAction(point));
    }
    return ACCEPTED;
  }

  async close(): Promise<void> {
    for (const timer of this.timers) clearInterval(timer);
    this.counted?.close();
    await this.session.close();
  }

  /** The task as the robot was last seen. */
  private get twin(): TaskInstance {
    const { twin, robot } = this.session;
    const values = robot.latest()?.values;
    if (values !== undefined) twin.seen?.(values);
    return twin;
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

  private switchTask(task: string): IntentAnswer {
    if (!taskNames().includes(task)) return refused(`there is no task ${task}`);
    const { policy: _, ...options } = this.session.options;
    return this.switchTo({ ...options, task, load: this.load }, `the task ${task}`);
  }

  /** Another episode, with the same seed for both to be compared by. */
  private switchDriver(name: string): IntentAnswer {
    const { options } = this.session;
    if (name === this.driver) return ACCEPTED;
    const found = driversOf(options.task).find((d) => d.name === name);
    if (found === undefined) return refused(`there is no driver ${name} for the task ${options.task}`);
    // What was said of the sampler at the start was said of the first; what holds for any goes with the others.
    const own =
      found.name === driversOf(options.task)[0]!.name
        ? this.load
        : withOptions({ compute: this.load.compute ?? {} }, found.load);
    return this.switchTo({ ...options, policy: found.policy, load: own }, `the driver ${name}`);
  }

  /** A new session in the place of this one; `what` is for people. */
  private switchTo(chosen: SimSessionOptions, what: string): IntentAnswer {
    if (this.switching) return refused('another session is being started');
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
        this.report = undefined;
        this.successes = 0;
        this.done = 0;
        this.begin();
        this.listeners.emit(this.scene());
        await old.close();
      })
      .catch((caught: unknown) => {
        const reason = caught instanceof TendonError ? caught.message : String(caught);
        old.options.onNote?.(`${what} cannot be started: ${reason}`);
      })
      .finally(() => {
        this.switching = false;
      });
    return ACCEPTED;
  }

  private begin(): void {
    for (const timer of this.timers) clearInterval(timer);
    const { session } = this;
    this.counted?.close();
    this.counted = new LoopMetrics(session);
    const { controller, policy, robot } = session;
    this.readStatus = controlStatus({ controller, policy, robot, position_key: 'joint_position' });
    session.go();
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

  private emitPoses(): void {
    const { poses } = this.session;
    if (poses === undefined || poses === this.drawnPoses) return;
    this.drawnPoses = poses;
    this.listeners.emit({ kind: 'poses', stamp_ns: pageTime(), poses });
  }

  private emitChunk(session: SimSession, chunk: ActionChunk): void {
    if (session === this.session) this.report = chunk.steering;
    if (this.listeners.size > 0 && session === this.session)
      this.listeners.emit(liveChunk(chunk, (action) => this.twin.actionPoint(action)));
  }

  private emitStatus(): void {
    const { robot, status } = this.session;
    const { twin } = this;
    const control = this.readStatus!();
    this.listeners.emit({
      ...control,
      paused: this.paused,
      episode: status?.episode ?? 0,
      successes: this.successes,
      episodes_done: this.done,
      mode: status?.mode ?? '',
      goal: [...(robot.latest()?.values.goal ?? [])],
      progress: liveProgress(this.report, twin.statePoint && ((state) => twin.statePoint!(state))),
      hand: control.position.length === 0 ? [] : [...twin.actionPoint(control.position)],
      driver: this.driver,
    });
  }
}

/** arm.mcap → arm.1.mcap, arm.2.mcap: another task is another recording. */
function numbered(file: string, n: number): string {
  return file.replace(/(\.mcap)?$/, `.${n}$1`);
}
