// A LoRA adapter merged into the policy that it was trained on (Hu et al. 2021): W + scale·B·A, once, kept beside. PEFT's names:
// base_model.model.<module>.lora_A.weight and so on; whole modules and biases that were trained replace the base's.

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
  readTensor,
  renamed,
  type TensorSource,
  unwrapped,
  type WeightFile,
  writeSafetensors,
} from '../../weights/index.js';
import { type AdapterConfig, readAdapterConfig, scaleOf } from './config.js';

export const isAdapter = (dir: string): boolean => existsSync(join(dir, 'adapter_config.json'));

type Sized = { readonly shape: readonly number[]; readonly values: Float32Array };

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
  const key = [...[join(dir, 'adapter_config.json'), path, ...files].map(fileKey), 'today’s names'].join(
    '\0',
  );
  const kept = cached('adapters', key, (to) =>
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
  const parts = new Map<string, Record<string, TensorRef>>();
  for (const [name, ref] of adapter.tensors) {
    const bare = name
      .replace(/^base_model\.model\./, '')
      .replace(/\.base_layer\./g, '.')
      .replace(/\.modules_to_save\.(default\.)?/, '.')
      .replace(/(\.lora_(?:embedding_)?[AB])\.default(?=\.|$)/, '$1');
    const plain = names(bare);
    const lora = /^(.+)\.lora_(embedding_)?([AB])(?:\.(weight|bias))?$/.exec(plain);
    if (lora === null) out[plain] = replacement(ref, base, plain, adapter.path);
    else {
      const module = lora[1]!;
      const part = `${lora[2] ?? ''}${lora[3]}${lora[4] === 'bias' ? '.bias' : ''}`;
      parts.set(module, { ...parts.get(module), [part]: ref });
    }
  }
  for (const [module, found] of parts) Object.assign(out, product(module, found, base, config, adapter.path));
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

function product(
  module: string,
  found: Record<string, TensorRef>,
  base: WeightFile,
  config: AdapterConfig,
  path: string,
): Record<string, Sized> {
  const isEmbedding = found.embedding_A !== undefined;
  const [a, b] = isEmbedding ? [found.embedding_A, found.embedding_B] : [found.A, found.B];
  const name = [`${module}.weight`, `${module}.in_proj_weight`].find((n) => base.tensors.has(n));
  const weight = name === undefined ? undefined : base.tensors.get(name)!;
  if (a === undefined || b === undefined || weight === undefined)
    throw new TendonError(
      'weights_mismatch',
      `${path}: ${module} needs lora_A and lora_B, and a weight of the base; ${weight === undefined ? 'the base has none of that name, so the adapter belongs to another' : 'one of the two is missing'}`,
      { module },
    );
  const [rank, inner] = [a.shape[0]!, size(a) / a.shape[0]!];
  const outer = b.shape[0]!;
  const turned = isEmbedding || config.fan_in_fan_out;
  const fits =
    size(b) === outer * rank &&
    size(weight) === outer * inner &&
    weight.shape[0] === (turned ? inner : outer);
  if (!fits)
    throw new TendonError(
      'weights_mismatch',
      `${path}: ${module}: lora_A (${a.shape.join(', ')}) and lora_B (${b.shape.join(', ')}) do not make the base's (${weight.shape.join(', ')})`,
      { module },
    );
  const scale = scaleOf(config, module, rank);
  const sum = readTensor(weight);
  add(sum, readTensor(a), readTensor(b), { rank, inner, outer, scale, turned });
  const changes = { [name!]: { shape: weight.shape, values: sum } };
  const shift = found['B.bias'];
  if (shift === undefined) return changes;
  const bias = base.tensors.get(`${module}.bias`);
  if (bias === undefined || size(bias) !== size(shift))
    throw new TendonError(
      'weights_mismatch',
      `${path}: ${module} has lora_bias, and the base has no such bias`,
      {
        module,
      },
    );
  const given = readTensor(shift);
  const values = readTensor(bias).map((v, i) => v + scale * given[i]!);
  return { ...changes, [`${module}.bias`]: { shape: bias.shape, values } };
}

/** W (outer, inner), or its transpose, plus scale · B (outer, rank) · A (rank, inner); summed in double. */
function add(
  weight: Float32Array,
  a: Float32Array,
  b: Float32Array,
  {
    rank,
    inner,
    outer,
    scale,
    turned,
  }: Record<'rank' | 'inner' | 'outer' | 'scale', number> & { turned: boolean },
): void {
  const row = new Float64Array(inner);
  for (let o = 0; o < outer; o++) {
    row.fill(0);
    for (let k = 0; k < rank; k++) {
      const factor = b[o * rank + k]! * scale;
      for (let i = 0; i < inner; i++) row[i] = row[i]! + factor * a[k * inner + i]!;
    }
    for (let i = 0; i < inner; i++) {
      const at = turned ? i * outer + o : o * inner + i;
      weight[at] = weight[at]! + row[i]!;
    }
  }
}

const size = ({ shape }: TensorRef): number => shape.reduce((n, d) => n * d, 1);
