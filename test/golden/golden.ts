// Reading the recorded outputs of the peers' own code (test/golden/README.md says where they came from).

import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { openSafetensors, readTensor } from '../../src/weights/index.js';

const here = fileURLToPath(new URL('.', import.meta.url));

export const goldenDir = (name: string): string => join(here, name);

/** Tensors of a case's io.safetensors by name. */
export function golden(name: string): (tensor: string) => Float32Array {
  const file = openSafetensors(join(goldenDir(name), 'io.safetensors'));
  return (tensor) => {
    const ref = file.tensors.get(tensor);
    if (ref === undefined)
      throw new Error(`${name} has no ${tensor}; it has ${[...file.tensors.keys()].slice(0, 20).join(', ')}`);
    return readTensor(ref);
  };
}

/** Largest difference relative to the largest value wanted. */
export function relativeError(got: ArrayLike<number>, want: ArrayLike<number>): number {
  if (got.length !== want.length) return Number.POSITIVE_INFINITY;
  let worst = 0;
  let scale = 1e-12;
  for (let i = 0; i < want.length; i++) {
    worst = Math.max(worst, Math.abs(got[i]! - want[i]!));
    scale = Math.max(scale, Math.abs(want[i]!));
  }
  return Number.isFinite(worst) ? worst / scale : Number.POSITIVE_INFINITY;
}
