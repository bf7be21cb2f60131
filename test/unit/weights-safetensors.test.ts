// Safetensors: what it says, what is refused, and 100000 mutated files.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { openSafetensors, readSafetensors, readTensor, writeSafetensors } from '../../src/weights/index.js';
import { memorySource } from '../../src/weights/source.js';
import { cases } from './mutations.js';
import { fuzz } from './weights-fuzz.js';

const dir = mkdtempSync(join(tmpdir(), 'tendon-weights-'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

function file(header: string, data = Buffer.alloc(16), claim = Buffer.byteLength(header)): Buffer {
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(claim));
  return Buffer.concat([length, Buffer.from(header), data]);
}
const read = (bytes: Buffer) => readSafetensors(memorySource('x.safetensors', bytes));
const entry = (dtype: string, shape: unknown, offsets: unknown): string =>
  JSON.stringify({ dtype, shape, data_offsets: offsets });

describe('safetensors', () => {
  it('reads back what it wrote', () => {
    const path = join(dir, 'a.safetensors');
    const values = Float32Array.of(1, -2, 3.5, 1e-30, 5, 6);
    writeSafetensors(
      path,
      { b: { shape: [2, 3], values }, a: { shape: [0], values: new Float32Array() } },
      { k: 'v' },
    );
    const { tensors, metadata } = openSafetensors(path);
    expect(metadata).toEqual({ k: 'v' });
    expect([...readTensor(tensors.get('b')!)]).toEqual([...values]);
    expect(tensors.get('b')!.shape).toEqual([2, 3]);
    expect(readTensor(tensors.get('a')!).length).toBe(0);
  });

  it.each([
    ['a length above the file', file('{}', Buffer.alloc(0), 1e6), /claims 1000000/],
    ['no JSON', file('{"a":'), /not JSON/],
    ['an array', file('[]'), /not an object/],
    ['an unknown dtype', file(`{"a":${entry('F7', [4], [0, 16])}}`), /dtype F7/],
    ['an inherited dtype', file(`{"a":${entry('toString', [4], [0, 16])}}`), /dtype toString/],
    ['a negative dim', file(`{"a":${entry('F32', [-4], [0, 16])}}`), /shape/],
    ['dims whose product overflows', file(`{"a":${entry('F32', [2 ** 40, 2 ** 40], [0, 16])}}`), /too many/],
    ['offsets beyond the end', file(`{"a":${entry('F32', [8], [0, 32])}}`), /do not fit/],
    ['offsets the wrong way', file(`{"a":${entry('F32', [4], [16, 0])}}`), /do not fit/],
    ['an overlap', file(`{"a":${entry('F32', [3], [0, 12])},"b":${entry('F32', [2], [8, 16])}}`), /overlap/],
    ['a gap', file(`{"a":${entry('F32', [2], [8, 16])}}`), /gap/],
    ['bytes of nobody', file(`{"a":${entry('F32', [2], [0, 8])}}`), /end at/],
    ['a name twice', file(`{"a":${entry('F32', [4], [0, 16])},"a":${entry('F32', [4], [0, 16])}}`), /twice/],
    ['metadata that is no map of strings', file('{"__metadata__":{"a":1}}', Buffer.alloc(0)), /__metadata__/],
  ])('refuses %s', (_, bytes, message) => {
    expect(() => read(bytes)).toThrow(message);
  });

  it('refuses every shorter version of a file', () => {
    const path = join(dir, 'b.safetensors');
    writeSafetensors(path, { w: { shape: [3], values: Float32Array.of(1, 2, 3) } });
    const whole = readFileSync(path);
    for (let n = 0; n < whole.length; n++) {
      writeFileSync(path, whole.subarray(0, n));
      expect(() => openSafetensors(path)).toThrow(/x\.safetensors|b\.safetensors/);
    }
  });

  it('answers mutated files with an error of ours or with tensors inside the file', () => {
    const one = entry('F32', [2], [0, 8]);
    const two = entry('F16', [2, 2], [8, 16]);
    const bytes = file(`{"__metadata__":{"k":"v"},"a.weight":${one},"b.weight":${two}}`);
    const result = fuzz(bytes, cases(100_000), read);
    expect(result.foreign).toEqual([]);
    expect(result.refused).toBeGreaterThan(cases(1000));
    expect(result.outside).toBe(0);
  });
});
