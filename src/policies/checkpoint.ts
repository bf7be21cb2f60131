// A checkpoint folder as families see it: its config in today's form, its weights, and what stands between the robot's
// numbers and the network's.

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import * as z from 'zod';
import { readUserJson } from '../base/json.js';
import { TendonError } from '../types/index.js';
import { openWeights, renamed, type WeightFile } from '../weights/index.js';
import { baseOf } from './adapters/base.js';
import { readAdapterConfig } from './adapters/config.js';
import { isAdapter, merged } from './adapters/merge.js';
import { besoConfig, besoRun } from './convert/beso.js';
import type { Feature } from './fields.js';
import { modernConfig } from './legacy.js';
import { PREPROCESSOR } from './processors/pipelines.js';
import { type Processing, type ProcessingWays, processingOf } from './processors/processing.js';
import { Tensors } from './tensors.js';

// A config is read once: to compile its check would take longer than the check does.
z.config({ jitless: true });

/** How a folder is opened. */
export interface OpenOptions {
  /** Of a checkpoint for several tasks (TD-MPC2's): which one, by its place or its name. */
  readonly task?: string | number;
  /** Features whose numbers the network takes and gives as they are, whatever the files say; or all of them. */
  readonly raw?: readonly string[] | 'all';
  /** Tensors that belong to nothing in the network are named in a warning instead of being refused. */
  readonly allow_unused?: boolean;
  /** Rate of the data that the policy was trained on, for a checkpoint that does not say it. */
  readonly policy_hz?: number;
  /** Of an adapter (PEFT): the folder of the policy that it was trained on, where that is elsewhere than it says. */
  readonly base?: string;
  /** Folder of tokenizer.json, for a checkpoint without its own. */
  readonly tokenizer?: string;
  /** Of statistics under the names of several data sets (SmolVLA's of LeRobot ≤ 0.3.3): whose. */
  readonly dataset?: string;
  /**
   * The release of LeRobot that trained a VLA, where it changes numbers and no file says it. 0.3: ALOHA's joints are adapted
   * outside the normalisation; 0.4: inside it, π0's padding pixels are −3 and π0.5's prompt has all 32 state numbers.
   */
  readonly trained_with?: '0.3' | '0.4';
  /** A folder whose numbers are scores (PolicySpec.scores) is loaded; else it is refused, as nothing that it says may move a robot. */
  readonly scorer?: boolean;
}

/** What a family's config says of its features. */
export interface FeatureConfig {
  readonly input_features: Readonly<Record<string, Feature>>;
  readonly output_features: Readonly<Record<string, Feature>>;
  readonly normalization_mapping: Readonly<Record<string, string>>;
}

export class Checkpoint {
  private file: WeightFile | undefined;
  private readonly base: string | undefined;

  constructor(
    readonly dir: string,
    readonly config: Record<string, unknown>,
    readonly options: OpenOptions = {},
  ) {
    if (isAdapter(dir)) this.base = baseOf(dir, readAdapterConfig(dir), options.base);
  }

  static open(dir: string, options: OpenOptions = {}): Checkpoint {
    // An adapter that PEFT alone saved has its base's config.
    const from =
      isAdapter(dir) && !existsSync(join(dir, 'config.json'))
        ? baseOf(dir, readAdapterConfig(dir), options.base)
        : dir;
    return new Checkpoint(dir, modernConfig(readConfig(from)), options);
  }

  /** The config by a family's schema; `config_invalid` names each wrong field. */
  parse<T>(schema: z.ZodType<T>, family: string, config = this.config): T {
    return parseConfig(schema, config, this.dir, family);
  }

  /** The weights; `within`: see openWeights. `names`: what the family calls a tensor that releases called differently. */
  tensors(family: string, within?: string, names: (name: string) => string = (name) => name): Tensors {
    this.file ??=
      this.base === undefined
        ? renamed(openWeights(this.dir, within), names)
        : merged(this.dir, this.base, names);
    return new Tensors(this.file, family, this.options.allow_unused);
  }

  /** Where files beside the weights may lie: the folder itself, then that of an adapter's base. */
  get places(): readonly string[] {
    return this.base === undefined ? [this.dir] : [this.dir, this.base];
  }

  /** From processor files, from statistics among `tensors` (LeRobot ≤ 0.3.3), or as `ways` says. */
  processing(config: FeatureConfig, tensors?: Tensors, ways?: ProcessingWays): Processing {
    const own = this.base === undefined || existsSync(join(this.dir, PREPROCESSOR));
    return processingOf(own ? this.dir : this.base!, config, tensors, this.options, ways);
  }
}

export function readConfig(dir: string): Record<string, unknown> {
  const path = join(dir, 'config.json');
  const run = existsSync(path) ? undefined : besoRun(dir);
  if (run !== undefined) return besoConfig(run, dir);
  const hint = 'A checkpoint is a folder with config.json and model.safetensors.';
  const json = readUserJson(path, 'config', hint);
  if (typeof json === 'object' && json !== null && !Array.isArray(json))
    return json as Record<string, unknown>;
  throw new TendonError('config_invalid', `${path}: expected an object`, { path });
}

/** Checks a config against a family's schema; the error names each wrong field. */
export function parseConfig<T>(
  schema: z.ZodType<T>,
  config: Record<string, unknown>,
  dir: string,
  family: string,
): T {
  const result = schema.safeParse(config);
  if (result.success) return result.data;
  throw new TendonError(
    'config_invalid',
    `${existsSync(join(dir, 'config.json')) ? join(dir, 'config.json') : dir} (${family}): ${z.prettifyError(result.error)}`,
    {
      family,
      issues: result.error.issues,
    },
  );
}
