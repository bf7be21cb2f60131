// The files that the peers' own trainings save, their pickle damaged: diffusion_policy's hybrid, UMI's, act-plus-plus's and
// robomimic's, from the zip to the configuration and the names of the tensors. An error in words or a whole result; nothing
// else happens.

import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { convertAct, isOriginalAct } from '../../src/policies/convert/act.js';
import { convertDp, isDp } from '../../src/policies/convert/dp.js';
import { convertRobomimic, isRobomimic } from '../../src/policies/convert/robomimic.js';
import { TendonError } from '../../src/types/index.js';
import { ELEMENT_BYTES, readTorch, type TorchFile, type WeightFile } from '../../src/weights/index.js';
import { memorySource } from '../../src/weights/source.js';
import { shapesOf } from '../golden/hashed.js';
import { imported, torchZip } from '../golden/torch-zip.js';
import { cases, FUZZ_LIMIT_MS } from './mutations.js';
import { fuzz } from './weights-fuzz.js';

const COUNT = cases(100_000);
const NONE = { path: '', tensors: new Map(), metadata: {} } satisfies WeightFile;
const cameras = { high: [64, 96], wrist: [64, 96] } as const;

function converted(file: TorchFile) {
  if (isDp(file)) return convertDp(file);
  if (isRobomimic(file)) return convertRobomimic(file);
  if (isOriginalAct(file)) return convertAct(file, { cameras, stats: imported('actpp_stats.pkl') });
  throw new TendonError('unsupported', 'another kind of file');
}

test.each([
  'dp_hybrid_painted',
  'dp_hybrid_transformer',
  'umi_vit',
  'actpp_2cam',
  'rm_rnn_gmm',
  'rm_transformer',
])(
  '%s: a configuration and tensors inside the file, or a refusal',
  (name) => {
    const shapes = shapesOf(name);
    const zip = torchZip(name, (tensor) => new Float32Array(shapes.get(tensor)!.reduce((n, d) => n * d, 1)));
    const pickle = readFileSync(imported(`${name}.pkl`));
    const at = zip.indexOf(pickle);
    expect(at).toBeGreaterThan(0);
    const read = (): void => {
      const { config, tensors } = converted(readTorch(memorySource('latest.ckpt', zip)));
      JSON.stringify(config);
      for (const ref of Object.values(tensors))
        if ('offset' in ref) {
          const end = ref.offset + ref.shape.reduce((n, d) => n * d, ELEMENT_BYTES[ref.dtype]!);
          if (ref.offset < 0 || end > zip.length) throw new Error(`a tensor (${ref.shape}) at ${ref.offset}`);
        }
    };
    read();
    const result = fuzz(pickle, COUNT, (mutated) => {
      // Shorter ones end in zeros: the zip's directory stays true.
      zip.fill(0, at, at + pickle.length);
      mutated.copy(zip, at);
      read();
      return NONE;
    });
    expect(result.foreign).toEqual([]);
    expect(result.refused).toBeGreaterThan(COUNT / 20);
    expect(result.read).toBeGreaterThan(COUNT / 200);
  },
  2 * FUZZ_LIMIT_MS,
);
