// Names that wrappers of a training leave in a state dict: torch.compile's `_orig_mod`, and `module` of
// DataParallel and DistributedDataParallel, around the whole policy or around one network in it.

import type { TensorRef } from '../native/index.js';
import { TendonError } from '../types/index.js';
import type { WeightFile } from './tensor.js';

/** The same tensors by the names that they had before wrapping; `weights_mismatch` when two become one. */
export function unwrapped(file: WeightFile): WeightFile {
  const children = new Map<string, Set<string>>();
  for (const name of file.tensors.keys())
    parts(name).forEach((part, i, all) => {
      const parent = all.slice(0, i).join('.');
      children.set(parent, (children.get(parent) ?? new Set()).add(part));
    });
  // A wrapper has the wrapped module and nothing beside it.
  const wraps = (part: string, parent: string): boolean =>
    part === '_orig_mod' || (part === 'module' && children.get(parent)!.size === 1);
  const tensors = new Map<string, TensorRef>();
  for (const [name, ref] of file.tensors) {
    const kept = parts(name).filter(
      (part, i, all) => i + 1 === all.length || !wraps(part, all.slice(0, i).join('.')),
    );
    const plain = kept.join('.');
    if (tensors.has(plain))
      throw new TendonError(
        'weights_mismatch',
        `${file.path}: ${plain} is there twice, once as ${name}; save the unwrapped module's state dict`,
        { name },
      );
    tensors.set(plain, ref);
  }
  return { ...file, tensors };
}

/** The same tensors by other names; `weights_mismatch` when two become one. */
export function renamed(file: WeightFile, names: (name: string) => string): WeightFile {
  const tensors = new Map<string, TensorRef>();
  for (const [name, ref] of file.tensors) {
    const called = names(name);
    if (tensors.has(called))
      throw new TendonError(
        'weights_mismatch',
        `${file.path}: ${name} is there twice, under two names of ${called}; leave the one that was trained`,
        { name },
      );
    tensors.set(called, ref);
  }
  return { ...file, tensors };
}

const parts = (name: string): string[] => name.split('.');
