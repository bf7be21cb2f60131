// From a folder to a policy: config.json names the family, the family does the rest.

import { TendonError } from '../types/index.js';
import { openAct } from './act/index.js';
import { openBeso } from './beso/index.js';
import { readConfig } from './checkpoint.js';
import { type DenoiserFamily, DenoisingPolicy, type LoadOptions } from './denoising-policy.js';
import { openDiffusion } from './diffusion/index.js';
import { openEdm } from './edm/index.js';
import { modernConfig } from './legacy.js';

/** Families by the `type` of config.json. */
const FAMILIES: Readonly<Record<string, (dir: string, config: Record<string, unknown>) => DenoiserFamily>> = {
  edm: openEdm,
  beso: openBeso,
  act: openAct,
  diffusion: (dir, config) => openDiffusion(dir, config),
};

export const FAMILY_NAMES = Object.keys(FAMILIES);

/** The family of a checkpoint folder. Errors say which file and field are wrong. */
export function openFamily(dir: string): DenoiserFamily {
  const config = modernConfig(readConfig(dir));
  const type = typeof config.type === 'string' ? config.type : undefined;
  const open = type !== undefined && Object.hasOwn(FAMILIES, type) ? FAMILIES[type] : undefined;
  if (open === undefined)
    throw new TendonError(
      'unsupported',
      `${dir}/config.json: type is ${type === undefined ? 'missing' : `"${type}"`}; the families there are: ${FAMILY_NAMES.join(', ')}`,
      { dir, type },
    );
  return open(dir, config);
}

/** The policy of a checkpoint folder, ready to infer. */
export async function loadPolicy(dir: string, options: LoadOptions = {}): Promise<DenoisingPolicy> {
  return DenoisingPolicy.create(openFamily(dir), options);
}
