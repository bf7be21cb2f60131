// Where a checkpoint's tokenizer lies, and how long its texts may be: what policy_preprocessor.json says of the step that
// tokenises, else the folder itself, else Hugging Face's cache on this machine.

import { existsSync } from 'node:fs';
import { join, normalize, sep } from 'node:path';
import { readUserJson } from '../../base/json.js';
import { cachedSnapshot, isRepository } from '../../hub/index.js';
import { TendonError } from '../../types/index.js';
import { PREPROCESSOR } from '../processors/pipelines.js';

export interface TokenizerStep {
  readonly max_length?: number | undefined;
  /** A folder beside the processor file, or a model's name on the hub. */
  readonly name?: string | undefined;
}

/** The step of `dir`'s preprocessor that tokenises; nothing where there is none. */
export function tokenizerStep(dir: string): TokenizerStep {
  const path = join(dir, PREPROCESSOR);
  if (!existsSync(path)) return {};
  const { steps } = (readUserJson(path, 'config') ?? {}) as { steps?: unknown };
  const isStep = (step: unknown): step is { config?: Record<string, unknown> } => {
    const { registry_name, class: type } = (step ?? {}) as Record<string, unknown>;
    return registry_name === 'tokenizer_processor' || String(type).endsWith('.TokenizerProcessorStep');
  };
  const step = Array.isArray(steps) ? steps.find(isStep) : undefined;
  const { max_length, tokenizer_name } = step?.config ?? {};
  const fits = Number.isInteger(max_length) && (max_length as number) > 0 && (max_length as number) <= 4096;
  if (max_length !== undefined && !fits)
    throw new TendonError(
      'config_invalid',
      `${path}: tokenizer_processor: max_length: expected 1 to 4096 tokens, got ${JSON.stringify(max_length)}`,
      { path },
    );
  return {
    max_length: fits ? (max_length as number) : undefined,
    name: typeof tokenizer_name === 'string' ? tokenizer_name : undefined,
  };
}

/**
 * The folder of tokenizer.json. `named`: the caller's. `places`: the checkpoint's folder, then its base's. `usual`: the model
 * that the family's tokenizer comes from. Throws `file_missing` saying which file to put where.
 */
export function tokenizerFolder(places: readonly string[], named: string | undefined, usual: string): string {
  const folders = named === undefined ? places.flatMap((place) => foldersOf(place, usual)) : [named];
  const has = (folder: string): boolean => existsSync(join(folder, 'tokenizer.json'));
  const found = folders.find(has);
  if (found !== undefined) return found;
  const dir = places[0]!;
  const bare = folders.find((folder) => existsSync(join(folder, 'tokenizer.model')));
  throw new TendonError(
    'file_missing',
    named === undefined
      ? `${dir}: the tokenizer is not in the checkpoint; copy tokenizer.json and tokenizer_config.json of ${usual} into ${join(dir, 'tokenizer')}, or name their folder with --tokenizer${bare === undefined ? '' : `; ${join(bare, 'tokenizer.model')} is SentencePiece's own form, which is not read`}`
      : `tokenizer: ${named} has no tokenizer.json; expected the folder of tokenizer.json and tokenizer_config.json of ${usual}`,
    { dir, places: folders },
  );
}

function foldersOf(place: string, usual: string): string[] {
  const { name } = tokenizerStep(place);
  const within = name === undefined ? undefined : normalize(join(place, name));
  const isWithin = within?.startsWith(`${normalize(place).replace(/[/\\]$/, '')}${sep}`) === true;
  const hub = [name ?? usual, usual].filter(isRepository);
  const cached = hub.flatMap((repo) => cachedSnapshot({ repo, revision: 'main' })?.folder ?? []);
  return [...(isWithin ? [within!] : []), join(place, 'tokenizer'), place, ...new Set(cached)];
}
