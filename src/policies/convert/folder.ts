// What a conversion makes: a config and tensors by their new names, and the folder they are written to.

import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { TendonError } from '../../types/index.js';
import { type TensorSource, writeSafetensors } from '../../weights/index.js';
import type { Dropped } from './intake.js';

export interface Converted {
  /** What the file was found to be. */
  readonly found: string;
  readonly config: Readonly<Record<string, unknown>>;
  readonly tensors: Readonly<Record<string, TensorSource>>;
  /** Tensors of the file that are not in the folder, as the peer needs them in training only. */
  readonly dropped: readonly Dropped[];
}

/** Writes config.json and model.safetensors; an existing checkpoint is never overwritten. */
export function writeCheckpoint(dir: string, { found, config, tensors }: Converted): void {
  for (const file of ['config.json', 'model.safetensors'])
    if (existsSync(join(dir, file)))
      throw new TendonError(
        'config_invalid',
        `${join(dir, file)} is there already; name a new folder, or remove it first`,
        { dir },
      );
  mkdirSync(dir, { recursive: true });
  writeSafetensors(join(dir, 'model.safetensors'), tensors, { format: 'pt', converted_from: found });
  writeFileSync(join(dir, 'config.json'), `${JSON.stringify(config, null, 2)}\n`);
}
