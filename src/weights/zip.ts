// The part of zip that torch.save writes: a central directory (also zip64) of stored entries. Nothing is inflated;
// an entry is an offset and a length, checked against the file.

import { TendonError } from '../types/index.js';
import { type ByteSource, corrupt } from './source.js';

export interface ZipEntry {
  readonly name: string;
  /** Of the first byte of data, from the start of the file. */
  readonly offset: number;
  readonly size: number;
}

const END = 0x06054b50;
const END64 = 0x06064b50;
const LOCATOR64 = 0x07064b50;
const CENTRAL = 0x02014b50;
const LOCAL = 0x04034b50;
const MAX_DIRECTORY_BYTES = 64 << 20;

export function isZip(source: ByteSource): boolean {
  return source.size >= 22 && source.read(0, 4).readUInt32LE(0) === LOCAL;
}

export function readZip(source: ByteSource): Map<string, ZipEntry> {
  const { at, size, count } = findDirectory(source);
  if (size > MAX_DIRECTORY_BYTES) throw corrupt(source, `its directory claims ${size} bytes`);
  const directory = source.read(at, size);
  const entries = new Map<string, ZipEntry>();
  let p = 0;
  for (let i = 0; i < count; i++) {
    if (p + 46 > size || directory.readUInt32LE(p) !== CENTRAL)
      throw corrupt(source, `its directory has no entry ${i} of ${count}`);
    const method = directory.readUInt16LE(p + 10);
    const nameLength = directory.readUInt16LE(p + 28);
    const extraLength = directory.readUInt16LE(p + 30);
    const next = p + 46 + nameLength + extraLength + directory.readUInt16LE(p + 32);
    if (next > size) throw corrupt(source, 'its directory ends within an entry');
    const name = directory.toString('utf8', p + 46, p + 46 + nameLength);
    if (method !== 0)
      throw new TendonError(
        'unsupported',
        `${source.path}: ${name} is compressed (method ${method}); torch.save stores entries as they are. Unpack and repack it with \`zip -0\`.`,
        { path: source.path, name },
      );
    const extra = directory.subarray(p + 46 + nameLength, p + 46 + nameLength + extraLength);
    const [length, local] = sizes(source, directory, p, extra);
    if (entries.has(name)) throw corrupt(source, `${name} stands twice in its directory`);
    entries.set(name, { name, size: length, offset: dataOffset(source, local, length) });
    p = next;
  }
  return entries;
}

function findDirectory(source: ByteSource): { at: number; size: number; count: number } {
  const window = Math.min(source.size, 22 + 0xffff);
  const tail = source.read(source.size - window, window);
  let p = window - 22;
  while (p >= 0 && tail.readUInt32LE(p) !== END) p--;
  if (p < 0) throw corrupt(source, 'it has no zip directory');
  const end = {
    count: tail.readUInt16LE(p + 10),
    size: tail.readUInt32LE(p + 12),
    at: tail.readUInt32LE(p + 16),
  };
  if (p < 20 || tail.readUInt32LE(p - 20) !== LOCATOR64) return end;
  const record = source.read(Number(tail.readBigUInt64LE(p - 20 + 8)), 56);
  if (record.readUInt32LE(0) !== END64) throw corrupt(source, 'its zip64 directory is not where it says');
  return {
    count: Number(record.readBigUInt64LE(32)),
    size: Number(record.readBigUInt64LE(40)),
    at: Number(record.readBigUInt64LE(48)),
  };
}

/** Uncompressed size and offset of the local header; 0xffffffff means that the zip64 extra field has them. */
function sizes(source: ByteSource, directory: Buffer, p: number, extra: Buffer): [number, number] {
  let length = directory.readUInt32LE(p + 24);
  let local = directory.readUInt32LE(p + 42);
  for (let q = 0; q + 4 <= extra.length; ) {
    const end = q + 4 + extra.readUInt16LE(q + 2);
    if (end > extra.length) throw corrupt(source, 'an extra field ends outside its entry');
    if (extra.readUInt16LE(q) === 1) {
      let at = q + 4;
      const take = (): number => {
        if (at + 8 > end) throw corrupt(source, 'a zip64 field is too short');
        at += 8;
        return Number(extra.readBigUInt64LE(at - 8));
      };
      if (length === 0xffffffff) length = take();
      if (directory.readUInt32LE(p + 20) === 0xffffffff) take();
      if (local === 0xffffffff) local = take();
    }
    q = end;
  }
  return [length, local];
}

function dataOffset(source: ByteSource, local: number, length: number): number {
  const header = source.read(local, 30);
  if (header.readUInt32LE(0) !== LOCAL) throw corrupt(source, `there is no entry at ${local}`);
  const offset = local + 30 + header.readUInt16LE(26) + header.readUInt16LE(28);
  if (!Number.isSafeInteger(offset + length) || offset + length > source.size)
    throw corrupt(source, `an entry at ${local} of ${length} bytes ends outside the file`);
  return offset;
}
