// Weights in float64, as a policy that was converted with `.double()` is saved: rounded to float32 once, kept beside.

import { join } from 'node:path';
import { cached, fileKey } from './cache.js';
import { openSafetensors } from './safetensors.js';
import { type TensorSource, writeSafetensors } from './safetensors-write.js';
import { readTensor, type WeightFile } from './tensor.js';

/** The same tensors, none of them F64. */
export function inSingles(file: WeightFile): WeightFile {
  const doubles = [...file.tensors].filter(([, ref]) => ref.dtype === 'F64');
  if (doubles.length === 0) return file;
  const files = [...new Set(doubles.map(([, ref]) => ref.file))].sort();
  const key = [...files.map(fileKey), ...doubles.map(([name]) => name)].join('\0');
  const dir = cached('float32', key, (to) => {
    const tensors: Record<string, TensorSource> = Object.create(null);
    for (const [name, ref] of doubles) tensors[name] = { shape: ref.shape, values: readTensor(ref) };
    writeSafetensors(join(to, 'model.safetensors'), tensors);
  });
  const singles = openSafetensors(join(dir, 'model.safetensors')).tensors;
  return {
    ...file,
    tensors: new Map([...file.tensors].map(([name, ref]) => [name, singles.get(name) ?? ref])),
  };
}
