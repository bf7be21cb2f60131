// adapter_config.json of PEFT (huggingface/peft, LoraConfig): what is merged, and what of it would need more than a sum.

import { join } from 'node:path';
import * as z from 'zod';
import { readUserJson } from '../../base/json.js';
import { TendonError } from '../../types/index.js';

const pattern = z.record(z.string(), z.number().positive()).nullish();
const AdapterConfig = z.lazy(() =>
  z.looseObject({
    peft_type: z.string(),
    base_model_name_or_path: z.string().nullish(),
    revision: z.string().nullish(),
    r: z.number().int().positive(),
    lora_alpha: z.number(),
    use_rslora: z.boolean().default(false),
    fan_in_fan_out: z.boolean().default(false),
    rank_pattern: pattern,
    alpha_pattern: pattern,
    modules_to_save: z.array(z.string()).nullish(),
    init_lora_weights: z.union([z.boolean(), z.string()]).nullish(),
  }),
);
export type AdapterConfig = z.infer<typeof AdapterConfig>;

/** Fields that make a layer something else than its weight plus a product, when they are set. */
const OTHERWISE = [
  'use_qalora',
  'use_bdlora',
  'layer_replication',
  'target_parameters',
  'trainable_token_indices',
  'alora_invocation_tokens',
  'arrow_config',
];
/** Beginnings that take their product off the base's weights, which the adapter's file then does not say. */
const CHANGES_BASE = /^(pissa|olora|corda|loftq|lora_ga)/;

/** Throws `unsupported`, with the adapter's own word, for a kind that cannot be merged. */
export function readAdapterConfig(dir: string): AdapterConfig {
  const path = join(dir, 'adapter_config.json');
  const json = readUserJson(path, 'config');
  const kind = (json as { peft_type?: unknown } | null)?.peft_type;
  if (typeof kind === 'string' && kind.toUpperCase() !== 'LORA')
    throw unsupported(path, `peft_type is ${kind}`, 'only LORA adapters are merged');
  const result = AdapterConfig.safeParse(json);
  if (!result.success)
    throw new TendonError('config_invalid', `${path}: ${z.prettifyError(result.error)}`, { path });
  const config = result.data;
  for (const field of OTHERWISE) {
    const value = config[field];
    if (value === undefined || value === null || value === false) continue;
    if (Array.isArray(value) && value.length === 0) continue;
    throw unsupported(path, `${field} is set`, 'such a layer is more than its weight plus a product');
  }
  const begun = config.init_lora_weights;
  if (typeof begun === 'string' && CHANGES_BASE.test(begun))
    throw unsupported(path, `init_lora_weights is "${begun}"`, 'it changes the weights of the base');
  return config;
}

const unsupported = (path: string, what: string, why: string): TendonError =>
  new TendonError(
    'unsupported',
    `${path}: ${what}, and ${why}; merge it where it was trained (merge_and_unload) and save the whole policy`,
    { path },
  );

/** Scale of a module's product: lora_alpha / r, or / √r, with what the patterns say of that module. */
export function scaleOf(config: AdapterConfig, module: string, rank: number): number {
  const expected = patterned(config.rank_pattern, module) ?? config.r;
  if (rank !== expected)
    throw new TendonError(
      'weights_mismatch',
      `${module}: expected rank ${expected} (r and rank_pattern of adapter_config.json), got ${rank}`,
      { module },
    );
  const alpha = patterned(config.alpha_pattern, module) ?? config.lora_alpha;
  return alpha / (config.use_rslora ? Math.sqrt(rank) : rank);
}

/** Of the pattern whose key is all of a module's name, or its end from a dot on (PEFT's get_pattern_key). */
function patterned(
  pattern: Readonly<Record<string, number>> | null | undefined,
  module: string,
): number | undefined {
  for (const [key, value] of Object.entries(pattern ?? {})) if (expression(key).test(module)) return value;
  return undefined;
}

/** Keys are expressions from a file: only those that cannot take long are compiled. */
function expression(key: string): RegExp {
  const repeats = key.match(/[*+]/g)?.length ?? 0;
  const isPlain = key.length <= 256 && /^[\w.\-\\^*+?()|[\]]+$/.test(key) && !/[)*+?][*+?]/.test(key);
  try {
    if (isPlain && repeats <= 3) return new RegExp(`^(?:.*\\.)?(?:${key})$`);
  } catch {
    // Said below.
  }
  throw new TendonError(
    'unsupported',
    `adapter_config.json: the pattern ${JSON.stringify(key.slice(0, 80))} is no expression that is read here; expected the end of a module's name, with at most three of * and +`,
    { key },
  );
}
