// A training folder in the shape of BESO's own (trained_models/*/*): the weights of test/golden/beso_small and a
// .hydra/config.yaml whose values stand at the top and are referred to below, as hydra writes it.

import { cpSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beso } from './beso-small.js';

const reference = (name: string): string => ['$', '{', name, '}'].join('');

/** Values at the top of the two tasks' configurations that matter, with this network's sizes in place of theirs. */
export const TASKS = {
  kitchen: { scale_data: false, future_seq_length: 2, window_size: 4, cond_mask_prob: 0.1, cond_lambda: 1.5 },
  block_push: { scale_data: true, future_seq_length: 1, window_size: 5, cond_mask_prob: 0, cond_lambda: 2 },
} as const;
export type Task = keyof typeof TASKS;

/** `given`: top values that replace the task's; text is written as it stands. */
export function hydraConfig(task: Task, given: Readonly<Record<string, unknown>> = {}): string {
  const top = {
    log_dir: `logs/${task}/`,
    plot_name: `${reference('now:%Y-%m-%d')}.png`,
    data_path: '???',
    device: 'cuda',
    seed: 1,
    goal_conditioning: true,
    goal_conditional: 'future',
    action_dim: 2,
    obs_dim: 10,
    goal_dim: 4,
    hidden_dim: 48,
    n_heads: 4,
    num_hidden_layers: 2,
    use_ema: true,
    sigma_data: 0.5,
    n_timesteps: 3,
    ...TASKS[task],
    ...given,
  };
  const $ = reference;
  return `agents:
  model:
    _target_: beso.agents.diffusion_agents.k_diffusion.score_wrappers.GCDenoiser
    _recursive_: false
    sigma_data: ${$('sigma_data')}
    inner_model:
      _target_: beso.agents.diffusion_agents.k_diffusion.score_gpts.DiffusionGPT
      state_dim: ${$('obs_dim')}
      action_dim: ${$('action_dim')}
      goal_conditioned: ${$('goal_conditioning')}
      embed_dim: ${$('hidden_dim')}
      n_layers: ${$('num_hidden_layers')}
      goal_seq_len: ${$('future_seq_length')}
      obs_seq_len: ${$('window_size')}
      sigma_vocab_size: ${$('n_timesteps')}
      goal_drop: ${$('cond_mask_prob')}
      n_heads: ${$('n_heads')}
      device: ${$('device')}
      linear_output: true
  input_encoder:
    _target_: beso.agents.input_encoders.obs_encoder.NoEncoder
    device: ${$('device')}
    state_modality: observation
    goal_modality: goal_observation
  _target_: beso.agents.diffusion_agents.beso_agent.BesoAgent
  _recursive_: false
  optimization:
    _target_: torch.optim.AdamW
    lr: 0.0001
    betas:
    - 0.9
    - 0.999
  num_sampling_steps: ${$('n_timesteps')}
  sampler_type: ddim
  sigma_data: ${$('sigma_data')}
  rho: 5.0
  sigma_min: 0.05
  sigma_max: 1
  use_ema: ${$('use_ema')}
  device: ${$('device')}
  goal_window_size: ${$('future_seq_length')}
  window_size: ${$('window_size')}
workspaces:
  _target_: beso.workspaces.${task === 'kitchen' ? 'kitchen_workspace_manager.FrankaKitchenManager' : 'block_push_workspace.BlockPushingManager'}
  dataset_fn:
    data_directory: ${$('data_path')}
    train_fraction: ${$('workspaces.train_fraction')}
  device: ${$('device')}
  scale_data: ${$('scale_data')}
  train_fraction: 0.95
${task === 'kitchen' ? '' : '  use_minmax_scaler: true\n'}${Object.entries(top)
  .map(([key, value]) => `${key}: ${value}\n`)
  .join('')}`;
}

/** The folder as training leaves it: the averaged weights, the others and the configuration. */
export function writeBesoRun(
  dir: string,
  task: Task,
  given: Readonly<Record<string, unknown>> = {},
  edit: (yaml: string) => string = (yaml) => yaml,
): string {
  mkdirSync(join(dir, '.hydra'), { recursive: true });
  for (const name of ['model_state_dict.pth', 'non_ema_model_state_dict.pth'])
    cpSync(join(beso.dir, 'model_state_dict.pth'), join(dir, name));
  writeFileSync(join(dir, '.hydra/config.yaml'), edit(hydraConfig(task, given)));
  return dir;
}
