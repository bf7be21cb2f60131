// diffusion_policy's normaliser (model/common/normalizer.py): y = x·scale + offset, kept in the checkpoint as
// params_dict.<key>.{scale, offset}; input_stats beside them only say how they were found.

import { TendonError } from '../../types/index.js';
import { readTensor } from '../../weights/index.js';
import type { Tensors } from '../tensors.js';
import type { Affine } from './affine.js';

export function linearNormalizer(tensors: Tensors, prefix: string, key: string, length: number): Affine {
  const read = (part: string): Float64Array =>
    Float64Array.from(readTensor(tensors.ref(`${prefix}params_dict.${key}.${part}`, [length])));
  const mul = read('scale');
  const add = read('offset');
  const bad = mul.findIndex((v) => v === 0 || !Number.isFinite(v));
  if (bad >= 0)
    throw new TendonError(
      'weights_mismatch',
      `normaliser of ${key}: scale[${bad}] is ${mul[bad]}, which has no inverse`,
      { key },
    );
  return { mul, add, back_mul: mul.map((v) => 1 / v), back_add: add.map((v, i) => -v / mul[i]!) };
}
