// ACT at run time (LeRobot modeling_act.py): the latent is zero, an encoder over [latent, state, environment, pixels of
// each camera's feature map], a decoder whose queries are learned positions, one action per query. Positions are added
// to queries and keys only.

import { GraphBuilder, type Value } from '../../native/index.js';
import { feedForward, multiHead, resnet, sinePositions } from '../../networks/index.js';
import type { Tensors } from '../tensors.js';
import type { Camera } from '../vision/camera.js';
import type { ActConfig } from './config.js';

export interface ActDims {
  /** 0 where the policy has none. */
  readonly state: number;
  readonly environment: number;
  readonly action: number;
}

export function actGraph(
  config: ActConfig,
  dims: ActDims,
  cameras: readonly Camera[],
  tensors: Tensors,
  groups: number,
): GraphBuilder {
  const { dim_model: D, n_heads: heads, chunk_size } = config;
  // Training only: the VAE's encoder. A zero latent leaves of its projection the bias.
  tensors.ignore(/^model\.vae_encoder/);
  tensors.ignore(/^model\.encoder_latent_input_proj\.weight$/);
  const g = new GraphBuilder();
  const norm = (v: Value, name: string): Value => tensors.layerNorm(g, v, name);

  const tokens = [g.reshape(tensors.weight(g, 'model.encoder_latent_input_proj.bias', [D]), [1, 1, D])];
  if (dims.state > 0) {
    const state = g.input('state', [groups, 1, dims.state], 'observation');
    tokens.push(tensors.linear(g, state, 'model.encoder_robot_state_input_proj', D));
  }
  if (dims.environment > 0) {
    const environment = g.input('environment', [groups, 1, dims.environment], 'observation');
    tokens.push(tensors.linear(g, environment, 'model.encoder_env_state_input_proj', D));
  }
  const positions = (name: string, count: number): Value =>
    g.reshape(tensors.weight(g, name, [count, D]), [1, count, D]);
  // Its name until mid-2024, when there was no environment state.
  const before = 'model.encoder_robot_and_latent_pos_embed.weight';
  const now = 'model.encoder_1d_feature_pos_embed.weight';
  const places = [positions(tensors.has(before) ? before : now, tokens.length)];
  cameras.forEach((camera, i) => {
    const frame = g.input(camera.key, [1, ...camera.input], 'observation');
    const prefix = config.backbone_per_camera ? `model.backbones.${i}.` : 'model.backbone.';
    const [, h, w] = pixels(g, config, tensors, prefix, frame, tokens).shape as [number, number, number];
    places.push(g.constant(sinePositions(h, w, D), [1, h * w, D]));
  });
  const encoderPositions = g.concat(places, 1);
  const queries = positions('model.decoder_pos_embed.weight', chunk_size);

  // x + f(norm(x)) before, norm(x + f(x)) after.
  const residual = (x: Value, name: string, f: (u: Value) => Value): Value =>
    config.pre_norm ? g.add(x, f(norm(x, name))) : norm(g.add(x, f(x)), name);
  const attend = (name: string, q: Value, k: Value, v: Value): Value =>
    multiHead(g, tensors, name, [q, k, v], { heads });
  const feed = (name: string, u: Value): Value =>
    feedForward(g, tensors, name, u, config.dim_feedforward, config.feedforward_activation);

  let memory = g.concat(tokens, 1);
  for (let i = 0; i < config.n_encoder_layers; i++) {
    const name = `model.encoder.layers.${i}`;
    memory = residual(memory, `${name}.norm1`, (u) => {
      const placed = g.add(u, encoderPositions);
      return attend(`${name}.self_attn`, placed, placed, u);
    });
    memory = residual(memory, `${name}.norm2`, (u) => feed(name, u));
  }
  if (config.pre_norm) memory = norm(memory, 'model.encoder.norm');

  const keys = g.add(memory, encoderPositions);
  let h = g.constant(new Float32Array(chunk_size * D), [1, chunk_size, D]);
  for (let i = 0; i < config.n_decoder_layers; i++) {
    const name = `model.decoder.layers.${i}`;
    h = residual(h, `${name}.norm1`, (u) => {
      const placed = g.add(u, queries);
      return attend(`${name}.self_attn`, placed, placed, u);
    });
    h = residual(h, `${name}.norm2`, (u) =>
      attend(`${name}.multihead_attn`, g.add(u, queries), keys, memory),
    );
    h = residual(h, `${name}.norm3`, (u) => feed(name, u));
  }
  g.output('F', tensors.linear(g, norm(h, 'model.decoder.norm'), 'model.action_head', dims.action));
  return g;
}

/** Adds a camera's tokens, row by row of its feature map, and gives that map. */
function pixels(
  g: GraphBuilder,
  config: ActConfig,
  tensors: Tensors,
  prefix: string,
  frame: Value,
  tokens: Value[],
): Value {
  const net = {
    backbone: config.vision_backbone,
    prefix,
    naming: 'torchvision',
    group_norm: false,
    dilate_last: Boolean(config.replace_final_stride_with_dilation),
  } as const;
  const map = resnet(g, tensors, net, frame);
  const [, h, w, c] = map.shape as [number, number, number, number];
  const D = config.dim_model;
  const weight = tensors.weight(g, 'model.encoder_img_feat_input_proj.weight', [D, c, 1, 1]);
  const projected = g.conv2d(map, weight, tensors.weight(g, 'model.encoder_img_feat_input_proj.bias', [D]));
  tokens.push(g.reshape(projected, [1, h * w, D]));
  return map;
}
