// The networks of LeRobot's `tdmpc` (policies/tdmpc/modeling_tdmpc.py, TDMPCTOLD; after FOWM, Feng et al. 2023).

import type { GraphBuilder, UnaryName, Value } from '../../native/index.js';
import type { Tensors } from '../tensors.js';
import { LATENT_ITSELF, type WorldNetworks } from '../world-model/graph.js';
import type { TdmpcConfig } from './config.js';

/** Encoder input by feature key, with the graph's name for it. */
export interface EncoderInput {
  readonly name: 'image' | 'environment' | 'state';
  /** (dim), or (channels, height, width). */
  readonly shape: readonly number[];
}

const PREFIX: Readonly<Record<EncoderInput['name'], string>> = {
  image: 'model._encoder.image_enc_layers',
  environment: 'model._encoder.env_state_enc_layers',
  state: 'model._encoder.state_enc_layers',
};

export function tdmpcNetworks(
  config: TdmpcConfig,
  tensors: Tensors,
  inputs: readonly EncoderInput[],
  action_dim: number,
): WorldNetworks {
  const { latent_dim, mlp_dim, q_ensemble_size } = config;
  const act = (g: GraphBuilder, name: UnaryName, x: Value): Value => g.unary(name, x);

  /** Linear, norm and Mish twice, then a linear layer: layers 0–1, 3–4 and 6 of a Sequential. */
  function mlp(g: GraphBuilder, x: Value, name: string, out: number): Value {
    let h = x;
    for (const i of [0, 3])
      h = act(
        g,
        'mish',
        tensors.layerNorm(g, tensors.linear(g, h, `${name}.${i}`, mlp_dim), `${name}.${i + 1}`),
      );
    return tensors.linear(g, h, `${name}.6`, out);
  }

  function lowDim(g: GraphBuilder, { name, shape }: EncoderInput): Value {
    const p = PREFIX[name];
    const x = g.input(name, [1, shape[0]!], 'observation');
    const h = act(g, 'elu', tensors.linear(g, x, `${p}.0`, config.state_encoder_hidden_dim));
    return act(g, 'sigmoid', tensors.layerNorm(g, tensors.linear(g, h, `${p}.2`, latent_dim), `${p}.3`));
  }

  function image(g: GraphBuilder, { name, shape }: EncoderInput): Value {
    const p = PREFIX[name];
    const [channels, height, width] = shape as [number, number, number];
    let x = g.input(name, [1, height, width, channels], 'observation');
    const hidden = config.image_encoder_hidden_dim;
    [7, 5, 3, 3].forEach((kernel, i) => {
      const weight = tensors.weight(g, `${p}.${2 * i}.weight`, [hidden, x.shape[3]!, kernel, kernel]);
      const bias = tensors.weight(g, `${p}.${2 * i}.bias`, [hidden]);
      x = act(g, 'relu', g.conv2d(x, weight, bias, { stride: 2, pad: 0 }));
    });
    const [, h, w, c] = x.shape as [number, number, number, number];
    // Flattened as torch does, channels first.
    const flat = g.reshape(g.permute(x, [0, 3, 1, 2]), [1, c * h * w]);
    return act(g, 'sigmoid', tensors.layerNorm(g, tensors.linear(g, flat, `${p}.9`, latent_dim), `${p}.10`));
  }

  return {
    latent_dim,
    action_dim,
    critics: q_ensemble_size,
    tail_dim: latent_dim,
    ...LATENT_ITSELF,
    encode(g) {
      const latents = inputs.map((input) => (input.name === 'image' ? image : lowDim)(g, input));
      const sum = latents.reduce((a, b) => g.add(a, b));
      return latents.length === 1 ? sum : g.affine(sum, 1 / latents.length, 0);
    },
    next(g, z, a) {
      const h = mlp(g, g.concat([z, a], 1), 'model._dynamics', latent_dim);
      return act(g, 'sigmoid', tensors.layerNorm(g, h, 'model._dynamics.7'));
    },
    reward: (g, z, a) => mlp(g, g.concat([z, a], 1), 'model._reward', 1),
    value(g, i, z, a) {
      const p = `model._Qs.${i}`;
      const first = tensors.layerNorm(g, tensors.linear(g, g.concat([z, a], 1), `${p}.0`, mlp_dim), `${p}.1`);
      const second = tensors.linear(g, act(g, 'tanh', first), `${p}.3`, mlp_dim);
      return tensors.linear(g, act(g, 'elu', second), `${p}.5`, 1);
    },
    prior(g, z, noise) {
      const mean = act(g, 'tanh', mlp(g, z, 'model._pi', action_dim));
      return noise === undefined ? mean : g.add(mean, g.affine(noise, config.min_std, 0));
    },
  };
}
