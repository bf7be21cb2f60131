// HIL-SERL's actor at run time (LeRobot modeling_gaussian_actor.py, GaussianActorPolicy.select_action): cameras through four
// convolutions and a learned embedding of their positions, states through a layer each, an MLP, a draw from a Gaussian
// through tanh; and for a gripper the best of the discrete critic's actions.

import { GraphBuilder, type Value } from '../../native/index.js';
import { clamp, spatialEmbedding } from '../../networks/index.js';
import type { Tensors } from '../tensors.js';
import type { Camera } from '../vision/camera.js';
import type { GaussianActorConfig } from './config.js';

export interface ActorInputs {
  readonly cameras: readonly Camera[];
  /** Lengths of observation.environment_state and observation.state; 0 where there is none. */
  readonly environment: number;
  readonly state: number;
  /** Of the continuous action. */
  readonly action: number;
}

/** Input x (1, 1, action) is noise; F (1, 1, action + 1 with a gripper) the action. */
export function gaussianActorGraph(
  config: GaussianActorConfig,
  inputs: ActorInputs,
  columns: number,
  tensors: Tensors,
): GraphBuilder {
  const g = new GraphBuilder();
  const x = g.slice(g.input('x', [1, 1, columns], 'step'), 2, 0, inputs.action);
  const observed = observe(g, inputs);
  const [own, other] = encoders(config, tensors);
  const actor = encode(g, config, inputs, observed, tensors, own);
  const feature = mlp(g, tensors, 'actor.network.net', config.actor_network_kwargs, actor);
  const mean = tensors.linear(g, feature, 'actor.mean_layer', inputs.action);
  const { std_min, std_max } = config.policy_kwargs;
  const spread = g.unary('exp', tensors.linear(g, feature, 'actor.std_layer', inputs.action));
  const wide = (v: Value): Value => g.reshape(v, [1, 1, v.shape.at(-1)!]);
  // The peer gives the deviations as the diagonal of a covariance, so what is drawn with is their root.
  const deviation = g.unary('sqrt', clamp(g, spread, std_min, std_max));
  const drawn = g.add(wide(mean), g.mul(x, wide(deviation)));
  const pieces = [g.unary('tanh', drawn)];
  const gripper = config.discrete_critic_network_kwargs;
  if (config.num_discrete_actions !== null && gripper !== undefined) {
    const critic = own === other ? actor : encode(g, config, inputs, observed, tensors, other);
    const hidden = mlp(g, tensors, 'discrete_critic.net.net', gripper, critic);
    const values = tensors.linear(g, hidden, 'discrete_critic.output_layer', config.num_discrete_actions);
    pieces.push(wide(first(g, values)));
  }
  g.output('F', g.concat(pieces));
  return g;
}

/**
 * Where the actor's encoder and the discrete critic's lie: an encoder has a name in each module that holds it, of which
 * safetensors keeps the first by the alphabet. The others are the same numbers, or the critic's where none is run.
 */
function encoders(config: GaussianActorConfig, tensors: Tensors): [actor: string, critic: string] {
  const names = tensors.names();
  const one = (...candidates: string[]): string =>
    candidates.find((prefix) => names.some((name) => name.startsWith(prefix))) ?? candidates[0]!;
  const actor = one(
    'actor.encoder.',
    'encoder_actor.',
    ...(config.shared_encoder ? ['encoder_critic.'] : []),
  );
  const critic = config.shared_encoder ? actor : one('discrete_critic.encoder.', 'encoder_critic.');
  for (const prefix of ['actor.encoder.', 'encoder_actor.', 'encoder_critic.', 'discrete_critic.encoder.'])
    if (prefix !== actor && (prefix !== critic || config.num_discrete_actions === null))
      tensors.ignore(new RegExp(`^${prefix.replace('.', '\\.')}`));
  return [actor, critic];
}

/** The place of the largest of the last dim, the first of equal ones. (1, n) → (1, 1) */
function first(g: GraphBuilder, values: Value): Value {
  const n = values.shape[1]!;
  const top = g.reduce('max', values);
  // 0 at the largest, 1 elsewhere; then the least place among the largest.
  const below = clamp(g, g.affine(g.binary('sub', top, values), 1e30, 0), 0, 1);
  const places = g.constant(
    Float32Array.from({ length: n }, (_, i) => i),
    [1, n],
  );
  return g.reduce('min', g.add(places, g.affine(below, n, 0)));
}

type Observed = ReadonlyMap<string, Value>;

function observe(g: GraphBuilder, inputs: ActorInputs): Observed {
  const found = new Map<string, Value>();
  for (const { key, input } of inputs.cameras) found.set(key, g.input(key, [1, ...input], 'observation'));
  if (inputs.environment > 0)
    found.set('env', g.input('observation.environment_state', [1, inputs.environment], 'observation'));
  if (inputs.state > 0) found.set('state', g.input('observation.state', [1, inputs.state], 'observation'));
  return found;
}

/** Linear, layer norm, tanh: `name`.N and `name`.N+1. */
function latent(g: GraphBuilder, tensors: Tensors, name: string, at: number, x: Value, out: number): Value {
  const h = tensors.linear(g, x, `${name}.${at}`, out);
  return g.unary('tanh', tensors.layerNorm(g, h, `${name}.${at + 1}`));
}

function encode(
  g: GraphBuilder,
  config: GaussianActorConfig,
  { cameras }: ActorInputs,
  observed: Observed,
  tensors: Tensors,
  prefix: string,
): Value {
  const { latent_dim: D } = config;
  const parts = cameras.map(({ key }) => {
    const name = key.replaceAll('.', '_');
    const map = convolutions(
      g,
      config,
      tensors,
      `${prefix}image_encoder.image_enc_layers.`,
      observed.get(key)!,
    );
    const kernel = `${prefix}spatial_embeddings.${name}.kernel`;
    const seen = spatialEmbedding(g, tensors, kernel, config.image_embedding_pooling_dim, map);
    return latent(g, tensors, `${prefix}post_encoders.${name}`, 1, seen, D);
  });
  for (const name of ['env', 'state']) {
    const value = observed.get(name);
    if (value !== undefined) parts.push(latent(g, tensors, `${prefix}${name}_encoder`, 0, value, D));
  }
  return g.concat(parts);
}

/** Kernels of 7, 5, 3 and 3 at every second place, without padding. */
function convolutions(
  g: GraphBuilder,
  { image_encoder_hidden_dim: width }: GaussianActorConfig,
  tensors: Tensors,
  prefix: string,
  frames: Value,
): Value {
  return [7, 5, 3, 3].reduce((h, kernel, i) => {
    const weight = tensors.weight(g, `${prefix}${2 * i}.weight`, [width, h.shape[3]!, kernel, kernel]);
    const bias = tensors.weight(g, `${prefix}${2 * i}.bias`, [width]);
    return g.unary('relu', g.conv2d(h, weight, bias, { stride: 2 }));
  }, frames);
}

/** Linear, layer norm and SiLU, layer by layer; the last is linear alone unless it is activated. */
function mlp(
  g: GraphBuilder,
  tensors: Tensors,
  prefix: string,
  { hidden_dims, activate_final }: { hidden_dims: readonly number[]; activate_final: boolean },
  x: Value,
): Value {
  return hidden_dims.reduce((v, dim, i) => {
    const h = tensors.linear(g, v, `${prefix}.${3 * i}`, dim);
    if (i === hidden_dims.length - 1 && !activate_final) return h;
    return g.unary('silu', tensors.layerNorm(g, h, `${prefix}.${3 * i + 1}`));
  }, x);
}
