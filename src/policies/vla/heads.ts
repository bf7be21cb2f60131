// Head counts, which no shape tells: from vlm_config.json beside a checkpoint (the config.json of the language model that it was
// built on), else as the published models have them.

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import * as z from 'zod';
import { readUserJson } from '../../base/json.js';
import { TendonError } from '../../types/index.js';
import { CountSchema } from '../fields.js';

const VlmConfig = z.lazy(() =>
  z.object({
    text_config: z.object({
      num_attention_heads: CountSchema,
      num_key_value_heads: CountSchema,
      head_dim: CountSchema.optional(),
      rms_norm_eps: z.number().positive().optional(),
    }),
    vision_config: z.object({ num_attention_heads: CountSchema }),
  }),
);

export interface Heads {
  readonly text: { readonly heads: number; readonly kv_heads: number; readonly head_dim: number };
  readonly vision: number;
  readonly eps: number | undefined;
}

/** Rows of the query and key projections, and the tower's width. */
export interface Rows {
  readonly q: number;
  readonly k: number;
  readonly vision: number;
}

/** `usual` where no file says it. Throws `config_invalid` when the counts do not fit the rows. */
export function headsOf(places: readonly string[], rows: Rows, usual: Heads): Heads {
  const path = places.map((dir) => join(dir, 'vlm_config.json')).find((file) => existsSync(file));
  const said = path === undefined ? usual : read(path, rows);
  const { heads, kv_heads, head_dim } = said.text;
  const fits =
    [heads, kv_heads, head_dim, said.vision, rows.vision / said.vision, heads / kv_heads].every(
      (n) => Number.isInteger(n) && n > 0,
    ) &&
    head_dim % 2 === 0 &&
    rows.q === heads * head_dim &&
    rows.k === kv_heads * head_dim;
  if (!fits)
    throw new TendonError(
      'config_invalid',
      `${path ?? places[0]}: queries of ${rows.q}, keys of ${rows.k} and a tower of ${rows.vision} numbers are not ${heads} heads on ${kv_heads}, of ${head_dim} each, and ${said.vision} of the tower${path === undefined ? '; put the config.json of the language model that it was built on beside the checkpoint as vlm_config.json' : ''}`,
      { dir: places[0], ...rows },
    );
  return said;
}

function read(path: string, rows: Rows): Heads {
  const found = VlmConfig.safeParse(readUserJson(path, 'config'));
  if (!found.success)
    throw new TendonError('config_invalid', `${path}: ${z.prettifyError(found.error)}`, { path });
  const { text_config: text, vision_config: vision } = found.data;
  const heads = text.num_attention_heads;
  return {
    text: { heads, kv_heads: text.num_key_value_heads, head_dim: text.head_dim ?? rows.q / heads },
    vision: vision.num_attention_heads,
    eps: text.rms_norm_eps,
  };
}
