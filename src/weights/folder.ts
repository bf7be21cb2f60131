// The weights of a checkpoint folder, whichever way they were saved, by the names of the unwrapped policy.

import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { TendonError } from '../types/index.js';
import { inSingles } from './doubles.js';
import { openSafetensors } from './safetensors.js';
import { openSharded } from './sharded.js';
import type { WeightFile } from './tensor.js';
import { openTorch } from './torch.js';
import { unwrapped } from './wrappers.js';

/**
 * model.safetensors, the shards that model.safetensors.index.json names, or the one torch file (.pt, .pth, .ckpt), read
 * without running anything in it. `within`: the dict of a torch file that holds the weights, whose name is taken off theirs.
 */
export function openWeights(dir: string, within?: string): WeightFile {
  return inSingles(unwrapped(asSaved(dir, within)));
}

function asSaved(dir: string, within: string | undefined): WeightFile {
  const single = join(dir, 'model.safetensors');
  const index = join(dir, 'model.safetensors.index.json');
  if (existsSync(single)) return openSafetensors(single);
  if (existsSync(index)) return openSharded(index);
  const torch = torchFileOf(dir);
  if (torch === undefined) return openSafetensors(single);
  const file = openTorch(join(dir, torch));
  if (within === undefined) return file;
  const prefix = `${within}.`;
  const inside = [...file.tensors].filter(([name]) => name.startsWith(prefix));
  // What lies beside that dict is no weight: optimisers, schedules.
  if (inside.length === 0) return file;
  return { ...file, tensors: new Map(inside.map(([name, ref]) => [name.slice(prefix.length), ref])) };
}

/** The torch file of a folder; undefined when there is none. */
function torchFileOf(dir: string): string | undefined {
  const found = existsSync(dir) ? readdirSync(dir).filter((name) => /\.(pt|pth|ckpt)$/.test(name)) : [];
  // BESO keeps the averaged weights beside the others.
  if (found.includes('model_state_dict.pth')) return 'model_state_dict.pth';
  if (found.length > 1)
    throw new TendonError(
      'config_invalid',
      `${dir}: there is no model.safetensors and more than one torch file (${found.join(', ')}); leave the one to be run`,
      { dir },
    );
  return found[0];
}
