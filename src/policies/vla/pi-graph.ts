// π0 and π0.5 (Black et al. 2024, 2025; openpi, LeRobot modeling_pi0.py and modeling_pi05.py): a SigLIP tower and Gemma over
// cameras and text, and an expert whose every layer attends to the prefix and to all action tokens. π0 has a state token
// and mixes time into the action tokens; π0.5 tells time through adaptive norms.

import { GraphBuilder, type Value } from '../../native/index.js';
import {
  attended,
  type DecoderStyle,
  gatedMlp,
  type KeysValues,
  keysValues,
  prefixCache,
  queries,
  rmsNorm,
  siglip,
  type Weights,
} from '../../networks/index.js';
import { type Layout, prefixInputs, prefixLength, rotationInput } from './prefix.js';

export interface PiSizes {
  readonly layout: Layout;
  readonly style: DecoderStyle;
  readonly vision_heads: number;
  readonly image: number;
  readonly layers: number;
  readonly width: number;
  readonly expert_width: number;
  readonly max_state_dim: number;
  readonly max_action_dim: number;
  /** π0.5 */
  readonly adaptive: boolean;
  /** π0.5 that was trained with the beginning of its chunk given: the embedding of the time of such rows, which is 0. */
  readonly clean_time?: Float32Array;
  /** Names as the file has them. */
  readonly model: string;
  readonly vision: string;
}

export function piGraph(weights: Weights, sizes: PiSizes, groups: number): GraphBuilder {
  const g = new GraphBuilder();
  const { layout, style, width, expert_width, max_action_dim, adaptive, model } = sizes;
  const { chunk } = layout;
  const length = prefixLength(layout);
  const inputs = prefixInputs(g, length, chunk, style.head_dim);

  const images = g.input('images', [layout.cameras, sizes.image, sizes.image, 3], 'observation');
  const patches = siglip(g, weights, { prefix: sizes.vision, heads: sizes.vision_heads }, images);
  const seen = weights.linear(
    g,
    patches,
    `${model}paligemma_with_expert.paligemma.model.multi_modal_projector.linear`,
    width,
  );
  const pictures = g.reshape(seen, [1, layout.cameras * layout.tokens_per_camera, width]);
  const text = g.input('text', [1, layout.text, width], 'observation');
  const tokens = g.concat([pictures, text], 1);
  const language = `${model}paligemma_with_expert.paligemma.model.language_model.`;
  let cache = prefixCache(g, weights, language, sizes.layers, tokens, style, inputs.rotation, inputs.mask);

  // Where a state token stands, the actions stand one further.
  const behind = rotationInput(g, 'suffix', chunk + (adaptive ? 0 : 1), style.head_dim);
  const at = (first: number, count: number) => ({
    cos: g.slice(behind.cos, 1, first, count),
    sin: g.slice(behind.sin, 1, first, count),
  });
  const expert = new Expert(g, weights, sizes);
  if (!adaptive) {
    const state = g.input('state', [1, sizes.max_state_dim], 'observation');
    const token = g.reshape(weights.linear(g, state, `${model}state_proj`, expert_width), [
      1,
      1,
      expert_width,
    ]);
    cache = expert.extend(token, cache, g.input('state_mask', [1, length + 1], 'observation'), at(0, 1));
  }

  const drawn = g.input('x', [groups, chunk, max_action_dim], 'step');
  const given = sizes.clean_time === undefined ? undefined : givenRows(g, chunk, max_action_dim);
  const x = given === undefined ? drawn : chosen(g, drawn, given.rows, given.weights);
  const time = g.input('time', [1, expert_width], 'schedule');
  const actions = weights.linear(g, x, `${model}action_in_proj`, expert_width);
  const silu = (v: Value): Value => g.unary('silu', v);
  const dense = (v: Value, name: string): Value => weights.linear(g, v, `${model}${name}`, expert_width);
  let h: Value;
  let condition: Condition | undefined;
  if (adaptive) {
    h = actions;
    const told = (t: Value): Value => silu(dense(silu(dense(t, 'time_mlp_in')), 'time_mlp_out'));
    const clean =
      sizes.clean_time === undefined ? undefined : g.constant(sizes.clean_time, [1, expert_width]);
    condition = {
      time: told(time),
      ...(given === undefined || clean === undefined ? {} : { clean: told(clean), weights: given.weights }),
    };
  } else {
    const timed = g.expand(g.reshape(time, [1, 1, expert_width]), [groups, chunk, expert_width]);
    h = dense(silu(dense(g.concat([actions, timed], 2), 'action_time_mlp_in')), 'action_time_mlp_out');
  }
  h = expert.denoise(h, cache, inputs.readable, at(adaptive ? 0 : 1, chunk), condition);
  g.output('v', weights.linear(g, h, `${model}action_out_proj`, max_action_dim));
  return g;
}

/** What tells the adaptive norms the time: of all rows, or of rows that are clean where `weights` (1, chunk, 1) is 1. */
interface Condition {
  readonly time: Value;
  readonly clean?: Value;
  readonly weights?: Value;
}

/** Rows of the chunk that are decided: (1, chunk, dim), and 1 or 0 for each. */
function givenRows(g: GraphBuilder, chunk: number, dim: number): { rows: Value; weights: Value } {
  return {
    rows: g.input('given', [1, chunk, dim], 'observation'),
    weights: g.input('given_weights', [1, chunk, 1], 'observation'),
  };
}

/** `then` where the weight is 1, `otherwise` where it is 0. */
const chosen = (g: GraphBuilder, otherwise: Value, then: Value, weights: Value): Value =>
  g.add(g.mul(otherwise, g.affine(weights, -1, 1)), g.mul(then, weights));

type Normed = { readonly y: Value; readonly gate: Value | undefined };

/** The action expert, over one state token or over the chunk. */
class Expert {
  private readonly prefix: string;

  constructor(
    private readonly g: GraphBuilder,
    private readonly weights: Weights,
    private readonly sizes: PiSizes,
  ) {
    this.prefix = `${sizes.model}paligemma_with_expert.gemma_expert.model.`;
  }

  /** The cache with what one more token leaves in it, which sees the prefix and itself. */
  extend(
    token: Value,
    cache: readonly KeysValues[],
    mask: Value,
    rotation: Parameters<typeof queries>[5],
  ): KeysValues[] {
    const { g, weights, sizes } = this;
    const norm = rmsNorm(g, weights, sizes.style);
    let h = token;
    return cache.map((kv, i) => {
      const layer = `${this.prefix}layers.${i}.`;
      const normed = norm(h, `${layer}input_layernorm`);
      const own = keysValues(g, weights, layer, normed, sizes.style, rotation);
      if (i + 1 < cache.length) {
        const q = queries(g, weights, layer, normed, sizes.style, rotation);
        h = g.add(h, attended(g, weights, layer, q, [kv, own], mask, sizes.style));
        h = g.add(h, gatedMlp(g, weights, layer, norm(h, `${layer}post_attention_layernorm`), sizes.style));
      }
      return { k: g.concat([kv.k, own.k], 1), v: g.concat([kv.v, own.v], 1) };
    });
  }

  /** All layers over the action tokens, which see each other both ways, and the last norm. */
  denoise(
    actions: Value,
    cache: readonly KeysValues[],
    readable: Value,
    rotation: Parameters<typeof queries>[5],
    condition: Condition | undefined,
  ): Value {
    const { g, weights, sizes } = this;
    const { chunk } = sizes.layout;
    // Behind the prefix: a state token, where there is one, and the actions themselves.
    const rest = cache[0]!.k.shape[1]! - readable.shape[1]! + chunk;
    const mask = g.concat([readable, g.constant(new Float32Array(chunk * rest), [chunk, rest])], 1);
    let h = actions;
    cache.forEach((kv, i) => {
      const layer = `${this.prefix}layers.${i}.`;
      const before = this.norm(h, `${layer}input_layernorm`, condition);
      const q = queries(g, weights, layer, before.y, sizes.style, rotation);
      const own = keysValues(g, weights, layer, before.y, sizes.style, rotation);
      h = this.residual(h, attended(g, weights, layer, q, [kv, own], mask, sizes.style), before);
      const after = this.norm(h, `${layer}post_attention_layernorm`, condition);
      h = this.residual(h, gatedMlp(g, weights, layer, after.y, sizes.style), after);
    });
    return this.norm(h, `${this.prefix}norm`, condition).y;
  }

  /** Gemma's norm, or an adaptive one: x̂·(1 + scale) + shift with a gate for the residual (adaRMS). */
  private norm(x: Value, name: string, condition: Condition | undefined): Normed {
    const { g, weights, sizes } = this;
    if (condition === undefined) return { y: rmsNorm(g, weights, sizes.style)(x, name), gate: undefined };
    const n = sizes.expert_width;
    const dense = (c: Value): Value => g.reshape(weights.linear(g, c, `${name}.dense`, 3 * n), [1, 1, 3 * n]);
    const { time, clean, weights: decided } = condition;
    const all =
      clean === undefined || decided === undefined
        ? dense(time)
        : chosen(g, dense(time), dense(clean), decided);
    const [scale, shift, gate] = [0, 1, 2].map((i) => g.slice(all, 2, i * n, n)) as [Value, Value, Value];
    const normed = g.rmsNorm(x, undefined, sizes.style.eps);
    return { y: g.add(g.mul(normed, g.affine(scale, 1, 1)), shift), gate };
  }

  private residual(x: Value, f: Value, { gate }: Normed): Value {
    return this.g.add(x, gate === undefined ? f : this.g.mul(f, gate));
  }
}
