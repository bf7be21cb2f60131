// A robot behind rosbridge, as control sees it: topics become Observations, Commands become messages. Everything
// that may go wrong on the way is said through onStatus, and every command that does not go out is counted.

import { readUserText } from '../../base/files.js';
import { Emitter, guarded } from '../../base/index.js';
import {
  type Clock,
  type Command,
  type CommandPart,
  featureLengths,
  type Observation,
  type Robot,
  type RobotFile,
  type RobotStatus,
  TendonError,
} from '../../types/index.js';
import type { Channel } from '../client/channels.js';
import { BridgeClient, type ClientOptions } from '../client/client.js';
import { DIALECTS } from '../client/dialects.js';
import type { Publisher } from '../client/offers.js';
import { SAID_ONCE } from '../client/subscriptions.js';
import { IMAGE_TYPE } from '../codec/images.js';
import { canonicalType, type Message } from '../codec/protocol.js';
import { epochStamp, headerTime } from '../codec/time.js';
import { commandWriter } from './command-writer.js';
import { FrameTree } from './frame-tree.js';
import { GoalSender, isGoal } from './goal-sender.js';
import { TF_TYPE } from './message-types.js';
import { type OperatorListener, Operators } from './operators.js';
import { Readiness } from './readiness.js';
import { Stream, Synchroniser } from './streams.js';
import { Units } from './units.js';
import type { Write } from './writers.js';

/** Commands that were not sent, by cause. */
export interface CommandDrops {
  offline: number;
  no_fresh_observation: number;
  expired: number;
  invalid: number;
  backlog: number;
}

const WATCH_MS = 20;
/** Messages in a row with impossible stamps before the clock is doubted. */
const UNTIMELY = 3;
/** What a frame of anything but pictures may be long, and one with stops, heartbeats or remarks on commands. */
const FRAME_BYTES = 1024 * 1024;
const SMALL_FRAME_BYTES = 64 * 1024;
/** A byte of a picture in JSON, where the server writes it as a list of numbers. */
const BYTES_IN_JSON = 4;

const IN_THE_GOAL: Publisher = { publish: () => true, close: () => undefined };

/** A robot behind rosbridge (v2): subscriptions become observations, commands become messages, as its robot file says. */
export class RosbridgeRobot implements Robot {
  /** Where commands are trajectories sent as action goals. */
  readonly goals: GoalSender | undefined;
  readonly observation_dims: Readonly<Record<string, number>>;
  readonly action_dim: number;
  readonly client: BridgeClient;
  readonly drops: CommandDrops = { offline: 0, no_fresh_observation: 0, expired: 0, invalid: 0, backlog: 0 };
  private readonly streams: readonly Stream[];
  private readonly frames: FrameTree;
  private readonly synchroniser: Synchroniser;
  private readonly parts: readonly { publisher: Publisher | undefined; readonly write: Write }[];
  private readonly statuses = new Emitter<RobotStatus>('robot status');
  private readonly notices = new Emitter<string>('robot notices');
  private readonly readiness: Readiness;
  private readonly operators: Operators;
  private status: RobotStatus = { connected: false, reachable: false, cause: 'not connected yet' };
  private watch: NodeJS.Timeout | undefined;
  private open = false;
  private closed = false;
  private advertised = false;
  private opened_ns = 0;

  /** Throws `unsupported` when the file names a type that cannot be read or written. */
  constructor(
    private readonly file: RobotFile,
    private readonly clock: Pick<Clock, 'now_ns'>,
    options: Partial<ClientOptions> = {},
  ) {
    const { bridge, command, deadlines } = file;
    const { dialect } = bridge;
    if (command.parts.some(isGoal) && dialect !== 'auto' && !DIALECTS[dialect].actions)
      throw noActions(file, dialect);
    const units = new Units(file.units);
    const writers = command.parts.map((part) => ({ part, write: commandWriter(part, file, units) }));
    this.action_dim = file.joint_names.length;
    this.frames = new FrameTree(file.frames.transforms);
    this.streams = file.observation.map(
      (stream) => new Stream(stream, file, () => this.decoded(), this.frames),
    );
    this.synchroniser = new Synchroniser(this.streams, file);
    this.observation_dims = featureLengths(file);
    this.client = new BridgeClient({
      url: bridge.url,
      dialect: bridge.dialect,
      separate_connections: ownConnections(file),
      lifetime_ms: command.lifetime_ms,
      max_frame: frameLimits(file),
      socket_thread: threadsOf(file),
      connect_timeout_ms: deadlines.connect_ms,
      call_timeout_ms: deadlines.call_ms,
      ...(bridge.token === undefined ? {} : { token: bridge.token }),
      ...(bridge.tls === undefined ? {} : { tls: readTls(bridge.tls) }),
      ...(bridge.rosauth === undefined ? {} : { auth: bridge.rosauth }),
      ...options,
      now_ns: () => this.clock.now_ns(),
    });
    if (file.frames.tf_static !== undefined)
      this.client.subscribe(file.frames.tf_static, TF_TYPE, (msg) => this.frames.hear(msg), {
        queue_length: SAID_ONCE,
      });
    for (const stream of this.streams) this.listen(stream);
    this.operators = new Operators(this.client, file, (text) => this.notices.emit(text));
    const goal = command.parts.find(isGoal);
    this.goals = goal && new GoalSender(this.client, goal, file, clock);
    this.parts = writers.map(({ part, write }) => {
      // The command of a period is in the goal that was sent before it.
      return { publisher: isGoal(part) ? IN_THE_GOAL : undefined, write };
    });
    this.readiness = new Readiness(
      this.client,
      file,
      () => this.look(),
      (text) => this.notices.emit(text),
    );
    this.client.onComplaint((complaint) => this.notices.emit(complaint));
    this.client.onLost((channels) => {
      // Whatever was seen before belongs to the past: nothing is sent until the robot has been seen again. What was told
      // once on a connection that stands is still so.
      this.synchroniser.forget((stream) => channels.includes(channelOf(stream)));
      if (channels.includes('data')) this.frames.forget();
    });
    this.client.onStatus(({ connected, cause }) => {
      this.open = connected;
      if (!connected) this.readiness.stop();
      else if (this.advertised) this.readiness.start();
      this.opened_ns = this.clock.now_ns();
      this.report({
        connected: false,
        reachable: connected,
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
    while (this.synchroniser.latest === undefined) {
      if (late())
        throw this.timeout(
          `no observation within ${this.file.deadlines.connect_ms} ms: ${this.silence() || 'the topics do not match in time; see max_skew_ms'}`,
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
    this.file.command.parts.forEach(({ topic, type, qos }, i) => {
      const options = { channel: 'commands', qos: qos === undefined ? undefined : { ...qos } } as const;
      this.parts[i]!.publisher ??= this.client.advertise(topic, type, options);
    });
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

  latest(): Observation | undefined {
    return this.synchroniser.latest;
  }

  send(command: Command): boolean {
    const now_ns = this.clock.now_ns();
    const cause = this.objection(command, now_ns);
    if (cause !== undefined) {
      ++this.drops[cause];
      return false;
    }
    const stamp = this.client.clock.toServer(command.stamp_ns) ?? epochStamp();
    const good_for_ms = (command.expires_ns - now_ns) / 1e6;
    let whole = true;
    // What one topic cannot take now does not keep another from its newest command.
    for (const { publisher, write } of this.parts)
      whole = publisher?.publish(write(command.values, stamp), good_for_ms) === true && whole;
    if (!whole) ++this.drops[this.open ? 'backlog' : 'offline'];
    return whole;
  }

  /** What `send` would publish for `values` now, by topic. */
  messages(values: Float64Array): Readonly<Record<string, Message>> {
    return Object.fromEntries(
      this.file.command.parts.map(({ topic }, i) => [topic, this.parts[i]!.write(values, epochStamp())]),
    );
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
    return Object.fromEntries(this.streams.map(({ spec, counters }) => [spec.topic, { ...counters }]));
  }

  private objection(command: Command, now_ns: number): keyof CommandDrops | undefined {
    if (!this.open) return 'offline';
    const { latest } = this.synchroniser;
    // A robot that has not been seen since the connection opened, or is gone. What is between fresh and gone, and what
    // one bad message means, is for control to judge, which still has to brake then.
    const gone_ns = this.file.deadlines.no_data_ms * 1e6;
    if (latest === undefined || now_ns - latest.stamp_ns > gone_ns) return 'no_fresh_observation';
    const lifetime_ns = this.file.command.lifetime_ms * 1e6;
    if (now_ns > command.expires_ns || now_ns - command.stamp_ns > lifetime_ns) return 'expired';
    if (command.values.length !== this.action_dim || !command.values.every(Number.isFinite)) return 'invalid';
    return undefined;
  }

  private listen(stream: Stream): void {
    const { spec } = stream;
    const channel = channelOf(stream);
    this.client.subscribe(
      spec.topic,
      spec.type,
      (whole, arrived_ns) => {
        const msg = stream.pick(whole);
        if (msg === undefined) return;
        if (this.take(stream, channel, msg, arrived_ns)) this.synchroniser.update();
        if (!this.status.connected) this.look();
      },
      {
        throttle_rate: spec.throttle_rate_ms,
        queue_length: spec.queue_length,
        compression: spec.compression,
        channel,
        ...(spec.latched ? {} : { no_data_ms: this.file.deadlines.no_data_ms }),
        qos: spec.qos === undefined ? undefined : { ...spec.qos },
      },
    );
  }

  /** A picture made a sample, or was refused. */
  private decoded(): void {
    this.synchroniser.update();
    this.look();
  }

  /** A message with its time and what is not known of it; true when it made a sample. */
  private take(stream: Stream, channel: Channel, msg: Message, arrived_ns: number): boolean {
    const { client } = this;
    const { spec } = stream;
    const line_ns = client.line_ns(channel);
    if (!stream.stamped) return stream.add(msg, arrived_ns, arrived_ns, line_ns);
    const time = headerTime(msg);
    if (time === undefined)
      return spec.latched ? stream.add(msg, arrived_ns, arrived_ns) : stream.addUnstamped();
    const stamp_ns = client.clock.toLocal(time, arrived_ns, line_ns);
    const taken = stream.add(msg, stamp_ns, arrived_ns, client.clock.uncertainty(arrived_ns));
    if (stream.untimely === 0) client.trustClock();
    else if (stream.untimely >= UNTIMELY) client.doubtClock(line_ns < (spec.freshness_ms * 1e6) / 2);
    return taken;
  }

  /** What is wrong with the flow of observations, for people; empty when nothing is. */
  private silence(): string {
    const now_ns = this.clock.now_ns();
    const { no_data_ms } = this.file.deadlines;
    for (const stream of this.streams) {
      const { heard_ns, spec } = stream;
      // What is told once is not lost by silence; before that it is missing.
      if (spec.latched && heard_ns !== undefined) continue;
      const silent_ms = (now_ns - (heard_ns ?? this.opened_ns)) / 1e6;
      if (silent_ms > no_data_ms) return stream.trouble(this.whoseClock(), no_data_ms);
    }
    return '';
  }

  /** By which clock stamps are judged, for people. */
  private whoseClock(): string {
    const { source } = this.client.clock;
    return source === 'rosapi'
      ? "by the clock of the bridge's machine (/rosapi/get_time)"
      : 'by the quickest message so far (the bridge has no rosapi to ask for its time)';
  }

  private look(): void {
    if (!this.open) return;
    const cause =
      this.silence() || (this.readiness.trouble ?? 'asking the bridge who hears commands and stops');
    if (cause !== '') this.report({ connected: false, reachable: true, cause });
    else if (this.synchroniser.latest !== undefined)
      this.report({ connected: true, reachable: true, cause: 'connected' });
  }

  private report(status: RobotStatus): void {
    const { connected, reachable, cause } = this.status;
    const same = kindOf(status.cause) === kindOf(cause);
    if (status.connected === connected && status.reachable === reachable && same) return;
    this.status = status;
    this.statuses.emit(status);
  }
}

/** A cause without its times: an age that grows is told once, not with every message. */
const kindOf = (cause: string): string => cause.replace(/\d+(\.\d+)? (?=m?s\b)/g, '');

const channelOf = ({ spec }: Stream): Channel => (Object.keys(spec.images).length > 0 ? 'images' : 'data');

/** Commands, and what may stop them, wait behind nothing else. */
function ownConnections({ bridge, stop, operator_heartbeat }: RobotFile): readonly Channel[] {
  const own: Channel[] = bridge.separate_connections ? ['images', 'services', 'commands'] : ['commands'];
  return stop === undefined && operator_heartbeat === undefined ? own : [...own, 'safety'];
}

/** The longest frame of each channel, in bytes: a longer one is something else's, and would hold everything up. */
function frameLimits({ observation }: RobotFile): NonNullable<ClientOptions['max_frame']> {
  const pictures = observation.flatMap(({ images }) => Object.values(images));
  const largest = Math.max(0, ...pictures.map(([height, width, channels]) => height * width * channels));
  return {
    data: FRAME_BYTES,
    images: FRAME_BYTES + largest * BYTES_IN_JSON,
    services: FRAME_BYTES,
    commands: SMALL_FRAME_BYTES,
    safety: SMALL_FRAME_BYTES,
  };
}

/** ROS 1's actions are topics, which rosbridge's action ops do not reach; ros2-web-bridge has no such ops at all. */
function noActions({ name, command }: RobotFile, dialect: string): TendonError {
  const { type, topic } = command.parts.find(isGoal) as CommandPart;
  return new TendonError(
    'config_invalid',
    `${name}: ${type} is an action, and ${dialect} has none. Publish trajectory_msgs/JointTrajectory on the controller's command topic instead (of joint_trajectory_controller that is ${topic.replace(/\/follow_joint_trajectory$/, '')}/command in ROS 1, …/joint_trajectory in ROS 2).`,
    { robot: name, type, dialect },
  );
}

/** Which sockets get a thread: it costs a round trip half a millisecond, and pays where frames are long to read. */
function threadsOf({ bridge, observation }: RobotFile): boolean | 'images' {
  if (bridge.socket_thread !== 'auto') return bridge.socket_thread;
  const pictures = observation.some(({ type }) => canonicalType(type) === IMAGE_TYPE);
  return pictures && 'images';
}

function readTls(tls: NonNullable<RobotFile['bridge']['tls']>): NonNullable<ClientOptions['tls']> {
  const verify = tls.verify === undefined ? {} : { verify: tls.verify };
  if (tls.ca_file === undefined) return verify;
  const hint = 'bridge.tls.ca_file should be the PEM file of the certificate authority of the bridge.';
  return { ...verify, ca: readUserText(tls.ca_file, 'certificate', hint) };
}
