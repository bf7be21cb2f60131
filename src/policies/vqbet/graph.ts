// VQ-BeT at run time (Lee et al. 2024; LeRobot modeling_vqbet.py): a GPT over the tokens of images, state and an action
// query of each observation; the newest query's feature chooses one code of each of two codebooks at random and adds
// an offset to what the codes decode to.

import { GraphBuilder, type Value } from '../../native/index.js';
import { causalMask, drawOne } from '../../networks/index.js';
import type { Tensors } from '../tensors.js';
import type { Camera } from '../vision/camera.js';
import { rgbEncoder, rgbEncoderConfig } from '../vision/rgb-encoder.js';
import type { VqbetConfig } from './config.js';

/** Residual codebooks; fixed in the peer. */
export const CODEBOOKS = 2;

/** Rows of x: the chunk, then as many as it takes to hold a normal draw for every code. */
export const sampleRows = (config: VqbetConfig, action_dim: number): number =>
  config.action_chunk_size + Math.ceil((CODEBOOKS * config.vqvae_n_embed) / action_dim);

/** Input `x` (1, sampleRows, action_dim) is noise; output F holds the chunk in its first rows and zeros after. */
export function vqbetGraph(
  config: VqbetConfig,
  cameras: readonly Camera[],
  state_dim: number,
  action_dim: number,
  tensors: Tensors,
): GraphBuilder {
  // Training only: the quantiser's encoder and its running averages; masks that are known anyway.
  tensors.ignore(/^vqbet\.action_head\.vqvae_model\.(encoder\.|discretized$|vq_layer\.freeze_codebook$)/);
  tensors.ignore(/\._codebook\.(initted|cluster_size|embed_avg)$/);
  tensors.ignore(/^vqbet\.(select_target_actions_indices$|policy\..*\.attn\.bias$)/);
  const g = new GraphBuilder();
  const feature = queryFeature(g, config, cameras, state_dim, tensors);
  const codes = config.vqvae_n_embed;
  const chunk = config.action_chunk_size;
  const rows = sampleRows(config, action_dim);
  const x = g.input('x', [1, rows, action_dim], 'step');

  const head = 'vqbet.action_head.';
  const noise = g.reshape(x, [1, 1, rows * action_dim]);
  const choose = (logits: Value, codebook: number): Value =>
    drawOne(
      g,
      g.affine(logits, 1 / config.bet_softmax_temperature, 0),
      g.slice(noise, 2, chunk * action_dim + codebook * codes, codes),
    );
  const chosen: Value[] = [];
  if (config.sequentially_select) {
    chosen.push(choose(tensors.linear(g, feature, `${head}map_to_cbet_preds_primary_bin.0`, codes), 0));
    const known = g.concat([feature, chosen[0]!]);
    chosen.push(choose(tensors.linear(g, known, `${head}map_to_cbet_preds_secondary_bin.0`, codes), 1));
  } else {
    const logits = tensors.linear(g, feature, `${head}map_to_cbet_preds_bin.0`, CODEBOOKS * codes);
    for (let i = 0; i < CODEBOOKS; i++) chosen.push(choose(g.slice(logits, 2, i * codes, codes), i));
  }

  const latent = chosen
    .map((one, i) => {
      const name = `${head}vqvae_model.vq_layer.layers.${i}._codebook.embed`;
      return g.matmul(one, tensors.weight(g, name, [1, codes, config.vqvae_embedding_dim]));
    })
    .reduce((a, b) => g.add(a, b));
  const layer = (v: Value, i: number, out: number): Value =>
    tensors.linear(g, v, `${head}vqvae_model.decoder.${i}`, out);
  const hidden = config.vqvae_enc_hidden_dim;
  const size = chunk * action_dim;
  const decoded = layer(
    g.unary('relu', layer(g.unary('relu', layer(latent, 0, hidden)), 2, hidden)),
    4,
    size,
  );
  const offsets = tensors.linear(g, feature, `${head}map_to_cbet_preds_offset.0`, CODEBOOKS * codes * size);
  const offset = g.matmul(g.concat(chosen), g.reshape(offsets, [1, CODEBOOKS * codes, size]));
  const actions = g.reshape(g.add(decoded, offset), [1, chunk, action_dim]);
  const rest = g.constant(new Float32Array((rows - chunk) * action_dim), [1, rows - chunk, action_dim]);
  g.output('F', g.concat([actions, rest], 1));
  return g;
}

/** (1, 1, gpt_output_dim): what the transformer says at the newest observation's action query. */
function queryFeature(
  g: GraphBuilder,
  config: VqbetConfig,
  cameras: readonly Camera[],
  state_dim: number,
  tensors: Tensors,
): Value {
  const { n_obs_steps: n, gpt_input_dim, gpt_hidden_dim: D } = config;
  const encoder = rgbEncoderConfig(config);
  const tokens = cameras.map(({ key, input }) => {
    const frames = g.input(key, [n, ...input], 'observation');
    const seen = rgbEncoder(g, tensors, 'vqbet.rgb_encoder.', encoder, frames);
    return tensors.linear(g, seen, 'vqbet.rgb_feature_projector.0', gpt_input_dim);
  });
  const state = g.input('observation.state', [n, state_dim], 'observation');
  tokens.push(tensors.linear(g, state, 'vqbet.state_projector.0', gpt_input_dim));
  const query = g.reshape(tensors.weight(g, 'vqbet.action_token', [1, 1, gpt_input_dim]), [1, gpt_input_dim]);
  tokens.push(g.expand(query, [n, gpt_input_dim]));
  // Queries after the newest observation's follow it, and attention looks back only: they are left out.
  const length = n * tokens.length;
  const sequence = g.reshape(g.concat(tokens), [1, length, gpt_input_dim]);

  const gpt = 'vqbet.policy.transformer.';
  const table = g.reshape(tensors.weight(g, `${gpt}wpe.weight`, [config.gpt_block_size, D]), [
    1,
    config.gpt_block_size,
    D,
  ]);
  let h = g.add(tensors.linear(g, sequence, `${gpt}wte`, D), g.slice(table, 1, 0, length));
  const mask = causalMask(g, length);
  for (let i = 0; i < config.gpt_n_layer; i++) {
    const block = `${gpt}h.${i}.`;
    const normed = tensors.layerNorm(g, h, `${block}ln_1`);
    const [q, k, v] = [0, 1, 2].map((part) =>
      g.linear(
        normed,
        tensors.rows(g, `${block}attn.c_attn.weight`, [3 * D, D], part * D, D),
        tensors.rows(g, `${block}attn.c_attn.bias`, [3 * D], part * D, D),
      ),
    );
    const mixed = g.attention(q!, k!, v!, config.gpt_n_head, mask);
    h = g.add(h, tensors.linear(g, mixed, `${block}attn.c_proj`, D));
    const wide = tensors.linear(g, tensors.layerNorm(g, h, `${block}ln_2`), `${block}mlp.0`, 4 * D);
    h = g.add(h, tensors.linear(g, g.unary('gelu', wide), `${block}mlp.2`, D));
  }
  const newest = tensors.layerNorm(g, g.slice(h, 1, length - 1, 1), `${gpt}ln_f`);
  return tensors.linear(g, newest, 'vqbet.policy.lm_head', config.gpt_output_dim, false);
}
