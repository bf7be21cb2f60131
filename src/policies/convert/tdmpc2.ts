// TD-MPC2's config.yaml says what a run was asked for; what it worked out (tdmpc2/common/parser.py, and the environment's
// shapes) stands in the weights.

import { TendonError } from '../../types/index.js';
import type { WeightFile } from '../../weights/index.js';
import type { Hydra } from './hydra.js';

/** Pictures of the peer's tasks (envs/wrappers/pixels.py). */
const PIXELS = 64;
const FIELDS = [
  'episodic',
  'mpc',
  'iterations',
  'num_samples',
  'num_elites',
  'num_pi_trajs',
  'horizon',
  'min_std',
  'max_std',
  'temperature',
  'log_std_min',
  'log_std_max',
  'num_bins',
  'vmin',
  'vmax',
  'simnorm_dim',
  'episode_length',
  'discount_denom',
  'discount_min',
  'discount_max',
];

/** config.json of a run; `prefix`: what stands before the names of its weights. Throws for several tasks, which it cannot tell. */
export function tdmpc2Config(hydra: Hydra, file: WeightFile, prefix: string): Record<string, unknown> {
  const shape = (name: string): readonly number[] => {
    const found = file.tensors.get(prefix + name)?.shape;
    if (found === undefined)
      throw new TendonError('weights_mismatch', `${file.path}: TD-MPC2 has ${name}, this file does not`, {
        name,
      });
    return found;
  };
  if (file.tensors.has(`${prefix}_task_emb.weight`))
    throw new TendonError(
      'config_invalid',
      `${file.path} was trained on several tasks, whose names and action dims ${hydra.path} does not list; give them with --config FILE (tasks, action_dims, obs_shape, action_dim, task_dim)`,
      { path: file.path },
    );
  const layers = (name: string): number =>
    [...file.tensors.keys()].filter((n) => n.startsWith(`${prefix}${name}.`) && /\.\d+\.weight$/.test(n))
      .length;
  const isPicture =
    file.tensors.has(`${prefix}_encoder.rgb.0.weight`) || file.tensors.has(`${prefix}_encoder.rgb.2.weight`);
  const obs_shape = isPicture
    ? {
        rgb: [
          layers('_encoder.rgb') > 0 ? firstShape(file, `${prefix}_encoder.rgb.`)[1]! : 9,
          PIXELS,
          PIXELS,
        ],
      }
    : { state: [shape('_encoder.state.0.weight')[1]!] };
  const last = (name: string): readonly number[] => shape(`${name}.${layers(name) - 1}.weight`);
  const critics = [...file.tensors].find(([n]) => n.startsWith(`${prefix}_Qs.params.`))?.[1].shape[0];
  return {
    ...Object.fromEntries(
      FIELDS.map((field) => [field, hydra.find(field) ?? undefined]).filter(([, v]) => v !== undefined),
    ),
    obs_shape,
    action_dim: last('_pi')[0]! / 2,
    latent_dim: last('_dynamics')[0]!,
    ...(critics === undefined ? {} : { num_q: critics }),
  };
}

/** TD-MPC2 asks its environment how long an episode is and works γ out from that; config.yaml keeps `???`. */
export function noteEpisodes(path: string): void {
  process.emitWarning(
    `${path} does not say episode_length, so plans are valued with the γ of 500 steps (DMControl's); if the environment's episodes were of another length (Meta-World's: 100), write it there in place of ???, or give it to \`tendon import\` with --config`,
    'TendonWarning',
  );
}

/** Of the first weight under `prefix`, in the order of its layers. */
function firstShape(file: WeightFile, prefix: string): readonly number[] {
  const names = [...file.tensors.keys()].filter((n) => n.startsWith(prefix) && n.endsWith('.weight'));
  names.sort(
    (a, b) => Number(a.slice(prefix.length).split('.')[0]) - Number(b.slice(prefix.length).split('.')[0]),
  );
  return file.tensors.get(names[0]!)!.shape;
}
