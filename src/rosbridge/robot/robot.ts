// A robot behind rosbridge, as control sees it: topics become Observations, Commands become messages. Everything
// that may go wrong on the way is said through onStatus, and every command that does not go out is counted.

import { readUserText } from '../../base/files.js';
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
import { BridgeClient, type ClientOptions } from '../client/client.js';
import type { Publisher } from '../client/offers.js';
import { SAID_ONCE } from '../client/subscriptions.js';
import { IMAGE_TYPE } from '../codec/images.js';
import { canonicalType, type Message } from '../codec/protocol.js';
import { epochStamp, headerTime, type RosTime } from '../codec/time.js';
import { commandWriter } from './command-writers.js';
import { FrameTree } from './frame-tree.js';
import { GoalSender, isGoal } from './goal-sender.js';
import { type OperatorListener, Operators } from './operators.js';
import { TF_TYPE } from './readers.js';
import { Stream, Synchroniser } from './streams.js';

/** Commands that were not sent, by cause. */
export interface CommandDrops {
  offline: number;
  no_fresh_observation: number;
  expired: number;
  invalid: number;
  backlog: number;
}

const WATCH_MS = 20;
type Writer = (values: Float64Array, stamp: RosTime) => Message;

const IN_THE_GOAL: Publisher = { publish: () => true, close: () => undefined };

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
  private readonly parts: readonly { readonly publisher: Publisher; readonly write: Writer }[];
  private readonly statuses = new Emitter<RobotStatus>('robot');
  private readonly operators: Operators;
  private status: RobotStatus = { connected: false, cause: 'not connected yet' };
  private watch: NodeJS.Timeout | undefined;
  private open = false;
  private closed = false;
  private opened_ns = 0;

  /** Throws `unsupported` when the file names a type that cannot be read or written. */
  constructor(
    private readonly file: RobotFile,
    private readonly clock: Pick<Clock, 'now_ns'>,
    options: Partial<ClientOptions> = {},
  ) {
    const { bridge, command, deadlines } = file;
    const writers = command.parts.map((part) => ({ part, write: commandWriter(part, file) }));
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
      separate_connections: bridge.separate_connections,
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
    this.operators = new Operators(this.client, file);
    const goal = command.parts.find(isGoal);
    this.goals = goal && new GoalSender(this.client, goal, file);
    this.parts = writers.map(({ part, write }) => {
      const { topic, type, qos } = part;
      // The command of a period is in the goal that was sent before it.
      if (isGoal(part)) return { publisher: IN_THE_GOAL, write };
      const options = { channel: 'commands', qos: qos === undefined ? undefined : { ...qos } } as const;
      return { publisher: this.client.advertise(topic, type, options), write };
    });
    this.client.onStatus(({ connected, cause }) => {
      this.open = connected;
      this.opened_ns = this.clock.now_ns();
      // Whatever was seen before belongs to the past: nothing is sent until the robot has been seen again.
      this.synchroniser.forget();
      if (!connected) this.frames.forget();
      this.report({
        connected: false,
        cause: connected ? 'connected, waiting for a first observation' : cause,
      });
    });
  }

  /** Connects and waits for the first observation. Rejects with `bridge_unreachable` or `bridge_timeout`. */
  async connect(): Promise<void> {
    await this.client.connect();
    this.watch ??= setInterval(() => this.look(), WATCH_MS);
    const until_ns = this.clock.now_ns() + this.file.deadlines.connect_ms * 1e6;
    while (this.synchroniser.latest === undefined) {
      if (this.closed) throw new TendonError('cancelled', `${this.file.name}: closed while it connected`);
      if (this.clock.now_ns() > until_ns) {
        throw new TendonError(
          'bridge_timeout',
          `${this.file.name}: connected to ${this.file.bridge.url}, but no observation within ${this.file.deadlines.connect_ms} ms: ${this.silence() || 'the topics do not match in time; see max_skew_ms'}`,
          { robot: this.file.name },
        );
      }
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
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
    let whole = true;
    // What one topic cannot take now does not keep another from its newest command.
    for (const { publisher, write } of this.parts)
      whole = publisher.publish(write(command.values, stamp)) && whole;
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
    guarded('robot', () => listener(this.status));
    return this.statuses.on(listener);
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
    await this.client.close();
  }

  /** Counters of each topic: samples, refused, stale, out of order, dropped (frames that a newer one overtook). */
  streamCounters(): Readonly<Record<string, Readonly<Stream['counters']>>> {
    return Object.fromEntries(this.streams.map(({ spec, counters }) => [spec.topic, { ...counters }]));
  }

  private objection(command: Command, now_ns: number): keyof CommandDrops | undefined {
    if (!this.open) return 'offline';
    const { latest } = this.synchroniser;
    // A robot that has not been seen since the connection opened, or is gone. What is between fresh and gone is for control
    // to judge, and so is a message that cannot be read: it still has to brake then.
    const gone_ns = this.file.deadlines.no_data_ms * 1e6;
    if (latest === undefined || now_ns - latest.stamp_ns > gone_ns) return 'no_fresh_observation';
    const lifetime_ns = this.file.command.lifetime_ms * 1e6;
    if (now_ns > command.expires_ns || now_ns - command.stamp_ns > lifetime_ns) return 'expired';
    if (command.values.length !== this.action_dim || !command.values.every(Number.isFinite)) return 'invalid';
    return undefined;
  }

  private listen(stream: Stream): void {
    const { spec } = stream;
    const pictures = Object.keys(spec.images).length > 0;
    this.client.subscribe(
      spec.topic,
      spec.type,
      (whole, arrived_ns) => {
        const msg = stream.pick(whole);
        if (msg === undefined) return;
        const time = spec.stamps === 'header' ? headerTime(msg) : undefined;
        const stamp_ns = time === undefined ? arrived_ns : this.client.clock.toLocal(time, arrived_ns);
        const before = stream.refused;
        if (stream.add(msg, stamp_ns, arrived_ns)) this.synchroniser.update();
        if (stream.refused !== before || !this.status.connected) this.look();
      },
      {
        throttle_rate: spec.throttle_rate_ms,
        queue_length: spec.queue_length,
        compression: spec.compression,
        channel: pictures ? 'images' : 'data',
        no_data_ms: this.file.deadlines.no_data_ms,
        qos: spec.qos === undefined ? undefined : { ...spec.qos },
      },
    );
  }

  /** A picture made a sample, or was refused. */
  private decoded(): void {
    this.synchroniser.update();
    this.look();
  }

  /** What is wrong with the flow of observations, for people; empty when nothing is. */
  private silence(): string {
    const now_ns = this.clock.now_ns();
    for (const { refused, heard_ns, spec } of this.streams) {
      if (refused !== '') return refused;
      const silent_ms = (now_ns - (heard_ns ?? this.opened_ns)) / 1e6;
      if (silent_ms > this.file.deadlines.no_data_ms) {
        return `no data on ${spec.topic} for ${this.file.deadlines.no_data_ms} ms`;
      }
    }
    return '';
  }

  private look(): void {
    if (!this.open) return;
    const cause = this.silence();
    if (cause !== '') this.report({ connected: false, cause });
    else if (this.synchroniser.latest !== undefined) this.report({ connected: true, cause: 'connected' });
  }

  private report({ connected, cause }: RobotStatus): void {
    const status = { connected, reachable: this.open, cause };
    const before = this.status;
    if (connected === before.connected && this.open === before.reachable && cause === before.cause) return;
    this.status = status;
    this.statuses.emit(status);
  }
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
