// The two CLIP towers (Radford et al. 2021; transformers' CLIPVisionModel and CLIPTextModel) as a checkpoint holds them: sizes
// by the tensors, the rest by clip_config.json or by the name of OpenAI's models.

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import * as z from 'zod';
import { readUserJson } from '../../base/json.js';
import type { GraphBuilder, TensorRef, Value } from '../../native/index.js';
import { causalMask, towerSizes, type VitActivation, vit, vitLayers } from '../../networks/index.js';
import { TendonError } from '../../types/index.js';
import { CountSchema } from '../fields.js';
import type { Tensors } from '../tensors.js';

/** What tensors do not show of a tower. */
export interface ClipStyle {
  readonly heads: number;
  readonly eps: number;
  readonly activation: VitActivation;
}

const tower = (heads: number) =>
  z.object({
    num_attention_heads: CountSchema.default(heads),
    hidden_act: z.enum(['quick_gelu', 'gelu']).default('quick_gelu'),
    layer_norm_eps: z.number().positive().default(1e-5),
  });
/** As transformers writes it, with its defaults. */
const ClipConfig = z.lazy(() =>
  z.object({
    text_config: tower(8).extend({ eos_token_id: z.number().int().min(0).default(49407) }),
    vision_config: tower(12),
  }),
);

/** All of OpenAI's have heads of 64. */
const OPENAI = /^openai\/clip-vit-/;
const OPENAI_HEAD = 64;
const FILE = 'clip_config.json';

/** `name`: of the model as config.json has it. Throws `file_missing` saying what to put where, `config_invalid`. */
export function clipStyle(dir: string, of: 'vision' | 'text', name: string, width: number): ClipStyle {
  const found = readClipConfig(dir);
  if (found === undefined && !OPENAI.test(name))
    throw new TendonError(
      'file_missing',
      `${dir}/config.json: the ${of} encoder ${name}: how many heads it has is not known here; put its config.json there as ${FILE}`,
      { dir, name },
    );
  const usual = {
    num_attention_heads: Math.max(1, width / OPENAI_HEAD),
    layer_norm_eps: 1e-5,
    hidden_act: 'quick_gelu',
  };
  const { num_attention_heads: heads, layer_norm_eps: eps, hidden_act } = found?.[`${of}_config`] ?? usual;
  if (width % heads === 0) return { heads, eps, activation: hidden_act as VitActivation };
  throw new TendonError(
    'config_invalid',
    `${dir}: the ${of} encoder is ${width} wide, which ${heads} heads do not divide; put config.json of ${name} there as ${FILE}`,
    { dir, name },
  );
}

/** The id at whose first place a text is read; the first of the largest ids where it is 2, as in files before 2023. */
export const textEnd = (dir: string): number => readClipConfig(dir)?.text_config.eos_token_id ?? 2;

function readClipConfig(dir: string): z.infer<typeof ClipConfig> | undefined {
  const path = join(dir, FILE);
  if (!existsSync(path)) return undefined;
  const found = ClipConfig.safeParse(readUserJson(path, 'config'));
  if (found.success) return found.data;
  throw new TendonError('config_invalid', `${path}: ${z.prettifyError(found.error)}`, { path });
}

/** `prefix`, and what transformers before 5 puts behind it. */
export const towerPrefix = (tensors: Tensors, prefix: string, old: 'vision_model' | 'text_model'): string =>
  tensors.names().some((name) => name.startsWith(`${prefix}${old}.`)) ? `${prefix}${old}.` : prefix;

/** x (frames, height, width, 3) → the class token of the last layer, (frames, width), without the last norm. */
export function clipImage(
  g: GraphBuilder,
  tensors: Tensors,
  prefix: string,
  style: ClipStyle,
  x: Value,
): Value {
  const patch = tensors.ref(`${prefix}embeddings.patch_embedding.weight`, [-1, 3, -1, -1]).shape[2]!;
  const sizes = towerSizes(tensors, prefix);
  const net = { ...sizes, ...style, prefix, patch, naming: 'transformers' } as const;
  tensors.ignore(new RegExp(`^${literal(prefix)}(post_layernorm\\.|embeddings\\.position_ids$)`));
  const tokens = vit(
    g,
    tensors,
    { ...net, class_token: true, pre_norm: true, patch_bias: false, final_norm: 'none' },
    x,
  );
  return g.reshape(g.slice(tokens, 1, 0, 1), [x.shape[0]!, sizes.width]);
}

export const clipWords = (tensors: Tensors, prefix: string): TensorRef =>
  tensors.ref(`${prefix}embeddings.token_embedding.weight`, [-1, -1]);

/** Embeddings (1, length, width) and `end` (1, length), 1 where the text ends and 0 elsewhere → (1, width). */
export function clipText(
  g: GraphBuilder,
  tensors: Tensors,
  prefix: string,
  style: ClipStyle,
  words: Value,
  end: Value,
): Value {
  const [, length, width] = words.shape as [number, number, number];
  const name = `${prefix}embeddings.position_embedding.weight`;
  const [most] = tensors.ref(name, [-1, width]).shape as [number];
  if (length > most)
    throw new TendonError(
      'config_invalid',
      `tokenizer_max_length: the text encoder has room for ${most} tokens, got ${length}`,
      { most },
    );
  tensors.ignore(new RegExp(`^${literal(prefix)}embeddings\\.position_ids$`));
  const places = tensors.rows(g, name, [most, width], 0, length);
  const net = { ...towerSizes(tensors, prefix), ...style, prefix, naming: 'transformers' } as const;
  // No padding is masked: it stands behind the token that is read, which sees what came before it.
  const h = vitLayers(
    g,
    tensors,
    net,
    g.add(words, g.reshape(places, [1, length, width])),
    causalMask(g, length),
  );
  const marked = g.mul(h, g.expand(g.reshape(end, [1, length, 1]), [1, length, width]));
  const read = g.reshape(g.reduce('sum', marked, 1), [1, width]);
  return tensors.layerNorm(g, read, `${prefix}final_layer_norm`, style.eps);
}

/** The place in `ids` where the text is read. */
export function endOf(ids: readonly number[], end: number): number {
  return Math.max(0, ids.indexOf(end === 2 ? Math.max(...ids) : end));
}

const literal = (prefix: string): string => prefix.replaceAll('.', '\\.');
