// The rosbridge client: topics, services and actions over connections that may come and go. After a reconnect it
// advertises and subscribes again and replays nothing; every call ends, by an answer, a timeout or the loss of the
// connection. It speaks to the servers in dialects.ts and finds out by itself which one it has.

import { Emitter } from '../../base/index.js';
import { type BridgeDialect, type Nanoseconds, TendonError } from '../../types/index.js';
import { stringifyJson } from '../codec/json.js';
import {
  canonicalType,
  type Message,
  type Op,
  SERVER_HEADER,
  type ServiceHandler,
} from '../codec/protocol.js';
import { readTime } from '../codec/time.js';
import { type RosAuth, rosauth } from './auth.js';
import { Calls } from './calls.js';
import { CHANNELS, type Channel, type Link } from './channels.js';
import { ClockOffset } from './clock-offset.js';
import {
  type Connecting,
  Connection,
  type ConnectionCounters,
  type ConnectionOptions,
  zeroCounters,
} from './connection.js';
import { DIALECTS, type Dialect, spellTimes, spellType } from './dialects.js';
import { type AdvertiseOptions, Offers, type Publisher } from './offers.js';
import { ThreadedConnection } from './socket-thread.js';
import { type Listener, type SubscribeOptions, Subscriptions } from './subscriptions.js';

export interface ClientOptions {
  readonly url: string;
  readonly dialect?: BridgeDialect;
  readonly token?: string;
  readonly auth?: RosAuth;
  readonly tls?: ConnectionOptions['tls'];
  readonly separate_connections?: boolean;
  /** Each socket, or the one that carries images, is read by a thread of its own, which keeps the newest of every topic. */
  readonly socket_thread?: boolean | 'images';
  readonly connect_timeout_ms?: number;
  readonly call_timeout_ms?: number;
  readonly ping_ms?: number;
  readonly ping_timeout_ms?: number;
  readonly backoff_ms?: readonly [number, number];
  readonly max_payload?: number;
  /** A frame is dropped, not queued, while more than this waits in the socket. */
  readonly max_buffered?: number;
  /** This process' monotonic clock. */
  readonly now_ns: () => Nanoseconds;
}

export interface GoalHandle {
  readonly result: Promise<{ readonly status: number; readonly values: Message }>;
  cancel(): void;
}

export interface ClientStatus {
  readonly connected: boolean;
  readonly cause: string;
}

// The first answer is often slow (both sides are still warming up), and half its round trip is the error of the
// offset: so the server's clock is asked for several times after connecting, then now and then.
const QUICK_MEASURES = 10;
/** action_msgs/GoalStatus. */
const GOAL_ABORTED = 6;
const QUICK_MEASURE_NS = 50e6;
const MEASURE_NS = 10e9;

export class BridgeClient {
  readonly clock = new ClockOffset();
  /** Undefined until known; configured, or detected on connecting. */
  dialect: Dialect | undefined;
  last_malformed = '';
  /** The newest error or warning that the server sent as a status; only ros2-web-bridge and ours send any. */
  last_complaint = '';
  private readonly connections = new Map<Channel, Connecting>();
  private readonly unique: readonly Connecting[];
  private readonly subscriptions: Subscriptions;
  private readonly offers: Offers;
  private readonly calls: Calls;
  /** Connections on which everything has been advertised and subscribed. */
  private readonly live = new Set<Connecting>();
  private readonly statuses = new Emitter<ClientStatus>('bridge');
  private readonly roundTrips = new Emitter<number>('round trips');
  private readonly watch: NodeJS.Timeout;
  private status: ClientStatus = { connected: false, cause: 'not connected yet' };
  private closed = false;
  private measured_ns: Nanoseconds = 0;
  /** How often the clock is still asked for in quick succession. */
  private quick_measures = 0;

  constructor(private readonly options: ClientOptions) {
    this.calls = new Calls(options.url);
    const channels = options.separate_connections === true ? CHANNELS : (['data'] as const);
    this.unique = channels.map((channel) => this.makeConnection(channel));
    CHANNELS.forEach((channel, index) => {
      this.connections.set(
        channel,
        this.unique[options.separate_connections === true ? index : 0] as Connecting,
      );
    });
    if (options.dialect !== undefined && options.dialect !== 'auto') this.dialect = DIALECTS[options.dialect];
    const link: Link = {
      now_ns: options.now_ns,
      dialect: () => this.dialect,
      ready: (channel) => this.live.has(this.connections.get(channel) as Connecting),
      op: (channel, op) => this.sendOp(channel, op),
      frame: (channel, frame) => this.connections.get(channel)?.send(frame) === true,
      offline: (channel) => {
        ++(this.connections.get(channel) as Connecting).counters.dropped_offline;
      },
    };
    this.subscriptions = new Subscriptions(link);
    this.offers = new Offers(link);
    this.watch = setInterval(() => this.look(), 20);
    this.watch.unref();
  }

  /** Resolves once every connection is open and the dialect is known. Rejects with `bridge_unreachable`. */
  async connect(): Promise<void> {
    const limit_ms = this.options.connect_timeout_ms ?? 5000;
    const until_ns = this.options.now_ns() + limit_ms * 1e6;
    for (const connection of this.unique) connection.start();
    while (!this.status.connected) {
      if (this.closed) throw new TendonError('cancelled', 'the client was closed while it connected');
      if (this.options.now_ns() > until_ns) {
        const { cause } = this.unique.find((connection) => !connection.open) ?? this.status;
        throw new TendonError(
          'bridge_unreachable',
          `No rosbridge server answered at ${this.options.url} within ${limit_ms} ms (${cause}). Is it running, and is bridge.url right?`,
          { url: this.options.url },
        );
      }
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }

  async close(): Promise<void> {
    this.closed = true;
    clearInterval(this.watch);
    for (const connection of this.unique) connection.stop();
    this.live.clear();
    this.calls.fail('the client was closed');
    this.report({ connected: false, cause: 'closed by this side' });
  }

  /** Times a compression was given up because nothing came by it. */
  get cbor_fallbacks(): number {
    return this.subscriptions.fallbacks;
  }

  onStatus(listener: (status: ClientStatus) => void): () => void {
    return this.statuses.on(listener);
  }

  /** Each answered ping's time there and back, on every connection; returns the way to stop. */
  onRoundTrip(listener: (ms: number) => void): () => void {
    return this.roundTrips.on(listener);
  }

  counters(): ConnectionCounters {
    const sum = zeroCounters();
    for (const { counters } of this.unique) {
      for (const key of Object.keys(sum) as (keyof ConnectionCounters)[]) sum[key] += counters[key];
    }
    return sum;
  }

  /** Hears a topic, now and after every reconnect; returns the way to stop. */
  subscribe(topic: string, type: string, listener: Listener, options: SubscribeOptions = {}): () => void {
    return this.subscriptions.add(topic, type, listener, options);
  }

  /** Offers a topic, now and after every reconnect. */
  advertise(topic: string, type: string, options: AdvertiseOptions = {}): Publisher {
    return this.offers.topic(topic, type, options);
  }

  /**
   * Answers a service, now and after every reconnect; returns the way to take it back. rosbridge_suite for ROS 2 blocks
   * a connection for good that calls a service which it offers itself.
   */
  advertiseService(service: string, type: string, handler: ServiceHandler): () => void {
    return this.offers.service(service, type, handler);
  }

  /** Calls a service. Rejects with `bridge_timeout`, `bridge_unreachable`, or `bridge_protocol` when refused. */
  async call(service: string, type: string, args: Message = {}, timeout_ms?: number): Promise<Message> {
    const { dialect } = this;
    const spelled = dialect === undefined ? canonicalType(type) : spellType(dialect, type, 'srv');
    const limit_ms = timeout_ms ?? this.options.call_timeout_ms ?? 2000;
    const id = crypto.randomUUID();
    const op: Op<'call_service'> = { op: 'call_service', id, service, type: spelled, args };
    const reply = await this.calls.ask(id, `service ${service}`, limit_ms, () => this.sendOp('services', op));
    const { values } = reply;
    if (reply.result === false) {
      throw new TendonError(
        'bridge_protocol',
        `Service ${service} refused: ${typeof values === 'string' ? values : JSON.stringify(values)}.`,
        { service },
      );
    }
    return (typeof values === 'object' && values !== null ? values : {}) as Message;
  }

  /** Starts an action goal, such as FollowJointTrajectory; the result rejects like `call` does. */
  sendGoal(
    action: string,
    type: string,
    args: Message,
    options: { timeout_ms: number; feedback?: (values: unknown) => void },
  ): GoalHandle {
    const id = crypto.randomUUID();
    const { dialect } = this;
    if (dialect !== undefined && !dialect.actions) {
      const why = `${dialect.name} has no actions. Send commands on a topic instead.`;
      return { result: Promise.reject(new TendonError('unsupported', why)), cancel: () => undefined };
    }
    const op: Op<'send_action_goal'> = {
      op: 'send_action_goal',
      id,
      action,
      action_type: dialect === undefined ? type : spellType(dialect, type, 'action'),
      args,
      feedback: options.feedback !== undefined,
    };
    const cancel = () => {
      this.sendOp('services', { op: 'cancel_action_goal', id, action });
    };
    const result = this.calls
      .ask(id, `action ${action}`, options.timeout_ms, () => this.sendOp('services', op), options.feedback)
      .then((reply) => {
        const status = reply.op === 'action_result' ? Number(reply.status ?? 0) : 0;
        // rosbridge_suite says true of every goal that ended, however it did.
        if (reply.result === false || status === GOAL_ABORTED) {
          throw new TendonError(
            'bridge_protocol',
            `Action ${action} failed: ${JSON.stringify(reply.values)}.`,
            { action },
          );
        }
        return { status, values: (reply.values ?? {}) as Message };
      });
    return { result, cancel };
  }

  private makeConnection(channel: Channel): Connecting {
    const { options } = this;
    const mine: readonly Channel[] = options.separate_connections === true ? [channel] : CHANNELS;
    const { socket_thread } = options;
    const threaded = socket_thread === true || (socket_thread === 'images' && mine.includes('images'));
    const Kind = threaded ? ThreadedConnection : Connection;
    const connection: Connecting = new Kind({
      url: options.url,
      headers: options.token === undefined ? {} : { authorization: `Bearer ${options.token}` },
      tls: options.tls ?? {},
      max_payload: options.max_payload ?? 64 * 1024 * 1024,
      max_buffered: options.max_buffered ?? 256 * 1024,
      ping_ms: options.ping_ms ?? 500,
      ping_timeout_ms: options.ping_timeout_ms ?? 2000,
      connect_timeout_ms: options.connect_timeout_ms ?? 5000,
      backoff_ms: options.backoff_ms ?? [50, 2000],
      on_open: (headers) => this.opened(connection, mine, headers[SERVER_HEADER] !== undefined),
      on_op: (op, held_ms) => this.receive(op, held_ms),
      on_down: (cause) => {
        this.live.delete(connection);
        if (mine.includes('services')) this.calls.fail(cause);
        this.report({ connected: false, cause });
      },
      on_malformed: (cause) => {
        this.last_malformed = cause;
      },
      on_round_trip: (ms) => {
        this.roundTrips.emit(ms);
      },
    });
    return connection;
  }

  private async opened(connection: Connecting, mine: readonly Channel[], embedded: boolean): Promise<void> {
    if (this.options.auth !== undefined) connection.send(stringifyJson(rosauth(this.options.auth)));
    if (embedded && (this.options.dialect ?? 'auto') === 'auto') this.dialect = DIALECTS.embedded;
    if (mine.includes('services')) {
      this.clock.reset();
      this.quick_measures = QUICK_MEASURES;
      // It may be another server by now, and one that was slow to say its time may say it now.
      await this.measureClock(true);
      if (!connection.open) return;
      this.dialect ??= DIALECTS['ros2-web-bridge'];
    } else while (this.dialect === undefined && connection.open) await new Promise((go) => setTimeout(go, 5));
    if (!connection.open) return;
    if (this.dialect !== undefined) connection.unpack?.(this.dialect.serialisation);
    this.offers.renew(mine);
    this.subscriptions.renew(mine);
    this.live.add(connection);
    if (this.unique.every((one) => this.live.has(one))) this.report({ connected: true, cause: 'connected' });
  }

  /**
   * Asks the server for its time. The spelling of the answer tells ROS 1 from ROS 2; ros2-web-bridge never answers
   * a service it does not know.
   */
  private async measureClock(opened = false): Promise<void> {
    this.measured_ns = this.options.now_ns();
    const configured = this.options.dialect !== undefined && this.options.dialect !== 'auto';
    if (this.dialect?.name === 'ros2-web-bridge' && (configured || !opened)) return;
    const asked_ns = this.measured_ns;
    try {
      const { time } = await this.call('/rosapi/get_time', 'rosapi/GetTime', {}, 500);
      const server = readTime(time);
      if (server !== undefined) this.clock.measured(server, asked_ns, this.options.now_ns());
      --this.quick_measures;
      if (!configured && this.dialect?.name !== 'embedded') {
        const ros1 = typeof time === 'object' && time !== null && 'secs' in time;
        this.dialect = DIALECTS[ros1 ? 'rosbridge_suite_ros1' : 'rosbridge_suite_ros2'];
      }
    } catch (caught) {
      this.quick_measures = 0;
      // A refusal is an answer too: rosbridge_suite without rosapi. Stamps then count from arrivals.
      const refused = caught instanceof TendonError && caught.code === 'bridge_protocol';
      if (refused && !configured) this.dialect ??= DIALECTS.rosbridge_suite_ros2;
    }
  }

  private receive(op: Op, held_ms: number): void {
    if (op.op === 'publish') this.subscriptions.receive(op, held_ms);
    else if (op.op === 'status') {
      if (op.level !== 'info' && op.level !== 'none') this.last_complaint = String(op.msg);
    } else if (op.op === 'call_service') void this.offers.answer(op);
    else if (op.op === 'service_response' || op.op === 'action_result' || op.op === 'action_feedback')
      this.calls.receive(op);
  }

  private sendOp(channel: Channel, op: Op): boolean {
    const { dialect } = this;
    const frame =
      dialect === undefined ? stringifyJson(op) : stringifyJson(spellTimes(dialect, op), dialect.bytes);
    return this.connections.get(channel)?.send(frame) === true;
  }

  /** Looks for silence, and keeps the clock offset fresh. */
  private look(): void {
    if (!this.status.connected) return;
    const now_ns = this.options.now_ns();
    this.subscriptions.look(now_ns);
    const pause_ns = this.quick_measures > 0 ? QUICK_MEASURE_NS : MEASURE_NS;
    if (now_ns - this.measured_ns > pause_ns) void this.measureClock();
  }

  private report(status: ClientStatus): void {
    if (status.connected === this.status.connected && status.cause === this.status.cause) return;
    this.status = status;
    this.statuses.emit(status);
  }
}
