// A robot behind rosbridge, as control sees it: topics become Observations, Commands become messages. Everything
// that may go wrong on the way is said through onStatus, and every command that does not go out is counted.

import { Emitter, guarded } from '../../base/index.js';
import {
  type Clock,
  type Command,
  featureLengths,
  type Observation,
  type Robot,
  type RobotFile,
  type RobotStatus,
  TendonError,
} from '../../types/index.js';
import { BridgeClient } from '../client/client.js';
import { DIALECTS } from '../client/dialects.js';
import type { ClientOptions } from '../client/options.js';
import type { Message } from '../codec/protocol.js';
import { bridgeOptions, noActions } from './bridge-options.js';
import { type CommandDrops, CommandTopics } from './command-topics.js';
import { GoalSender, isGoal } from './goal-sender.js';
import { Observing } from './observing.js';
import { type OperatorListener, Operators } from './operators.js';
import { Readiness } from './readiness.js';
import type { Stream } from './streams.js';

const WATCH_MS = 20;

/** A robot behind rosbridge (v2): subscriptions become observations, commands become messages, as its robot file says. */
export class RosbridgeRobot implements Robot {
  /** Where commands are trajectories sent as action goals. */
  readonly goals: GoalSender | undefined;
  readonly observation_dims: Readonly<Record<string, number>>;
  readonly action_dim: number;
  readonly client: BridgeClient;
  private readonly observing: Observing;
  private readonly topics: CommandTopics;
  private readonly statuses = new Emitter<RobotStatus>('robot status');
  private readonly notices = new Emitter<string>('robot notices');
  private readonly readiness: Readiness;
  private readonly operators: Operators;
  private status: RobotStatus = {
    connected: false,
    reachable: false,
    listening: false,
    cause: 'not connected yet',
  };
  private watch: NodeJS.Timeout | undefined;
  private open = false;
  private closed = false;
  private advertised = false;

  /** Throws `unsupported` when the file names a type that cannot be read or written. */
  constructor(
    private readonly file: RobotFile,
    private readonly clock: Pick<Clock, 'now_ns'>,
    options: Partial<ClientOptions> = {},
  ) {
    const { command } = file;
    const { dialect } = file.bridge;
    if (command.parts.some(isGoal) && dialect !== 'auto' && !DIALECTS[dialect].actions)
      throw noActions(file, dialect);
    this.action_dim = file.joint_names.length;
    this.observation_dims = featureLengths(file);
    // These refuse what cannot be read or written, before anything is open.
    this.observing = new Observing(file, clock, () => {
      if (!this.status.connected) this.look();
    });
    this.topics = new CommandTopics(file, clock, () => this.observing.latest);
    this.client = new BridgeClient({
      ...bridgeOptions(file),
      ...options,
      now_ns: () => this.clock.now_ns(),
    });
    this.observing.listen(this.client);
    this.operators = new Operators(this.client, file, (text) => this.notices.emit(text));
    const goal = command.parts.find(isGoal);
    this.goals = goal && new GoalSender(this.client, goal, file, clock);
    this.readiness = new Readiness(
      this.client,
      file,
      () => this.look(),
      (text) => this.notices.emit(text),
    );
    this.client.onComplaint((complaint) => this.notices.emit(complaint));
    // Whatever was seen before belongs to the past: nothing is sent until the robot has been seen again.
    this.client.onLost((channels) => {
      this.observing.forget(channels);
      if (channels.includes('commands')) this.topics.forget();
    });
    this.client.onStatus(({ connected, commands, safety, cause }) => {
      this.open = connected;
      if (!connected) this.readiness.stop();
      else if (this.advertised) this.readiness.start();
      this.observing.opened();
      this.report({
        connected: false,
        // What is under way can be braked where only the observations' connection is lost.
        reachable: commands,
        listening: safety,
        cause: connected ? 'connected, waiting for a first observation' : cause,
      });
    });
  }

  /**
   * Connects, sees that nobody else commands the robot, and waits for the first observation and for what the robot needs
   * to be in place. Rejects with `bridge_unreachable`, `bridge_timeout` or `config_invalid`, or as `signal` says.
   */
  async connect(signal?: AbortSignal): Promise<void> {
    const until_ns = this.clock.now_ns() + this.file.deadlines.connect_ms * 1e6;
    const late = (): boolean => this.clock.now_ns() > until_ns;
    await this.client.connect(signal);
    if (this.goals !== undefined && this.client.dialect?.actions === false)
      throw noActions(this.file, this.client.dialect.name);
    await this.claim(late, signal);
    this.watch ??= setInterval(() => this.look(), WATCH_MS);
    while (this.observing.latest === undefined) {
      if (late())
        throw this.timeout(
          `no observation within ${this.file.deadlines.connect_ms} ms: ${this.observing.silence() || 'the topics do not match in time; see max_skew_ms'}`,
        );
      await this.wait(signal);
    }
    while (!this.client.dialect_sure) {
      if (late())
        throw this.timeout(
          'it has no rosapi and no message has a stamp, so whether it is for ROS 1 or ROS 2 cannot be told: set bridge.dialect',
        );
      await this.wait(signal);
    }
    // What is not in place by now may yet come: the status says what it is, and nothing moves until then.
    while (this.readiness.trouble === undefined && !late()) await this.wait(signal);
    this.look();
  }

  /** Advertises the command topics, once nobody else publishes on them. */
  private async claim(late: () => boolean, signal?: AbortSignal): Promise<void> {
    if (this.advertised) return;
    for (;;) {
      const rivals = await this.readiness.rivals();
      if (rivals === '') break;
      if (late())
        throw new TendonError('config_invalid', `${this.file.name}: ${rivals}.`, { robot: this.file.name });
      await this.wait(signal, 200);
    }
    this.advertised = true;
    this.topics.advertise(this.client);
    this.readiness.start();
  }

  private async wait(signal?: AbortSignal, ms = 5): Promise<void> {
    await new Promise((resolve) => setTimeout(resolve, ms));
    signal?.throwIfAborted();
    if (this.closed) throw new TendonError('cancelled', `${this.file.name}: closed while it connected`);
  }

  private timeout(why: string): TendonError {
    return new TendonError(
      'bridge_timeout',
      `${this.file.name}: connected to ${this.file.bridge.url}, but ${why}`,
      { robot: this.file.name },
    );
  }

  /** Commands that were not sent, by cause. */
  get drops(): CommandDrops {
    return this.topics.drops;
  }

  latest(): Observation | undefined {
    return this.observing.latest;
  }

  send(command: Command): boolean {
    return this.topics.send(command, this.status.reachable === true);
  }

  /** What `send` would publish for `values` now, by topic. */
  messages(values: Float64Array): Readonly<Record<string, Message>> {
    return this.topics.messages(values);
  }

  onStatus(listener: (status: RobotStatus) => void): () => void {
    const stop = this.statuses.on(listener);
    guarded('robot', () => listener(this.status));
    return stop;
  }

  /** What people should know and nothing follows from: what the bridge complains of, what cannot be checked. */
  onNotice(listener: (text: string) => void): () => void {
    return this.notices.on(listener);
  }

  /** What operators say on the stop and heartbeat topics and services of the robot file; returns the way to stop. */
  onOperator(listener: OperatorListener): () => void {
    return this.operators.on(listener);
  }

  async call(
    service: string,
    args: Readonly<Record<string, unknown>>,
  ): Promise<Readonly<Record<string, unknown>>> {
    const known = this.file.services[service];
    if (known === undefined) {
      const names = Object.keys(this.file.services).join(', ') || 'none';
      throw new TendonError(
        'input_invalid',
        `${this.file.name} has no service "${service}"; its robot file lists: ${names}.`,
        { service },
      );
    }
    return this.client.call(known.name, known.type, { ...args });
  }

  async close(): Promise<void> {
    this.closed = true;
    clearInterval(this.watch);
    this.readiness.stop();
    await this.client.close();
  }

  /** Counters of each topic: samples, refused, stale, out of order, dropped (frames that a newer one overtook). */
  streamCounters(): Readonly<Record<string, Readonly<Stream['counters']>>> {
    return this.observing.counters();
  }

  private look(): void {
    if (!this.open) return;
    const cause =
      this.observing.silence() ||
      (this.readiness.trouble ?? 'asking the bridge who hears commands and stops');
    if (cause !== '') this.report({ connected: false, reachable: true, listening: true, cause });
    else if (this.observing.latest !== undefined)
      this.report({ connected: true, reachable: true, listening: true, cause: 'connected' });
  }

  private report(status: RobotStatus): void {
    const { connected, reachable, listening, cause } = this.status;
    const same = kindOf(status.cause) === kindOf(cause);
    if (
      status.connected === connected &&
      status.reachable === reachable &&
      status.listening === listening &&
      same
    )
      return;
    this.status = status;
    this.statuses.emit(status);
  }
}

/** A cause without its times: an age that grows is told once, not with every message. */
const kindOf = (cause: string): string => cause.replace(/\d+(\.\d+)? (?=m?s\b)/g, '');
