// A LoRA adapter merged into the policy that it was trained on, once, and kept beside it (product.ts has the sum). PEFT's
// names: base_model.model.<module>.lora_A.weight and so on; whole modules and biases that were trained replace the base's.

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { TensorRef } from '../../native/index.js';
import { TendonError } from '../../types/index.js';
import {
  cached,
  fileKey,
  openSafetensors,
  openTorch,
  openWeights,
  renamed,
  type TensorSource,
  unwrapped,
  type WeightFile,
  writeSafetensors,
} from '../../weights/index.js';
import { type AdapterConfig, readAdapterConfig } from './config.js';
import { type Module, type Parts, product } from './product.js';

/** Of product.ts: raised when the same files make other weights, so that what was kept before is not used. */
const ARITHMETIC = 2;

export const isAdapter = (dir: string): boolean => existsSync(join(dir, 'adapter_config.json'));

/** The base's weights with the adapter of `dir` in them. */
export function merged(
  dir: string,
  base: string,
  names: (name: string) => string = (name) => name,
): WeightFile {
  const config = readAdapterConfig(dir);
  const whole = renamed(openWeights(base), names);
  const path = ['adapter_model.safetensors', 'adapter_model.bin']
    .map((name) => join(dir, name))
    .find((file) => existsSync(file));
  if (path === undefined)
    throw new TendonError('file_missing', `${dir} has adapter_config.json and no adapter_model.safetensors`, {
      dir,
    });
  const adapter = unwrapped(path.endsWith('.bin') ? openTorch(path) : openSafetensors(path));
  const files = [...new Set([...whole.tensors.values()].map(({ file }) => file))].sort();
  const key = [join(dir, 'adapter_config.json'), path, ...files].map(fileKey).join('\0');
  const kept = cached('adapters', `${ARITHMETIC}\0${key}`, (to) =>
    writeSafetensors(join(to, 'model.safetensors'), changed(adapter, whole, config, names), {
      merged_from: dir,
    }),
  );
  const { tensors } = openSafetensors(join(kept, 'model.safetensors'));
  return { ...whole, tensors: new Map([...whole.tensors, ...tensors]) };
}

/** Every tensor of the base that the adapter changes. Throws when one of the adapter's has no place. */
function changed(
  adapter: WeightFile,
  base: WeightFile,
  config: AdapterConfig,
  names: (name: string) => string,
): Record<string, TensorSource> {
  const out: Record<string, TensorSource> = Object.create(null);
  const parts = new Map<string, Module & { readonly found: Parts }>();
  for (const [name, ref] of adapter.tensors) {
    const bare = name
      .replace(/^base_model\.model\./, '')
      .replace(/\.base_layer\./g, '.')
      .replace(/\.modules_to_save\.(default\.)?/, '.')
      .replace(/(\.lora_(?:embedding_[AB]|[AB]|magnitude_vector))\.default(?=\.|$)/, '$1');
    const plain = names(bare);
    const lora = /^(.+)\.lora_(embedding_[AB]|[AB]|magnitude)(?:_vector)?(?:\.(weight|bias))?$/.exec(plain);
    if (lora === null) out[plain] = replacement(ref, base, plain, adapter.path);
    else {
      const module = lora[1]!;
      const part = `${lora[2]}${lora[3] === 'bias' ? '.bias' : ''}`;
      const found = { ...parts.get(module)?.found, [part]: ref };
      parts.set(module, { name: module, wrapped: name.includes('.base_layer.'), found });
    }
  }
  for (const part of parts.values())
    Object.assign(out, product(part, part.found, base, config, adapter.path));
  return out;
}

function replacement(ref: TensorRef, base: WeightFile, name: string, path: string): TensorRef {
  const theirs = base.tensors.get(name);
  if (theirs === undefined || String(theirs.shape) !== String(ref.shape))
    throw new TendonError(
      'weights_mismatch',
      `${path}: ${name} (${ref.shape.join(', ')}) should replace a tensor of the base, which has ${theirs === undefined ? 'none of that name' : `(${theirs.shape.join(', ')})`}; the adapter belongs to another base`,
      { name },
    );
  return ref;
}
