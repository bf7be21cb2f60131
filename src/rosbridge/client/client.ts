// The rosbridge client: topics, services and actions over connections that may come and go. After a reconnect it
// advertises and subscribes again and replays nothing; every call ends, by an answer, a timeout or the loss of the
// connection. It speaks to the servers in dialects.ts and finds out by itself which one it has.

import { Emitter } from '../../base/index.js';
import { type Nanoseconds, TendonError } from '../../types/index.js';
import { stringifyJson } from '../codec/json.js';
import {
  canonicalType,
  type Message,
  type Op,
  SERVER_HEADER,
  type ServiceHandler,
} from '../codec/protocol.js';
import { rosauth } from './auth.js';
import { Calls } from './calls.js';
import { CHANNELS, type Channel, type Link } from './channels.js';
import { ClockKeeper } from './clock-keeper.js';
import type { ClockOffset } from './clock-offset.js';
import { type Connecting, type ConnectionCounters, zeroCounters } from './connecting.js';
import { DialectFinder } from './dialect-finder.js';
import { type Dialect, spellTimes, spellType } from './dialects.js';
import { type GoalOptions, sendGoal } from './goals.js';
import { type AdvertiseOptions, Offers, type Publisher } from './offers.js';
import type { ClientOptions, ClientStatus, GoalHandle } from './options.js';
import { Remarks } from './remarks.js';
import { checkAddress, openConnection, socketsOf } from './sockets.js';
import { type Listener, type SubscribeOptions, Subscriptions } from './subscriptions.js';

/** How long a server that is known already may take to say its time before the connection is used, ms. */
const FIRST_ANSWER_MS = 500;
/** How long one that is not known has before it is asked what only ros2-web-bridge answers, and after that, ms. */
const PROBE_MS = 250;
const SILENT_MS = 400;
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

export class BridgeClient {
  /** What the server remarks on, and what of it could not be read. */
  private readonly remarks: Remarks;
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
  private status: ClientStatus = {
    connected: false,
    commands: false,
    safety: false,
    cause: 'not connected yet',
  };
  private closed = false;
  private readonly keeper: ClockKeeper;
  private readonly finder: DialectFinder;

  constructor(private readonly options: ClientOptions) {
    checkAddress(options.url);
    this.calls = new Calls(options.url);
    this.remarks = new Remarks(options.url);
    this.finder = new DialectFinder(options.dialect);
    this.keeper = new ClockKeeper({
      now_ns: options.now_ns,
      ask: () => this.call('/rosapi/get_time', 'rosapi/GetTime'),
    });
    this.unique = socketsOf(options).map((mine) => {
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

  get last_malformed(): string {
    return this.remarks.last_malformed;
  }

  /** The newest error or warning that the server sent as a status; only ros2-web-bridge and ours send any. */
  get last_complaint(): string {
    return this.remarks.last_complaint;
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
    this.report(false, 'closed by this side');
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
    return this.remarks.on(listener);
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
  sendGoal(action: string, type: string, args: Message, options: GoalOptions): GoalHandle {
    const { calls, dialect } = this;
    return sendGoal(
      { calls, dialect, op: (op, ms) => this.sendOp('commands', op, ms) },
      action,
      type,
      args,
      options,
    );
  }

  private makeConnection(mine: readonly Channel[]): Connecting {
    const connection: Connecting = openConnection(this.options, mine, {
      on_open: (headers) => this.opened(connection, mine, headers[SERVER_HEADER] !== undefined),
      on_op: (op, held_ms) => this.receive(op, held_ms),
      on_down: (cause) => {
        this.live.delete(connection);
        this.losses.emit(mine);
        this.calls.fail(cause, mine);
        this.report(false, cause);
      },
      on_malformed: (cause) => this.remarks.malformed(cause, this.options.now_ns()),
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
    const whole = this.unique.every((one) => this.live.has(one));
    this.report(whole, whole ? 'connected' : this.status.cause);
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
      } else if (op.level !== 'info' && op.level !== 'none') this.remarks.said(String(op.msg));
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

  private report(connected: boolean, cause: string): void {
    const stands = (channel: Channel): boolean => this.live.has(this.connections.get(channel) as Connecting);
    const status = { connected, commands: stands('commands'), safety: stands('safety'), cause };
    const before = this.status;
    const same = (Object.keys(status) as (keyof ClientStatus)[]).every((key) => status[key] === before[key]);
    if (same) return;
    this.status = status;
    this.statuses.emit(status);
  }
}
