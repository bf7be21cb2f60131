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
import { type RosAuth, rosauth } from './auth.js';
import { Calls } from './calls.js';
import { CHANNELS, type Channel, type Link } from './channels.js';
import { ClockKeeper } from './clock-keeper.js';
import type { ClockOffset } from './clock-offset.js';
import {
  type Connecting,
  Connection,
  type ConnectionOptions,
  sharedNow,
  zeroCounters,
} from './connection.js';
import type { ConnectionCounters } from './counters.js';
import { DialectFinder } from './dialect-finder.js';
import { type Dialect, spellTimes, spellType } from './dialects.js';
import { type AdvertiseOptions, Offers, type Publisher } from './offers.js';
import { ThreadedConnection } from './socket-thread.js';
import { type Listener, type SubscribeOptions, Subscriptions } from './subscriptions.js';

export interface ClientOptions {
  readonly url: string;
  readonly dialect?: BridgeDialect;
  readonly token?: string;
  readonly auth?: RosAuth;
  readonly tls?: ConnectionOptions['tls'];
  /** Pictures, commands and services have a socket each; or the channels named here have, and the others share one. */
  readonly separate_connections?: boolean | readonly Channel[];
  /** Each socket, or the one that carries images, is read by a thread of its own, which keeps the newest of every topic. */
  readonly socket_thread?: boolean | 'images';
  readonly connect_timeout_ms?: number;
  readonly call_timeout_ms?: number;
  readonly ping_ms?: number;
  readonly ping_timeout_ms?: number;
  readonly backoff_ms?: readonly [number, number];
  /** A longer frame ends the connection. */
  readonly max_payload?: number;
  /** A frame longer than this for its channel is refused before it is parsed; default `max_payload`. */
  readonly max_frame?: Readonly<Partial<Record<Channel, number>>>;
  /** How long a command is good for: its connection is reset when the server has not read it by then. */
  readonly lifetime_ms?: number;
  /** A frame is dropped, not queued, while more than this waits in the socket. */
  readonly max_buffered?: number;
  /** This process' monotonic clock. */
  readonly now_ns: () => Nanoseconds;
}

export interface GoalHandle {
  /** False: it did not leave, and the result says why. */
  readonly sent: boolean;
  readonly result: Promise<{ readonly status: number; readonly values: Message }>;
  cancel(): void;
}

export interface ClientStatus {
  readonly connected: boolean;
  readonly cause: string;
}

/** How long a server that is known already may take to say its time before the connection is used, ms. */
const FIRST_ANSWER_MS = 500;
/** How long one that is not known has before it is asked what only ros2-web-bridge answers, and after that, ms. */
const PROBE_MS = 250;
const SILENT_MS = 400;
/** Characters of a server's remark. */
const MOST_COMPLAINT = 500;
const TELL_AGAIN_NS = 10e9;
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
/** action_msgs/GoalStatus. */
const GOAL_ABORTED = 6;
/** Of `separate_connections: true`. */
const ALONE: readonly Channel[] = ['images', 'commands', 'services'];
/** What is sent or must be heard at once stays in this process: a thread between would only add a way to be late. */
const NEVER_THREADED: readonly Channel[] = ['commands', 'safety'];

export class BridgeClient {
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
  private readonly losses = new Emitter<readonly Channel[]>('lost channels');
  private readonly roundTrips = new Emitter<number>('round trips');
  private readonly watch: NodeJS.Timeout;
  private status: ClientStatus = { connected: false, cause: 'not connected yet' };
  private closed = false;
  private malformed_ns: Nanoseconds = 0;
  private readonly complaints = new Emitter<string>('complaints');
  private readonly keeper: ClockKeeper;
  private readonly finder: DialectFinder;

  constructor(private readonly options: ClientOptions) {
    checkAddress(options.url);
    this.calls = new Calls(options.url);
    this.finder = new DialectFinder(options.dialect);
    this.keeper = new ClockKeeper({
      now_ns: options.now_ns,
      ask: () => this.call('/rosapi/get_time', 'rosapi/GetTime'),
    });
    const { separate_connections: own = false } = options;
    const alone = own === true ? ALONE : own === false ? [] : own;
    const shared = CHANNELS.filter((channel) => !alone.includes(channel));
    this.unique = [shared, ...alone.map((channel) => [channel])].map((mine) => {
      const connection = this.makeConnection(mine);
      for (const channel of mine) this.connections.set(channel, connection);
      return connection;
    });
    const link: Link = {
      now_ns: options.now_ns,
      dialect: () => this.dialect,
      sure: () => this.finder.sure,
      ready: (channel) => this.live.has(this.connections.get(channel) as Connecting),
      op: (channel, op) => this.sendOp(channel, op),
      frame: (channel, frame, expires_ms) => this.connections.get(channel)?.send(frame, expires_ms) === true,
      offline: (channel) => {
        ++(this.connections.get(channel) as Connecting).counters.dropped_offline;
      },
    };
    this.subscriptions = new Subscriptions(link);
    this.offers = new Offers(link);
    this.watch = setInterval(() => this.look(), 20);
    this.watch.unref();
  }

  /** Undefined until known; configured, or found out on connecting. */
  get dialect(): Dialect | undefined {
    return this.finder.current;
  }

  /** Whether the dialect is certain: without rosapi that is so from the first message with a stamp on. */
  get dialect_sure(): boolean {
    return this.finder.sure;
  }

  get clock(): ClockOffset {
    return this.keeper.offset;
  }

  /** An upper bound of how long a message of `channel` was on the line, from pings: the last one's time or the age of one. */
  line_ns(channel: Channel): Nanoseconds {
    return (this.connections.get(channel)?.round_trip_ms ?? Number.POSITIVE_INFINITY) * 1e6;
  }

  /** Stamps came that cannot be true: is the server's clock what it was? */
  doubtClock(quick_line: boolean): void {
    this.keeper.doubt(quick_line);
  }

  trustClock(): void {
    this.keeper.trust();
  }

  /**
   * Resolves once every connection is open and the dialect is known. Rejects with `bridge_unreachable`, or with the
   * reason of `signal` when that is aborted.
   */
  async connect(signal?: AbortSignal): Promise<void> {
    const limit_ms = this.options.connect_timeout_ms ?? 5000;
    const until_ns = this.options.now_ns() + limit_ms * 1e6;
    for (const connection of this.unique) connection.start();
    while (!this.status.connected) {
      if (this.closed) throw new TendonError('cancelled', 'the client was closed while it connected');
      signal?.throwIfAborted();
      if (this.options.now_ns() > until_ns) {
        const { cause } = this.unique.find((connection) => !connection.open) ?? this.status;
        throw new TendonError(
          'bridge_unreachable',
          `No rosbridge server answered at ${this.options.url} within ${limit_ms} ms (${cause}). Is it running, and is bridge.url right?`,
          { url: this.options.url },
        );
      }
      await pause(5);
    }
  }

  async close(): Promise<void> {
    this.closed = true;
    clearInterval(this.watch);
    for (const connection of this.unique) connection.stop();
    this.live.clear();
    this.calls.fail('the client was closed', CHANNELS);
    this.report({ connected: false, cause: 'closed by this side' });
  }

  /** Times a compression was given up because nothing came by it. */
  get cbor_fallbacks(): number {
    return this.subscriptions.fallbacks;
  }

  onStatus(listener: (status: ClientStatus) => void): () => void {
    return this.statuses.on(listener);
  }

  /** Each time a connection goes down: the channels that it carried; returns the way to stop. */
  onLost(listener: (channels: readonly Channel[]) => void): () => void {
    return this.losses.on(listener);
  }

  /** Each answered ping's time there and back, on every connection; returns the way to stop. */
  onRoundTrip(listener: (ms: number) => void): () => void {
    return this.roundTrips.on(listener);
  }

  /** Each error or warning of the server, as it comes; returns the way to stop. */
  onComplaint(listener: (complaint: string) => void): () => void {
    return this.complaints.on(listener);
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
  advertiseService(service: string, type: string, handler: ServiceHandler, channel?: Channel): () => void {
    return this.offers.service(service, type, handler, channel);
  }

  /** Calls a service. Rejects with `bridge_timeout`, `bridge_unreachable`, or `bridge_protocol` when refused. */
  async call(service: string, type: string, args: Message = {}, timeout_ms?: number): Promise<Message> {
    const { dialect } = this;
    const spelled = dialect === undefined ? canonicalType(type) : spellType(dialect, type, 'srv');
    const id = crypto.randomUUID();
    const op: Op<'call_service'> = { op: 'call_service', id, service, type: spelled, args };
    const reply = await this.calls.ask({
      id,
      what: `service ${service}`,
      timeout_ms: timeout_ms ?? this.options.call_timeout_ms ?? 2000,
      channel: 'services',
      send: () => this.sendOp('services', op),
    });
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

  /**
   * Starts an action goal, such as FollowJointTrajectory; the result rejects like `call` does. With `good_for_ms` it is a
   * command: not written later than that from now, nor behind anything else that waits.
   */
  sendGoal(
    action: string,
    type: string,
    args: Message,
    options: { timeout_ms: number; good_for_ms?: number; feedback?: (values: unknown) => void },
  ): GoalHandle {
    const id = crypto.randomUUID();
    const { dialect } = this;
    if (dialect !== undefined && !dialect.actions) {
      const why = `${dialect.name} has no actions. Send commands on a topic instead.`;
      const result = Promise.reject(new TendonError('unsupported', why));
      return { sent: false, result, cancel: () => undefined };
    }
    const op: Op<'send_action_goal'> = {
      op: 'send_action_goal',
      id,
      action,
      action_type: dialect === undefined ? type : spellType(dialect, type, 'action'),
      args,
      feedback: options.feedback !== undefined,
    };
    const { timeout_ms, good_for_ms, feedback } = options;
    const expires_ms = good_for_ms === undefined ? undefined : sharedNow() + good_for_ms;
    const cancel = () => {
      this.sendOp('commands', { op: 'cancel_action_goal', id, action });
    };
    let sent = false;
    const send = (): boolean => {
      sent = this.sendOp('commands', op, expires_ms);
      return sent;
    };
    const result = this.calls
      .ask({ id, what: `action ${action}`, timeout_ms, channel: 'commands', send, feedback })
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
    return { sent, result, cancel };
  }

  private makeConnection(mine: readonly Channel[]): Connecting {
    const { options } = this;
    const { socket_thread } = options;
    const wanted = socket_thread === true || (socket_thread === 'images' && mine.includes('images'));
    const threaded = wanted && !mine.every((channel) => NEVER_THREADED.includes(channel));
    const max_payload = options.max_payload ?? 64 * 1024 * 1024;
    const Kind = threaded ? ThreadedConnection : Connection;
    const connection: Connecting = new Kind({
      url: options.url,
      headers: options.token === undefined ? {} : { authorization: `Bearer ${options.token}` },
      tls: options.tls ?? {},
      max_payload,
      max_frame: Math.max(...mine.map((channel) => options.max_frame?.[channel] ?? max_payload)),
      lifetime_ms: mine.includes('commands') ? options.lifetime_ms : undefined,
      max_buffered: options.max_buffered ?? 256 * 1024,
      ping_ms: options.ping_ms ?? 500,
      ping_timeout_ms: options.ping_timeout_ms ?? 2000,
      connect_timeout_ms: options.connect_timeout_ms ?? 5000,
      backoff_ms: options.backoff_ms ?? [50, 2000],
      on_open: (headers) => this.opened(connection, mine, headers[SERVER_HEADER] !== undefined),
      on_op: (op, held_ms) => this.receive(op, held_ms),
      on_down: (cause) => {
        this.live.delete(connection);
        this.losses.emit(mine);
        this.calls.fail(cause, mine);
        this.report({ connected: false, cause });
      },
      on_malformed: (cause) => this.malformed(cause),
      on_round_trip: (ms) => {
        this.roundTrips.emit(ms);
      },
    });
    return connection;
  }

  private async opened(connection: Connecting, mine: readonly Channel[], embedded: boolean): Promise<void> {
    if (this.options.auth !== undefined) connection.send(stringifyJson(rosauth(this.options.auth)));
    this.finder.opened(embedded);
    if (mine.includes('services')) {
      this.keeper.restart();
      // It may be another server by now. What it was before stands until it says otherwise.
      const asked = this.askClock(connection);
      if (this.dialect !== undefined) await Promise.race([asked, pause(FIRST_ANSWER_MS)]);
      else await this.find(connection, asked);
    }
    while (this.dialect === undefined && connection.open) await pause(5);
    if (!connection.open) return;
    this.renew(connection, mine);
    this.live.add(connection);
    if (this.unique.every((one) => this.live.has(one))) this.report({ connected: true, cause: 'connected' });
  }

  private renew(connection: Connecting, mine: readonly Channel[]): void {
    const { dialect } = this;
    if (dialect !== undefined) connection.unpack?.(dialect.serialisation);
    // Ours and ros2-web-bridge answer errors from here on; rosbridge_suite writes them into its own log only.
    if (dialect?.name === 'embedded' || dialect?.name === 'ros2-web-bridge')
      connection.send(stringifyJson({ op: 'set_level', level: 'warning' }));
    this.offers.renew(mine);
    this.subscriptions.renew(mine);
  }

  /** Asks the server for its time, which also tells what it is; ros2-web-bridge never answers what it does not know. */
  private async askClock(connection: Connecting): Promise<void> {
    while (this.dialect?.name !== 'ros2-web-bridge' || !this.finder.sure) {
      if (this.finder.answered(await this.keeper.ask())) this.renewAll();
      if (this.finder.sure || this.dialect?.name.startsWith('rosbridge') || !connection.open) return;
    }
  }

  /** Waits for a server that is not known yet to say what it is. */
  private async find(connection: Connecting, asked: Promise<void>): Promise<void> {
    await Promise.race([asked, pause(PROBE_MS)]);
    const { probe } = this.finder;
    if (this.dialect !== undefined || probe === undefined) return;
    connection.send(stringifyJson(probe));
    for (let i = 0; i < SILENT_MS / 5 && this.dialect === undefined && connection.open; i++) await pause(5);
    this.finder.guess();
  }

  /** A dialect that was found out late: what was asked for in common terms is asked for again in its own. */
  private renewAll(): void {
    for (const [channel, one] of this.connections) if (this.live.has(one)) this.renew(one, [channel]);
  }

  private receive(op: Op, held_ms: number): void {
    if (op.op === 'publish') {
      if (this.finder.heard(op.msg)) this.renewAll();
      this.subscriptions.receive(op, held_ms);
    } else if (op.op === 'status') {
      const was_sure = this.finder.sure;
      if (this.finder.remarked(op)) {
        if (!was_sure) this.renewAll();
      } else if (op.level !== 'info' && op.level !== 'none')
        this.complain(`${this.options.url} says: ${String(op.msg).slice(0, MOST_COMPLAINT)}`);
    } else if (op.op === 'call_service') void this.offers.answer(op);
    else if (op.op === 'service_response' || op.op === 'action_result' || op.op === 'action_feedback')
      this.calls.receive(op);
  }

  private sendOp(channel: Channel, op: Op, expires_ms?: number): boolean {
    const { dialect } = this;
    const frame =
      dialect === undefined ? stringifyJson(op) : stringifyJson(spellTimes(dialect, op), dialect.bytes);
    return this.connections.get(channel)?.send(frame, expires_ms) === true;
  }

  /** Looks for silence, and keeps the clock offset fresh. */
  private look(): void {
    if (!this.status.connected) return;
    const now_ns = this.options.now_ns();
    this.subscriptions.look(now_ns);
    if (this.dialect?.name !== 'ros2-web-bridge') this.keeper.look();
  }

  /** Frames that cannot be read may come by the thousand: each kind of fault is told once in a while. */
  private malformed(cause: string): void {
    const now_ns = this.options.now_ns();
    const told = cause === this.last_malformed && now_ns - this.malformed_ns < TELL_AGAIN_NS;
    this.last_malformed = cause;
    if (told) return;
    this.malformed_ns = now_ns;
    this.complaints.emit(`a message of ${this.options.url} was refused: ${cause}`);
  }

  private complain(complaint: string): void {
    this.last_complaint = complaint;
    this.complaints.emit(complaint);
  }

  private report(status: ClientStatus): void {
    if (status.connected === this.status.connected && status.cause === this.status.cause) return;
    this.status = status;
    this.statuses.emit(status);
  }
}

/** Throws `config_invalid` for what is no WebSocket address, with what it should have been. */
function checkAddress(url: string): void {
  if (/^wss?:\/\//i.test(url) && URL.canParse(url)) return;
  const guess = `ws://${url.replace(/^\w+:\/\//, '')}`;
  throw new TendonError(
    'config_invalid',
    `The bridge's address: expected ws://HOST:PORT or wss://HOST:PORT, got "${url}".${URL.canParse(guess) ? ` Did you mean ${guess}?` : ''}`,
    { url },
  );
}
