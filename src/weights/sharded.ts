// A model in several safetensors files: model.safetensors.index.json says which file has which tensor (huggingface_hub,
// save_torch_state_dict: {"metadata", "weight_map": {tensor: file}}).

import { basename, dirname, join } from 'node:path';
import { readUserJson } from '../base/json.js';
import type { TensorRef } from '../native/index.js';
import { TendonError } from '../types/index.js';
import { openSafetensors } from './safetensors.js';
import type { WeightFile } from './tensor.js';

const MAX_SHARDS = 4096;

/** All shards as one file. Throws when a shard lies elsewhere, lacks a tensor, or has one that the index does not name. */
export function openSharded(index: string): WeightFile {
  const { weight_map } = (readUserJson(index, 'config') ?? {}) as { weight_map?: unknown };
  if (typeof weight_map !== 'object' || weight_map === null || Array.isArray(weight_map))
    throw new TendonError('file_corrupt', `${index}: expected "weight_map", a file for each tensor`, {
      path: index,
    });
  const files = new Map<string, Set<string>>();
  for (const [name, file] of Object.entries(weight_map)) {
    if (typeof file !== 'string' || file !== basename(file) || !file.endsWith('.safetensors'))
      throw new TendonError(
        'file_unsafe',
        `${index}: ${name} should be in a .safetensors file beside the index, got ${JSON.stringify(file)}`,
        { path: index, name },
      );
    files.set(file, (files.get(file) ?? new Set()).add(name));
  }
  if (files.size === 0 || files.size > MAX_SHARDS)
    throw new TendonError('file_corrupt', `${index}: expected 1 to ${MAX_SHARDS} files, got ${files.size}`, {
      path: index,
    });
  const tensors = new Map<string, TensorRef>();
  for (const [file, names] of files) {
    const shard = openSafetensors(join(dirname(index), file));
    for (const name of names) {
      const ref = shard.tensors.get(name);
      if (ref === undefined)
        throw new TendonError('weights_mismatch', `${index}: ${file} should have ${name} and does not`, {
          path: index,
          name,
        });
      tensors.set(name, ref);
    }
    const stray = [...shard.tensors.keys()].find((name) => !names.has(name));
    if (stray !== undefined)
      throw new TendonError(
        'weights_mismatch',
        `${index}: ${file} has ${stray}, which the index does not name`,
        {
          path: index,
          name: stray,
        },
      );
  }
  return { path: index, tensors, metadata: {} };
}
