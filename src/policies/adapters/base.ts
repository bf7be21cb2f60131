// Where the policy is that an adapter was trained on: a folder, or a repository in the Hugging Face cache of this machine.

import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { cachedSnapshot, isRepository, repositoryFolder } from '../../hub/index.js';
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
  const revision = config.revision ?? 'main';
  const cached = isRepository(name)
    ? (cachedSnapshot({ repo: name, revision })?.folder ?? join(repositoryFolder(name), 'snapshots'))
    : undefined;
  const places = [...new Set([...folders, ...(cached === undefined ? [] : [cached])])];
  const found = places.find(
    (place) => existsSync(join(place, 'config.json')) && resolve(place) !== resolve(dir),
  );
  if (found !== undefined) return found;
  throw new TendonError(
    'file_missing',
    `${dir} is an adapter of "${name}", which is not here: looked for ${places.map((p) => join(p, 'config.json')).join(', ')}. Copy the base's folder there, name it with base (--base DIR)${cached === undefined ? '' : `, or download it: tendon check hf:${name}`}`,
    { dir, base: name, places },
  );
}
