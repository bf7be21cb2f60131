// Lists of an ONNX file may have any number of integers; 125,000 of them were once more than a call's arguments can be.

import { expect, test } from 'vitest';
import { readOnnx } from '../../src/weights/index.js';
import { memorySource } from '../../src/weights/source.js';

const varint = (value: number): number[] =>
  value < 128 ? [value] : [(value & 127) | 128, ...varint(Math.floor(value / 128))];
const field = (number: number, bytes: Uint8Array): Buffer =>
  Buffer.concat([Buffer.from([(number << 3) | 2, ...varint(bytes.length)]), bytes]);
const text = (number: number, value: string): Buffer => field(number, Buffer.from(value));

test('a tensor and an attribute of 400,000 spelled integers', () => {
  const many = Buffer.alloc(400_000, 1);
  const count = Buffer.from([0x08, ...varint(400_000)]);
  const tensor = Buffer.concat([count, Buffer.from([0x10, 7]), field(7, many), text(8, 'many')]);
  // AttributeProto.ints = 8, type = 20 (INTS = 7)
  const attribute = Buffer.concat([text(1, 'list'), field(8, many), Buffer.from([0xa0, 1, 7])]);
  const node = Buffer.concat([text(1, 'many'), text(2, 'y'), text(4, 'Identity'), field(5, attribute)]);
  const graph = Buffer.concat([field(1, node), text(2, 'g'), field(5, tensor), field(12, text(1, 'y'))]);
  const model = Buffer.concat([Buffer.from([0x08, 8]), field(8, Buffer.from([0x10, 17])), field(7, graph)]);
  const read = readOnnx(memorySource('many.onnx', model));
  expect(JSON.stringify(read, (_, v) => (v instanceof Map ? [...v] : v)).length).toBeGreaterThan(400_000);
});
