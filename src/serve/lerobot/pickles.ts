// What LeRobot's asynchronous client pickles (async_inference/helpers.py): RemotePolicyConfig and TimedObservation on their way in,
// read as records and never built; a list of TimedAction on its way out, written with the few opcodes that it takes.

import { TendonError } from '../../types/index.js';
import {
  isOpaque,
  memorySource,
  type Opaque,
  type PickleValue,
  pickledArray,
  readPickle,
} from '../../weights/index.js';
import { NdArray } from '../ndarray.js';

/** The client's classes: in lerobot.scripts.server up to 0.3, and what numpy ≥ 2 adds under protocol 5. */
const CLASSES =
  /^(lerobot\.(async_inference|scripts\.server)\.helpers\.(RemotePolicyConfig|TimedObservation)|lerobot\.configs(\.\w+)?\.(PolicyFeature|FeatureType)|numpy\.(_?core)\.numeric\._frombuffer|copyreg\._reconstructor|(__builtin__|builtins)\.object)$/;

export type Plain = null | boolean | number | string | NdArray | Plain[] | Map<string, Plain>;

export interface Setup {
  readonly policy_type: string;
  readonly actions_per_chunk: number;
  readonly features: ReadonlyMap<string, Plain>;
  readonly rename: ReadonlyMap<string, Plain>;
  /** Python module of the client's classes, in which its answers are named. */
  readonly module: string;
}

export interface TimedObservation {
  readonly timestamp: number;
  readonly timestep: number;
  readonly must_go: boolean;
  readonly observation: ReadonlyMap<string, Plain>;
}

export function readSetup(pickle: Buffer): Setup {
  const { name, fields } = recordOf(pickle, 'RemotePolicyConfig');
  const { policy_type, actions_per_chunk, lerobot_features, rename_map } = Object.fromEntries(fields);
  if (typeof policy_type !== 'string' || !isCount(actions_per_chunk) || !(lerobot_features instanceof Map))
    throw new TendonError(
      'input_invalid',
      'RemotePolicyConfig: expected policy_type, lerobot_features and actions_per_chunk',
    );
  return {
    policy_type,
    actions_per_chunk,
    features: lerobot_features,
    rename: rename_map instanceof Map ? rename_map : new Map(),
    module: name.slice(0, name.lastIndexOf('.')),
  };
}

export function readObservation(pickle: Buffer): TimedObservation {
  const { timestamp, timestep, observation, must_go } = Object.fromEntries(
    recordOf(pickle, 'TimedObservation').fields,
  );
  if (!Number.isFinite(timestamp) || !isCount(timestep) || !(observation instanceof Map))
    throw new TendonError(
      'input_invalid',
      'TimedObservation: expected timestamp, timestep and a dict as observation',
    );
  return { timestamp: timestamp as number, timestep, observation, must_go: must_go === true };
}

const isCount = (value: Plain | undefined): value is number =>
  typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;

function recordOf(pickle: Buffer, wanted: string): { name: string; fields: Map<string, Plain> } {
  const value = readPickle(memorySource('the client’s pickle', pickle), pickle, CLASSES);
  if (!isOpaque(value) || !value.name.endsWith(`.${wanted}`) || !(value.state instanceof Map))
    throw new TendonError('input_invalid', `expected a pickled ${wanted} of LeRobot’s asynchronous client`);
  return { name: value.name, fields: plain(value.state) as Map<string, Plain> };
}

/** Nested deeper than any observation; a pickle may name one object many times, which nested is a tree without end. */
const MAX_DEPTH = 8;
const MAX_VALUES = 100_000;

function plain(value: PickleValue, depth = 0, left = { values: MAX_VALUES }): Plain {
  if (depth > MAX_DEPTH || --left.values < 0)
    throw new TendonError('input_invalid', 'an observation is nested too deep, or has too many values');
  if (value === null || typeof value === 'boolean' || typeof value === 'number' || typeof value === 'string')
    return value;
  if (typeof value === 'bigint') return Number(value);
  if (Array.isArray(value)) return value.map((item) => plain(item, depth + 1, left));
  if (value instanceof Map)
    return new Map([...value].map(([key, item]) => [String(key), plain(item, depth + 1, left)]));
  if (isOpaque(value)) return arrayOrScalar(value);
  throw new TendonError('input_invalid', 'an observation holds something that is no number, text or array');
}

const DTYPES: Readonly<Record<string, string>> = {
  F64: '<f8',
  F32: '<f4',
  I64: '<i8',
  I32: '<i4',
  I16: '<i2',
  I8: '|i1',
  U32: '<u4',
  U8: '|u1',
  BOOL: '|b1',
};

function arrayOrScalar(value: Opaque): Plain {
  const array = pickledArray(value) ?? bufferArray(value);
  if (array !== undefined) {
    const dtype = DTYPES[array.dtype];
    if (dtype === undefined || (array.columns && array.shape.length > 1))
      throw new TendonError('input_invalid', `an array of ${array.dtype}: expected numbers in rows`);
    return new NdArray(dtype, array.shape, Uint8Array.from(array.bytes));
  }
  // numpy.float64(…): (dtype, bytes).
  if (value.name.endsWith('multiarray.scalar') && Array.isArray(value.args)) {
    const [type, bytes] = value.args;
    const code = isOpaque(type) && Array.isArray(type.args) ? type.args[0] : undefined;
    if (Buffer.isBuffer(bytes) && typeof code === 'string') {
      const order = code.endsWith('1') ? '|' : '<';
      return Number(new NdArray(`${order}${code}`, [1], Uint8Array.from(bytes)).numbers()[0]);
    }
  }
  throw new TendonError(
    'input_invalid',
    `an observation holds ${value.name}: expected numbers, texts and arrays`,
  );
}

/** numpy's way under protocol 5: _frombuffer(bytes, dtype, shape, 'C'). */
function bufferArray(value: Opaque): ReturnType<typeof pickledArray> {
  if (!value.name.endsWith('numeric._frombuffer') || !Array.isArray(value.args)) return undefined;
  const [bytes, type, shape, order] = value.args;
  const state: PickleValue = [1, shape ?? null, type ?? null, order === 'F', bytes ?? null];
  return pickledArray({ kind: 'opaque', name: 'numpy.core.multiarray._reconstruct', args: null, state });
}

export interface TimedAction {
  readonly timestamp: number;
  readonly timestep: number;
  readonly action: Float32Array;
}

/**
 * list[TimedAction] under protocol 2, which every Python reads. An action is `torch.tensor([…])` of doubles that are the f32
 * numbers themselves: the same values whatever the client's release of torch.
 */
export function writeActions(actions: readonly TimedAction[], module: string): Buffer {
  const out: Buffer[] = [Buffer.from([0x80, 2, 0x5d, 0x28])];
  const opcode = (...bytes: number[]): void => void out.push(Buffer.from(bytes));
  const text = (value: string): void => {
    const bytes = Buffer.from(value);
    const length = Buffer.alloc(4);
    length.writeUInt32LE(bytes.length);
    out.push(Buffer.from([0x58]), length, bytes);
  };
  const double = (value: number): void => {
    const bytes = Buffer.alloc(9);
    bytes[0] = 0x47;
    bytes.writeDoubleBE(value, 1);
    out.push(bytes);
  };
  const whole = (value: number): void => {
    const bytes = Buffer.alloc(10);
    bytes[0] = 0x8a;
    bytes[1] = 8;
    bytes.writeBigInt64LE(BigInt(value), 2);
    out.push(bytes);
  };
  const global = (where: string, name: string): void => void out.push(Buffer.from(`c${where}\n${name}\n`));
  for (const { timestamp, timestep, action } of actions) {
    global(module, 'TimedAction');
    opcode(0x29, 0x81, 0x7d, 0x28); // (), NEWOBJ, {}, MARK
    text('timestamp');
    double(timestamp);
    text('timestep');
    whole(timestep);
    text('action');
    global('torch', 'tensor');
    opcode(0x5d, 0x28);
    for (const value of action) double(value);
    opcode(0x65, 0x85, 0x52, 0x75, 0x62); // APPENDS, (list,), REDUCE, SETITEMS, BUILD
  }
  opcode(0x65, 0x2e);
  return Buffer.concat(out);
}
