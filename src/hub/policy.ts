// A policy of the Hub with everything that it names: the base of an adapter, the tokenizer of a language model.

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { readUserJson } from '../base/json.js';
import type { TendonError } from '../types/index.js';
import { tokenizerFiles } from './files.js';
import { isHubName, isRepository, parseHubName } from './name.js';
import { type Snapshot, type SnapshotOptions, snapshot } from './snapshot.js';

export interface HubPolicy extends Snapshot {
  /** What it names and could not be had, in a sentence each. Loading says which file is missed, if it is. */
  readonly missed: readonly string[];
}

/**
 * The folder of a checkpoint on the Hub, `hf:OWNER/NAME[@REVISION]`, after its files, the base of an adapter and the
 * tokenizer that it names have been brought into the cache. Throws `config_invalid` for a name that is none, and what
 * {@link snapshot} throws.
 */
export async function hubPolicy(text: string, options: SnapshotOptions = {}): Promise<HubPolicy> {
  const found = await snapshot(parseHubName(text), options);
  const missed: string[] = [];
  const base = baseOf(found.folder);
  if (base !== undefined) await snapshot(base, options);
  for (const repo of tokenizersOf(found.folder))
    try {
      await snapshot({ repo, revision: 'main' }, { ...options, files: tokenizerFiles });
    } catch (error) {
      missed.push(`the tokenizer of ${repo}: ${(error as TendonError).message}`);
    }
  return { ...found, missed };
}

/** The folder of a policy however it is named: a path as it is, `hf:…` from the Hub or its cache. */
export async function policyFolder(name: string, options?: SnapshotOptions): Promise<string> {
  return isHubName(name) ? (await hubPolicy(name, options)).folder : name;
}

function baseOf(folder: string): { repo: string; revision: string } | undefined {
  const adapter = settings(folder, 'adapter_config.json');
  const { base_model_name_or_path: repo, revision } = adapter;
  if (typeof repo !== 'string' || !isRepository(repo)) return undefined;
  return { repo, revision: typeof revision === 'string' ? revision : 'main' };
}

/** Repositories whose tokenizer a checkpoint without one of its own names, in its configuration or a processor step. */
function tokenizersOf(folder: string): string[] {
  if (existsSync(join(folder, 'tokenizer.json')) || existsSync(join(folder, 'tokenizer'))) return [];
  const { vlm_model_name, text_encoder_name } = settings(folder, 'config.json');
  const { steps } = settings(folder, 'policy_preprocessor.json');
  const named = (Array.isArray(steps) ? steps : []).map(
    (step) => (step as { config?: { tokenizer_name?: unknown } } | null)?.config?.tokenizer_name,
  );
  const all = named.some((name) => name !== undefined) ? named : [vlm_model_name, text_encoder_name];
  return [...new Set(all)].filter((name): name is string => typeof name === 'string' && isRepository(name));
}

function settings(folder: string, file: string): Record<string, unknown> {
  const path = join(folder, file);
  const json = existsSync(path) ? readUserJson(path, 'config') : undefined;
  return typeof json === 'object' && json !== null ? (json as Record<string, unknown>) : {};
}
