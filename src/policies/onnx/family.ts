// The `onnx` family: a denoiser that anyone exported, driven by the samplers there are.

import { join } from 'node:path';
import type { GraphBuilder, Port, Value } from '../../native/index.js';
import { Importer } from '../../onnx/index.js';
import { DIFFUSION_SAMPLERS, type FlowTime, SIGMA_SAMPLERS } from '../../samplers/index.js';
import { type Observation, TendonError } from '../../types/index.js';
import { type OnnxModel, openOnnx } from '../../weights/index.js';
import type { Checkpoint } from '../checkpoint.js';
import { type Definition, definePolicy } from '../define.js';
import type { DenoiserFamily, Sampling } from '../denoiser-family.js';
import { actionCodec, actionMap, conditionVector, lowDimFeatures } from '../features.js';
import { conditioned as givenBeginning } from '../joining.js';
import { diffusion, flow, sigmas } from '../sampling.js';
import { OnnxConfig } from './config.js';
import { type OrtPorts, OrtSession } from './ort-session.js';

export function openOnnxFamily(checkpoint: Checkpoint): DenoiserFamily {
  const { dir } = checkpoint;
  const config = checkpoint.parse(OnnxConfig, 'onnx');
  const model = openOnnx(join(dir, config.model));
  const processing = checkpoint.processing(config);
  const features = lowDimFeatures(config.input_features, processing);
  const action = actionMap(config.output_features, processing);
  const width = features.width * config.n_obs_steps;
  const { sizes } = config;
  const sample = portOf(dir, model, config.sample, 'step', sizes);
  const level = config.level === undefined ? undefined : portOf(dir, model, config.level, 'schedule', sizes);
  const condition =
    config.condition === undefined
      ? undefined
      : portOf(dir, model, config.condition, 'observation', sizes, width);
  const [, horizon, dim] = sample.shape;
  if (sample.shape.length !== 3 || dim !== action.dim)
    throw new TendonError(
      'config_invalid',
      `${model.path}: the sample "${config.sample}" should be (batch, horizon, ${action.dim}) by config.json, but is (${sample.shape.join(', ')}); export it with the time axis in the middle`,
    );
  const first_row = config.first_row ?? config.n_obs_steps - 1;
  const rows = level === undefined ? 1 : level.shape.reduce((a, b) => a * b, 1);
  if (rows !== 1 && (rows !== horizon || config.training.kind !== 'flow'))
    throw new TendonError(
      'config_invalid',
      `${model.path}: the level "${config.level}" has ${rows} values; expected one, or for a flow one per row of the chunk (${horizon})`,
    );
  const conditioned = rows !== 1 && config.training.kind === 'flow' ? config.training.time : undefined;
  const build = (): GraphBuilder =>
    new Importer(model, {
      ...(conditioned === undefined ? {} : { from: prefixed(config, horizon!, dim!, conditioned) }),
      stages: {
        [config.sample]: 'step',
        ...(level === undefined ? {} : { [level.name]: 'schedule' as const }),
        ...(condition === undefined ? {} : { [condition.name]: 'observation' as const }),
      },
      sizes: {
        ...config.sizes,
        [config.sample]: [horizon!, dim!],
        ...(condition === undefined ? {} : { [condition.name]: [width] }),
        ...(level === undefined || rows === 1 ? {} : { [level.name]: level.shape.slice(1) }),
      },
    }).run();
  const { training } = config;
  const { dtype } = model.inputs.find((port) => port.name === level?.name) ?? {};
  if (dtype !== undefined && /^[IU]/.test(dtype) && training.kind !== 'diffusers')
    throw new TendonError(
      'config_invalid',
      `${model.path}: the level "${config.level}" is of whole numbers (${dtype}), and a network of training.kind ${training.kind} is asked between them; expected training.kind diffusers, or a level of F32`,
      { dtype },
    );
  const refused = compiles(build);
  if (refused !== undefined && conditioned !== undefined)
    throw new TendonError(
      'unsupported',
      `${refused}; a network with a time for each row must be one that the core compiles`,
    );
  if (refused !== undefined)
    process.emitWarning(`${refused}. It runs whole on onnxruntime-node instead, slower.`, 'TendonWarning');
  const family = 'onnx';
  const built = {
    rows: horizon!,
    build,
    schedule: (levels: readonly number[]): Record<string, Float32Array> =>
      level === undefined ? {} : { [level.name]: Float32Array.from(levels) },
    condition: (history: readonly Observation[]): Record<string, Float32Array> =>
      condition === undefined ? {} : { [condition.name]: conditionVector(features, history, undefined) },
  };
  const ports = {
    sample,
    level,
    conditions: condition === undefined ? [] : [condition],
    output: model.outputs[0]!.name,
  };

  return definePolicy({
    family,
    rate_hz: config.fps,
    action_dim: action.dim,
    observes: { observation_dims: features.dims },
    network: refused === undefined ? built : elsewhere(built, model, ports),
    sampling: samplingOf(config, family),
    codec: actionCodec(action),
    window: {
      n_obs_steps: config.n_obs_steps,
      first_row,
      n_action_steps: config.n_action_steps,
      rename: processing.rename,
    },
    ...(conditioned === undefined ? {} : { joining: givenBeginning }),
  });
}

/** The network run whole on onnxruntime-node, which has no stages to show and no derivative. */
function elsewhere(network: Definition['network'], model: OnnxModel, ports: OrtPorts): Definition['network'] {
  return {
    ...network,
    build() {
      throw new TendonError(
        'unsupported',
        'this network runs whole on onnxruntime-node, which has no stages to show; `tendon inspect` needs one that the core can compile',
      );
    },
    open({ follow }, { guided, candidates, pool }) {
      if (guided)
        throw new TendonError(
          'unsupported',
          'onnx: a prefix through the derivative needs a denoiser that the core compiles; set derivative: false',
        );
      return OrtSession.open(model, ports, follow, candidates, pool.size);
    },
  };
}

/**
 * A network with a time for each row was trained with the beginning of its chunk given (Black et al. 2025, "Training-time
 * action conditioning for efficient real-time chunking"): rows of the prefix go in as they are, at the time of what is
 * clean; the others noisy, at the time of the step.
 */
function prefixed(config: OnnxConfig, horizon: number, dim: number, time: FlowTime) {
  const given = (g: GraphBuilder): Value => g.input('prefix_weights', [1, horizon, 1], 'observation');
  let weights: Value | undefined;
  return {
    [config.sample]: (g: GraphBuilder): Value => {
      weights ??= given(g);
      const noisy = g.input(config.sample, [1, horizon, dim], 'step');
      const prefix = g.input('prefix', [1, horizon, dim], 'observation');
      return g.add(g.mul(noisy, g.affine(weights, -1, 1)), g.mul(prefix, weights));
    },
    [config.level!]: (g: GraphBuilder, shape: readonly number[]): Value => {
      weights ??= given(g);
      const level = g.input(config.level!, [1, 1, 1], 'schedule');
      const clean = time === 'noise_at_one' ? 0 : 1;
      // level + weight·(clean − level)
      const row = g.add(level, g.mul(weights, g.affine(level, -1, clean)));
      return g.reshape(row, shape);
    },
  };
}

/** Why the core cannot compile it, or undefined. Damaged files are errors all the same. */
function compiles(build: () => unknown): string | undefined {
  try {
    build();
    return undefined;
  } catch (caught) {
    if (caught instanceof TendonError && caught.code === 'unsupported') return caught.message;
    throw caught;
  }
}

function samplingOf({ training, sampler, num_inference_steps: steps }: OnnxConfig, family: string): Sampling {
  if (training.kind === 'flow') return flow(family, training.time, steps, 400, sampler);
  return training.kind === 'edm'
    ? sigmas(training, { sampler: sampler ?? SIGMA_SAMPLERS[0]!, steps })
    : diffusion(family, training, { sampler: sampler ?? DIFFUSION_SAMPLERS[0]!, steps });
}

/** An input of the file, its batch as 1; `width`: values that all its dims together must have. */
function portOf(
  dir: string,
  model: OnnxModel,
  name: string,
  stage: Port['stage'],
  sizes: OnnxConfig['sizes'],
  width?: number,
): Port {
  const port = model.inputs.find((p) => p.name === name);
  if (port === undefined)
    throw new TendonError(
      'config_invalid',
      `${dir}/config.json: the model has no input "${name}"; it has ${model.inputs.map((p) => p.name).join(', ')}`,
    );
  const open = [...(sizes[name] ?? [])];
  const shape = port.dims.map((d, i) => (i === 0 ? 1 : (d ?? open.shift() ?? width ?? 0)));
  if (shape.includes(0))
    throw new TendonError(
      'config_invalid',
      `${model.path}: input "${name}" has open dims (${port.dims.map((d) => d ?? '?').join(', ')}); give their sizes, the batch's apart, in order: "sizes": { "${name}": [...] } in config.json`,
      { name },
    );
  const values = shape.reduce((a, b) => a * b, 1);
  if (width !== undefined && values !== width)
    throw new TendonError(
      'config_invalid',
      `${model.path}: input "${name}" has ${values} values, n_obs_steps × input_features give ${width}`,
    );
  return { name, shape: shape.length === 0 ? [1] : shape, stage };
}
