// An ONNX file (onnx.proto, opsets 13 to 21) as nodes and tensors. Tensors stay where they are, in the file or in one
// beside it, and are handed on as checked references; what the nodes mean is read in src/onnx.

import { closeSync } from 'node:fs';
import { dirname, join, normalize, sep } from 'node:path';
import { openUserFile } from '../base/files.js';
import type { TensorRef } from '../native/index.js';
import { TendonError } from '../types/index.js';
import { type Field, Message } from './protobuf.js';
import { type ByteSource, corrupt, withFile } from './source.js';
import { byteLength, decodeElements, MAX_RANK, readTensor } from './tensor.js';

/** A tensor: in a file, or as numbers where the format spells them out. */
export interface OnnxTensor {
  readonly name: string;
  readonly dims: readonly number[];
  readonly ref: TensorRef | undefined;
  /** Of a type of whole numbers. */
  readonly whole: boolean;
  /** Its numbers, read when first asked for. */
  numbers(): ArrayLike<number>;
}

export type OnnxAttribute = number | string | readonly number[] | OnnxTensor;

export interface OnnxNode {
  readonly op: string;
  readonly name: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly attributes: Readonly<Record<string, OnnxAttribute>>;
}

export interface OnnxPort {
  readonly name: string;
  /** undefined where the file leaves a dim open. */
  readonly dims: readonly (number | undefined)[];
  /** F32, I64, …; undefined where the file does not say, or names one that is not read. */
  readonly dtype: string | undefined;
}

export interface OnnxModel {
  readonly path: string;
  readonly opset: number;
  readonly nodes: readonly OnnxNode[];
  readonly tensors: ReadonlyMap<string, OnnxTensor>;
  readonly inputs: readonly OnnxPort[];
  readonly outputs: readonly OnnxPort[];
}

/** More nodes than any network for a robot has; a file that claims more is refused before its memory is. */
const MAX_NODES = 1 << 17;
const SMALL_BYTES = 4096;
const DTYPES: Readonly<Record<number, string>> = {
  1: 'F32',
  2: 'U8',
  3: 'I8',
  5: 'I16',
  6: 'I32',
  7: 'I64',
  9: 'BOOL',
  10: 'F16',
  11: 'F64',
  16: 'BF16',
};

export function openOnnx(path: string): OnnxModel {
  return withFile(path, readOnnx);
}

export function readOnnx(source: ByteSource): OnnxModel {
  let opset = 0;
  // A message may come in pieces, which are to be read as one.
  const graph: Message[] = [];
  const model = new Message(source);
  for (const field of model.fields()) {
    if (field.number === 7) graph.push(model.inner(field));
    if (field.number !== 8) continue;
    const set = model.inner(field);
    let domain = '';
    let version = 0;
    for (const f of set.fields()) {
      if (f.number === 1) domain = set.text(f);
      if (f.number === 2) version = f.value;
    }
    if (domain === '' || domain === 'ai.onnx') opset = version;
  }
  if (graph.length === 0 || opset === 0)
    throw corrupt(source, 'it has no graph or no opset: not an ONNX model');
  if (opset < 13 || opset > 21)
    throw new TendonError(
      'unsupported',
      `${source.path}: ONNX opset 13 to 21 is read, this is ${opset}; export it again with opset_version=17`,
      { opset },
    );
  return { path: source.path, opset, ...readGraph(graph) };
}

function readGraph(pieces: readonly Message[]): Omit<OnnxModel, 'path' | 'opset'> {
  const nodes: OnnxNode[] = [];
  const tensors = new Map<string, OnnxTensor>();
  const inputs: OnnxPort[] = [];
  const outputs: OnnxPort[] = [];
  for (const graph of pieces)
    for (const field of graph.fields()) {
      if (field.number === 1) {
        nodes.push(readNode(graph.inner(field)));
        if (nodes.length > MAX_NODES) throw corrupt(graph.source, `it has more than ${MAX_NODES} nodes`);
      } else if (field.number === 5) {
        const tensor = readOnnxTensor(graph.inner(field));
        tensors.set(tensor.name, tensor);
      } else if (field.number === 11) {
        inputs.push(readPort(graph.inner(field)));
      } else if (field.number === 12) {
        outputs.push(readPort(graph.inner(field)));
      } else if (field.number === 15) {
        throw new TendonError('unsupported', `${graph.source.path}: sparse tensors are not read`);
      }
    }
  // Old exporters list weights among the inputs.
  return { nodes, tensors, inputs: inputs.filter((port) => !tensors.has(port.name)), outputs };
}

function readNode(node: Message): OnnxNode {
  const inputs: string[] = [];
  const outputs: string[] = [];
  const attributes: Record<string, OnnxAttribute> = {};
  let [op, name, domain] = ['', '', ''];
  for (const field of node.fields()) {
    if (field.number === 1) inputs.push(node.text(field));
    if (field.number === 2) outputs.push(node.text(field));
    if (field.number === 3) name = node.text(field);
    if (field.number === 4) op = node.text(field);
    if (field.number === 7) domain = node.text(field);
    if (field.number === 5) {
      const [key, value] = readAttribute(node.inner(field));
      if (value !== undefined) attributes[key] = value;
    }
  }
  return {
    op: domain === '' || domain === 'ai.onnx' ? op : `${domain}.${op}`,
    name,
    inputs,
    outputs,
    attributes,
  };
}

function readAttribute(message: Message): [string, OnnxAttribute | undefined] {
  let name = '';
  let value: OnnxAttribute | undefined;
  const list: number[] = [];
  let isList = false;
  for (const field of message.fields()) {
    if (field.number === 1) name = message.text(field);
    if (field.number === 2) value = message.float(field);
    if (field.number === 3) value = field.value;
    if (field.number === 4) value = message.text(field);
    if (field.number === 5) value = readOnnxTensor(message.inner(field));
    if (field.number === 7) {
      isList = true;
      const bytes = message.bytes(field);
      for (let at = 0; at + 4 <= bytes.length; at += 4) list.push(bytes.readFloatLE(at));
    }
    if (field.number === 8) {
      isList = true;
      for (const value of message.varints(field)) list.push(value);
    }
  }
  return [name, isList ? list : value];
}

function readPort(message: Message): OnnxPort {
  let name = '';
  const dims: (number | undefined)[] = [];
  let dtype: string | undefined;
  for (const field of message.fields()) {
    if (field.number === 1) name = message.text(field);
    if (field.number !== 2) continue;
    // TypeProto.tensor_type.{elem_type, shape.dim}
    for (const [tensor, at] of children(message.inner(field), 1)) {
      for (const f of tensor.inner(at).fields()) if (f.number === 1) dtype = DTYPES[f.value];
      for (const [shape, shapeAt] of children(tensor.inner(at), 2))
        for (const [dim, dimAt] of children(shape.inner(shapeAt), 1)) {
          let size: number | undefined;
          const one = dim.inner(dimAt);
          for (const f of one.fields()) if (f.number === 1 && f.wire === 0) size = f.value;
          dims.push(size);
        }
    }
  }
  if (dims.length > MAX_RANK) throw corrupt(message.source, `${name} has ${dims.length} dims`);
  return { name, dims, dtype };
}

function* children(message: Message, number: number): Generator<[Message, Field]> {
  for (const field of message.fields()) if (field.number === number) yield [message, field];
}

function readOnnxTensor(message: Message): OnnxTensor {
  const { source } = message;
  const dims: number[] = [];
  const spelled: number[] = [];
  const external: Record<string, string> = {};
  let name = '';
  let type = 0;
  let raw: Field | undefined;
  for (const field of message.fields()) {
    if (field.number === 1) for (const dim of message.varints(field)) dims.push(dim);
    if (field.number === 2) type = field.value;
    // float_data lies in the file as raw data does.
    if (field.number === 9 || (field.number === 4 && field.wire === 2)) raw = field;
    if (field.number === 4 && field.wire === 5) spelled.push(message.float(field));
    if (field.number === 5 || field.number === 7)
      for (const value of message.varints(field)) spelled.push(value);
    if (field.number === 8) name = message.text(field);
    if (field.number === 10) {
      const bytes = message.bytes(field);
      for (let at = 0; at + 8 <= bytes.length; at += 8) spelled.push(bytes.readDoubleLE(at));
    }
    if (field.number === 13) {
      let [key, value] = ['', ''];
      const entry = message.inner(field);
      for (const f of entry.fields()) {
        if (f.number === 1) key = entry.text(f);
        if (f.number === 2) value = entry.text(f);
      }
      external[key] = value;
    }
  }
  const dtype = DTYPES[type];
  if (dtype === undefined)
    throw new TendonError('unsupported', `${source.path}: tensor ${name} has data type ${type}`, {
      name,
      type,
    });
  if (dims.length > MAX_RANK || dims.some((d) => d < 0))
    throw corrupt(source, `tensor ${name} has dims [${dims.slice(0, 8).join(', ')}]`);
  const bytes = byteLength(dtype, dims);
  if (bytes === undefined) throw corrupt(source, `tensor ${name} has dims [${dims.join(', ')}]`);
  const count = dims.reduce((n, d) => n * d, 1);
  let ref: TensorRef | undefined;
  if (external.location !== undefined) ref = externalRef(source, name, dims, dtype, bytes, external);
  else if (raw !== undefined) {
    if (raw.length !== bytes)
      throw corrupt(source, `tensor ${name} should have ${bytes} bytes, and has ${raw.length}`);
    ref = { name, shape: dims, dtype, file: source.path, offset: raw.at };
  } else if (spelled.length !== count)
    throw corrupt(source, `tensor ${name} should have ${count} numbers, and has ${spelled.length}`);
  // Shapes, axes and scalars are kept at once; whole numbers stay whole.
  let kept: ArrayLike<number> | undefined = ref === undefined ? spelled : undefined;
  if (raw !== undefined && bytes <= SMALL_BYTES) {
    const numbers = new Float64Array(count);
    decodeElements(message.bytes(raw), dtype, numbers);
    kept = numbers;
  }
  return {
    name,
    dims,
    ref,
    whole: ['U8', 'I8', 'I16', 'I32', 'I64'].includes(dtype),
    numbers() {
      kept ??= readTensor(ref!);
      return kept;
    },
  };
}

/** A tensor in a file beside the model, and nowhere else. */
function externalRef(
  source: ByteSource,
  name: string,
  dims: readonly number[],
  dtype: string,
  bytes: number,
  external: Readonly<Record<string, string>>,
): TensorRef {
  const folder = dirname(source.path);
  const location = normalize(external.location!);
  if (location.startsWith('..') || location.startsWith(sep) || location.includes('\0'))
    throw corrupt(
      source,
      `tensor ${name} is said to lie in ${external.location}, outside the model's folder`,
    );
  const file = join(folder, location);
  const offset = Number(external.offset ?? 0);
  const { fd, size } = openUserFile(file, 'weights', `It holds the tensor ${name}.`);
  closeSync(fd);
  if (!Number.isSafeInteger(offset) || offset < 0 || offset + bytes > size)
    throw corrupt(source, `tensor ${name} should lie at ${offset} of ${file}, which has ${size} bytes`);
  return { name, shape: dims, dtype, file, offset };
}
