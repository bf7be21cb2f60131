// A reader of the part of pickle that torch.save needs to name tensors. Nothing is imported or called: a global is a
// name on a list, and "calling" it makes a plain record. Whatever is not on the list is refused by name.

import { TendonError } from '../types/index.js';
import { type ByteSource, corrupt } from './source.js';

export interface Storage {
  readonly kind: 'storage';
  readonly dtype: string;
  readonly key: string;
  readonly count: number;
}
export interface PickledTensor {
  readonly kind: 'tensor';
  readonly storage: Storage;
  /** Elements from the start of the storage. */
  readonly offset: number;
  readonly shape: readonly number[];
  readonly strides: readonly number[];
}
interface Global {
  readonly kind: 'global';
  readonly name: string;
}
/** An object of a class that is only named, never built: what it would have been made of, as plain values. */
export interface Opaque {
  readonly kind: 'opaque';
  readonly name: string;
  readonly args: Value;
  state: Value;
}
type Value =
  | null
  | boolean
  | number
  | bigint
  | string
  | Buffer
  | Value[]
  | Map<Value, Value>
  | Storage
  | PickledTensor
  | Global
  | Opaque;
export type PickleValue = Value;

const STORAGES: Readonly<Record<string, string>> = {
  'torch.DoubleStorage': 'F64',
  'torch.FloatStorage': 'F32',
  'torch.HalfStorage': 'F16',
  'torch.BFloat16Storage': 'BF16',
  'torch.LongStorage': 'I64',
  'torch.IntStorage': 'I32',
  'torch.ShortStorage': 'I16',
  'torch.CharStorage': 'I8',
  'torch.ByteStorage': 'U8',
  'torch.BoolStorage': 'BOOL',
};
const DTYPES = /^torch\.(float64|float32|float16|bfloat16|int64|int32|int16|int8|uint8|bool|device|Size)$/;
/** Classes of configurations and numpy arrays in training checkpoints: never built, what they hold kept as plain data. */
const OPAQUE =
  /^(omegaconf\.(dictconfig\.DictConfig|listconfig\.ListConfig|base\.(ContainerMetadata|Metadata|SCMode)|nodes\.\w+Node)|typing\.(Any|Union)|(__builtin__|builtins)\.(dict|list|int|float|str|bool|set)|collections\.defaultdict|argparse\.Namespace|numpy\.(_?core\.multiarray\.(_reconstruct|scalar)|ndarray|dtype)|_codecs\.encode|dill\._dill\._load_type|pathlib\.(PosixPath|WindowsPath)|jax\._src\.array\._reconstruct_array|ml_dtypes\.bfloat16)$/;
/**
 * Whole objects in a torch file (HILP's url_benchmark agents): records whose attributes are walked, so that their tensors
 * are found by name. No class of these is imported and no method is run.
 */
const OBJECTS = /^(torch\.nn\.modules\.[\w.]+|torch\.optim\.[\w.]+|url_benchmark\.[\w.]+)$/;

const MARK = Symbol('mark');

/**
 * The value of one pickle. Time and memory are linear in its length. `classes`: more that are kept as records of what they would
 * have been made of, for what is no checkpoint.
 */
export function readPickle(source: ByteSource, bytes: Buffer, classes?: RegExp): Value {
  const stack: (Value | typeof MARK)[] = [];
  const memo = new Map<number, Value>();
  let p = 0;
  const broken = (what: string): TendonError => corrupt(source, `its pickle is malformed: ${what}`);
  const need = (n: number): number => {
    if (n < 0 || p + n > bytes.length) throw broken('it ends too early');
    p += n;
    return p - n;
  };
  const pop = (): Value => {
    const value = stack.pop();
    if (value === undefined || value === MARK) throw broken('its stack is empty');
    return value as Value;
  };
  const top = (): Value => {
    const value = stack.at(-1);
    if (value === undefined || value === MARK) throw broken('its stack is empty');
    return value as Value;
  };
  const popMark = (): Value[] => {
    const at = stack.lastIndexOf(MARK);
    if (at < 0) throw broken('it has no mark');
    const items = stack.splice(at + 1) as Value[];
    stack.pop();
    return items;
  };
  const recall = (index: number): void => {
    const value = memo.get(index);
    if (value === undefined) throw broken(`memo ${index} is not set`);
    stack.push(value);
  };
  const text = (length: number): string => {
    const at = need(length);
    return bytes.toString('utf8', at, at + length);
  };
  const blob = (length: number): Buffer => {
    const at = need(length);
    return bytes.subarray(at, at + length);
  };
  const line = (): string => {
    const end = bytes.indexOf(10, p);
    if (end < 0) throw broken('a line has no end');
    const out = bytes.toString('utf8', p, end);
    p = end + 1;
    return out;
  };
  const big = (): number => {
    const n = Number(bytes.readBigUInt64LE(need(8)));
    if (n > bytes.length) throw broken('it ends too early');
    return n;
  };
  const setItems = (target: Value, items: Value[]): void => {
    if (target instanceof Map)
      for (let i = 0; i + 1 < items.length; i += 2) target.set(items[i]!, items[i + 1]!);
    else if (!isOpaque(target)) throw broken('items are set on something that is no dict');
  };
  const append = (target: Value, items: Value[]): void => {
    if (Array.isArray(target)) for (const item of items) target.push(item);
    else if (!isOpaque(target)) throw broken('items are appended to something that is no list');
  };

  for (;;) {
    const opcode = bytes[need(1)]!;
    switch (opcode) {
      case 0x80: // PROTO
        if (bytes[need(1)]! > 5) throw broken('its protocol is newer than 5');
        break;
      case 0x95: // FRAME
        need(8);
        break;
      case 0x2e: // STOP
        return pop();
      case 0x28:
        stack.push(MARK);
        break;
      case 0x30:
        if (stack.pop() === undefined) throw broken('its stack is empty');
        break;
      case 0x31:
        popMark();
        break;
      case 0x4e:
        stack.push(null);
        break;
      case 0x88:
        stack.push(true);
        break;
      case 0x89:
        stack.push(false);
        break;
      case 0x4a:
        stack.push(bytes.readInt32LE(need(4)));
        break;
      case 0x4b:
        stack.push(bytes[need(1)]!);
        break;
      case 0x4d:
        stack.push(bytes.readUInt16LE(need(2)));
        break;
      case 0x8a:
        stack.push(longInteger(blob(bytes[need(1)]!)));
        break;
      case 0x47:
        stack.push(bytes.readDoubleBE(need(8)));
        break;
      case 0x58:
        stack.push(text(bytes.readUInt32LE(need(4))));
        break;
      case 0x8c:
        stack.push(text(bytes[need(1)]!));
        break;
      case 0x8d:
        stack.push(text(big()));
        break;
      case 0x42:
      case 0x54:
        stack.push(blob(bytes.readUInt32LE(need(4))));
        break;
      case 0x43:
      case 0x55:
        stack.push(blob(bytes[need(1)]!));
        break;
      case 0x8e:
      case 0x96: // BYTEARRAY8
        stack.push(blob(big()));
        break;
      case 0x7d:
        stack.push(new Map());
        break;
      case 0x5d:
      case 0x29:
      case 0x8f:
        stack.push([]);
        break;
      case 0x74:
        stack.push(popMark());
        break;
      case 0x85:
        stack.push([pop()]);
        break;
      case 0x86: {
        const b = pop();
        stack.push([pop(), b]);
        break;
      }
      case 0x87: {
        const c = pop();
        const b = pop();
        stack.push([pop(), b, c]);
        break;
      }
      case 0x61: {
        const item = pop();
        append(top(), [item]);
        break;
      }
      case 0x65:
      case 0x90: {
        const items = popMark();
        append(top(), items);
        break;
      }
      case 0x73: {
        const value = pop();
        const key = pop();
        setItems(top(), [key, value]);
        break;
      }
      case 0x75: {
        const items = popMark();
        setItems(top(), items);
        break;
      }
      case 0x68:
        recall(bytes[need(1)]!);
        break;
      case 0x6a:
        recall(bytes.readUInt32LE(need(4)));
        break;
      case 0x71:
        memo.set(bytes[need(1)]!, top());
        break;
      case 0x72:
        memo.set(bytes.readUInt32LE(need(4)), top());
        break;
      case 0x94:
        memo.set(memo.size, top());
        break;
      case 0x63: {
        const module = line();
        stack.push(findGlobal(source, `${module}.${line()}`, classes));
        break;
      }
      case 0x93: {
        const name = pop();
        const module = pop();
        if (typeof name !== 'string' || typeof module !== 'string') throw broken('a global has no name');
        stack.push(findGlobal(source, `${module}.${name}`, classes));
        break;
      }
      case 0x52: // REDUCE
      case 0x81: {
        // NEWOBJ
        const args = pop();
        stack.push(build(source, pop(), args));
        break;
      }
      case 0x62: {
        // BUILD: state of what is kept as plain data; the attributes of an OrderedDict are of no use.
        const state = pop();
        const target = top();
        if (isOpaque(target)) target.state = state;
        else if (!(target instanceof Map)) throw broken('state is given to a plain value');
        break;
      }
      case 0x51:
        stack.push(persistent(source, pop()));
        break;
      default:
        throw new TendonError(
          'file_unsafe',
          `${source.path}: its pickle uses opcode 0x${opcode.toString(16)}, which a checkpoint of tensors does not need; save the state_dict alone, or as safetensors`,
          { path: source.path, opcode },
        );
    }
  }
}

export const isOpaque = (value: Value | undefined): value is Opaque => isRecord(value, 'opaque');
const opaque = (name: string, args: Value = null): Opaque => ({ kind: 'opaque', name, args, state: null });

function longInteger(bytes: Buffer): number | bigint {
  let value = 0n;
  for (let i = bytes.length - 1; i >= 0; i--) value = (value << 8n) | BigInt(bytes[i]!);
  if (bytes.length > 0 && bytes.at(-1)! >= 0x80) value -= 1n << BigInt(8 * bytes.length);
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}

function findGlobal(source: ByteSource, name: string, classes: RegExp | undefined): Value {
  const known =
    Object.hasOwn(STORAGES, name) ||
    name === 'torch._utils._rebuild_tensor_v2' ||
    name === 'torch._utils._rebuild_parameter' ||
    name === 'collections.OrderedDict' ||
    DTYPES.test(name);
  if (known) return { kind: 'global', name };
  if (OPAQUE.test(name) || OBJECTS.test(name) || classes?.test(name)) return opaque(name);
  throw new TendonError(
    'file_unsafe',
    `${source.path}: its pickle asks for ${name}, which is not needed to name tensors and is never run; save the state_dict alone, or as safetensors`,
    { path: source.path, global: name },
  );
}

function build(source: ByteSource, target: Value, args: Value): Value {
  if (isOpaque(target)) return opaque(target.name, args);
  const name = isRecord(target, 'global') ? target.name : undefined;
  if (name === undefined || !Array.isArray(args))
    throw corrupt(source, 'its pickle calls something that is no function');
  if (name === 'collections.OrderedDict') return new Map();
  if (name === 'torch._utils._rebuild_parameter') {
    if (!isRecord(args[0], 'tensor')) throw corrupt(source, 'a parameter holds no tensor');
    return args[0];
  }
  if (name === 'torch._utils._rebuild_tensor_v2') {
    const [storage, offset, shape, strides] = args;
    if (!isRecord(storage, 'storage') || !isCount(offset) || !isCounts(shape) || !isCounts(strides))
      throw corrupt(source, 'a tensor has no valid storage, offset, shape or strides');
    return { kind: 'tensor', storage, offset, shape, strides };
  }
  if (name === 'torch.Size') return args;
  return opaque(name, args);
}

/** torch's persistent id: ('storage', class, key, device, count). */
function persistent(source: ByteSource, id: Value): Storage {
  if (Array.isArray(id)) {
    const [tag, type, key, , count] = id;
    const dtype = isRecord(type, 'global') ? STORAGES[type.name] : undefined;
    if (tag === 'storage' && dtype !== undefined && typeof key === 'string' && isCount(count))
      return { kind: 'storage', dtype, key, count };
  }
  throw corrupt(source, 'a persistent id is not a storage');
}

function isRecord<K extends 'storage' | 'tensor' | 'global' | 'opaque'>(
  value: Value | undefined,
  kind: K,
): value is Extract<Value, { kind: K }> {
  return (
    typeof value === 'object' &&
    value !== null &&
    'kind' in value &&
    (value as { kind: string }).kind === kind
  );
}

const isCount = (v: Value | undefined): v is number =>
  typeof v === 'number' && Number.isSafeInteger(v) && v >= 0;
const isCounts = (v: Value | undefined): v is number[] =>
  Array.isArray(v) && v.length <= 16 && v.every(isCount);

export const isTensor = (value: Value | undefined): value is PickledTensor => isRecord(value, 'tensor');
