// torch.save files (.pt, .pth, .ckpt): a zip with data.pkl and one stored entry per storage. Tensors are named by
// their path through the dicts, e.g. model._encoder.state.0.weight, and stay where they are in the file.

import type { TensorRef } from '../native/index.js';
import { TendonError } from '../types/index.js';
import { isOpaque, isTensor, type PickledTensor, type PickleValue, readPickle } from './pickle.js';
import { type ByteSource, corrupt, withFile } from './source.js';
import { ELEMENT_BYTES, type WeightFile } from './tensor.js';
import { isZip, readZip, type ZipEntry } from './zip.js';

const MAX_PICKLE_BYTES = 64 << 20;
const MAX_TENSORS = 1_000_000;
const MAX_DEPTH = 64;

/** A torch file with everything its pickle says, for what stands beside the tensors. */
export interface TorchFile extends WeightFile {
  readonly root: PickleValue;
}

export function openTorch(path: string): TorchFile {
  return withFile(path, readTorch);
}

export function readTorch(source: ByteSource): TorchFile {
  if (!isZip(source))
    throw new TendonError(
      'unsupported',
      `${source.path} is ${formOf(source)}: expected torch.save's format since torch 1.6, which is a zip; load it and save it again with a newer torch (torch.save(torch.load(FILE, map_location="cpu"), NEW)), or as safetensors`,
      { path: source.path },
    );
  const entries = readZip(source);
  const pickle = [...entries.values()].find((e) => /(^|\/)data\.pkl$/.test(e.name));
  if (pickle === undefined) throw corrupt(source, 'it has no data.pkl');
  if (pickle.size > MAX_PICKLE_BYTES)
    throw corrupt(source, `its data.pkl has ${pickle.size} bytes, more than any checkpoint needs`);
  const prefix = pickle.name.slice(0, -'data.pkl'.length);
  const order = entries.get(`${prefix}byteorder`);
  if (order !== undefined && source.read(order.offset, Math.min(order.size, 16)).toString() !== 'little')
    throw new TendonError('unsupported', `${source.path} was saved on a big-endian machine`, {
      path: source.path,
    });
  const tensors = new Map<string, TensorRef>();
  const seen = new Set<object>();
  const visit = (value: PickleValue, path: string, depth: number): void => {
    if (isTensor(value)) {
      if (tensors.size >= MAX_TENSORS) throw corrupt(source, `it has more than ${MAX_TENSORS} tensors`);
      if (tensors.has(path)) throw corrupt(source, `two tensors have the name ${path}`);
      tensors.set(path, place(source, entries, prefix, path, value));
      return;
    }
    const children = childrenOf(value);
    if (children.length === 0 || seen.has(value as object)) return;
    seen.add(value as object);
    if (depth > MAX_DEPTH) throw corrupt(source, `its dicts are nested more than ${MAX_DEPTH} deep`);
    for (const [key, child] of children)
      if (typeof key === 'string' || typeof key === 'number')
        visit(child, path === '' ? String(key) : `${path}.${key}`, depth + 1);
  };
  const root = readPickle(source, source.read(pickle.offset, pickle.size));
  visit(root, '', 0);
  if (tensors.size === 0) throw corrupt(source, 'it names no tensors');
  return { path: source.path, tensors, metadata: {}, root };
}

/** How torch before 1.6 begins a row of pickles: its magic number, pickled. */
const MAGIC = '80028a0a6cfc9c46f9206aa850192e';

function formOf(source: ByteSource): string {
  const head = source.read(0, Math.min(source.size, 512));
  if (head.subarray(0, MAGIC.length / 2).toString('hex') === MAGIC)
    return 'a row of pickles, as torch before 1.6 saved';
  return head.subarray(257, 262).toString('latin1') === 'ustar'
    ? 'a tar, as torch before 0.2 saved'
    : 'not a zip';
}

/**
 * What a value holds, by name. A pickled torch module keeps its tensors and parts in dicts of its own, whose names are
 * left out as torch's state_dict does (torch.nn.Module: _parameters, _buffers, _modules).
 */
function childrenOf(value: PickleValue): readonly (readonly [PickleValue, PickleValue])[] {
  if (value instanceof Map) return [...value];
  if (Array.isArray(value)) return value.map((v, i) => [i, v] as const);
  if (!isOpaque(value) || !(value.state instanceof Map)) return [];
  const { state } = value;
  if (!(state.get('_modules') instanceof Map)) return OPTIMIZER.test(value.name) ? [] : [...state];
  return ['_parameters', '_buffers', '_modules'].flatMap((name) => {
    const part = state.get(name);
    return part instanceof Map ? [...part] : [];
  });
}

/** What only training needs. */
const OPTIMIZER = /^torch\.optim\./;

function place(
  source: ByteSource,
  entries: ReadonlyMap<string, ZipEntry>,
  prefix: string,
  name: string,
  tensor: PickledTensor,
): TensorRef {
  const { storage, shape, strides, offset } = tensor;
  const width = ELEMENT_BYTES[storage.dtype]!;
  const entry = entries.get(`${prefix}data/${storage.key}`);
  const count = shape.reduce((n, d) => n * d, 1);
  if (entry === undefined || !Number.isSafeInteger(count) || strides.length !== shape.length)
    throw corrupt(source, `tensor ${name} has no data, or no valid shape`);
  let expected = 1;
  for (let i = shape.length - 1; i >= 0; i--) {
    if (shape[i] !== 1 && count > 0 && strides[i] !== expected)
      throw new TendonError(
        'unsupported',
        `${source.path}: tensor ${name} (${shape.join(', ')}) is stored with strides (${strides.join(', ')}), not row by row; save it with .contiguous()`,
        { path: source.path, name },
      );
    expected *= shape[i]!;
  }
  if ((offset + count) * width > entry.size || offset + count > storage.count)
    throw corrupt(
      source,
      `tensor ${name} (${shape.join(', ')}) from element ${offset} does not fit its storage of ${entry.size} bytes`,
    );
  return { name, shape, dtype: storage.dtype, file: source.path, offset: entry.offset + offset * width };
}
