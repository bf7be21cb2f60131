// The page of `tendon run`: what the controller, the bridge and the policy say, and a person's hold, stop and choices.
// Where the robot file has a workspace the arm is drawn as its URDF's chain of joints, with the paths of its chunks.

import { Emitter } from '../base/index.js';
import type { Controller } from '../control/index.js';
import type { RosbridgeRobot } from '../rosbridge/index.js';
import type { SteerablePolicy } from '../steering/index.js';
import {
  type ActionChunk,
  asTendonError,
  type IntentAnswer,
  type LiveFrame,
  type LiveScene,
  type LiveSource,
  type OperatorIntent,
  type RobotFile,
} from '../types/index.js';
import { startWebServer, type WebServer, type WebServerOptions } from '../web/index.js';
import { ChainDrawing } from './chain-drawing.js';
import {
  ACCEPTED,
  choose,
  controlStatus,
  liveChunk,
  pageTime,
  refused,
  steer,
  takeOver,
} from './live-feed.js';
import { liveProgress } from './live-progress.js';
import type { Operator } from './operator.js';
import type { Words } from './words.js';

const STATUS_MS = 100;
const POSES_MS = 50;

export interface RobotPageOptions {
  readonly file: RobotFile;
  readonly controller: Controller;
  readonly robot: RosbridgeRobot;
  readonly policy: SteerablePolicy;
  readonly position_key: string;
  readonly operator: Operator;
  readonly words: Words;
}

export class RobotPage implements LiveSource {
  private readonly listeners = new Emitter<LiveFrame>('page');
  private readonly timers: NodeJS.Timeout[];
  private readonly drawing: ChainDrawing | undefined;
  private readonly letChunks: () => void;
  /** What the parts said last. */
  private report: ActionChunk['steering'];

  constructor(private readonly options: RobotPageOptions) {
    const { file, controller } = options;
    this.drawing = file.workspace && new ChainDrawing(file.workspace);
    const readStatus = controlStatus(options);
    this.letChunks = controller.onChunk((chunk) => this.emitChunk(chunk));
    this.timers = [
      setInterval(() => {
        const control = readStatus();
        const { position } = control;
        const hand = this.drawing && position.length > 0 ? [...this.drawing.hand(position)] : [];
        const { driver } = this;
        const none = { paused: false, episode: 0, successes: 0, episodes_done: 0, mode: '', goal: [] };
        const progress = liveProgress(this.report, undefined);
        const words = options.words.current ?? '';
        this.listeners.emit({ ...control, ...none, hand, driver, progress, words });
      }, STATUS_MS),
      setInterval(() => this.emitPoses(), POSES_MS),
    ];
  }

  scene(): LiveScene {
    const { file, policy } = this.options;
    return {
      kind: 'scene',
      simulated: false,
      task: file.name,
      summary:
        this.drawing === undefined
          ? 'Nothing to draw: the robot file has no workspace with a URDF.'
          : 'The joints of the URDF’s chain, over the floor of the workspace.',
      joint_names: file.joint_names,
      limits: { lower: file.limits.lower, upper: file.limits.upper },
      shapes: this.drawing?.shapes ?? [],
      goal_dim: 0,
      ...(policy.spec.texts?.includes('task') ? { words: true } : {}),
      menu: { ...policy.menu(), drivers: [this.driver] },
      tasks: [file.name],
    };
  }

  subscribe(listener: (frame: LiveFrame) => void): () => void {
    return this.listeners.on(listener);
  }

  request(intent: OperatorIntent): IntentAnswer {
    const { controller, operator, policy } = this.options;
    switch (intent.kind) {
      case 'hold':
        operator.hold('the page', intent.cause);
        return ACCEPTED;
      case 'stop':
        operator.stop('the page');
        return ACCEPTED;
      case 'resume':
        if (controller.state === 'STOPPED') return refused('stopped: reset first');
        operator.resume();
        return ACCEPTED;
      case 'reset':
        if (controller.state !== 'STOPPED') return refused(`nothing is stopped: ${controller.state}`);
        operator.clear();
        return ACCEPTED;
      case 'part':
      case 'condition':
        return steer(policy, intent);
      case 'choose':
        return choose(policy, intent.choice);
      case 'teleop':
        return takeOver(controller, intent, undefined);
      case 'words':
        try {
          this.options.words.say(intent.text, 'the page');
          return ACCEPTED;
        } catch (caught) {
          return refused(asTendonError(caught, 'task').message);
        }
      case 'goal':
        return refused('the goal is what the robot’s topics say');
      case 'driver':
      case 'task':
      case 'pause':
      case 'push':
        return refused('this is a robot, not a simulation');
    }
  }

  close(): void {
    this.letChunks();
    for (const timer of this.timers) clearInterval(timer);
  }

  private get driver(): string {
    return this.options.policy.menu().drivers[0]!;
  }

  private emitPoses(): void {
    const { robot, position_key } = this.options;
    const position = robot.latest()?.values[position_key];
    if (this.drawing === undefined || position === undefined || this.listeners.size === 0) return;
    this.listeners.emit({ kind: 'poses', stamp_ns: pageTime(), poses: this.drawing.poses(position) });
  }

  private emitChunk(chunk: ActionChunk): void {
    this.report = chunk.steering;
    const { drawing, listeners } = this;
    if (drawing !== undefined && listeners.size > 0)
      listeners.emit(liveChunk(chunk, (action) => drawing.hand(action)));
  }
}

/** Serves the page. Throws `config_invalid` when it cannot listen there. */
export async function openPage(options: RobotPageOptions, address: WebServerOptions): Promise<WebServer> {
  const page = new RobotPage(options);
  const server = await startWebServer(page, address).catch((caught) => {
    page.close();
    throw caught;
  });
  return {
    url: server.url,
    port: server.port,
    counters: () => server.counters(),
    async close() {
      page.close();
      await server.close();
    },
  };
}
