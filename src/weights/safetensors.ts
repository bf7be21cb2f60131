// Safetensors: an 8-byte length, a JSON header, then the bytes of the tensors without gaps. Only the header is read
// here; the core reads the file itself at offsets that have been checked against its size.

import type { TensorRef } from '../native/index.js';
import { type ByteSource, corrupt, withFile } from './source.js';
import { byteLength, ELEMENT_BYTES, MAX_RANK, type WeightFile } from './tensor.js';

/** As the reference implementation: a header above this is refused unread. */
const MAX_HEADER_BYTES = 100_000_000;

export function openSafetensors(path: string): WeightFile {
  return withFile(path, readSafetensors);
}

export function readSafetensors(source: ByteSource): WeightFile {
  const length = Number(source.read(0, 8).readBigUInt64LE(0));
  if (length > MAX_HEADER_BYTES || length > source.size - 8 || length < 2)
    throw corrupt(source, `its header claims ${length} bytes, the file has ${source.size}`);
  const header = parseHeader(source, source.read(8, length).toString('utf8'));
  const dataStart = 8 + length;
  const tensors = new Map<string, TensorRef>();
  const spans: [number, number, string][] = [];
  let metadata: Record<string, string> = {};
  for (const [name, value] of Object.entries(header)) {
    if (name === '__metadata__') {
      metadata = checkMetadata(source, value);
      continue;
    }
    const { ref, begin, end } = checkEntry(source, name, value, dataStart);
    spans.push([begin, end, name]);
    tensors.set(name, ref);
  }
  spans.sort((a, b) => a[0] - b[0] || a[1] - b[1]);
  let at = 0;
  for (const [begin, end, name] of spans) {
    if (begin !== at)
      throw corrupt(
        source,
        `tensor ${name} begins at ${begin} where ${at} was expected: an overlap or a gap`,
      );
    at = end;
  }
  if (dataStart + at !== source.size)
    throw corrupt(source, `its tensors end at ${dataStart + at}, the file at ${source.size}`);
  return { path: source.path, tensors, metadata };
}

function parseHeader(source: ByteSource, text: string): Record<string, unknown> {
  let header: unknown;
  try {
    header = JSON.parse(text);
  } catch {
    throw corrupt(source, 'its header is not JSON');
  }
  if (typeof header !== 'object' || header === null || Array.isArray(header))
    throw corrupt(source, 'its header is not an object');
  if (countKeys(text) !== Object.keys(header).length)
    throw corrupt(source, 'a name stands twice in its header');
  return header as Record<string, unknown>;
}

/** Keys of the outermost object of valid JSON; JSON.parse keeps only the last of equal ones. */
function countKeys(text: string): number {
  let depth = 0;
  let keys = 0;
  for (let i = 0; i < text.length; i++) {
    const c = text[i];
    if (c === '"') {
      for (i++; text[i] !== '"'; i++) if (text[i] === '\\') i++;
    } else if (c === '{' || c === '[') depth++;
    else if (c === '}' || c === ']') depth--;
    else if (c === ':' && depth === 1) keys++;
  }
  return keys;
}

function checkMetadata(source: ByteSource, value: unknown): Record<string, string> {
  const fine =
    typeof value === 'object' &&
    value !== null &&
    !Array.isArray(value) &&
    Object.values(value).every((v) => typeof v === 'string');
  if (!fine) throw corrupt(source, 'its __metadata__ is not a map of strings');
  return value as Record<string, string>;
}

function checkEntry(source: ByteSource, name: string, value: unknown, dataStart: number) {
  const entry = (typeof value === 'object' && value !== null ? value : {}) as Record<string, unknown>;
  const { dtype, shape, data_offsets: offsets } = entry;
  if (typeof dtype !== 'string' || !Object.hasOwn(ELEMENT_BYTES, dtype))
    throw corrupt(source, `tensor ${name} has an unknown dtype ${String(dtype)}`);
  if (!isIntegers(shape) || shape.length > MAX_RANK)
    throw corrupt(source, `tensor ${name} has no valid shape`);
  if (!isIntegers(offsets) || offsets.length !== 2)
    throw corrupt(source, `tensor ${name} has no valid data_offsets`);
  const [begin, end] = offsets as [number, number];
  const bytes = byteLength(dtype, shape);
  if (bytes === undefined || end - begin !== bytes || dataStart + end > source.size)
    throw corrupt(
      source,
      `tensor ${name} [${shape}] ${dtype} needs ${bytes ?? 'too many'} bytes; its offsets ${begin}…${end} in a file of ${source.size} do not fit`,
    );
  const ref: TensorRef = { name, shape, dtype, file: source.path, offset: dataStart + begin };
  return { ref, begin, end };
}

function isIntegers(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((v) => Number.isSafeInteger(v) && v >= 0);
}
