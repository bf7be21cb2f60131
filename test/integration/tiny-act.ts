// A checkpoint in LeRobot's layout: an ACT small enough to write in a test, that says the same action whatever it sees.

import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TensorSource, writeSafetensors } from '../../src/weights/index.js';

const DIM = 16;
const FEED = 16;
const LATENT = 4;
const CHUNK = 8;

/** Writes it to `dir`: `state` numbers of observation.state in, `action` out at every row. */
export function writeTinyAct(dir: string, state: number, action: readonly number[], fps = 50): string {
  mkdirSync(dir, { recursive: true });
  const feature = (type: string, n: number) => ({ type, shape: [n] });
  const config = {
    type: 'act',
    n_obs_steps: 1,
    chunk_size: CHUNK,
    n_action_steps: CHUNK,
    fps,
    input_features: { 'observation.state': feature('STATE', state) },
    output_features: { action: feature('ACTION', action.length) },
    normalization_mapping: { STATE: 'IDENTITY', ACTION: 'IDENTITY' },
    pre_norm: true,
    dim_model: DIM,
    n_heads: 2,
    dim_feedforward: FEED,
    feedforward_activation: 'relu',
    n_encoder_layers: 1,
    n_decoder_layers: 1,
    use_vae: false,
    latent_dim: LATENT,
    temporal_ensemble_coeff: null,
  };
  writeFileSync(join(dir, 'config.json'), JSON.stringify(config));
  for (const side of ['pre', 'post'])
    writeFileSync(join(dir, `policy_${side}processor.json`), JSON.stringify({ steps: [] }));
  writeSafetensors(join(dir, 'model.safetensors'), tensors(state, action));
  return dir;
}

function tensors(state: number, action: readonly number[]): Record<string, TensorSource> {
  const all: Record<string, TensorSource> = {};
  const put = (name: string, shape: readonly number[], value = (i: number) => 0.1 * Math.sin(i)) => {
    const size = shape.reduce((product, n) => product * n, 1);
    all[`model.${name}`] = { shape, values: Float32Array.from({ length: size }, (_, i) => value(i)) };
  };
  const linear = (name: string, out: number, into: number) => {
    put(`${name}.weight`, [out, into]);
    put(`${name}.bias`, [out]);
  };
  const norm = (name: string) => {
    put(`${name}.weight`, [DIM], () => 1);
    put(`${name}.bias`, [DIM], () => 0);
  };
  const attention = (name: string) => {
    put(`${name}.in_proj_weight`, [3 * DIM, DIM]);
    put(`${name}.in_proj_bias`, [3 * DIM]);
    linear(`${name}.out_proj`, DIM, DIM);
  };
  for (const side of ['encoder', 'decoder'] as const) {
    const layer = `${side}.layers.0`;
    attention(`${layer}.self_attn`);
    if (side === 'decoder') attention(`${layer}.multihead_attn`);
    linear(`${layer}.linear1`, FEED, DIM);
    linear(`${layer}.linear2`, DIM, FEED);
    for (let n = 1; n <= (side === 'decoder' ? 3 : 2); n++) norm(`${layer}.norm${n}`);
    norm(`${side}.norm`);
  }
  linear('encoder_robot_state_input_proj', DIM, state);
  linear('encoder_latent_input_proj', DIM, LATENT);
  put('encoder_1d_feature_pos_embed.weight', [2, DIM]);
  put('decoder_pos_embed.weight', [CHUNK, DIM]);
  // The head looks at nothing: its bias is the action.
  put('action_head.weight', [action.length, DIM], () => 0);
  put('action_head.bias', [action.length], (i) => action[i]!);
  return all;
}
