// Which of the lineages a folder is, by the files that lie in it, and the agent that they describe. Training folders are
// read as they lie: flags.json + params_<step>.pkl (OGBench, SAW, OTA), params_<step>.pkl alone (HIQL, HILP), flax files
// `actor`, `critic`, `value` (SMORe), a torch file of a whole HILP agent.

import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { Flax } from '../../networks/index.js';
import { TendonError } from '../../types/index.js';
import { type ArrayFile, openFlaxMsgpack, openJaxPickle, openTorch } from '../../weights/index.js';
import { Tensors } from '../tensors.js';
import type { Agent } from './agent.js';
import { type ActorConfig, readFlags } from './config.js';
import { hilpGcrlAgent, hilpZsrlAgent } from './hilp.js';
import { hiqlAgent } from './hiql.js';
import { ogbenchAgent } from './ogbench.js';
import { smoreAgent } from './smore.js';

export interface OpenedAgent {
  readonly agent: Agent;
  /** Throws `weights_mismatch` when an array that acting could need was not used by what was described so far. */
  finish(): void;
}

const PARAMS = /^params_(\d+)\.pkl$/;

/** Whether a folder is one of these trainings; a config.json beside it does not say so. */
export function isActorFolder(dir: string): boolean {
  if (!existsSync(dir)) return false;
  const files = readdirSync(dir);
  return files.some((name) => PARAMS.test(name)) || (files.includes('actor') && files.includes('critic'));
}

export function openAgent(dir: string, config: ActorConfig): OpenedAgent {
  const files = readdirSync(dir);
  const params = config.weights ?? lastParams(files);
  if (params?.endsWith('.pkl')) return openPickled(dir, params, config);
  if (files.includes('actor')) return openSmore(dir, files, config);
  const torch = params ?? files.find((name) => /\.(pt|pth)$/.test(name));
  if (torch !== undefined) return openHilpTorch(dir, torch);
  throw new TendonError(
    'file_missing',
    `${dir}: expected params_<step>.pkl, flax files named actor, critic and value, or a torch file of a HILP agent; found ${files.slice(0, 8).join(', ')}`,
    { dir },
  );
}

/** Of several steps the last. */
function lastParams(files: readonly string[]): string | undefined {
  const steps = files.flatMap((name) => {
    const step = PARAMS.exec(name)?.[1];
    return step === undefined ? [] : [{ name, step: Number(step) }];
  });
  return steps.sort((a, b) => b.step - a.step)[0]?.name;
}

function openPickled(dir: string, name: string, config: ActorConfig): OpenedAgent {
  const file = openJaxPickle(join(dir, name));
  const root = 'agent/network/params/';
  const arrays = new Map(
    [...file.arrays].flatMap(([path, array]) =>
      path.startsWith(root) ? [[path.slice(root.length), array] as const] : [],
    ),
  );
  const used = new Set<string>();
  const net = new Flax({ path: file.path, arrays }, '', used);
  const opened = (agent: Agent, training: RegExp): OpenedAgent => ({
    agent,
    finish: () => refuseUnused({ path: file.path, arrays }, used, training),
  });
  if (net.has('networks_skill_actor'))
    return opened(hilpGcrlAgent(net), /^networks_(target_|skill_(value|critic|target))|^networks_value\//);
  if (net.has('networks_actor')) {
    const kept = (file.plain.config ?? {}) as Record<string, unknown>;
    const flag = (given: boolean | number | undefined, key: string): boolean =>
      Boolean(given ?? kept[key] ?? true);
    const flags = {
      rep_type: config.rep_type,
      use_rep: flag(config.use_rep, 'use_rep'),
      use_waypoints: flag(config.use_waypoints, 'use_waypoints'),
      discount: config.discount ?? Number(kept.discount ?? 0.99),
    };
    return opened(hiqlAgent(net, flags), /^(networks|encoders)_(target_)?(value|high_actor)/);
  }
  if (!net.has('modules_actor') && !net.has('modules_low_actor'))
    throw new TendonError(
      'unsupported',
      `${file.path}: expected modules_actor or modules_low_actor (OGBench's layout), or networks_actor (HIQL, HILP) below agent/network/params; found ${[...arrays.keys()].slice(0, 3).join(', ') || 'nothing'}`,
      { path: file.path },
    );
  const flags = readFlags(dir);
  const agent = ogbenchAgent(net, flags, flags.encoder === null ? undefined : pictureOf(net, config));
  return opened(
    agent,
    /^modules_(target_|value|critic|low_actor|low_value|high_value|lam|dynamics|goal_rep)/,
  );
}

/** The weights give the size of the flattened map alone; a square of OGBench's size is taken unless the config says more. */
function pictureOf(net: Flax, config: ActorConfig): readonly number[] {
  if (config.observation_shape?.length === 3) return config.observation_shape;
  const module = net.has('modules_actor') ? net.at('modules_actor') : net.at('modules_high_actor');
  const channels = module.shape('gc_encoder/concat_encoder/stack_blocks_0/Conv_0/kernel')[2]! / 2;
  const flat = module.shape('gc_encoder/concat_encoder/MLP_0/Dense_0/kernel')[0]!;
  let stacks = 0;
  while (module.has(`gc_encoder/concat_encoder/stack_blocks_${stacks}`)) stacks++;
  const width = module.shape(`gc_encoder/concat_encoder/stack_blocks_${stacks - 1}/Conv_0/kernel`)[3]!;
  let side = 64;
  for (let i = 0; i < stacks; i++) side = Math.ceil(side / 2);
  if (side * side * width === flat) return [64, 64, channels];
  throw new TendonError(
    'config_invalid',
    `observation_shape: these pictures are not 64 × 64, and the weights do not say their size; write {"type": "actor", "observation_shape": [height, width, ${channels}]} into config.json beside them`,
    { field: 'observation_shape' },
  );
}

function openSmore(dir: string, files: readonly string[], config: ActorConfig): OpenedAgent {
  const used = new Map<string, Set<string>>();
  const opened: ArrayFile[] = [];
  const module = (name: string): Flax | undefined => {
    if (!files.includes(name)) return undefined;
    const file = openFlaxMsgpack(join(dir, name));
    // flax saves {params: …} or the parameters themselves.
    const bare = [...file.arrays].map(([path, array]) => [path.replace(/^params\//, ''), array] as const);
    const tree = { path: file.path, arrays: new Map(bare) };
    opened.push(tree);
    used.set(file.path, new Set());
    return new Flax(tree, '', used.get(file.path)!);
  };
  const scaling = config.normalization ?? { eps: 1e-6 };
  const agent = smoreAgent(module('actor')!, module('critic'), module('value'), config.goal_dim, scaling);
  const finish = (): void => {
    for (const file of opened)
      if (file.path.endsWith('/actor')) refuseUnused(file, used.get(file.path)!, /^$/);
  };
  return { agent, finish };
}

function openHilpTorch(dir: string, name: string): OpenedAgent {
  const file = openTorch(join(dir, name));
  if (!file.tensors.has('agent.feature_learner.running_mean'))
    throw new TendonError(
      'unsupported',
      `${file.path}: expected a HILP agent (agent.feature_learner with its running mean); found ${[...file.tensors.keys()].slice(0, 3).join(', ')}`,
      { path: file.path },
    );
  const tensors = new Tensors(file, 'actor');
  const agent = hilpZsrlAgent(tensors);
  return {
    agent,
    finish() {
      // Training's: successor networks, targets, the base class's feature net that a method of the same name hides.
      tensors.ignore(/^(?!agent\.(actor|feature_learner\.phi1)\.)/);
      tensors.finish();
    },
  };
}

function refuseUnused({ path, arrays }: ArrayFile, used: ReadonlySet<string>, training: RegExp): void {
  const left = [...arrays.keys()].filter((name) => !used.has(name) && !training.test(name));
  if (left.length > 0)
    throw new TendonError(
      'weights_mismatch',
      `actor: ${left.length} arrays of ${path} belong to nothing in the agent that its flags describe, e.g. ${left.slice(0, 3).join(', ')}`,
      { unused: left },
    );
}
