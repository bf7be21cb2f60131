// Where the policy is that an adapter was trained on: a folder, or a repository in the Hugging Face cache of this machine.

import { existsSync, readdirSync } from 'node:fs';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { readUserText } from '../../base/files.js';
import { TendonError } from '../../types/index.js';
import type { AdapterConfig } from './config.js';

/** The base's folder. `given`: one that the caller names instead. Throws `file_missing` with everywhere it was looked for. */
export function baseOf(dir: string, config: AdapterConfig, given: string | undefined): string {
  const name = given ?? config.base_model_name_or_path ?? undefined;
  if (name === undefined)
    throw new TendonError(
      'file_missing',
      `${dir}/adapter_config.json names no base_model_name_or_path, and an adapter is nothing without the policy that it was trained on; name its folder with base (--base DIR)`,
      { dir },
    );
  // Of a name that is a path, LeRobot takes the folder from which training was started, or the adapter lies beside it.
  const folders = given === undefined ? [resolve(dir, name), resolve(name)] : [resolve(name)];
  const cached = /^[\w.-]+\/[\w.-]+$/.test(name) ? hubFolder(name, config.revision ?? 'main') : undefined;
  const places = [...new Set([...folders, ...(cached === undefined ? [] : [cached.found ?? cached.asked])])];
  const found = places.find(
    (place) => existsSync(join(place, 'config.json')) && resolve(place) !== resolve(dir),
  );
  if (found !== undefined) return found;
  throw new TendonError(
    'file_missing',
    `${dir} is an adapter of "${name}", which is not here: looked for ${places.map((p) => join(p, 'config.json')).join(', ')}. Copy the base's folder there, name it with base (--base DIR)${cached === undefined ? '' : `, or download it: hf download ${name}`}`,
    { dir, base: name, places },
  );
}

/** huggingface_hub's cache: models--owner--name/refs/<revision> holds the name of a folder in snapshots. */
export function hubFolder(name: string, revision: string): { asked: string; found: string | undefined } {
  const { HF_HUB_CACHE, HF_HOME, XDG_CACHE_HOME } = process.env;
  const home = HF_HOME || join(XDG_CACHE_HOME || join(homedir(), '.cache'), 'huggingface');
  const repository = join(HF_HUB_CACHE || join(home, 'hub'), `models--${name.replace('/', '--')}`);
  const snapshots = join(repository, 'snapshots');
  const asked = join(snapshots, revision);
  const ref = join(repository, 'refs', revision);
  // A branch by its name, or a commit itself.
  const commit =
    /^[\w.-]+$/.test(revision) && existsSync(ref) ? readUserText(ref, 'secret').trim() : revision;
  const found =
    existsSync(snapshots) && readdirSync(snapshots).includes(commit) ? join(snapshots, commit) : undefined;
  return { asked, found };
}
