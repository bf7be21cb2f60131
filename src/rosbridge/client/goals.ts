// Goals of actions: sent on the commands' connection, as the commands they are, and answered there.

import { TendonError } from '../../types/index.js';
import type { Message, Op } from '../codec/protocol.js';
import type { Calls } from './calls.js';
import { sharedNow } from './connecting.js';
import { type Dialect, spellType } from './dialects.js';
import type { GoalHandle } from './options.js';

/** action_msgs/GoalStatus. */
const GOAL_ABORTED = 6;

export interface GoalOptions {
  readonly timeout_ms: number;
  /** It is not written later than that from now, nor behind anything else that waits. */
  readonly good_for_ms?: number;
  readonly feedback?: (values: unknown) => void;
}

/** What goals need of the client. */
export interface GoalLink {
  readonly calls: Calls;
  readonly dialect: Dialect | undefined;
  /** Sends now or not at all. */
  op(op: Op, expires_ms?: number): boolean;
}

export function sendGoal(
  link: GoalLink,
  action: string,
  type: string,
  args: Message,
  { timeout_ms, good_for_ms, feedback }: GoalOptions,
): GoalHandle {
  const { dialect } = link;
  if (dialect !== undefined && !dialect.actions) {
    const why = `${dialect.name} has no actions. Send commands on a topic instead.`;
    const result = Promise.reject(new TendonError('unsupported', why));
    return { sent: false, result, cancel: () => undefined };
  }
  const id = crypto.randomUUID();
  const op: Op<'send_action_goal'> = {
    op: 'send_action_goal',
    id,
    action,
    action_type: dialect === undefined ? type : spellType(dialect, type, 'action'),
    args,
    feedback: feedback !== undefined,
  };
  let sent = false;
  const send = (): boolean => {
    sent = link.op(op, good_for_ms === undefined ? undefined : sharedNow() + good_for_ms);
    return sent;
  };
  const question = { id, what: `action ${action}`, timeout_ms, channel: 'commands', send, feedback } as const;
  const result = link.calls.ask(question).then((reply) => {
    const status = reply.op === 'action_result' ? Number(reply.status ?? 0) : 0;
    // rosbridge_suite says true of every goal that ended, however it did.
    if (reply.result === false || status === GOAL_ABORTED)
      throw new TendonError('bridge_protocol', `Action ${action} failed: ${JSON.stringify(reply.values)}.`, {
        action,
      });
    return { status, values: (reply.values ?? {}) as Message };
  });
  return { sent, result, cancel: () => void link.op({ op: 'cancel_action_goal', id, action }) };
}
