// The switchboard of the embedded server: topics, services and actions, and who offers and wants them. Clients
// (session.ts) and the simulation in the same process (server.ts) use the same doors; none of them is waited for.

import { TendonError } from '../../types/index.js';
import { encodeCbor } from '../codec/cbor.js';
import { isSerialisable, serialise } from '../codec/cdr.js';
import { cutFragments } from '../codec/fragments.js';
import { stringifyJson } from '../codec/json.js';
import { textToPng } from '../codec/png.js';
import type { Message, Op, ServiceHandler } from '../codec/protocol.js';
import { epochStamp } from '../codec/time.js';
import type { Outbox, Publication, Subscription } from './outbox.js';

/** Runs a goal; `feedback` may be called any number of times, the return value is the result. */
export type ActionHandler = (
  args: Message,
  feedback: (values: Message) => void,
  signal: AbortSignal,
) => Promise<Message | undefined>;

/** Action goal states of ROS 2's action_msgs/GoalStatus. */
export const GOAL_STATUS = { succeeded: 4, canceled: 5, aborted: 6 } as const;

export interface CallReply {
  readonly result: boolean;
  /** The response, or a sentence when `result` is false. */
  readonly values: unknown;
}

class MessagePublication implements Publication {
  private text: Buffer | undefined;
  private cbor: Buffer | undefined;
  private readonly pieces = new Map<string, readonly (Buffer | string)[]>();

  /** `frame` is the publisher's own JSON frame, forwarded as it came when it is a plain publish. */
  constructor(
    private readonly topic: string,
    private readonly type: string,
    private readonly msg: Message,
    frame?: Buffer,
  ) {
    this.text = frame;
  }

  frames(compression: string, fragment_size: number): readonly (Buffer | string)[] {
    const key = compression === 'none' && fragment_size === 0 ? 'none' : `${compression}/${fragment_size}`;
    const known = this.pieces.get(key);
    if (known !== undefined) return known;
    const frames = this.encode(compression, fragment_size);
    this.pieces.set(key, frames);
    return frames;
  }

  private encode(compression: string, fragment_size: number): readonly (Buffer | string)[] {
    const op: Op<'publish'> = { op: 'publish', topic: this.topic, msg: this.msg };
    if (compression === 'cbor-raw' && isSerialisable(this.type)) {
      const { sec: secs, nanosec: nsecs } = epochStamp();
      const bytes = serialise(this.type, this.msg, 'cdr');
      return [encodeCbor({ op: 'publish', topic: this.topic, msg: { secs, nsecs, bytes } })];
    }
    if (compression === 'cbor' || compression === 'cbor-raw') {
      this.cbor ??= encodeCbor(op);
      return [this.cbor];
    }
    if (this.text === undefined) this.text = Buffer.from(stringifyJson(op), 'utf8');
    let text: Buffer | string = this.text;
    if (compression === 'png') {
      const data = textToPng(text.toString('utf8')).toString('base64');
      text = Buffer.from(stringifyJson({ op: 'png', data } satisfies Op<'png'>), 'utf8');
    }
    if (fragment_size === 0 || text.length <= fragment_size) return [text];
    return cutFragments(text.toString('utf8'), fragment_size, `f${++fragmentCount}`).map((piece) =>
      stringifyJson(piece),
    );
  }
}
let fragmentCount = 0;
const MAX_TOPICS = 16_384;
const MAX_OFFERS = 4096;

interface Topic {
  type: string;
  latched: Publication | undefined;
  readonly publishers: Map<object, { readonly latch: boolean }>;
  readonly subscribers: Map<Subscription, Outbox>;
  readonly listeners: Set<(msg: Message) => void>;
}

/** Something that answers calls: a handler in this process or a client. */
export interface Provider {
  readonly owner: object;
  readonly type: string;
  call(args: Message, timeout_ms: number): Promise<CallReply>;
}
export interface ActionProvider {
  readonly owner: object;
  readonly type: string;
  /** Starts a goal; the returned function cancels it. */
  start(
    args: Message,
    feedback: (values: unknown) => void,
    done: (reply: CallReply & { readonly status: number }) => void,
  ): () => void;
}

export class Hub {
  readonly topics = new Map<string, Topic>();
  readonly services = new Map<string, Provider>();
  readonly actions = new Map<string, ActionProvider>();
  private readonly numbers = new WeakMap<object, number>();
  private named = 0;

  private topic(name: string): Topic {
    let topic = this.topics.get(name);
    if (topic === undefined) {
      if (this.topics.size >= MAX_TOPICS) throw new TendonError('bridge_protocol', 'Too many topics.');
      topic = {
        type: '',
        latched: undefined,
        publishers: new Map(),
        subscribers: new Map(),
        listeners: new Set(),
      };
      this.topics.set(name, topic);
    }
    return topic;
  }

  /** Forgets topics that nobody offers or wants, so that hostile names do not pile up. */
  private tidy(name: string): void {
    const topic = this.topics.get(name);
    if (topic && topic.publishers.size + topic.subscribers.size + topic.listeners.size === 0) {
      this.topics.delete(name);
    }
  }

  advertise(owner: object, name: string, type: string, latch: boolean): void {
    const topic = this.topic(name);
    if (topic.type !== '' && topic.type !== type && topic.publishers.size > 0) {
      throw new TendonError(
        'bridge_protocol',
        `Topic ${name} is already published as ${topic.type}; it cannot also be ${type}.`,
        { topic: name },
      );
    }
    topic.type = type;
    topic.publishers.set(owner, { latch });
  }

  unadvertise(owner: object, name: string): void {
    this.topics.get(name)?.publishers.delete(owner);
    this.tidy(name);
  }

  publish(owner: object, name: string, msg: Message, frame?: Buffer): void {
    const topic = this.topics.get(name);
    if (topic === undefined) return;
    for (const listener of topic.listeners) listener(msg);
    const latch = topic.publishers.get(owner)?.latch === true;
    if (topic.subscribers.size === 0 && !latch) return;
    const publication = new MessagePublication(name, topic.type, msg, frame);
    if (latch) topic.latched = publication;
    for (const [subscription, outbox] of topic.subscribers) outbox.offer(subscription, publication);
  }

  /** Who publishes on a topic, and who subscribes to it, as rosapi names them: a client by its number. */
  publishersOf(name: string): string[] {
    return [...(this.topics.get(name)?.publishers.keys() ?? [])].map((owner) => this.nameOf(owner));
  }

  subscribersOf(name: string): string[] {
    const topic = this.topics.get(name);
    if (topic === undefined) return [];
    const clients = [...new Set(topic.subscribers.values())].map((outbox) => this.nameOf(outbox));
    return topic.listeners.size > 0 ? [...clients, '/embedded'] : clients;
  }

  private nameOf(owner: object): string {
    const number = this.numbers.get(owner) ?? ++this.named;
    this.numbers.set(owner, number);
    return `/client_${number}`;
  }

  /** A subscription may come before any publisher. */
  subscribe(name: string, type: string | undefined, subscription: Subscription, outbox: Outbox): void {
    const topic = this.topic(name);
    if (topic.type === '' && type !== undefined) topic.type = type;
    topic.subscribers.set(subscription, outbox);
    if (topic.latched !== undefined) outbox.offer(subscription, topic.latched);
  }

  unsubscribe(name: string, subscription: Subscription): void {
    const topic = this.topics.get(name);
    topic?.subscribers.get(subscription)?.forget(subscription);
    topic?.subscribers.delete(subscription);
    this.tidy(name);
  }

  listen(name: string, listener: (msg: Message) => void): () => void {
    this.topic(name).listeners.add(listener);
    return () => {
      this.topics.get(name)?.listeners.delete(listener);
      this.tidy(name);
    };
  }

  offerService(name: string, provider: Provider): void {
    this.bound(this.services, name);
    const other = this.services.get(name);
    if (other !== undefined && other.owner !== provider.owner) {
      throw new TendonError('bridge_protocol', `Service ${name} is already offered by another peer.`, {
        name,
      });
    }
    this.services.set(name, provider);
  }

  offerAction(name: string, provider: ActionProvider): void {
    this.bound(this.actions, name);
    const other = this.actions.get(name);
    if (other !== undefined && other.owner !== provider.owner) {
      throw new TendonError('bridge_protocol', `Action ${name} is already offered by another peer.`, {
        name,
      });
    }
    this.actions.set(name, provider);
  }

  private bound(offered: ReadonlyMap<string, unknown>, name: string): void {
    if (offered.size >= MAX_OFFERS && !offered.has(name))
      throw new TendonError('bridge_protocol', 'Too many services and actions are offered.');
  }

  /** Takes away everything `owner` offered. */
  leave(owner: object): void {
    for (const [name, topic] of this.topics) if (topic.publishers.has(owner)) this.unadvertise(owner, name);
    for (const [name, provider] of this.services) if (provider.owner === owner) this.services.delete(name);
    for (const [name, provider] of this.actions) if (provider.owner === owner) this.actions.delete(name);
  }
}

/** A service answered in this process; what it throws becomes a failed response. */
export function localService(owner: object, type: string, handler: ServiceHandler): Provider {
  return {
    owner,
    type,
    call: async (args) => {
      try {
        return { result: true, values: (await handler(args)) ?? {} };
      } catch (caught) {
        return { result: false, values: caught instanceof Error ? caught.message : String(caught) };
      }
    },
  };
}

/** An action run in this process. */
export function localAction(owner: object, type: string, handler: ActionHandler): ActionProvider {
  return {
    owner,
    type,
    start(args, feedback, done) {
      const abort = new AbortController();
      handler(args, feedback, abort.signal).then(
        (values) =>
          done({
            result: true,
            values: values ?? {},
            status: abort.signal.aborted ? GOAL_STATUS.canceled : GOAL_STATUS.succeeded,
          }),
        (caught) =>
          done({
            result: false,
            values: caught instanceof Error ? caught.message : String(caught),
            status: GOAL_STATUS.aborted,
          }),
      );
      return () => abort.abort();
    },
  };
}
