// From a folder to a policy: config.json names the family, the family does the rest.

import { existsSync, realpathSync, statSync } from 'node:fs';
import { join } from 'node:path';
import * as z from 'zod';
import { policyFolder } from '../hub/index.js';
import { TendonError } from '../types/index.js';
import { openAct } from './act/index.js';
import { isActorFolder, openActor } from './actor/index.js';
import { openBeso } from './beso/index.js';
import { Checkpoint, type OpenOptions, parseConfig } from './checkpoint.js';
import type { DenoiserFamily } from './denoiser-family.js';
import { DenoisingPolicy } from './denoising-policy.js';
import { openDiffusion } from './diffusion/index.js';
import { openDp } from './dp/index.js';
import { openEdm } from './edm/index.js';
import { openEnsemble } from './ensemble/index.js';
import { openGaussianActor } from './gaussian-actor/index.js';
import { type FlatLoadOptions, inNouns, type LoadOptions } from './load-options.js';
import { openMultiTaskDit } from './multi-task-dit/index.js';
import { openOnnxFamily } from './onnx/family.js';
import { openRewardClassifier } from './reward-classifier/index.js';
import { openRobomimic } from './robomimic/index.js';
import { openRssm } from './rssm/index.js';
import { openScalezero } from './scalezero/index.js';
import { openTdmpc } from './tdmpc/index.js';
import { openTdmpc2 } from './tdmpc2/index.js';
import { checkpointFolder } from './training-folder.js';
import { isOpenpi, openOpenpi } from './vla/openpi.js';
import { openPi0, openPi05 } from './vla/pi.js';
import { openSmolvla } from './vla/smolvla.js';
import { openVqbet } from './vqbet/index.js';
import { ModemConfig } from './world-model/modem.js';
import { PlanningPolicy, type WorldModelFamily } from './world-model/planning-policy.js';

type Open<Family> = (checkpoint: Checkpoint) => Family;

/** Families by the `type` of config.json. */
const FAMILIES: Readonly<Record<string, Open<DenoiserFamily>>> = {
  edm: openEdm,
  beso: openBeso,
  act: openAct,
  actor: openActor,
  diffusion: openDiffusion,
  vqbet: openVqbet,
  diffusion_policy: openDp,
  robomimic: openRobomimic,
  gaussian_actor: openGaussianActor,
  multi_task_dit: openMultiTaskDit,
  reward_classifier: openRewardClassifier,
  onnx: openOnnxFamily,
  smolvla: openSmolvla,
  pi0: openPi0,
  pi05: openPi05,
  openpi: openOpenpi,
};

const WORLD_MODELS: Readonly<Record<string, Open<WorldModelFamily>>> = {
  tdmpc: openTdmpc,
  tdmpc2: openTdmpc2,
  ensemble: openEnsemble,
  rssm: openRssm,
  scalezero: openScalezero,
};

/** Policies that exist and are not built, by LeRobot's names. */
const NOT_BUILT: Readonly<Record<string, string>> = {
  pi0_fast: 'it writes its actions as tokens, one after the other',
  groot: 'its backbone is Qwen3-VL, its expert a diffusion transformer for each embodiment',
  xvla: 'its backbone is Florence-2, and it has soft prompts for each robot',
  wall_x: 'its backbone is a mixture of experts on Qwen2.5-VL',
  eo1: 'its backbone is Qwen2.5-VL',
  evo1: 'its backbone is InternVL3',
  fastwam: 'it imagines video beside its actions',
  lingbot_va: 'it imagines video beside its actions',
  molmoact2: 'its backbone is Molmo',
  vla_jepa: 'it has a world model of latent video beside its actions',
};

/** Every `type` of config.json that can be loaded. */
export const FAMILY_NAMES = [...Object.keys(FAMILIES), ...Object.keys(WORLD_MODELS)];

/** A policy whose sampler or planner can be chosen while it is loaded. */
export type LoadedPolicy = DenoisingPolicy | PlanningPolicy;

/**
 * The family of a checkpoint: its folder, a training's folder around it, or a training's own file. Errors say which file and
 * field are wrong.
 */
export function openFamily(path: string, options: OpenOptions = {}): DenoiserFamily | WorldModelFamily {
  const dir = checkpointFolder(path);
  if (existsSync(dir) && statSync(dir).isFile())
    throw new TendonError(
      'unsupported',
      `${dir} is a file, and a checkpoint is a folder: ${/\.onnx$/.test(dir) ? 'put a config.json of type "onnx" beside it (docs/onnx.md)' : /\.safetensors$/.test(dir) ? 'name the folder it lies in' : `\`tendon import ${dir} OUT\` makes one of it`}`,
      { dir },
    );
  // Training folders of these agents have no config.json, or one that says less than what lies beside it.
  const isActor = isActorFolder(dir);
  const checkpoint =
    isActor && !existsSync(join(dir, 'config.json'))
      ? new Checkpoint(dir, {}, options)
      : Checkpoint.open(dir, options);
  const type = typeOf(checkpoint.config) ?? (isActor ? 'actor' : undefined);
  const families: Readonly<Record<string, Open<DenoiserFamily | WorldModelFamily>>> = {
    ...FAMILIES,
    ...WORLD_MODELS,
  };
  const open = type !== undefined && Object.hasOwn(families, type) ? families[type] : undefined;
  const why = type !== undefined && Object.hasOwn(NOT_BUILT, type) ? NOT_BUILT[type] : undefined;
  if (open === undefined && why !== undefined)
    throw new TendonError(
      'unsupported',
      `${dir}/config.json: type is "${type}", which is known and not built: ${why}. The families there are: ${FAMILY_NAMES.join(', ')}`,
      { dir, type },
    );
  if (open === undefined)
    throw new TendonError(
      'unsupported',
      `${dir}/config.json: type is ${type === undefined ? 'missing' : `"${type}"`}; the families there are: ${FAMILY_NAMES.join(', ')}`,
      { dir, type },
    );
  const { task } = options;
  if (task !== undefined && type !== 'tdmpc2')
    throw new TendonError(
      'config_invalid',
      `task: ${dir} holds a policy for one task; a choice of ${task} is for tdmpc2 (scalezero has task_id in its config.json)`,
      { dir, task },
    );
  const family = open(checkpoint);
  const { horizon, n_action_steps } = family.spec;
  if (n_action_steps > horizon)
    throw new TendonError(
      'config_invalid',
      `${dir}/config.json: n_action_steps: expected at most the ${horizon} rows of a chunk, got ${n_action_steps}; the robot would stand still at the end of every chunk`,
      { horizon, n_action_steps },
    );
  return withRate(dir, family, options.policy_hz);
}

/** The rate that the caller names, of a checkpoint that says none. */
function withRate<Family extends DenoiserFamily | WorldModelFamily>(
  dir: string,
  family: Family,
  policy_hz: number | undefined,
): Family {
  if (policy_hz === undefined) return family;
  const { rate_hz } = family.spec;
  if (!(policy_hz > 0 && policy_hz <= 1000) || (rate_hz !== undefined && rate_hz !== policy_hz))
    throw new TendonError(
      'config_invalid',
      `policy_hz: expected ${rate_hz === undefined ? 'more than 0 and at most 1000' : `${rate_hz}, which is fps in ${dir}/config.json`}, got ${policy_hz}`,
      { policy_hz, rate_hz },
    );
  return { ...family, spec: { ...family.spec, rate_hz: policy_hz } };
}

/** TD-MPC2's own configs name no type; nobody else has simplicial latents and a stack of critics. */
function typeOf(config: Record<string, unknown>): string | undefined {
  if (typeof config.type === 'string') return config.type;
  if (isOpenpi(config)) return 'openpi';
  return 'simnorm_dim' in config && 'num_q' in config ? 'tdmpc2' : undefined;
}

/** The policy of a checkpoint folder, or of one on the Hub by its name (`hf:OWNER/NAME@REVISION`), ready to infer. */
export async function loadPolicy(
  path: string,
  options: LoadOptions | FlatLoadOptions = {},
): Promise<LoadedPolicy> {
  return loadWithin(checkpointFolder(await policyFolder(path)), inNouns(options), []);
}

/** `above`: the folders whose demonstration's policy this is, outermost first. */
async function loadWithin(
  dir: string,
  options: LoadOptions,
  above: readonly string[],
): Promise<LoadedPolicy> {
  const family = openFamily(dir, options);
  if (family.spec.scores !== undefined && options.scorer !== true)
    throw new TendonError(
      'unsupported',
      `${dir} holds a ${family.spec.family}: it scores what the cameras see (${family.spec.scores.join(', ')}) and has no actions for a robot; load it as a scorer, with scorer: true, or look at it with \`tendon check\``,
      { dir, family: family.spec.family },
    );
  if (!('kind' in family)) return DenoisingPolicy.create(family, options);
  const demonstration = await demonstrationOf(dir, family, options, above);
  const pool = demonstration?.policy?.pool;
  const shared = pool === undefined ? options : { ...options, compute: { ...options.compute, pool } };
  return PlanningPolicy.create(family, shared, demonstration);
}

/** The options under `modem`, with the policy that they name, of a checkpoint that has them. */
async function demonstrationOf(
  dir: string,
  { spec }: WorldModelFamily,
  { compute }: LoadOptions,
  above: readonly string[],
): Promise<{ readonly modem: ModemConfig; readonly policy: LoadedPolicy | undefined } | undefined> {
  const { modem: given } = Checkpoint.open(dir).config;
  if (given === undefined) return undefined;
  const { modem } = parseConfig(z.object({ modem: ModemConfig }), { modem: given }, dir, spec.family);
  if (modem.policy === undefined) return { modem, policy: undefined };
  const chain = [...above, realpathSync(dir)];
  const named = join(dir, modem.policy);
  if (existsSync(named) && chain.includes(realpathSync(named)))
    throw new TendonError(
      'config_invalid',
      `modem.policy: ${named} is demonstrated by itself (${[...chain, realpathSync(named)].join(' → ')}); name the folder of another policy`,
      { dir, policy: modem.policy },
    );
  // Its precision is its own: what suits a planner says nothing of a denoiser.
  const { precision: _, device: __, ...shared } = compute ?? {};
  const policy = await loadWithin(named, { compute: shared }, chain);
  const { action_dim, rate_hz } = policy.spec;
  if (action_dim !== spec.action_dim)
    throw new TendonError(
      'config_invalid',
      `modem.policy: expected actions of length ${spec.action_dim}, as ${dir} has, got ${action_dim} in ${modem.policy}`,
      { expected: spec.action_dim, got: action_dim },
    );
  if (rate_hz !== undefined && spec.rate_hz !== undefined && rate_hz !== spec.rate_hz)
    throw new TendonError(
      'config_invalid',
      `modem.policy: expected a policy of ${spec.rate_hz} Hz (fps of ${dir}), got ${rate_hz} Hz in ${modem.policy}; its rows would be taken for the planner's steps`,
      { expected: spec.rate_hz, got: rate_hz },
    );
  return { modem, policy };
}
