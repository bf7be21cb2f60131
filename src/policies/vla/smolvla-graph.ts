// SmolVLA's network (Shukor et al. 2025; LeRobot modeling_smolvla.py): SigLIP tower and pixel shuffle, the first layers of a
// small Llama over cameras, text and state, and an expert whose layers by turns attend to the prefix alone (cross) and to
// the prefix and themselves (joint).

import { GraphBuilder, type Value } from '../../native/index.js';
import {
  attended,
  type DecoderStyle,
  gatedMlp,
  type KeysValues,
  keysValues,
  pixelShuffle,
  prefixCache,
  projected,
  queries,
  rmsNorm,
  siglip,
  type Weights,
} from '../../networks/index.js';
import { causal, fixedRotation, type Layout, prefixInputs, prefixLength, rotationInput } from './prefix.js';

export interface SmolvlaSizes {
  readonly layout: Layout;
  readonly style: DecoderStyle;
  readonly vision_heads: number;
  /** Side of the square pictures, pixels. */
  readonly image: number;
  readonly shuffle: number;
  readonly layers: number;
  /** Every how manieth expert layer is joint; 1: all of them. */
  readonly joint_every: number;
  /** Every how manieth has an expert's layer beside it; 1: all of them. */
  readonly expert_every: number;
  readonly width: number;
  readonly expert_width: number;
  readonly max_state_dim: number;
  readonly max_action_dim: number;
}

const MODEL = 'model.';
const VLM = `${MODEL}vlm_with_expert.vlm.model.`;
const EXPERT = `${MODEL}vlm_with_expert.lm_expert.`;

export function smolvlaGraph(weights: Weights, sizes: SmolvlaSizes, groups: number): GraphBuilder {
  const g = new GraphBuilder();
  const { layout, style, width, expert_width, max_state_dim, max_action_dim } = sizes;
  const length = prefixLength(layout);
  const chunk = layout.chunk;
  const inputs = prefixInputs(g, length, chunk, style.head_dim);

  const images = g.input('images', [layout.cameras, sizes.image, sizes.image, 3], 'observation');
  const patches = siglip(g, weights, { prefix: `${VLM}vision_model.`, heads: sizes.vision_heads }, images);
  const shuffled = pixelShuffle(g, patches, sizes.shuffle);
  const seen = projected(g, weights, shuffled, `${VLM}connector.modality_projection.proj`);
  const pictures = g.affine(
    g.reshape(seen, [1, layout.cameras * layout.tokens_per_camera, width]),
    Math.sqrt(width),
    0,
  );
  const text = g.input('text', [1, layout.text, width], 'observation');
  const state = g.input('state', [1, max_state_dim], 'observation');
  const body = g.reshape(weights.linear(g, state, `${MODEL}state_proj`, width), [1, 1, width]);
  const tokens = g.concat([pictures, text, body], 1);
  const cache = prefixCache(
    g,
    weights,
    `${VLM}text_model.`,
    sizes.layers,
    tokens,
    style,
    inputs.rotation,
    inputs.mask,
  );

  const x = g.input('x', [groups, chunk, max_action_dim], 'step');
  const time = g.input('time', [1, expert_width], 'schedule');
  const actions = weights.linear(g, x, `${MODEL}action_in_proj`, expert_width);
  const timed = g.concat(
    [actions, g.expand(g.reshape(time, [1, 1, expert_width]), [groups, chunk, expert_width])],
    2,
  );
  const mixed = g.unary('silu', weights.linear(g, timed, `${MODEL}action_time_mlp_in`, expert_width));
  const suffix = weights.linear(g, mixed, `${MODEL}action_time_mlp_out`, expert_width);

  const h = smolvlaExpert(g, weights, sizes, suffix, cache, inputs.readable);
  const v = weights.linear(g, h, `${MODEL}action_out_proj`, max_action_dim);
  g.output('v', v);
  return g;
}

/** The expert's layers over the action tokens, and its last norm. */
function smolvlaExpert(
  g: GraphBuilder,
  weights: Weights,
  { layout: { chunk }, style, joint_every, expert_every }: SmolvlaSizes,
  suffix: Value,
  cache: readonly KeysValues[],
  prefix: Value,
): Value {
  const norm = rmsNorm(g, weights, style);
  const joint_mask = g.concat([prefix, g.constant(causal(chunk), [chunk, chunk])], 1);
  const behind = rotationInput(g, 'suffix', chunk, style.head_dim);
  // Cross layers count from 0, and their keys, turned in the prefix, are projected again and not turned again.
  const from_zero = fixedRotation(
    g,
    Array.from({ length: chunk }, (_, i) => i),
    style.head_dim,
  );
  let h = suffix;
  cache.forEach((kv, i) => {
    if (i % expert_every !== 0) return;
    const layer = `${EXPERT}layers.${i / expert_every}.`;
    const normed = norm(h, `${layer}input_layernorm`);
    if (i % joint_every === 0) {
      const q = queries(g, weights, layer, normed, style, behind);
      const own = keysValues(g, weights, layer, normed, style, behind);
      h = g.add(h, attended(g, weights, layer, q, [kv, own], joint_mask, style));
    } else {
      const q = queries(g, weights, layer, normed, style, from_zero);
      const crossed = {
        k: projected(g, weights, kv.k, `${layer}self_attn.k_proj`),
        v: projected(g, weights, kv.v, `${layer}self_attn.v_proj`),
      };
      h = g.add(h, attended(g, weights, layer, q, [crossed], prefix, style));
    }
    h = g.add(h, gatedMlp(g, weights, layer, norm(h, `${layer}post_attention_layernorm`), style));
  });
  return norm(h, `${EXPERT}norm`);
}
