// One client of the embedded server: its ops become calls on the hub, the hub's answers become frames. No op
// makes another wait, and what a client gets wrong is its own trouble: a remark after set_level, no more.

import type { Duplex } from 'node:stream';
import type { RawData, WebSocket } from 'ws';
import { asTendonError, TendonError } from '../../types/index.js';
import { encodeCbor } from '../codec/cbor.js';
import { COMPRESSIONS, FrameDecoder } from '../codec/decoder.js';
import { cutFragments } from '../codec/fragments.js';
import { stringifyJson } from '../codec/json.js';
import { canonicalType, type Message, type Op, type OpName } from '../codec/protocol.js';
import { type CallReply, GOAL_STATUS, type Hub } from './hub.js';
import { Outbox, type Subscription } from './outbox.js';

const LEVELS = ['info', 'warning', 'error', 'none'];
const MAX_NAMES = 4096;
/** Subscriptions of one client to one topic. */
const MAX_WISHES = 256;
const MAX_TIMEOUT_MS = 600_000;
/** Smaller pieces would cost more in frames than they spare in size. */
const MIN_FRAGMENT = 256;

/** Which names a client may use; `*` stands for any characters. Absent means all. */
export interface AllowList {
  readonly publish?: readonly string[];
  readonly subscribe?: readonly string[];
  readonly call?: readonly string[];
  /** Services and actions that clients may offer. */
  readonly offer?: readonly string[];
}

const matches = (patterns: readonly string[] | undefined, name: string) =>
  patterns === undefined ||
  patterns.some((pattern) => {
    const [head = '', ...rest] = pattern.split('*');
    if (rest.length === 0) return name === pattern;
    let at = head.length;
    if (!name.startsWith(head)) return false;
    for (const [index, part] of rest.entries()) {
      const last = index === rest.length - 1;
      const found = last ? name.lastIndexOf(part) : name.indexOf(part, at);
      if (found < at || (last && found + part.length !== name.length)) return false;
      at = found + part.length;
    }
    return true;
  });

/** A topic of this client: its subscribe ops by id, and what they come to. */
interface Subscribed {
  readonly wishes: Map<string, Op<'subscribe'>>;
  active: Subscription | undefined;
}

export interface SessionOptions {
  readonly max_payload: number;
  readonly service_timeout_ms: number;
  readonly allow: AllowList;
}

export class Session {
  readonly outbox: Outbox;
  malformed = 0;
  /** When the client last sent anything, a pong included; milliseconds of performance.now. */
  heard_ms = performance.now();
  private readonly decoder: FrameDecoder;
  private readonly subscriptions = new Map<string, Subscribed>();
  /** Calls that this client must answer, by the id we gave them. */
  private readonly asked = new Map<string, (reply: CallReply) => void>();
  private readonly goals = new Map<
    string,
    { feedback(values: unknown): void; done(reply: CallReply & { status: number }): void }
  >();
  private readonly cancels = new Map<string, () => void>();
  private level = 'none';

  constructor(
    readonly socket: WebSocket,
    stream: Duplex,
    private readonly hub: Hub,
    private readonly options: SessionOptions,
  ) {
    this.outbox = new Outbox(socket, stream);
    this.decoder = new FrameDecoder(options.max_payload);
    socket.on('message', (data, binary) => this.receive(data, binary));
    socket.on('pong', () => {
      this.heard_ms = performance.now();
    });
    socket.on('error', () => ++this.malformed);
    socket.on('close', () => this.leave());
  }

  private receive(data: RawData, binary: boolean): void {
    this.heard_ms = performance.now();
    const bytes = data as Buffer;
    let op: Op | undefined;
    try {
      op = this.decoder.decode(bytes, binary);
      if (op === undefined) return;
      if (op.op === 'publish') this.publish(op, binary || !this.decoder.whole ? undefined : bytes);
      else (this.handlers[op.op] as ((op: Op) => void) | undefined)?.(op);
    } catch (caught) {
      ++this.malformed;
      this.remark('error', asTendonError(caught, 'rosbridge').message, op?.id);
    }
  }

  private publish(op: Op<'publish'>, frame: Buffer | undefined): void {
    this.permit('publish', op.topic);
    this.hub.publish(
      this,
      op.topic,
      op.msg,
      frame !== undefined && isPlainPublish(frame) ? frame : undefined,
    );
  }

  private permit(what: keyof AllowList, name: string): void {
    if (!matches(this.options.allow[what], name)) {
      throw new TendonError(
        'bridge_protocol',
        `This server's allow list does not let clients ${what} ${name}.`,
        {
          name,
        },
      );
    }
  }

  private readonly handlers: { [N in OpName]?: (op: Op<N>) => void } = {
    advertise: (op) => {
      this.permit('publish', op.topic);
      this.hub.advertise(this, op.topic, canonicalType(op.type), op.latch === true);
    },
    unadvertise: (op) => this.hub.unadvertise(this, op.topic),
    subscribe: (op) => this.subscribe(op),
    unsubscribe: (op) => {
      const mine = this.subscriptions.get(op.topic);
      if (mine === undefined) return;
      if (op.id === undefined) mine.wishes.clear();
      else mine.wishes.delete(String(op.id));
      this.renew(op.topic, mine);
    },
    call_service: (op) => void this.callService(op),
    advertise_service: (op) => {
      this.permit('offer', op.service);
      this.hub.offerService(op.service, {
        owner: this,
        type: canonicalType(op.type),
        call: (args, timeout_ms) => this.ask(op.service, args, timeout_ms),
      });
    },
    unadvertise_service: (op) => {
      if (this.hub.services.get(op.service)?.owner === this) this.hub.services.delete(op.service);
    },
    service_response: (op) => {
      const answer = this.asked.get(String(op.id));
      if (answer === undefined) throw new TendonError('bridge_protocol', `No call waits for id ${op.id}.`);
      answer({ result: op.result !== false, values: op.values ?? {} });
    },
    advertise_action: (op) => {
      this.permit('offer', op.action);
      this.hub.offerAction(op.action, {
        owner: this,
        type: canonicalType(op.type),
        start: (args, feedback, done) => {
          const id = crypto.randomUUID();
          this.goals.set(id, { feedback, done });
          const goal: Op<'send_action_goal'> = {
            op: 'send_action_goal',
            id,
            action: op.action,
            action_type: op.type,
            args,
            feedback: true,
          };
          this.answer(goal);
          return () => this.answer({ op: 'cancel_action_goal', id, action: op.action });
        },
      });
    },
    unadvertise_action: (op) => {
      if (this.hub.actions.get(op.action)?.owner === this) this.hub.actions.delete(op.action);
    },
    send_action_goal: (op) => this.sendGoal(op),
    cancel_action_goal: (op) => this.cancels.get(String(op.id))?.(),
    action_feedback: (op) => this.goals.get(String(op.id))?.feedback(op.values),
    action_result: (op) => {
      const goal = this.goals.get(String(op.id));
      this.goals.delete(String(op.id));
      goal?.done({
        result: op.result !== false,
        values: op.values,
        status: Number(op.status ?? GOAL_STATUS.succeeded),
      });
    },
    set_level: (op) => {
      if (!LEVELS.includes(op.level)) {
        throw new TendonError(
          'bridge_protocol',
          `Expected a level of ${LEVELS.join(', ')}, got ${op.level}.`,
        );
      }
      this.level = op.level;
    },
  };

  private subscribe(op: Op<'subscribe'>): void {
    this.permit('subscribe', op.topic);
    const compression = op.compression ?? 'none';
    if (!(COMPRESSIONS as readonly string[]).includes(compression)) {
      throw new TendonError(
        'bridge_protocol',
        `Topic ${op.topic}: expected compression ${COMPRESSIONS.join(', ')}, got ${compression.slice(0, 20)}.`,
      );
    }
    let mine = this.subscriptions.get(op.topic);
    if (mine === undefined) {
      if (this.subscriptions.size >= MAX_NAMES) throw new TendonError('bridge_protocol', 'Too many topics.');
      mine = { wishes: new Map(), active: undefined };
      this.subscriptions.set(op.topic, mine);
    }
    if (mine.wishes.size >= MAX_WISHES) throw new TendonError('bridge_protocol', 'Too many subscriptions.');
    mine.wishes.set(String(op.id ?? ''), op);
    this.renew(op.topic, mine);
  }

  /** One client gets a message once, however often it subscribed: the most eager of its wishes counts. */
  private renew(topic: string, mine: Subscribed): void {
    if (mine.active !== undefined) this.hub.unsubscribe(topic, mine.active);
    const wishes = [...mine.wishes.values()];
    const [first] = wishes;
    if (first === undefined) {
      this.subscriptions.delete(topic);
      return;
    }
    const numbers = (field: 'throttle_rate' | 'queue_length' | 'fragment_size') =>
      wishes.map((wish) => wholeNumber(wish[field]));
    const sizes = numbers('fragment_size').filter((size) => size > 0);
    mine.active = {
      topic,
      throttle_ms: Math.min(...numbers('throttle_rate')),
      capacity: Math.min(1000, Math.max(1, ...numbers('queue_length'))),
      fragment_size: sizes.length > 0 ? Math.max(MIN_FRAGMENT, Math.min(...sizes)) : 0,
      compression: first.compression ?? 'none',
      waiting: [],
      next_ms: 0,
    };
    const type = wishes.find((wish) => wish.type !== undefined)?.type;
    this.hub.subscribe(topic, type && canonicalType(type), mine.active, this.outbox);
  }

  private async callService(op: Op<'call_service'>): Promise<void> {
    const id = op.id;
    let reply: CallReply;
    try {
      this.permit('call', op.service);
      const provider = this.hub.services.get(op.service);
      if (provider === undefined)
        throw new TendonError('bridge_protocol', `Service ${op.service} is not offered.`);
      // rosbridge's own `timeout` is in seconds.
      const asked_ms = wholeNumber(op.timeout === undefined ? 0 : Number(op.timeout) * 1000);
      const timeout_ms = asked_ms > 0 ? Math.min(asked_ms, MAX_TIMEOUT_MS) : this.options.service_timeout_ms;
      reply = await provider.call(asArguments(op.args), timeout_ms);
    } catch (caught) {
      reply = { result: false, values: asTendonError(caught, 'call_service').message };
    }
    const response: Op<'service_response'> = { op: 'service_response', service: op.service, ...reply };
    if (id !== undefined) response.id = id;
    this.answer(response, op.compression, op.fragment_size);
  }

  /** Forwards a call to this client, which offers the service. */
  private ask(service: string, args: Message, timeout_ms: number): Promise<CallReply> {
    return new Promise((resolve) => {
      const id = crypto.randomUUID();
      const finish = (reply: CallReply) => {
        clearTimeout(timer);
        this.asked.delete(id);
        resolve(reply);
      };
      const late = `Service ${service}: its provider did not answer within ${timeout_ms} ms.`;
      const timer = setTimeout(() => finish({ result: false, values: late }), timeout_ms);
      this.asked.set(id, finish);
      this.answer({ op: 'call_service', id, service, args });
    });
  }

  private sendGoal(op: Op<'send_action_goal'>): void {
    const id = String(op.id ?? crypto.randomUUID());
    const { action } = op;
    if (this.cancels.size >= MAX_NAMES) throw new TendonError('bridge_protocol', 'Too many goals at once.');
    const done = (reply: CallReply & { readonly status: number }) => {
      if (!this.cancels.delete(id)) return;
      this.answer({ op: 'action_result', id, action, ...reply }, op.compression, op.fragment_size);
    };
    this.cancels.set(id, () => undefined);
    const provider = this.hub.actions.get(action);
    if (provider === undefined || !matches(this.options.allow.call, action)) {
      done({ result: false, values: `Action ${action} is not offered.`, status: GOAL_STATUS.aborted });
      return;
    }
    const feedback = (values: unknown) => {
      if (op.feedback === true && this.cancels.has(id))
        this.answer({ op: 'action_feedback', id, action, values });
    };
    const cancel = provider.start(asArguments(op.args), feedback, done);
    if (this.cancels.has(id)) this.cancels.set(id, cancel);
  }

  private answer(op: Op, compression?: string, fragment_size?: number | bigint): void {
    if (compression === 'cbor') {
      this.outbox.answer(encodeCbor(op));
      return;
    }
    const text = stringifyJson(op);
    const wish = wholeNumber(fragment_size);
    const size = wish === 0 ? Number.POSITIVE_INFINITY : Math.max(MIN_FRAGMENT, wish);
    if (text.length <= size) this.outbox.answer(text);
    else
      for (const piece of cutFragments(text, size, crypto.randomUUID()))
        this.outbox.answer(stringifyJson(piece));
  }

  private remark(level: string, msg: string, id?: string | number): void {
    if (LEVELS.indexOf(level) < LEVELS.indexOf(this.level)) return;
    this.answer({ op: 'status', level, msg, ...(id === undefined ? {} : { id }) });
  }

  private leave(): void {
    for (const [topic, { active }] of this.subscriptions) if (active) this.hub.unsubscribe(topic, active);
    this.hub.leave(this);
    for (const cancel of this.cancels.values()) cancel();
    this.cancels.clear();
    const gone = { result: false, values: 'The peer that offered this disconnected.' };
    for (const answer of this.asked.values()) answer(gone);
    for (const goal of this.goals.values()) goal.done({ ...gone, status: GOAL_STATUS.aborted });
    this.goals.clear();
  }
}

/** A count or size from a frame: NaN, infinities, negative numbers and nothing are 0. */
function wholeNumber(value: number | bigint | undefined): number {
  const number = Math.floor(Number(value ?? 0));
  return Number.isFinite(number) && number > 0 ? number : 0;
}

function asArguments(args: Message | unknown[] | undefined): Message {
  // A list names its values by position; services in this process read `0`, `1`, ...
  return Array.isArray(args) ? { ...args } : (args ?? {});
}

/** Whether a publisher's frame may go on to subscribers byte for byte: strict JSON, op first. */
function isPlainPublish(frame: Buffer): boolean {
  return (
    frame[0] === 0x7b &&
    frame.indexOf('NaN') < 0 &&
    frame.indexOf('Infinity') < 0 &&
    frame.indexOf('"op":"publish"') === 1
  );
}
