// From a folder to a policy: config.json names the family, the family does the rest.

import { existsSync, statSync } from 'node:fs';
import { TendonError } from '../types/index.js';
import { openAct } from './act/index.js';
import { openBeso } from './beso/index.js';
import { readConfig } from './checkpoint.js';
import { type DenoiserFamily, DenoisingPolicy, type LoadOptions } from './denoising-policy.js';
import { openDiffusion } from './diffusion/index.js';
import { openDp } from './dp/index.js';
import { openEdm } from './edm/index.js';
import { openEnsemble } from './ensemble/index.js';
import { modernConfig } from './legacy.js';
import { openOnnxFamily } from './onnx/family.js';
import { openRssm } from './rssm/index.js';
import { openScalezero } from './scalezero/index.js';
import { openTdmpc } from './tdmpc/index.js';
import { openTdmpc2 } from './tdmpc2/index.js';
import { openVqbet } from './vqbet/index.js';
import { PlanningPolicy, type WorldModelFamily } from './world-model/planning-policy.js';

type Open<Family> = (dir: string, config: Record<string, unknown>) => Family;

/** Families by the `type` of config.json. */
const FAMILIES: Readonly<Record<string, Open<DenoiserFamily>>> = {
  edm: openEdm,
  beso: openBeso,
  act: openAct,
  diffusion: (dir, config) => openDiffusion(dir, config),
  vqbet: openVqbet,
  diffusion_policy: openDp,
  onnx: openOnnxFamily,
};

const WORLD_MODELS: Readonly<Record<string, Open<WorldModelFamily>>> = {
  tdmpc: openTdmpc,
  tdmpc2: openTdmpc2,
  ensemble: openEnsemble,
  rssm: openRssm,
  scalezero: openScalezero,
};

export const FAMILY_NAMES = [...Object.keys(FAMILIES), ...Object.keys(WORLD_MODELS)];

/** A policy whose sampler or planner can be chosen while it is loaded. */
export type LoadedPolicy = DenoisingPolicy | PlanningPolicy;

/** The family of a checkpoint folder. Errors say which file and field are wrong. */
export function openFamily(dir: string): DenoiserFamily | WorldModelFamily {
  if (existsSync(dir) && statSync(dir).isFile())
    throw new TendonError(
      'unsupported',
      `${dir} is a file, and a checkpoint is a folder: ${/\.onnx$/.test(dir) ? 'put a config.json of type "onnx" beside it (docs/onnx.md)' : /\.safetensors$/.test(dir) ? 'name the folder it lies in' : `\`tendon import ${dir} OUT\` makes one of it`}`,
      { dir },
    );
  const config = modernConfig(readConfig(dir));
  const type = typeOf(config);
  const families: Readonly<Record<string, Open<DenoiserFamily | WorldModelFamily>>> = {
    ...FAMILIES,
    ...WORLD_MODELS,
  };
  const open = type !== undefined && Object.hasOwn(families, type) ? families[type] : undefined;
  if (open === undefined)
    throw new TendonError(
      'unsupported',
      `${dir}/config.json: type is ${type === undefined ? 'missing' : `"${type}"`}; the families there are: ${FAMILY_NAMES.join(', ')}`,
      { dir, type },
    );
  return open(dir, config);
}

/** TD-MPC2's own configs name no type; nobody else has simplicial latents and a stack of critics. */
function typeOf(config: Record<string, unknown>): string | undefined {
  if (typeof config.type === 'string') return config.type;
  return 'simnorm_dim' in config && 'num_q' in config ? 'tdmpc2' : undefined;
}

/** The policy of a checkpoint folder, ready to infer. */
export async function loadPolicy(dir: string, options: LoadOptions = {}): Promise<LoadedPolicy> {
  const family = openFamily(dir);
  return 'kind' in family ? PlanningPolicy.create(family, options) : DenoisingPolicy.create(family, options);
}
