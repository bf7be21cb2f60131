// Reads what a page sends. Everything here comes from a network, so it is checked in full before the source hears
// of it: exact fields, finite numbers, bounded lengths. The supervisor then decides whether to obey.

import * as z from 'zod';
import type { OperatorIntent } from '../types/live.js';
import type { IntentMessage } from './frames.js';

/** Longest vector an intent may carry; no robot here has more joints, no goal more numbers. */
const MAX_VALUES = 256;

const name = z.string().min(1).max(200);
const finite = z.number();
const vector = z.array(finite).min(1).max(MAX_VALUES);

const choice = z.strictObject({
  sampler: name.optional(),
  steps: z.int().positive().optional(),
  candidates: z.int().positive().optional(),
  precision: name.optional(),
  guidance_scale: finite.optional(),
});

const intent = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('hold') }),
  z.strictObject({ kind: z.literal('resume') }),
  z.strictObject({ kind: z.literal('stop') }),
  z.strictObject({ kind: z.literal('reset'), seed: z.int().nonnegative().optional() }),
  z.strictObject({ kind: z.literal('pause'), paused: z.boolean() }),
  z.strictObject({ kind: z.literal('goal'), goal: vector }),
  z.strictObject({ kind: z.literal('push'), name, force: z.tuple([finite, finite, finite]) }),
  z.strictObject({ kind: z.literal('choose'), choice }),
  z.strictObject({ kind: z.literal('part'), name, on: z.boolean() }),
  z.strictObject({ kind: z.literal('condition'), name, value: finite }),
  z.strictObject({ kind: z.literal('driver'), driver: name }),
  z.strictObject({ kind: z.literal('task'), task: name }),
  z.strictObject({ kind: z.literal('words'), text: z.string().min(1).max(2000) }),
  z.strictObject({
    kind: z.literal('teleop'),
    engaged: z.boolean(),
    values: vector.optional(),
    point: z.tuple([finite, finite, finite]).optional(),
    repeat: z.boolean().optional(),
  }),
]);

const message = z.strictObject({ id: z.int().nonnegative(), intent });

export type ReadIntent =
  | { readonly ok: true; readonly message: IntentMessage }
  /** `id` is −1 when the message was too broken to have one. */
  | { readonly ok: false; readonly id: number; readonly reason: string };

/** One text message from a page, checked. Never throws. */
export function readIntent(text: string): ReadIntent {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return { ok: false, id: -1, reason: 'an intent is JSON text: {"id":1,"intent":{"kind":"hold"}}' };
  }
  const parsed = message.safeParse(value);
  if (parsed.success)
    return { ok: true, message: { id: parsed.data.id, intent: parsed.data.intent as OperatorIntent } };
  const issue = parsed.error.issues[0]!;
  const field = issue.path.length === 0 ? 'the message' : issue.path.join('.');
  return { ok: false, id: idOf(value), reason: `${field}: ${issue.message}` };
}

function idOf(value: unknown): number {
  const id = typeof value === 'object' && value !== null ? (value as { id?: unknown }).id : undefined;
  return typeof id === 'number' && Number.isSafeInteger(id) && id >= 0 ? id : -1;
}
