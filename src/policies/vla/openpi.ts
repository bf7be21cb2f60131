// openpi's converted folders (convert_jax_model_to_pytorch.py): model.safetensors without `model.`, a config.json of five fields, and
// assets/<asset>/norm_stats.json. What its training configs say in Python (training/config.py: which robot, deltas, ALOHA's joints)
// no file says: `openpi` in config.json does, written by hand.

import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import * as z from 'zod';
import { readUserJson } from '../../base/json.js';
import { TendonError } from '../../types/index.js';
import type { Checkpoint } from '../checkpoint.js';
import type { DenoiserFamily } from '../denoiser-family.js';
import { CountSchema } from '../fields.js';
import type { Affine } from '../processors/affine.js';
import type { Processing } from '../processors/processing.js';
import { alohaMap } from './aloha.js';
import { piNames } from './names.js';
import { piFamily } from './pi.js';
import { statePrompt, withNewline } from './text.js';

/** Robots of openpi's policies/: features as its clients send them (`/` is `.` here), and what of a chunk is theirs. */
const ROBOTS = {
  aloha: {
    states: { state: 14 },
    actions: 14,
    cameras: ['images.cam_high', 'images.cam_left_wrist', 'images.cam_right_wrist'],
    delta: [6, -1, 6, -1],
    deltas: true,
  },
  droid: {
    states: { 'observation.joint_position': 7, 'observation.gripper_position': 1 },
    actions: 8,
    cameras: ['observation.exterior_image_1_left', 'observation.wrist_image_left'],
    delta: [7, -1],
    deltas: false,
  },
  libero: {
    states: { 'observation.state': 8 },
    actions: 7,
    cameras: ['observation.image', 'observation.wrist_image'],
    delta: [6, -1],
    deltas: false,
  },
} as const;

/** config.json as openpi's converter writes it, and `openpi` for what no file of openpi says. */
export const OpenpiConfig = z.lazy(() =>
  z.object({
    action_dim: CountSchema,
    action_horizon: CountSchema,
    paligemma_variant: z.string(),
    action_expert_variant: z.string(),
    openpi: z
      .strictObject({
        robot: z.enum(['aloha', 'droid', 'libero']).optional(),
        /** Actions are differences from the state, but for grippers: use_delta_joint_actions, extra_delta_transform. */
        delta: z.boolean().optional(),
        /** ALOHA's joints as the base was trained with them (default true). */
        adapt_to_pi: z.boolean().optional(),
        /** π0.5: the state is in the prompt (default); pi05_libero has false. */
        discrete_state_input: z.boolean().default(true),
        num_steps: CountSchema.default(10),
        fps: z.number().positive().optional(),
      })
      .prefault({}),
  }),
);

const numbers = z.array(z.number()).max(1024);
const StatsFile = z.lazy(() =>
  z.object({
    norm_stats: z.record(
      z.string(),
      z.object({ mean: numbers, std: numbers, q01: numbers.nullish(), q99: numbers.nullish() }),
    ),
  }),
);
type Stats = z.infer<typeof StatsFile>['norm_stats'][string];

export const isOpenpi = (config: Record<string, unknown>): boolean =>
  config.type === undefined && 'action_horizon' in config && 'paligemma_variant' in config;

export function openOpenpi(checkpoint: Checkpoint): DenoiserFamily {
  const { dir } = checkpoint;
  const config = checkpoint.parse(OpenpiConfig, 'openpi');
  const { openpi } = config;
  // π0.5 tells time by other layers than π0.
  const raw = checkpoint.tensors('openpi');
  const adaptive = raw.names().some((name) => /(^|\.)gemma_expert\.model\.norm\.dense\.weight$/.test(name));
  const tensors = raw.renamed(piNames(adaptive));
  const stats = statsOf(dir, checkpoint.options.dataset);
  const robot = openpi.robot === undefined ? undefined : ROBOTS[openpi.robot];
  const states: Readonly<Record<string, number>> = robot?.states ?? { state: stats.state!.mean.length };
  const actions = robot?.actions ?? stats.actions!.mean.length;
  const cameras = robot?.cameras ?? [
    'images.base_0_rgb',
    'images.left_wrist_0_rgb',
    'images.right_wrist_0_rgb',
  ];
  const usesDelta = openpi.delta ?? robot?.deltas ?? false;
  if (usesDelta && (robot === undefined || openpi.robot === 'droid'))
    throw new TendonError(
      'config_invalid',
      `${dir}/config.json: openpi.delta: which joints are differences is known for aloha and libero, got robot ${openpi.robot ?? 'none'}`,
      { dir },
    );
  const adapts = openpi.robot === 'aloha' && openpi.adapt_to_pi !== false;
  const discrete = adaptive && openpi.discrete_state_input;
  const share = usesDelta ? maskOf(robot!.delta, actions) : undefined;
  return piFamily(checkpoint, tensors, {
    family: adaptive ? 'pi05' : 'pi0',
    adaptive,
    padding: 'centred',
    antialiased: true,
    chunk_size: config.action_horizon,
    n_action_steps: config.action_horizon,
    max_state_dim: config.action_dim,
    max_action_dim: config.action_dim,
    num_steps: openpi.num_steps,
    input_features: {
      ...Object.fromEntries(Object.entries(states).map(([key, n]) => [key, { type: 'STATE', shape: [n] }])),
      ...Object.fromEntries(cameras.map((key) => [key, { type: 'VISUAL', shape: [3, 224, 224] }])),
    },
    output_features: { action: { type: 'ACTION', shape: [actions] } },
    normalization_mapping: {},
    states: Object.keys(states),
    processing: processingOf(stats, states, adaptive, share),
    min_period: 4e-3,
    max_period: 4,
    fps: openpi.fps,
    text_length: adaptive ? 200 : 48,
    ...(adapts ? { body: (s: number, a: number) => ({ map: alohaMap('openpi', s, a), raw: true }) } : {}),
    prompt(task, state) {
      if (discrete) return statePrompt(task, state);
      return withNewline(task.trim().replaceAll('_', ' ').replaceAll('\n', ' '));
    },
  });
}

/** openpi's make_bool_mask: so many true, or, with a minus, so many false. */
const maskOf = (counts: readonly number[], length: number): Float64Array => {
  const mask = counts.flatMap((n) => new Array<number>(Math.abs(n)).fill(n > 0 ? 1 : 0));
  return Float64Array.from({ length }, (_, i) => mask[i] ?? 0);
};

/** transforms.py Normalize and Unnormalize: quantiles for π0.5, and 1e-6 both ways. */
function affineOf(stats: Stats, first: number, length: number, quantiles: boolean): Affine {
  const low = quantiles ? stats.q01 : stats.mean;
  const high = quantiles ? stats.q99 : stats.std;
  const at = (list: readonly number[] | null | undefined, i: number): number => {
    const value = list?.[first + i];
    if (value !== undefined) return value;
    throw new TendonError(
      'weights_mismatch',
      `norm_stats.json: expected ${first + length} numbers of ${quantiles ? 'q01 and q99' : 'mean and std'}, got ${list?.length ?? 'none'}`,
    );
  };
  const range = (i: number): number =>
    quantiles ? (at(high, i) - at(low, i) + 1e-6) / 2 : at(high, i) + 1e-6;
  const middle = (i: number): number => (quantiles ? at(low, i) + range(i) : at(low, i));
  const all = (of: (i: number) => number): Float64Array => Float64Array.from({ length }, (_, i) => of(i));
  return {
    mul: all((i) => 1 / range(i)),
    add: all((i) => -middle(i) / range(i)),
    back_mul: all(range),
    back_add: all(middle),
  };
}

function processingOf(
  { state, actions }: Readonly<Record<string, Stats>>,
  states: Readonly<Record<string, number>>,
  quantiles: boolean,
  share: Float64Array | undefined,
): Processing {
  const keys = Object.keys(states);
  const firstOf = (key: string): number =>
    keys.slice(0, keys.indexOf(key)).reduce((n, before) => n + states[before]!, 0);
  return {
    rename: {},
    input: (key, length) => affineOf(state!, firstOf(key), length, quantiles),
    action: (dim) => ({
      affine: affineOf(actions!, 0, dim, quantiles),
      ...(share === undefined ? {} : { relative: { key: keys[0]!, share } }),
    }),
    stats: () => undefined,
  };
}

/** The one norm_stats.json beneath assets/, or that of the asset that was chosen. */
function statsOf(dir: string, chosen: string | undefined): Readonly<Record<string, Stats>> {
  const found = assetsIn(join(dir, 'assets'), '', 4);
  const asset = chosen ?? (found.length === 1 ? found[0] : undefined);
  if (asset === undefined || !found.includes(asset))
    throw new TendonError(
      found.length === 0 ? 'file_missing' : 'config_invalid',
      found.length === 0
        ? `${dir}: openpi keeps its statistics in assets/<asset>/norm_stats.json, and there are none; copy the assets folder from the checkpoint that was converted`
        : `${dir}: statistics of ${found.join(', ')} are there, got ${chosen === undefined ? 'no choice among them' : `"${chosen}"`}; say which with dataset (--dataset ${found[0]})`,
      { dir, assets: found },
    );
  const path = join(dir, 'assets', asset, 'norm_stats.json');
  const result = StatsFile.safeParse(readUserJson(path, 'config'));
  if (!result.success)
    throw new TendonError('config_invalid', `${path}: ${z.prettifyError(result.error)}`, { path });
  const { norm_stats } = result.data;
  for (const name of ['state', 'actions'])
    if (!Object.hasOwn(norm_stats, name))
      throw new TendonError('config_invalid', `${path}: expected statistics of state and actions`, { path });
  return norm_stats;
}

/** Folders that hold a norm_stats.json, by their path; an asset's name may have a slash. */
function assetsIn(root: string, under: string, depth: number): string[] {
  const here = join(root, under);
  if (depth === 0 || !existsSync(here)) return [];
  const within = readdirSync(here, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .flatMap(({ name }) => assetsIn(root, under === '' ? name : `${under}/${name}`, depth - 1));
  return under !== '' && existsSync(join(here, 'norm_stats.json')) ? [under, ...within] : within;
}
