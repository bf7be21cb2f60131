// UMI's transformer policy (real-stanford/universal_manipulation_interface d095ba9, model/vision/transformer_obs_encoder.py and
// model/diffusion/transformer_for_action_diffusion.py): every patch, place and observation becomes a token; a pre-norm decoder
// over the noisy actions attends to them and to the time, which is their last.

import { GraphBuilder, type Value } from '../../native/index.js';
import { feedForward, multiHead } from '../../networks/index.js';
import type { Feature } from '../fields.js';
import type { KeyedObservation } from '../keyed-observation.js';
import type { Tensors } from '../tensors.js';
import type { TimmConfig } from './config.js';
import { timmTokens } from './timm.js';

export interface ActionTransformer {
  readonly n_layer: number;
  readonly n_head: number;
  readonly n_emb: number;
  readonly horizon: number;
  readonly action_dim: number;
  readonly encoder: TimmConfig;
  /** Cameras first, each kind by name. */
  readonly entries: readonly (readonly [key: string, feature: Feature])[];
  /** The name that a key has in the encoder. */
  readonly names: Readonly<Record<string, string>>;
}

/** Entries: `F` (groups, horizon, action_dim) from `x`, `timestep_embedding` and the observations under their keys. */
export function actionTransformerGraph(
  net: ActionTransformer,
  observation: KeyedObservation,
  tensors: Tensors,
  groups: number,
): GraphBuilder {
  const { n_emb: D, horizon } = net;
  const g = new GraphBuilder();
  const x = g.input('x', [groups, horizon, net.action_dim], 'step');
  const time = g.input('timestep_embedding', [1, 1, D], 'schedule');
  const seen = observed(g, net, observation, tensors);
  const positions = tensors.weight(g, 'model.cond_pos_emb', [1, seen.shape[1]! + 1, D]);
  const memory = g.add(g.concat([seen, time], 1), positions);
  const norm = (v: Value, name: string): Value => tensors.layerNorm(g, v, `model.${name}`);
  const attend = (name: string, q: Value, kv: Value): Value =>
    multiHead(g, tensors, `model.${name}`, [q, kv, kv], { heads: net.n_head });
  const tokens = tensors.linear(g, x, 'model.input_emb', D);
  let h = g.add(tokens, tensors.weight(g, 'model.pos_emb', [1, horizon, D]));
  for (let i = 0; i < net.n_layer; i++) {
    const layer = `decoder.layers.${i}`;
    const own = norm(h, `${layer}.norm1`);
    h = g.add(h, attend(`${layer}.self_attn`, own, own));
    h = g.add(h, attend(`${layer}.multihead_attn`, norm(h, `${layer}.norm2`), memory));
    h = g.add(h, feedForward(g, tensors, `model.${layer}`, norm(h, `${layer}.norm3`), 4 * D, 'gelu'));
  }
  g.output('F', tensors.linear(g, norm(h, 'ln_f'), 'model.head', net.action_dim));
  return g;
}

/** (1, tokens, n_emb) */
function observed(
  g: GraphBuilder,
  net: ActionTransformer,
  observation: KeyedObservation,
  tensors: Tensors,
): Value {
  const { n_emb: D, encoder } = net;
  const all = net.entries.map(([key]) => {
    const name = net.names[key] ?? key;
    const count = encoder.horizons[key]!;
    const camera = observation.cameras.find((c) => c.key === key);
    const tokens =
      camera === undefined
        ? g.input(key, [count, observation.dims[key]!], 'observation')
        : timmTokens(
            g,
            tensors,
            encoder,
            name,
            camera,
            g.input(key, [count, ...camera.input], 'observation'),
          );
    const width = tokens.shape.at(-1)!;
    const projected =
      width === D ? tokens : tensors.linear(g, tokens, `obs_encoder.key_projection_map.${name}`, D);
    return g.reshape(projected, [1, projected.shape.reduce((n, d) => n * d, 1) / D, D]);
  });
  return all.length === 1 ? all[0]! : g.concat(all, 1);
}
