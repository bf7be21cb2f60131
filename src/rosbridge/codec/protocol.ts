// The operations of rosbridge v2 as one table: types, checks and docs/protocol.md are read from it. Codecs turn
// bytes into these ops, the client and the embedded server act on them; nothing here knows a socket.

import { TendonError } from '../../types/index.js';

/** A ROS message, a service's arguments or its answer: fields by name. */
export type Message = Record<string, unknown>;
/** Answers a call of a service. */
export type ServiceHandler = (args: Message) => Message | undefined | Promise<Message | undefined>;

/** What a field of an op may hold. `id` is a string by the specification, a number from rosbridge_suite. */
interface FieldTypes {
  string: string;
  number: number;
  boolean: boolean;
  id: string | number;
  object: Record<string, unknown>;
  /** Service arguments: a dictionary, or a list in the order of the request's fields. */
  args: Record<string, unknown> | unknown[];
  bytes: string | Uint8Array;
  any: unknown;
}
type Kind = keyof FieldTypes;
interface Row {
  readonly required: Readonly<Record<string, Kind>>;
  readonly optional: Readonly<Record<string, Kind>>;
  readonly summary: string;
}

export const OPS = {
  advertise: {
    required: { topic: 'string', type: 'string' },
    optional: { id: 'id', latch: 'boolean', queue_size: 'number', qos: 'object' },
    summary: 'announces that this peer will publish the topic',
  },
  unadvertise: { required: { topic: 'string' }, optional: { id: 'id' }, summary: 'takes an advertise back' },
  publish: {
    required: { topic: 'string', msg: 'object' },
    optional: { id: 'id', type: 'string', latch: 'boolean', queue_size: 'number' },
    summary: 'one message on a topic, either way',
  },
  subscribe: {
    required: { topic: 'string' },
    optional: {
      id: 'id',
      type: 'string',
      throttle_rate: 'number',
      queue_length: 'number',
      fragment_size: 'number',
      compression: 'string',
      qos: 'object',
    },
    summary: 'asks for the messages of a topic',
  },
  unsubscribe: { required: { topic: 'string' }, optional: { id: 'id' }, summary: 'takes a subscribe back' },
  call_service: {
    required: { service: 'string' },
    optional: {
      id: 'id',
      type: 'string',
      args: 'args',
      fragment_size: 'number',
      compression: 'string',
      timeout: 'number',
    },
    summary: 'calls a service; one service_response answers it',
  },
  advertise_service: {
    required: { type: 'string', service: 'string' },
    optional: { id: 'id' },
    summary: 'offers a service',
  },
  unadvertise_service: {
    required: { service: 'string' },
    optional: { id: 'id', type: 'string' },
    summary: 'takes a service back',
  },
  service_response: {
    required: { service: 'string' },
    optional: { id: 'id', values: 'any', result: 'boolean' },
    summary: 'answers a call_service; `values` is a string when `result` is false',
  },
  advertise_action: {
    required: { type: 'string', action: 'string' },
    optional: { id: 'id' },
    summary: 'offers an action',
  },
  unadvertise_action: {
    required: { action: 'string' },
    optional: { id: 'id', type: 'string' },
    summary: 'takes an action back',
  },
  send_action_goal: {
    required: { action: 'string' },
    optional: {
      id: 'id',
      action_type: 'string',
      args: 'args',
      feedback: 'boolean',
      fragment_size: 'number',
      compression: 'string',
    },
    summary: 'starts an action; feedback and one result answer it',
  },
  cancel_action_goal: {
    required: { action: 'string', id: 'id' },
    optional: {},
    summary: 'asks for the end of a goal',
  },
  action_feedback: {
    required: { action: 'string', id: 'id' },
    optional: { values: 'any' },
    summary: 'progress of a goal',
  },
  action_result: {
    required: { action: 'string', id: 'id' },
    optional: { values: 'any', status: 'number', result: 'boolean' },
    summary: 'the end of a goal',
  },
  status: {
    required: { level: 'string', msg: 'string' },
    optional: { id: 'id' },
    summary: 'a remark about an earlier op, sent only after set_level',
  },
  set_level: {
    required: { level: 'string' },
    optional: { id: 'id' },
    summary: 'chooses which remarks to get: info, warning, error or none',
  },
  auth: {
    required: { mac: 'string', client: 'string', dest: 'string', rand: 'string' },
    optional: { id: 'id', t: 'number', level: 'string', end: 'number' },
    summary: 'rosauth credentials',
  },
  fragment: {
    required: { id: 'id', data: 'string', num: 'number', total: 'number' },
    optional: {},
    summary: 'a piece of a longer JSON op',
  },
  png: {
    required: { data: 'bytes' },
    optional: { id: 'id', num: 'number', total: 'number' },
    summary: 'a JSON op in the pixels of a PNG',
  },
} as const satisfies Record<string, Row>;

export type OpName = keyof typeof OPS;
type Required<N extends OpName> = (typeof OPS)[N]['required'];
type Optional<N extends OpName> = (typeof OPS)[N]['optional'];
type Fields<F> = { -readonly [K in keyof F]: F[K] extends Kind ? FieldTypes[F[K]] : never };

/** One op by its name, as the table above declares it. */
export type Op<N extends OpName = OpName> = N extends OpName
  ? { op: N } & Fields<Required<N>> & Partial<Fields<Optional<N>>>
  : never;

const CHECKS: Record<Kind, (value: unknown) => boolean> = {
  string: (value) => typeof value === 'string',
  number: (value) => typeof value === 'number' || typeof value === 'bigint',
  boolean: (value) => typeof value === 'boolean',
  id: (value) => typeof value === 'string' || typeof value === 'number',
  object: (value) =>
    typeof value === 'object' && value !== null && !Array.isArray(value) && !ArrayBuffer.isView(value),
  args: (value) => typeof value === 'object' && value !== null && !ArrayBuffer.isView(value),
  bytes: (value) => typeof value === 'string' || value instanceof Uint8Array,
  any: () => true,
};

const ROWS = new Map<string, { required: [string, Kind][]; optional: [string, Kind][] }>(
  Object.entries(OPS).map(([op, row]: [string, Row]) => [
    op,
    { required: Object.entries(row.required), optional: Object.entries(row.optional) },
  ]),
);

function refuse(op: string, field: string, kind: Kind, value: unknown): never {
  const got = value === undefined ? 'nothing' : value === null ? 'null' : `a ${typeof value}`;
  throw new TendonError(
    'bridge_protocol',
    `rosbridge op "${op}": expected "${field}" to be ${kind === 'id' ? 'a string or number' : `of kind ${kind}`}, got ${got}. See docs/protocol.md for its fields.`,
    { op, field },
  );
}

/**
 * `value` as an op. Null in an optional field counts as absent, which is how some servers write it. Unknown
 * fields are kept. Throws `bridge_protocol`.
 */
export function checkOp(value: unknown): Op {
  if (!CHECKS.object(value)) {
    throw new TendonError(
      'bridge_protocol',
      'Expected a rosbridge frame to be one object with an "op" field.',
    );
  }
  const frame = value as Record<string, unknown>;
  const op = frame.op;
  const row = typeof op === 'string' ? ROWS.get(op) : undefined;
  if (row === undefined) {
    const got = typeof op === 'string' ? `"${op.slice(0, 40)}"` : 'none';
    throw new TendonError(
      'bridge_protocol',
      `Expected a rosbridge op (${Object.keys(OPS).join(', ')}), got ${got}.`,
      { op: typeof op === 'string' ? op.slice(0, 40) : undefined },
    );
  }
  for (const [field, kind] of row.required) {
    if (!CHECKS[kind](frame[field])) refuse(op as string, field, kind, frame[field]);
  }
  for (const [field, kind] of row.optional) {
    const given = frame[field];
    if (given === undefined) continue;
    if (given === null && kind !== 'any') delete frame[field];
    else if (!CHECKS[kind](given)) refuse(op as string, field, kind, given);
  }
  return frame as unknown as Op;
}

/** The header of the embedded server's handshake answer, by which clients know it. */
export const SERVER_HEADER = 'x-tendon-rosbridge';

/** `pkg/Type` for both spellings `pkg/Type` and `pkg/msg/Type`: the form in which types are compared. */
export function canonicalType(type: string): string {
  const first = type.indexOf('/');
  const last = type.lastIndexOf('/');
  return first === last ? type : type.slice(0, first) + type.slice(last);
}

/** `pkg/msg/Type`, the spelling of ROS 2. */
export function ros2Type(type: string, kind: 'msg' | 'srv' | 'action' = 'msg'): string {
  return canonicalType(type).replace('/', `/${kind}/`);
}
