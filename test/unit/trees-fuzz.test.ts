// Damaged jax pickles, flax msgpack files and zarr arrays: arrays inside the file with as many numbers as their shapes say,
// or an error in words; nothing else happens.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import type { TendonError } from '../../src/types/index.js';
import { type ArrayFile, readFlaxMsgpack, readJaxPickle, type WeightFile } from '../../src/weights/index.js';
import { readLayout } from '../../src/weights/orbax.js';
import { memorySource } from '../../src/weights/source.js';
import { golden } from '../golden/golden.js';
import { cases } from './mutations.js';
import { fuzz } from './weights-fuzz.js';

const COUNT = cases(40_000);

/** The arrays that lie in the file, as weights are checked. */
function weightsOf({ path, arrays }: ArrayFile): WeightFile {
  const refs = [...arrays].flatMap(([name, { ref }]) => (ref === undefined ? [] : [[name, ref] as const]));
  for (const { ref, numbers } of arrays.values()) if (ref === undefined) numbers();
  return { path, tensors: new Map(refs), metadata: {} };
}

test.each([
  ['ogbench_gciql', 'params_1000000.pkl', readJaxPickle],
  ['smore', 'actor', readFlaxMsgpack],
] as const)('%s: %s', (name, file, read) => {
  const whole = readFileSync(join(golden(name).dir, file));
  expect(read(memorySource(file, whole)).arrays.size).toBeGreaterThan(5);
  const result = fuzz(whole, COUNT, (mutated) => weightsOf(read(memorySource(file, mutated))));
  expect(result).toMatchObject({ foreign: [], outside: 0 });
  expect(result.refused + result.read).toBe(COUNT);
  expect(result.refused).toBeGreaterThan(COUNT / 20);
});

test('.zarray: dims of an array that can be read, or a refusal', () => {
  const whole = readFileSync(join(golden('orbax_params').dir, 'zarr/params.head.kernel/.zarray'));
  const result = fuzz(whole, 4 * COUNT, (mutated) => {
    const { shape, chunks } = readLayout(memorySource('.zarray', mutated));
    if (shape.length !== chunks.length) throw new Error('dims do not fit');
    return { path: '', tensors: new Map(), metadata: {} };
  });
  expect(result.foreign).toEqual([]);
  expect(result.read).toBeGreaterThan(0);
});

test('another global than those of arrays is refused by its name', () => {
  const evil = Buffer.from('\x80\x04cos\nsystem\n(X\x04\x00\x00\x00trueatR.', 'latin1');
  expect(() => readJaxPickle(memorySource('params_1.pkl', evil))).toThrow(
    expect.objectContaining({
      code: 'file_unsafe',
      fields: expect.objectContaining({ global: 'os.system' }),
    } as Partial<TendonError>),
  );
});

test.each([
  ['a record', [0xd4, 0x72, 0x40]],
  ['a regular expression', [0xd4, 0x78, 0x00]],
  ['a list longer than the file', [0xdd, 0xff, 0xff, 0xff, 0xff]],
  ['maps without end', new Array<number>(5_000).fill(0x81)],
])('msgpack: %s is refused before it is read', (_, bytes) => {
  expect(() => readFlaxMsgpack(memorySource('actor', Buffer.from(bytes)))).toThrow(
    expect.objectContaining({ code: 'file_corrupt' }),
  );
});
