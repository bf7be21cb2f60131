// BESO's training folder as it lies (intuitive-robots/beso, trained_models/*/*): model_state_dict.pth beside .hydra/config.yaml.
// Its scaler is made from the data set when it runs and is in none of its files; stats.json beside the weights holds the numbers.

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { readUserJson } from '../../base/json.js';
import { TendonError } from '../../types/index.js';
import type { Plain } from '../../weights/index.js';
import { PREPROCESSOR } from '../processors/pipelines.js';
import { configBeside } from './beside.js';
import { type Hydra, isDict, wrong } from './hydra.js';

/** The averaged weights, which BESO's evaluation loads. */
export const BESO_WEIGHTS = 'model_state_dict.pth';
const STATS = 'stats.json';
const [STATE, GOAL, ACTION] = ['observation.state', 'observation.goal', 'action'];
const NETWORK = 'agents.model.inner_model';
/** What BesoAgent.process_batch sets to 0 in a goal of ten numbers (block-push), once it is scaled. */
const MASKED = [2, 5, 6, 7, 8, 9];
/** Names of another sampler in BESO's sample_loop than here. */
const SAMPLERS: Readonly<Record<string, string>> = { dpmpp_2m_sde: 'dpmpp_sde' };

/** The configuration of a folder that is a BESO training's; undefined for any other. */
export function besoRun(dir: string): Hydra | undefined {
  const weights = join(dir, BESO_WEIGHTS);
  if (!existsSync(weights)) return undefined;
  const hydra = configBeside(weights);
  return hydra !== undefined && isBeso(hydra) ? hydra : undefined;
}

export function isBeso(hydra: Hydra): boolean {
  return isTarget(hydra, 'agents', 'BesoAgent');
}

/** config.json of a run. Throws for parts that are not read here, and names each field that is needed and not there. */
export function besoConfig(hydra: Hydra, dir: string): Record<string, unknown> {
  const only = (path: string, target: string): void => {
    if (!isTarget(hydra, path, target))
      throw new TendonError(
        'unsupported',
        `${hydra.path}: ${path} should be a ${target}, got ${JSON.stringify(hydra.find(`${path}._target_`))}; BESO's other networks and encoders are not read`,
        { path: hydra.path },
      );
  };
  only('agents.model', 'GCDenoiser');
  only(NETWORK, 'DiffusionGPT');
  if (hydra.has('agents.input_encoder')) only('agents.input_encoder', 'NoEncoder');
  const network = (field: string): number => hydra.number(`${NETWORK}.${field}`);
  const same = (field: string, expected: number): void => {
    const got = hydra.number(`agents.${field}`, expected);
    if (got !== expected) throw wrong(hydra.path, `agents.${field}`, `${expected}, as the network has`, got);
  };
  const [state_dim, action_dim, obs_seq_len] = ['state_dim', 'action_dim', 'obs_seq_len'].map(network);
  const goal_conditioned = hydra.flag(`${NETWORK}.goal_conditioned`);
  const goal_seq_len = goal_conditioned ? network('goal_seq_len') : 0;
  same('window_size', obs_seq_len!);
  const isScaled = hydra.flag('workspaces.scale_data');
  const isMinMax = hydra.flag('workspaces.use_minmax_scaler', false);
  const isGuided = goal_conditioned && hydra.number('cond_mask_prob', 0) > 0;
  const sampler = hydra.text('agents.sampler_type');
  const stats = readStats(dir, goal_seq_len);
  if (!isScaled && stats === undefined && !existsSync(join(dir, PREPROCESSOR)))
    process.emitWarning(
      `${dir}: BESO keeps an action within 1.1 times its data's bounds, which are in none of its files; until ${STATS} beside the weights gives them ({"action": {"min": […], "max": […]}}), only the robot's own limits hold`,
      'TendonWarning',
    );
  return {
    type: 'beso',
    input_features: {
      [STATE!]: { type: 'STATE', shape: [state_dim] },
      // BESO scales a goal as it scales a state.
      ...(goal_conditioned && { [GOAL!]: { type: 'ENV', shape: [goal_seq_len * state_dim!] } }),
    },
    output_features: { [ACTION!]: { type: 'ACTION', shape: [action_dim] } },
    normalization_mapping: isScaled
      ? { STATE: 'MEAN_STD', ENV: 'MEAN_STD', ACTION: isMinMax ? 'MIN_MAX' : 'MEAN_STD' }
      : { STATE: 'IDENTITY', ENV: 'IDENTITY', ACTION: 'IDENTITY' },
    ...(stats && { stats }),
    ...(goal_conditioned && state_dim === 10 && { goal_masked: MASKED }),
    state_dim,
    action_dim,
    embed_dim: network('embed_dim'),
    n_layers: network('n_layers'),
    n_heads: network('n_heads'),
    goal_conditioned,
    goal_seq_len,
    obs_seq_len,
    linear_output: hydra.flag(`${NETWORK}.linear_output`, false),
    sigma_data: hydra.number('agents.model.sigma_data'),
    sigma_min: hydra.number('agents.sigma_min'),
    sigma_max: hydra.number('agents.sigma_max'),
    rho: hydra.number('agents.rho'),
    // BesoAgent sets it, whatever the configuration.
    sigma_schedule: 'exponential',
    sampler: Object.hasOwn(SAMPLERS, sampler) ? SAMPLERS[sampler] : sampler,
    num_inference_steps: hydra.number('agents.num_sampling_steps'),
    // As training.py tests its policy: guided where training left goals out.
    guidance_scale: isGuided ? hydra.number('cond_lambda') : 1,
  };
}

/**
 * Mean, std, min and max by feature, in the form of LeRobot's meta/stats.json; undefined without the file. Goals have the
 * states' own, for each slot, where the file has none of theirs.
 */
function readStats(dir: string, goals: number): Record<string, Record<string, number[]>> | undefined {
  const path = join(dir, STATS);
  if (!existsSync(path)) return undefined;
  const json = readUserJson(path, 'config') as Plain;
  const stats: Record<string, Record<string, number[]>> = {};
  for (const key of [STATE!, GOAL!, ACTION!]) {
    const given = isDict(json) && Object.hasOwn(json, key) ? json[key] : undefined;
    if (given === undefined) continue;
    if (!isDict(given)) throw wrong(path, key, 'mean, std, min and max', given);
    stats[key] = {};
    for (const name of ['mean', 'std', 'min', 'max']) {
      const values = Object.hasOwn(given, name) ? given[name] : undefined;
      if (values === undefined) continue;
      if (!isNumbers(values)) throw wrong(path, `${key}.${name}`, 'a list of finite numbers', values);
      stats[key][name] = values;
    }
  }
  const [first] = Object.keys(stats);
  if (first === undefined) throw wrong(path, `${STATE} and ${ACTION}`, 'statistics', undefined);
  const state = stats[STATE!];
  if (goals > 0 && state !== undefined && stats[GOAL!] === undefined)
    stats[GOAL!] = Object.fromEntries(
      Object.entries(state).map(([name, values]) => [
        name,
        Array.from({ length: goals }, () => values).flat(),
      ]),
    );
  return stats;
}

const isNumbers = (value: Plain): value is number[] =>
  Array.isArray(value) && value.every((v) => typeof v === 'number' && Number.isFinite(v));

/** Whether hydra makes the class of this name, in whatever package, at a path. */
function isTarget(hydra: Hydra, path: string, name: string): boolean {
  const target = hydra.find(`${path}._target_`);
  return typeof target === 'string' && target.split('.').at(-1) === name;
}
