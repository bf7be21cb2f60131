// What `tendon import` reads, damaged 10⁵ times each (fewer by hand, see mutations.ts): the original ACT's dataset_stats.pkl and diffusion_policy's pickle
// by dill, from the zip to the configuration. An error in words or a whole result; nothing else happens.

import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { convertDp, isDp } from '../../src/policies/convert/dp.js';
import { TendonError } from '../../src/types/index.js';
import { ELEMENT_BYTES, readNumpyDict, readTorch, type WeightFile } from '../../src/weights/index.js';
import { memorySource } from '../../src/weights/source.js';
import { shapesOf, weight } from '../golden/hashed.js';
import { imported, torchZip } from '../golden/torch-zip.js';
import { cases, FUZZ_LIMIT_MS } from './mutations.js';
import { fuzz } from './weights-fuzz.js';

const COUNT = cases(100_000);
const NONE = { path: '', tensors: new Map(), metadata: {} } satisfies WeightFile;

test(
  'dataset_stats.pkl: arrays as long as their shapes say, or a refusal',
  () => {
    const whole = readFileSync(imported('dataset_stats.pkl'));
    expect([...readNumpyDict(memorySource('x', whole)).keys()]).toContain('qpos_std');
    const result = fuzz(whole, COUNT, (mutated) => {
      for (const [name, { shape, values }] of readNumpyDict(memorySource('dataset_stats.pkl', mutated)))
        if (shape.reduce((n, d) => n * d, 1) !== values.length)
          throw new Error(`${name} has ${values.length} of (${shape}) values`);
      return NONE;
    });
    expect(result.foreign).toEqual([]);
    expect(result.refused).toBeGreaterThan(COUNT / 10);
    expect(result.read).toBeGreaterThan(COUNT / 10);
  },
  FUZZ_LIMIT_MS,
);

test(
  'a checkpoint by dill: a configuration and tensors inside the file, or a refusal',
  () => {
    const shapes = shapesOf('dp_bert');
    const zip = torchZip('dp_bert', (name) =>
      shapes.has(name) ? weight(name, shapes.get(name)!) : new Float32Array(name.includes('obs') ? 5 : 3),
    );
    const pickle = readFileSync(imported('dp_bert.pkl'));
    const at = zip.indexOf(pickle);
    expect(at).toBeGreaterThan(0);
    const read = (): WeightFile => {
      const file = readTorch(memorySource('latest.ckpt', zip));
      if (!isDp(file)) throw new TendonError('unsupported', 'another kind of file');
      const { config, tensors } = convertDp(file);
      JSON.stringify(config);
      const refs = Object.entries(tensors).flatMap(([name, t]) =>
        'offset' in t ? [[name, t] as const] : [],
      );
      return { path: file.path, tensors: new Map(refs), metadata: {} };
    };
    expect(read().tensors.size).toBeGreaterThan(30);
    const result = fuzz(pickle, COUNT, (mutated) => {
      // Shorter ones end in zeros: the zip's directory stays true.
      zip.fill(0, at, at + pickle.length);
      mutated.copy(zip, at);
      const { tensors } = read();
      for (const { offset, shape, dtype } of tensors.values())
        if (offset < 0 || offset + shape.reduce((n, d) => n * d, ELEMENT_BYTES[dtype]!) > zip.length)
          throw new Error(`a tensor (${shape}) at ${offset}`);
      return NONE;
    });
    expect(result.foreign).toEqual([]);
    expect(result.refused).toBeGreaterThan(COUNT / 10);
    expect(result.read).toBeGreaterThan(COUNT / 10);
  },
  FUZZ_LIMIT_MS,
);
