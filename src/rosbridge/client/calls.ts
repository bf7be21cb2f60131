// Questions under way: service calls and action goals. Each ends exactly once, by its answer, by its timeout, or
// with the connection that carried it.

import { TendonError } from '../../types/index.js';
import type { Op } from '../codec/protocol.js';
import type { Channel } from './channels.js';

export type Answer = Op<'service_response'> | Op<'action_result'>;

export interface Question {
  readonly id: string;
  /** Names it in errors. */
  readonly what: string;
  readonly timeout_ms: number;
  /** What carries it, and its answer. */
  readonly channel: Channel;
  /** False: it could not leave. */
  readonly send: () => boolean;
  readonly feedback?: ((values: unknown) => void) | undefined;
}

interface Pending extends Pick<Question, 'what' | 'channel'> {
  settle(error: TendonError | undefined, answer?: Answer): void;
  readonly feedback: ((values: unknown) => void) | undefined;
}

export class Calls {
  private readonly pending = new Map<string, Pending>();

  constructor(private readonly url: string) {}

  /** Sends a question and waits. */
  ask({ id, what, timeout_ms, channel, send, feedback }: Question): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const settle: Pending['settle'] = (error, answer) => {
        clearTimeout(timer);
        this.pending.delete(id);
        if (error !== undefined) reject(error);
        else resolve(answer as Answer);
      };
      const timer = setTimeout(() => {
        const why = `${what} at ${this.url} did not answer within ${timeout_ms} ms. Does the server offer it?`;
        settle(new TendonError('bridge_timeout', why, { what, timeout_ms }));
      }, timeout_ms);
      this.pending.set(id, { what, channel, settle, feedback });
      if (!send()) {
        const why = `${what} cannot be asked: no connection to ${this.url}, or too much waiting in it.`;
        settle(new TendonError('bridge_unreachable', why, { what }));
      }
    });
  }

  /** Takes an answer or feedback; those that nobody waits for any more are dropped. */
  receive(op: Answer | Op<'action_feedback'>): void {
    const pending = this.pending.get(String(op.id));
    if (op.op === 'action_feedback') pending?.feedback?.(op.values);
    else pending?.settle(undefined, op);
  }

  /** Ends everything under way on `channels`. */
  fail(cause: string, channels: readonly Channel[]): void {
    for (const { what, channel, settle } of [...this.pending.values()]) {
      if (!channels.includes(channel)) continue;
      settle(new TendonError('bridge_unreachable', `${what} was not answered: ${cause}.`, { what }));
    }
  }
}
