// Lists of an ONNX file may have any number of integers; 125,000 of them were once more than a call's arguments can be.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { openFamily } from '../../src/policies/index.js';
import { openOnnx, readOnnx } from '../../src/weights/index.js';
import { memorySource } from '../../src/weights/source.js';
import { writeCheckpointOf } from './checkpoints.js';

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

test('dims that a file leaves open are asked for by a field that there is', () => {
  const dir = mkdtempSync(join(tmpdir(), 'tendon-onnx-open-'));
  try {
    const at = writeCheckpointOf('onnx', dir);
    const file = join(at, 'config.json');
    const config = JSON.parse(readFileSync(file, 'utf8'));
    const port = openOnnx(join(at, 'model.onnx')).inputs.find(({ name }) => name === config.sample)!;
    expect(openFamily(at).spec.family).toBe('onnx');
    // The horizon open, as exporters leave it.
    const [, horizon] = port.dims as [number, number, number];
    const bytes = readFileSync(join(at, 'model.onnx'));
    writeFileSync(join(at, 'model.onnx'), openWith(bytes, config.sample, horizon));
    expect(() => openFamily(at)).toThrow(/has open dims .*"sizes": \{ "x": \[\.\.\.\] \} in config\.json/);
    writeFileSync(file, JSON.stringify({ ...config, sizes: { [config.sample]: [horizon] } }));
    expect(openFamily(at).spec.family).toBe('onnx');
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
});

/** The model with the dim `size` of the input `name` left open: TensorShapeProto.Dimension {dim_value} becomes {}. */
function openWith(bytes: Buffer, name: string, size: number): Buffer {
  const title = Buffer.concat([Buffer.from([0x0a, name.length]), Buffer.from(name)]);
  for (let at = bytes.indexOf(title); at >= 0; at = bytes.indexOf(title, at + 1)) {
    const dim = bytes.indexOf(Buffer.from([0x0a, 0x02, 0x08, size]), at);
    if (dim < 0 || dim - at > 40) continue;
    // denotation (field 3, text of length 0) in place of the value: the same length, and no size.
    const copy = Buffer.from(bytes);
    copy[dim + 2] = 0x1a;
    copy[dim + 3] = 0x00;
    return copy;
  }
  throw new Error(`no input ${name} with a dim of ${size}`);
}
