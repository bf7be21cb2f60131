// What this client offers: topics it publishes and services it answers, advertised now and after every reconnect.
// Nothing is queued: what cannot be sent now is dropped and counted.

import { asTendonError, TendonError } from '../../types/index.js';
import { encodeCbor } from '../codec/cbor.js';
import { stringifyJson } from '../codec/json.js';
import { canonicalType, type Message, type Op, type ServiceHandler } from '../codec/protocol.js';
import type { Channel, Link } from './channels.js';
import { sharedNow } from './connecting.js';
import { type Dialect, spellTimes, spellType } from './dialects.js';

export interface Publisher {
  /**
   * Sends now or not at all: false when offline or when the socket is backed up. `good_for_ms` makes it a command, which
   * is not written later than that from now, nor behind anything else that waits.
   */
  publish(msg: Message, good_for_ms?: number): boolean;
  close(): void;
}

export interface AdvertiseOptions {
  readonly channel?: Channel;
  readonly latch?: boolean;
  /** Used only with servers that read CBOR. */
  readonly cbor?: boolean;
  readonly qos?: Message | undefined;
}

interface Service {
  readonly channel: Channel;
  readonly type: string;
  readonly handler: ServiceHandler;
}

export class Offers {
  private readonly topics = new Map<Op<'advertise'>, Channel>();
  private readonly services = new Map<string, Service>();

  constructor(private readonly link: Link) {}

  topic(topic: string, type: string, options: AdvertiseOptions): Publisher {
    const { link } = this;
    const channel = options.channel ?? 'commands';
    const op: Op<'advertise'> = {
      op: 'advertise',
      id: crypto.randomUUID(),
      topic,
      type: canonicalType(type),
    };
    if (options.latch === true) op.latch = true;
    if (options.qos !== undefined) op.qos = options.qos;
    this.topics.set(op, channel);
    if (link.ready(channel)) link.op(channel, op);
    return {
      publish: (msg, good_for_ms) => {
        const dialect = link.dialect();
        if (!link.ready(channel) || dialect === undefined || !link.sure()) {
          link.offline(channel);
          return false;
        }
        const frame = { op: 'publish', id: op.id, topic, type: op.type, msg: spellTimes(dialect, msg) };
        const cbor = options.cbor === true && dialect.cbor_in;
        const expires_ms = good_for_ms === undefined ? undefined : sharedNow() + good_for_ms;
        return link.frame(
          channel,
          cbor ? encodeCbor(frame) : stringifyJson(frame, dialect.bytes),
          expires_ms,
        );
      },
      close: () => {
        if (this.topics.delete(op) && link.ready(channel))
          link.op(channel, { op: 'unadvertise', id: op.id as string, topic });
      },
    };
  }

  /** Returns the way to take the service back. Throws `input_invalid` for one that is offered already. */
  service(service: string, type: string, handler: ServiceHandler, channel: Channel = 'services'): () => void {
    if (this.services.has(service))
      throw new TendonError('input_invalid', `service ${service} is offered already by this client.`, {
        service,
      });
    const offered = { channel, type, handler };
    this.services.set(service, offered);
    if (this.link.ready(channel)) this.sendService(service, offered);
    return () => {
      if (this.services.delete(service) && this.link.ready(channel))
        this.link.op(channel, { op: 'unadvertise_service', service });
    };
  }

  /** Advertises again what `channels` carry. */
  renew(channels: readonly Channel[]): void {
    for (const [op, channel] of this.topics) if (channels.includes(channel)) this.link.op(channel, op);
    for (const [service, offered] of this.services)
      if (channels.includes(offered.channel)) this.sendService(service, offered);
  }

  /** Answers a call of one of the services. */
  async answer(op: Op<'call_service'>): Promise<void> {
    const { service } = op;
    const id = op.id === undefined ? {} : { id: op.id };
    const offered = this.services.get(service);
    const respond = (result: boolean, values: unknown): void => {
      this.link.op(offered?.channel ?? 'services', {
        op: 'service_response',
        service,
        ...id,
        values,
        result,
      });
    };
    if (offered === undefined) return respond(false, `there is no service ${service} here`);
    try {
      const args = Array.isArray(op.args) ? {} : ((op.args ?? {}) as Message);
      respond(true, (await offered.handler(args)) ?? {});
    } catch (caught) {
      respond(false, asTendonError(caught, service).message);
    }
  }

  private sendService(service: string, { channel, type }: Service): void {
    const dialect: Dialect | undefined = this.link.dialect();
    const spelled = dialect === undefined ? canonicalType(type) : spellType(dialect, type, 'srv');
    this.link.op(channel, { op: 'advertise_service', service, type: spelled });
  }
}
