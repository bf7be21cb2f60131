// The `diffusion_policy` family: the original repository's UNet and transformer policies on low-dimensional observations
// and on cameras; `tendon import` brings a checkpoint into this folder's layout.

import type { GraphBuilder, Value } from '../../native/index.js';
import { timestepEmbedding, unetGraph } from '../../networks/index.js';
import { TendonError } from '../../types/index.js';
import type { Checkpoint } from '../checkpoint.js';
import { definePolicy } from '../define.js';
import type { DenoiserFamily } from '../denoiser-family.js';
import { actionCodec } from '../features.js';
import { notJoined } from '../joining.js';
import type { KeyedObservation } from '../keyed-observation.js';
import { linearNormalizer } from '../processors/linear.js';
import { diffusion } from '../sampling.js';
import type { Tensors } from '../tensors.js';
import { cameraSpec } from '../vision/camera.js';
import { actionTransformerGraph } from './action-transformer.js';
import { DpConfig } from './config.js';
import { dpObservation, entriesOf } from './observation.js';
import { paint, painted, placed } from './painting.js';
import { dpTransformerGraph } from './transformer.js';

export function openDp(checkpoint: Checkpoint): DenoiserFamily {
  const { dir } = checkpoint;
  const config = checkpoint.parse(DpConfig, 'diffusion_policy');
  const tensors = checkpoint.tensors('diffusion_policy');
  // How the normaliser was found, and buffers that hold no numbers to compute with.
  tensors.ignore(/^normalizer\.params_dict\..*\.input_stats\.|(^|\.)_dummy_variable$|^mask_generator\./);
  const action = config.output_features.action;
  if (action?.shape.length !== 1)
    throw new TendonError(
      'config_invalid',
      `${dir}/config.json: expected output feature "action" of one dim`,
    );
  const action_dim = action.shape[0]!;
  const affine = linearNormalizer(
    tensors,
    'normalizer.',
    config.normalizer_keys.action ?? 'action',
    action_dim,
  );
  const observation = dpObservation(config, tensors);
  const embed =
    config.network.kind === 'unet' ? config.network.diffusion_step_embed_dim : config.network.n_emb;
  const first_row = config.first_row ?? config.n_obs_steps - (config.oa_step_convention ? 1 : 0);
  if (first_row >= config.horizon)
    throw new TendonError(
      'config_invalid',
      `${dir}/config.json: expected a horizon beyond row ${first_row}, the first that is executed, got ${config.horizon}`,
    );

  const paints = config.obs_as === 'inpainting';
  return definePolicy({
    family: 'diffusion_policy',
    rate_hz: config.fps,
    action_dim,
    observes: { observation_dims: observation.dims, ...cameraSpec(observation.cameras) },
    network: {
      rows: config.horizon,
      columns: action_dim + (paints ? observation.width : 0),
      build: (groups) => networkOf(config, observation, action_dim, tensors, groups),
      finish: () => tensors.finish(),
      schedule: (levels) => ({ timestep_embedding: timestepEmbedding(levels, embed) }),
      condition(history) {
        if (observation.cameras.length > 0) return observation.inputs(history);
        const seen = observation.vector(history);
        if (paints) return { painted: paint(seen, config.horizon, action_dim, observation.width) };
        if (config.obs_as !== 'local_cond') return { cond: seen };
        // Zeros where nothing has been observed yet.
        const local_cond = new Float32Array(config.horizon * observation.width);
        local_cond.set(seen);
        return { local_cond };
      },
    },
    sampling: diffusion('diffusion_policy', config, {
      sampler: config.noise_scheduler_type.toLowerCase(),
      steps: config.num_inference_steps,
    }),
    codec: actionCodec({ affine }),
    window: {
      n_obs_steps: config.n_obs_steps,
      first_row,
      // The peer takes a slice, which ends with the chunk.
      n_action_steps: Math.min(config.n_action_steps, config.horizon - first_row),
    },
    ...(paints
      ? {
          joining: () =>
            notJoined(
              'diffusion_policy: observations are painted into this chunk, which cannot be drawn towards a prefix as well',
            ),
        }
      : {}),
  });
}

function networkOf(
  config: DpConfig,
  observation: KeyedObservation,
  action_dim: number,
  tensors: Tensors,
  groups: number,
): GraphBuilder {
  const { network, horizon, n_obs_steps } = config;
  const { width } = observation;
  const cameras = observation.cameras.length > 0;
  const painting = config.obs_as === 'inpainting';
  if (painting && n_obs_steps > horizon)
    throw new TendonError(
      'config_invalid',
      `n_obs_steps: expected at most the horizon of ${horizon} that they are written into, got ${n_obs_steps}`,
    );
  const features = (g: GraphBuilder): Value => observation.graph(g, tensors);
  const paintings = (g: GraphBuilder): Value => placed(g, features(g), horizon, action_dim);
  if (network.kind === 'action_transformer') {
    if (config.obs_encoder?.kind !== 'timm' || config.obs_as !== 'cond')
      throw new TendonError(
        'unsupported',
        'diffusion_policy: network.kind "action_transformer" is read with UMI\'s encoder and obs_as "cond"',
      );
    const [encoder, names] = [config.obs_encoder, config.normalizer_keys];
    const entries = entriesOf(config);
    return actionTransformerGraph(
      { ...network, horizon, action_dim, encoder, entries, names },
      observation,
      tensors,
      groups,
    );
  }
  if (network.kind === 'transformer') {
    if (config.obs_encoder?.kind === 'timm')
      throw new TendonError('unsupported', "diffusion_policy: UMI's encoder is read with a UNet");
    if (!(painting || config.obs_as === 'cond'))
      throw new TendonError(
        'unsupported',
        'diffusion_policy: a transformer is read with obs_as "cond" or "inpainting"',
      );
    if (!painting && !network.time_as_cond)
      throw new TendonError(
        'config_invalid',
        'network.time_as_cond: false leaves no memory for observations; expected obs_as "inpainting"',
      );
    const rows = (g: GraphBuilder): Value => g.reshape(features(g), [1, n_obs_steps, width]);
    return dpTransformerGraph(
      {
        ...network,
        prefix: 'model.',
        input_dim: action_dim + (painting ? width : 0),
        output_dim: action_dim + (painting ? width : 0),
        horizon,
        n_obs_steps,
        cond_dim: painting ? 0 : width,
        ...(painting ? { painted_dim: width } : {}),
        ...(cameras ? { observed: painting ? paintings : rows } : {}),
      },
      tensors,
      groups,
    );
  }
  const timm = config.obs_encoder?.kind === 'timm';
  if (timm && (config.obs_as !== 'global_cond' || !cameras))
    throw new TendonError(
      'unsupported',
      'diffusion_policy: UMI\'s encoder is read with cameras and obs_as "global_cond"',
    );
  const cond_dim = timm ? width : width * n_obs_steps;
  const local = config.obs_as === 'local_cond';
  if (config.obs_as === 'cond' || (local && cameras))
    throw new TendonError(
      'unsupported',
      `diffusion_policy: a UNet is not read with obs_as "${config.obs_as}"${cameras ? ' and cameras' : ''}`,
    );
  const entry = (g: GraphBuilder, x: Value): Value =>
    painted(g, x, width, n_obs_steps, cameras ? paintings(g) : undefined);
  const condition = (g: GraphBuilder): Value => g.reshape(features(g), [1, cond_dim]);
  return unetGraph(
    {
      prefix: 'model.',
      naming: 'diffusion_policy',
      horizon,
      action_dim: action_dim + (painting ? width : 0),
      cond_dim: local || painting ? 0 : cond_dim,
      ...(painting ? { entry } : {}),
      ...(local ? { local_cond_dim: width } : {}),
      ...(cameras && !painting ? { condition } : {}),
      down_dims: network.down_dims,
      kernel_size: network.kernel_size,
      n_groups: network.n_groups,
      step_embed_dim: network.diffusion_step_embed_dim,
      film_scale: network.cond_predict_scale,
    },
    tensors,
    groups,
  );
}
