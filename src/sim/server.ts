// A simulated robot behind the embedded rosbridge server: one task instance in real time, with the topics, services
// and habits of a real one, down to its own watchdog. Control cannot tell it from a robot; docs/protocol.md lists
// what it publishes.

import {
  epochStamp,
  float64MultiArray,
  type Header,
  header,
  jointState,
  type Message,
  observationMessage,
  poseStamped,
  RosbridgeServer,
  readNumbers,
  type ServerOptions,
} from '../rosbridge/index.js';
import { TendonError } from '../types/index.js';
import { SimCommands } from './server-commands.js';
import type { Task, TaskInstance } from './task.js';

export interface SimServerOptions extends ServerOptions {
  readonly task: Task;
  readonly seed?: number;
  /** How often it steps and publishes; default 50. */
  readonly rate_hz?: number;
  /** Silence after which it holds by itself; default 200. */
  readonly watchdog_ms?: number;
}

export interface SimServer {
  readonly url: string;
  readonly server: RosbridgeServer;
  close(): Promise<void>;
}

/** How long one call of /push keeps pushing. */
const PUSH_S = 0.1;
const STATUS_TICKS = 5;
/** Further behind than this many periods, it lets simulated time fall back instead of catching up. */
const CATCH_UP = 5;

/** Starts the task and its server. Throws as RosbridgeServer.start does. */
export async function startSimServer(options: SimServerOptions): Promise<SimServer> {
  const instance = await options.task.create();
  const server = await RosbridgeServer.start(options).catch((caught) => {
    instance.dispose();
    throw caught;
  });
  const robot = new SimRobot(instance, server, options);
  return {
    url: server.url,
    server,
    close: async () => {
      robot.stop();
      await server.close();
      instance.dispose();
    },
  };
}

class SimRobot {
  private readonly commands: SimCommands;
  private readonly publish;
  private readonly features: readonly [key: string, publish: (msg: Message) => void][];
  private readonly poses: Float32Array;
  private readonly period_ms: number;
  private timer: NodeJS.Timeout | undefined;
  private due_ms: number;
  private tick_count = 0;
  private seed: number;
  private episode = 0;
  private time_s = 0;
  private active = true;
  private paused = false;
  private overruns = 0;
  private before: Float64Array;
  private pushing: { name: string; force: [number, number, number]; left_s: number } | undefined;

  constructor(
    private readonly instance: TaskInstance,
    private readonly server: RosbridgeServer,
    options: SimServerOptions,
  ) {
    const { spec, shapes } = instance;
    this.period_ms = 1000 / (options.rate_hz ?? 50);
    this.seed = options.seed ?? 0;
    instance.reset(this.seed);
    this.before = instance.jointPosition();
    this.commands = new SimCommands(spec, options.watchdog_ms ?? 200);
    this.poses = new Float32Array(shapes.length * 7);
    this.publish = {
      joints: server.advertise('/joint_states', 'sensor_msgs/JointState'),
      observation: server.advertise('/observation', 'tendon_msgs/Observation'),
      goal: server.advertise('/goal', 'geometry_msgs/PoseStamped', true),
      poses: server.advertise('/sim/poses', 'tendon_msgs/Poses'),
      status: server.advertise('/sim/status', 'tendon_msgs/SimStatus', true),
    };
    this.features = Object.keys(spec.observation_dims).map((key) => [
      key,
      server.advertise(
        `/observation/${key.replace(/^observation\./, '').replace(/\W/g, '_')}`,
        'std_msgs/Float64MultiArray',
      ),
    ]);
    server.advertise('/sim/scene', 'tendon_msgs/SimScene', true)({ task: spec.name, shapes });
    server.subscribe('/command', (msg) => this.commands.positions(msg, this.active && !this.paused));
    server.subscribe('/command_trajectory', (msg) =>
      this.commands.trajectory(msg, this.active && !this.paused),
    );
    this.offerServices();
    this.publishGoal();
    this.due_ms = performance.now();
    this.loop();
  }

  stop(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
  }

  /** One period after the other at absolute times. */
  private loop(): void {
    this.tick();
    this.due_ms += this.period_ms;
    const behind_ms = performance.now() - this.due_ms;
    if (behind_ms > CATCH_UP * this.period_ms) {
      this.due_ms += behind_ms;
      ++this.overruns;
    }
    this.timer = setTimeout(() => this.loop(), Math.max(0, this.due_ms - performance.now()));
  }

  private tick(): void {
    const { instance, commands } = this;
    if (!this.paused) {
      const period_s = this.period_ms / 1000;
      if (this.pushing !== undefined) {
        instance.push(this.pushing.name, this.pushing.force);
        this.pushing.left_s -= period_s;
        if (this.pushing.left_s <= 0) this.pushing = undefined;
      }
      const before = instance.jointPosition();
      instance.advance(commands.target(performance.now(), before), period_s);
      this.before = before;
      // An episode begins with its first command: what a process takes to start is not the policy's time.
      if (commands.begun) this.time_s += period_s;
    }
    this.publishState();
    if (this.tick_count++ % STATUS_TICKS === 0) this.publishStatus();
  }

  /** Everything valid now, under one stamp. The joints go first: they complete the observation that follows. */
  private publishState(): void {
    const { instance, publish } = this;
    const head = header('world');
    const position = instance.jointPosition();
    const rate_hz = this.paused ? 0 : 1000 / this.period_ms;
    const velocity = position.map((now, joint) => (now - (this.before[joint] ?? now)) * rate_hz);
    publish.joints(jointState(head, instance.spec.joint_names, position, velocity));
    const features = instance.observe();
    const goal = instance.spec.goal_dim > 0 ? { goal: instance.goal() } : {};
    publish.observation(observationMessage(head, { ...features, ...goal }));
    for (const [key, publishFeature] of this.features) {
      publishFeature(float64MultiArray(features[key] ?? [], key));
    }
    instance.poses(this.poses);
    publish.poses({ header: head, data: this.poses.slice() });
  }

  private publishGoal(): void {
    // x y, or x y and a yaw. A goal of several places has no standard message; it is in /observation.
    const { goal_dim } = this.instance.spec;
    if (goal_dim !== 2 && goal_dim !== 3) return;
    const [x = 0, y = 0, yaw = 0] = this.instance.goal();
    const turned = [0, 0, Math.sin(yaw / 2), Math.cos(yaw / 2)] as const;
    this.publish.goal(poseStamped(header('world'), [x, y, 0], turned));
  }

  private publishStatus(): void {
    const { instance } = this;
    this.publish.status({
      header: header('world') satisfies Header,
      task: instance.spec.name,
      episode: this.episode,
      seed: this.seed,
      step: Math.floor(this.time_s * instance.spec.rate_hz),
      time_s: this.time_s,
      success: instance.success(),
      failed: instance.failed(),
      mode: instance.mode() ?? '',
      active: this.active,
      paused: this.paused,
      holding: this.commands.holding,
      refused_commands: this.commands.refused,
      refusal: this.commands.refusal,
      overruns: this.overruns,
    });
  }

  private offerServices(): void {
    const { server, instance } = this;
    const trigger = (name: string, act: () => void) =>
      server.service(name, 'std_srvs/Trigger', () => {
        act();
        this.publishStatus();
        return { success: true, message: '' };
      });
    trigger('/start', () => {
      this.active = true;
    });
    trigger('/stop', () => {
      this.active = false;
      this.commands.forget();
    });
    server.service('/pause', 'std_srvs/SetBool', ({ data }) => {
      if (typeof data !== 'boolean') throw wrong('/pause', 'data: true or false', data);
      this.paused = data;
      this.commands.forget();
      this.publishStatus();
      return { success: true, message: '' };
    });
    server.service('/reset', 'tendon_msgs/Reset', ({ seed = this.seed + 1 }) => {
      if (!Number.isSafeInteger(seed) || Number(seed) < 0)
        throw wrong('/reset', 'seed: a whole number', seed);
      this.seed = Number(seed);
      this.commands.restart();
      this.pushing = undefined;
      instance.reset(this.seed);
      this.before = instance.jointPosition();
      this.time_s = 0;
      ++this.episode;
      this.publishGoal();
      this.publishStatus();
      return { seed: this.seed, episode: this.episode, stamp: epochStamp() };
    });
    server.service('/set_goal', 'tendon_msgs/SetGoal', ({ position }) => {
      const goal = readNumbers(position, '/set_goal position');
      const { goal_dim } = instance.spec;
      if (goal_dim === 0) throw wrong('/set_goal', 'a task whose goal can be set', instance.spec.name);
      if (goal.length < goal_dim || !goal.every(Number.isFinite)) {
        throw wrong('/set_goal', `position: ${goal_dim} finite numbers`, [...goal]);
      }
      instance.setGoal(goal.subarray(0, goal_dim));
      this.publishGoal();
      return { position: [...instance.goal()] };
    });
    server.service('/push', 'tendon_msgs/Push', ({ name, force }) => {
      const [x = Number.NaN, y = Number.NaN, z = 0] = readNumbers(force, '/push force');
      const objects = instance.shapes.filter((shape) => shape.role === 'object').map((shape) => shape.name);
      if (!objects.includes(String(name))) throw wrong('/push', `name: one of ${objects.join(', ')}`, name);
      if (![x, y, z].every(Number.isFinite)) throw wrong('/push', 'force: three finite newtons', force);
      this.pushing = { name: String(name), force: [x, y, z], left_s: PUSH_S };
      return {};
    });
  }
}

const wrong = (service: string, expected: string, got: unknown) =>
  new TendonError(
    'input_invalid',
    `${service}: expected ${expected}; got ${JSON.stringify(got) ?? 'nothing'}.`,
  );
