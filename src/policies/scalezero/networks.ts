// ScaleZero's world model (LightZero's world_model_multitask.py for continuous actions): tokens of observations and
// actions in turn; at an action the transformer says reward and next observation's token, at an observation value and
// policy.

import type { GraphBuilder, Value } from '../../native/index.js';
import { clamp, isPositive } from '../../networks/index.js';
import type { Tensors } from '../tensors.js';
import type { WorldNetworks } from '../world-model/graph.js';
import { contextTokens, type ScalezeroConfig } from './config.js';
import { type Kept, Transformer } from './transformer.js';

/** What a rollout carries. */
export interface Imagined {
  /** The latent: tokens of observations and actions, oldest first, and how many observations there are. */
  readonly window: Value;
  /** Keys and values of every token so far. */
  readonly kept: Kept;
  /** Position of the token to come, (rows, 1). */
  readonly position: Value;
  /** The transformer's feature at the newest observation, (rows, embed_dim). */
  readonly feature: Value;
  /** Its feature at the action that led here. */
  readonly acted?: Value;
}

export const latentDim = (
  { infer_context_length: C, embed_dim }: ScalezeroConfig,
  action_dim: number,
): number => C * embed_dim + (C - 1) * action_dim + 1;

export function scalezeroNetworks(
  config: ScalezeroConfig,
  tensors: Tensors,
  state_dim: number,
  action_dim: number,
): WorldNetworks<Imagined> {
  const { embed_dim: D, infer_context_length: C, task_id } = config;
  const transformer = new Transformer(config, tensors, 'world_model.transformer');
  const head_id = config.share_head ? 0 : task_id;

  const simnorm = (g: GraphBuilder, x: Value): Value => {
    const groups = g.reshape(x, [1, D / config.group_size, config.group_size]);
    return g.reshape(g.softmax(groups), [1, D]);
  };
  const final = (g: GraphBuilder, x: Value, kind: 'LayerNorm' | 'SimNorm', name: string): Value =>
    kind === 'LayerNorm' ? tensors.layerNorm(g, x, name) : simnorm(g, x);
  const actionToken = (g: GraphBuilder, a: Value): Value =>
    simnorm(g, tensors.linear(g, a, `world_model.act_embedding_table.${task_id}.0`, D, false));

  /** Tokens (rows, n, D) with the learned vectors of their positions (rows, n). */
  function placed(g: GraphBuilder, tokens: Value, positions: Value): Value {
    const table = tensors.weight(g, 'world_model.pos_emb.weight', [config.max_tokens, D]);
    return g.add(tokens, g.gather(table, positions));
  }

  function head(g: GraphBuilder, x: Value, kind: string, out: number): Value {
    const name = `world_model.head_${kind}_multi_task.${head_id}.head_module`;
    const wide = tensors.linear(g, tensors.layerNorm(g, x, `${name}.0`), `${name}.1`, D);
    const h = g.unary('gelu_tanh', tensors.layerNorm(g, wide, `${name}.2`));
    return tensors.linear(g, h, `${name}.4`, out);
  }

  /** One token after what is kept. */
  function follow(g: GraphBuilder, token: Value, position: Value, kept: Kept): { out: Value; kept: Kept } {
    const { out, kept: longer } = transformer.run(g, placed(g, g.reshape(token, [1, 1, D]), position), kept);
    return { out: g.reshape(out, [1, D]), kept: longer };
  }

  /** The window with a step more, its oldest left out. */
  function moved(g: GraphBuilder, window: Value, a: Value, token: Value): Value {
    const rest = C > 1 ? [g.slice(window, 1, D, (C - 1) * D)] : [];
    const actions = C > 2 ? [g.slice(window, 1, C * D + action_dim, (C - 2) * action_dim)] : [];
    const count = g.affine(g.slice(window, 1, latentDim(config, action_dim) - 1, 1), 1, 1);
    const most = g.binary('minimum', count, g.constant([C], [1]));
    return g.concat([...rest, token, ...actions, ...(C > 1 ? [a] : []), most], 1);
  }

  /** The transformer over the window, once per plan: what it keeps depends on nothing that is imagined. */
  function begin(g: GraphBuilder, window: Value): Imagined {
    const count = g.slice(window, 1, latentDim(config, action_dim) - 1, 1);
    const tokens: Value[] = [];
    const positions: Value[] = [];
    const valid: Value[] = [];
    for (let i = 0; i < contextTokens(config); i++) {
      const slot = i >> 1;
      const token =
        i % 2 === 0
          ? g.slice(window, 1, slot * D, D)
          : actionToken(g, g.slice(window, 1, C * D + slot * action_dim, action_dim));
      tokens.push(g.reshape(token, [1, 1, D]));
      // Slots are filled from the end; the first that is has position 0.
      positions.push(g.affine(count, 2, 2 * (slot - C) + (i % 2)));
      valid.push(isPositive(g, g.affine(count, 1, slot - C + 0.5)));
    }
    const place = clamp(g, g.concat(positions, 1), 0, config.max_tokens - 1);
    const shown = C === 1 ? undefined : g.reshape(g.concat(valid, 1), [1, tokens.length, 1]);
    const { out, kept } = transformer.run(g, placed(g, g.concat(tokens, 1), place), undefined, shown);
    const feature = g.reshape(g.slice(out, 1, tokens.length - 1, 1), [1, D]);
    return { window, kept, position: g.affine(count, 2, -1), feature };
  }

  return {
    latent_dim: latentDim(config, action_dim),
    action_dim,
    critics: 1,
    tail_dim: D,
    /** The window before (`previous`) moved on by the action taken and what is seen; `first` is 1 at an episode's start. */
    encode(g) {
      const name = `representation_network.fc_representation.${task_id}`;
      const seen = g.input('observation', [1, state_dim], 'observation');
      const normed = tensors.layerNorm(g, tensors.linear(g, seen, `${name}.0`, D), `${name}.1`);
      const raw = tensors.linear(g, g.unary('gelu_tanh', normed), `${name}.3`, D);
      const kind = config.final_norm_option_in_encoder;
      const token = final(g, raw, kind, 'representation_network.final_norm');
      const first = g.input('first', [1, 1], 'observation');
      const before = g.input('previous', [1, latentDim(config, action_dim)], 'observation');
      const action = g.input('previous_action', [1, action_dim], 'observation');
      return moved(g, g.mul(before, g.affine(first, -1, 1)), action, token);
    },
    begin,
    next(g, { window, kept, position }, a) {
      const acted = follow(g, actionToken(g, a), position, kept);
      const said = head(g, acted.out, 'observations', D);
      const kind = config.final_norm_option_in_obs_head;
      const name = `world_model.head_observations_multi_task.${head_id}.head_module.5`;
      const token = final(g, said, kind, name);
      const seen = follow(g, token, g.affine(position, 1, 1), acted.kept);
      return {
        window: moved(g, window, a, token),
        kept: seen.kept,
        position: g.affine(position, 1, 2),
        feature: seen.out,
        acted: acted.out,
      };
    },
    reward: (g, _z, _a, after) =>
      numberOf(
        g,
        head(g, after.acted!, 'rewards', bins(config.reward_support_range)),
        config.reward_support_range,
      ),
    tail: (_g, z) => z.feature,
    value: (g, _critic, feature) =>
      numberOf(g, head(g, feature, 'value', bins(config.value_support_range)), config.value_support_range),
    prior(g, { feature }, noise) {
      const name = `world_model.head_policy_multi_task.${head_id}.head_module`;
      let h = feature;
      for (const i of [0, 2]) h = g.unary('gelu_tanh', tensors.linear(g, h, `${name}.main.${i}`, D));
      const raw = tensors.linear(g, h, `${name}.mu`, action_dim);
      const mean = config.bound_type === 'tanh' ? g.unary('tanh', raw) : raw;
      if (noise === undefined) return g.unary('tanh', mean);
      const spread =
        config.sigma_type === 'fixed'
          ? g.affine(noise, config.fixed_sigma_value, 0)
          : g.mul(
              g.unary('exp', clamp(g, tensors.linear(g, h, `${name}.log_sigma_layer`, action_dim), -20, 2)),
              noise,
            );
      return g.unary('tanh', g.add(mean, spread));
    },
    // A node of a tree keeps its window, from which keys and values are computed again when it is expanded, and its
    // feature, which is all that drawing actions needs.
    packing: {
      pack: (g, z) => g.concat([z.window, z.feature], 1),
      unpack(g, packed) {
        const width = latentDim(config, action_dim);
        const feature = g.slice(packed, 1, width, D);
        return { ...begin(g, g.slice(packed, 1, 0, width)), feature };
      },
    },
  };
}

const bins = ([low, high]: readonly [number, number, number]): number => high - low;

/** Σ softmax·bins, then the inverse of h(x) = sign(x)(√(|x| + 1) − 1) + εx (MuZero), with its root rationalised. */
function numberOf(g: GraphBuilder, logits: Value, [low, high]: readonly [number, number, number]): Value {
  const eps = 0.001;
  const n = high - low;
  const support = g.constant(
    Float32Array.from({ length: n }, (_, i) => low + i),
    [n],
  );
  const scaled = g.reduce('sum', g.mul(g.softmax(logits), support));
  const side = (v: Value): Value => {
    const w = g.affine(g.unary('relu', v), 1, 1 + eps);
    const root = g.unary('sqrt', g.affine(w, 4 * eps, 1));
    return g.unary('square', g.binary('div', g.affine(w, 2, 0), g.affine(root, 1, 1)));
  };
  return g.binary('sub', side(scaled), side(g.affine(scaled, -1, 0)));
}
