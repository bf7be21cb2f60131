// What one adapted module becomes: W + scale·B·A (LoRA, Hu et al. 2021), or, with a magnitude for each output, that sum with
// its rows brought to those lengths (DoRA, Liu et al. 2024, equation 5).

import type { TensorRef } from '../../native/index.js';
import { TendonError } from '../../types/index.js';
import { readTensor, type WeightFile } from '../../weights/index.js';
import { type AdapterConfig, scaleOf } from './config.js';

export type Sized = { readonly shape: readonly number[]; readonly values: Float32Array };

/** Tensors of an adapter for one module, by what they are. */
export type Parts = Partial<
  Record<'A' | 'B' | 'B.bias' | 'embedding_A' | 'embedding_B' | 'magnitude', TensorRef>
>;

/** A module by its name in the base. `wrapped`: it was reached through a layer that PEFT had wrapped already. */
export interface Module {
  readonly name: string;
  readonly wrapped: boolean;
}

/** ACT's tables of positions: the policy reads their weights and never calls them. */
const TABLES = /(^|\.)(decoder_pos_embed|encoder_1d_feature_pos_embed)$/;

/** The base's tensors that `found` changes, by name. Throws `weights_mismatch` where they do not fit. */
export function product(
  { name: module, wrapped }: Module,
  found: Parts,
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
  // An attention wrapped whole (lora.MultiheadAttention) hands its rank and alpha to its out_proj, and merges that twice in
  // every call (PEFT 0.14 to 0.21); an out_proj that was named alone, and a table, are read and never called, so that their
  // products have no part in what the policy does.
  const isOut = module.endsWith('.out_proj');
  const attention = module.slice(0, -'.out_proj'.length);
  const isRead =
    (isOut && !wrapped && base.tensors.has(`${attention}.in_proj_weight`)) || TABLES.test(module);
  if (isRead) return {};
  const times = isOut && wrapped ? 2 : 1;
  const scale = times * scaleOf(config, isOut && wrapped ? attention : module, rank);
  const sum = readTensor(weight);
  add(sum, readTensor(a), readTensor(b), { rank, inner, outer, scale, turned });
  if (found.magnitude !== undefined) lengthen(sum, found.magnitude, outer, module, turned, path);
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

/** Each output's row of W is brought to its length in `magnitude`. */
function lengthen(
  weight: Float32Array,
  magnitude: TensorRef,
  outer: number,
  module: string,
  turned: boolean,
  path: string,
): void {
  if (size(magnitude) !== outer || turned)
    throw new TendonError(
      turned ? 'unsupported' : 'weights_mismatch',
      `${path}: ${module}: expected ${outer} magnitudes (DoRA) of a layer whose outputs come first, got (${magnitude.shape.join(', ')})${turned ? ' of an embedding or a turned weight; merge it where it was trained (merge_and_unload)' : ''}`,
      { module },
    );
  const lengths = readTensor(magnitude);
  const inner = weight.length / outer;
  for (let o = 0; o < outer; o++) {
    const row = weight.subarray(o * inner, (o + 1) * inner);
    const norm = Math.sqrt(row.reduce((s, v) => s + v * v, 0));
    for (let i = 0; i < inner; i++) row[i] = (row[i]! * lengths[o]!) / norm;
  }
}

const size = ({ shape }: TensorRef): number => shape.reduce((n, d) => n * d, 1);
