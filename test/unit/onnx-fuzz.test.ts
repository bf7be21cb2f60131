// 10⁵ damaged ONNX files: each is refused in words or read to a graph that the core accepts; nothing else happens.

import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { Importer } from '../../src/onnx/importer.js';
import { TendonError } from '../../src/types/index.js';
import { readOnnx, type WeightFile } from '../../src/weights/index.js';
import { memorySource } from '../../src/weights/source.js';
import { cases, FUZZ_LIMIT_MS } from './mutations.js';
import { fuzz } from './weights-fuzz.js';

const file = (name: string): string =>
  fileURLToPath(new URL(`../golden/onnx_${name}/model.onnx`, import.meta.url));

test.each([
  ['critic', 60_000],
  ['attention', 25_000],
  ['pixels', 15_000],
])(
  '%s, damaged %i times or a share of that',
  (name, full) => {
    const times = cases(full);
    const path = file(name);
    const result = fuzz(readFileSync(path), times, (mutated) => {
      const model = readOnnx(memorySource(path, mutated));
      new Importer(model, {}).run();
      const refs = [...model.tensors].flatMap(([key, t]) =>
        t.ref === undefined ? [] : [[key, t.ref] as const],
      );
      return { path, tensors: new Map(refs), metadata: {} } satisfies WeightFile;
    });
    expect({ foreign: result.foreign, outside: result.outside }).toEqual({ foreign: [], outside: 0 });
    expect(result.refused).toBeGreaterThan(times / 20);
    expect(result.read).toBeGreaterThan(times / 20);
  },
  FUZZ_LIMIT_MS,
);

test('a tensor may not lie outside the folder of its model', () => {
  const text = 'location\x12\x0c../../passwd';
  // TensorProto {dims: 1, data_type: FLOAT, name: "w", external_data: {location}, data_location: EXTERNAL}
  const entry = Buffer.concat([Buffer.from([0x0a, 8]), Buffer.from(text, 'latin1')]);
  const tensor = Buffer.concat([
    Buffer.from([0x08, 1, 0x10, 1, 0x42, 1]),
    Buffer.from('w'),
    Buffer.from([0x6a, entry.length]),
    entry,
    Buffer.from([0x70, 1]),
  ]);
  const graph = Buffer.concat([Buffer.from([0x2a, tensor.length]), tensor]);
  const model = Buffer.concat([Buffer.from([0x42, 2, 0x10, 17, 0x3a, graph.length]), graph]);
  const read = (): unknown => readOnnx(memorySource('/tmp/model.onnx', model));
  expect(read).toThrow(TendonError);
  expect(read).toThrow('outside the model');
});
