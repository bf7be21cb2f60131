// One simulated robot, its policy and the controller between them, over a real WebSocket: what `tendon start` runs
// with and without a page. Episodes are the simulation's: it says how each went, this asks for the next.

import { join } from 'node:path';
import { Controller, MonotonicClock } from '../control/index.js';
import { type OpenedPolicy, openPolicy } from '../eval/open-policy.js';
import { collectGarbage, preferControl } from '../host/priority.js';
import { type LoadOptions, withOptions } from '../policies/index.js';
import type { SessionRecorder } from '../record/index.js';
import { loadRobotFile } from '../robot/index.js';
import { RosbridgeRobot } from '../rosbridge/index.js';
import { type SimProcess, spawnSimServer } from '../sim/server-process.js';
import type { TaskInstance } from '../sim/task.js';
import { findTask } from '../sim/tasks.js';
import type { SteeringOptions } from '../steering/index.js';
import { TendonError } from '../types/index.js';
import { controllerOptions } from './controller-options.js';
import { modelFolder, PACKAGE_ROOT } from './drivers.js';
import { bringToRest } from './ending.js';
import { needsOf } from './fit.js';
import { openRecorder } from './recording.js';

export { PACKAGE_ROOT } from './drivers.js';

/** What the simulation says of itself five to ten times a second. */
export interface SimStatus {
  readonly episode: number;
  readonly seed: number;
  readonly step: number;
  readonly time_s: number;
  readonly success: boolean;
  readonly failed: boolean;
  readonly mode: string;
  readonly paused: boolean;
}

/** How one simulated episode ended. */
export interface EpisodeResult {
  readonly seed: number;
  readonly success: boolean;
  readonly seconds: number;
  readonly mode: string;
}

/** What a session with a simulated robot is made of; only `task` is needed. */
export interface SimSessionOptions {
  readonly task: string;
  readonly policy?: string;
  readonly seed?: number;
  /** Scores that the program computes (docs/parts.md). */
  readonly functions?: SteeringOptions['functions'];
  readonly load?: LoadOptions;
  /** Manifest of parts, or false for none; the folder's own when absent. */
  readonly parts?: string | false | undefined;
  /** Port of the simulation's bridge; 0 takes a free one. */
  readonly bridge_port?: number;
  /** File to record into; must not exist yet. */
  readonly record?: string;
  readonly onEpisode?: (result: EpisodeResult) => void;
  readonly onNote?: (text: string) => void;
}

/** ms */
const DAY_MS = 86_400_000;
/** Seconds between the end of an episode and the next. */
const PAUSE_S = 0.6;

/** A policy on a simulated robot in a process of its own, behind rosbridge as a real one is: what `tendon start` opens. */
export class SimSession {
  status: SimStatus | undefined;
  poses: Float32Array | undefined;
  private ending: NodeJS.Timeout | undefined;
  private restarting = false;
  /** An episode was asked for in a state that nothing starts from. */
  private starting = false;
  private closed = false;

  private constructor(
    readonly options: SimSessionOptions,
    private sim: SimProcess,
    /** A local twin of the task, for shapes and the way from actions to points; never stepped. */
    readonly twin: TaskInstance,
    readonly robot: RosbridgeRobot,
    readonly policy: OpenedPolicy,
    readonly controller: Controller,
    readonly clock: MonotonicClock,
    readonly rate_hz: number,
    private readonly recorder: SessionRecorder | undefined,
    private nextSeed: number,
  ) {}

  static async open(options: SimSessionOptions): Promise<SimSession> {
    const task = findTask(options.task);
    const file = loadRobotFile(join(PACKAGE_ROOT, 'launch', `sim-${options.task}.yaml`));
    const seed = options.seed ?? 0;
    const dir = options.policy ?? modelFolder(options.task);
    const load = withOptions(options.load ?? {}, needsOf(file.chunks));
    const twin = await task.create();
    const tip = (action: ArrayLike<number>) => twin.actionPoint(action);
    const policy = await openPolicy(dir, load, { parts: options.parts, functions: options.functions, tip });
    if (policy.spec.action_dim !== task.spec.joint_names.length)
      throw new TendonError(
        'config_invalid',
        `the policy commands ${policy.spec.action_dim} joints, the task ${options.task} has ${task.spec.joint_names.length}; choose another --policy or --task`,
      );
    const sim = await spawnSimServer({ task: options.task, seed, port: options.bridge_port ?? 0 });
    const clock = new MonotonicClock();
    const robot = new RosbridgeRobot({ ...file, bridge: { ...file.bridge, url: sim.url } }, clock);
    const settings = {
      ...controllerOptions(file, { robot, policy, clock }),
      // A simulation that died comes back by itself, and so does its session.
      resume_within_ms: DAY_MS,
    };
    const facts = {
      robot: file.name,
      joint_names: file.joint_names,
      policy: dir,
      load,
      parts: options.parts,
      seed,
      controller: settings,
    };
    const recorder = await openRecorder(options.record, facts, policy, options.onNote).catch(
      async (caught) => {
        await sim.stop();
        throw caught;
      },
    );
    const controller = new Controller({ ...settings, tap: recorder });
    recorder?.watch(controller);
    const session = new SimSession(
      options,
      sim,
      twin,
      robot,
      policy,
      controller,
      clock,
      file.rate_hz,
      recorder,
      seed + 1,
    );
    policy.reset(seed);
    session.listen();
    try {
      await robot.connect();
    } catch (caught) {
      await session.close();
      throw caught;
    }
    preferControl();
    collectGarbage();
    controller.start();
    session.watchProcess();
    return session;
  }

  get bridge_url(): string {
    return this.sim.url;
  }

  /** Sets the policy going, as soon as the robot has been seen. */
  go(): void {
    this.starting = this.controller.supervisor.state === 'INIT';
    this.controller.go();
  }

  /** Asks for the episode of `seed`, or the next in order. A stop is cleared, for a person asked. */
  async restart(seed?: number): Promise<void> {
    if (seed !== undefined) this.nextSeed = seed;
    await this.begin(() => true);
  }

  /** `may` is asked again once the simulation has answered: what a person did in the meantime counts. */
  private async begin(may: () => boolean): Promise<void> {
    clearTimeout(this.ending);
    this.ending = undefined;
    const chosen = this.nextSeed++;
    this.restarting = true;
    try {
      this.controller.suspend();
      await this.robot.call('reset', { seed: chosen });
      const goes_on = may();
      // Only a person clears a stop; anything else begins anew where the robot now is, moving or not.
      if (this.controller.supervisor.state === 'STOPPED' && !goes_on) return;
      this.controller.reset(chosen);
      if (!goes_on) return;
      this.go();
      this.controller.resume();
    } finally {
      this.restarting = false;
    }
  }

  async close(): Promise<void> {
    this.closed = true;
    clearTimeout(this.ending);
    await bringToRest(this.controller, 'the session ends');
    await this.controller.stop();
    await this.recorder?.close();
    await this.robot.close();
    await this.sim.stop();
    this.policy.close();
    this.twin.dispose();
  }

  private listen(): void {
    this.robot.client.subscribe('/sim/status', 'tendon_msgs/SimStatus', (msg) => {
      this.status = msg as unknown as SimStatus;
      this.follow(this.status);
    });
    this.robot.client.subscribe(
      '/sim/poses',
      'tendon_msgs/Poses',
      (msg) => {
        this.poses = Float32Array.from((msg as { data: ArrayLike<number> }).data);
      },
      { throttle_rate: 33, queue_length: 1 },
    );
    this.controller.supervisor.onChange(({ to, cause }) => {
      if (!this.restarting) this.options.onNote?.(`${to}: ${cause}`);
      if (to === 'READY' && this.starting) setImmediate(() => this.controller.go());
      if (to === 'READY' || to === 'STOPPED') this.starting = false;
    });
  }

  /** Ends the episode that succeeded, failed or took too long, once. */
  private follow(status: SimStatus): void {
    const { max_steps } = this.twin.spec;
    const over = status.success || status.failed || status.step >= max_steps;
    if (!over || this.ending !== undefined || this.restarting || status.paused) return;
    if (!this.free) return;
    const result: EpisodeResult = {
      seed: status.seed,
      success: status.success,
      seconds: status.time_s,
      mode: status.mode || 'none',
    };
    this.recorder?.episode(result);
    this.options.onEpisode?.(result);
    this.goOnSoon();
  }

  /** Nobody stopped the robot, holds it or has it in hand: what they do with it is theirs to finish. */
  private get free(): boolean {
    const { state, heldByOperator } = this.controller.supervisor;
    return state !== 'STOPPED' && state !== 'TELEOP' && !heldByOperator;
  }

  /** The next episode, after a pause, and not before the robot is free. */
  private goOnSoon(): void {
    this.ending = setTimeout(() => {
      if (this.closed) return;
      if (!this.free) {
        this.goOnSoon();
        return;
      }
      this.begin(() => this.free).catch((caught: Error) =>
        this.options.onNote?.(`no new episode: ${caught.message}`),
      );
    }, PAUSE_S * 1000);
  }

  /** Brings a simulation that died back on the same port; the controller holds meanwhile and goes on by itself. */
  private watchProcess(): void {
    const port = Number(new URL(this.sim.url).port);
    this.sim.process.once('close', () => {
      if (this.closed) return;
      this.options.onNote?.('the simulation ended; starting it again');
      clearTimeout(this.ending);
      this.ending = undefined;
      const again = (): void => {
        if (this.closed) return;
        const seed = this.nextSeed++;
        spawnSimServer({ task: this.options.task, seed, port })
          .then((sim) => {
            this.sim = sim;
            if (this.closed) return sim.stop();
            // Another episode, and the controller may have been suspended for one that never came. A stop stays.
            if (this.controller.supervisor.state !== 'STOPPED') this.controller.reset(seed);
            this.go();
            this.watchProcess();
            return undefined;
          })
          .catch(() => setTimeout(again, 500));
      };
      setTimeout(again, 300);
    });
  }
}
