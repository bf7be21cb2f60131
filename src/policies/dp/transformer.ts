// diffusion_policy's TransformerForDiffusion: the noisy chunk as tokens; time and observations as the memory of a
// decoder, or, without a memory, time as the first token of an encoder (BERT). Pre-norm, GELU.

import { GraphBuilder, type Value } from '../../native/index.js';
import { causalMask, feedForward, mask, multiHead } from '../../networks/index.js';
import type { Tensors } from '../tensors.js';
import { painted } from './painting.js';

export interface DpTransformerShape {
  readonly prefix: string;
  readonly input_dim: number;
  readonly output_dim: number;
  readonly horizon: number;
  readonly n_obs_steps: number;
  /** 0 without observations as condition. */
  readonly cond_dim: number;
  readonly n_layer: number;
  readonly n_head: number;
  readonly n_emb: number;
  readonly causal_attn: boolean;
  readonly time_as_cond: boolean;
  readonly n_cond_layers: number;
  /** Positions of observations in the table of the memory; n_obs_steps when absent. */
  readonly cond_positions?: number | undefined;
  /** Columns of input_dim, its last, that hold observations: those of the first n_obs_steps rows are given. */
  readonly painted_dim?: number;
  /** Makes the condition (1, n_obs_steps, cond_dim), or what is painted (1, horizon, input_dim); inputs when absent. */
  readonly observed?: (g: GraphBuilder) => Value;
}

export function dpTransformerGraph(
  shape: DpTransformerShape,
  tensors: Tensors,
  groups: number,
): GraphBuilder {
  const { prefix, n_emb: D, n_head: heads, horizon } = shape;
  // Buffers of the masks, and an attribute mixin's placeholder.
  tensors.ignore(/(^|\.)(mask|memory_mask|_dummy_variable)$/);
  const g = new GraphBuilder();
  const drawn = g.input('x', [groups, horizon, shape.input_dim], 'step');
  const x = shape.painted_dim
    ? painted(g, drawn, shape.painted_dim, shape.n_obs_steps, shape.observed?.(g))
    : drawn;
  const time = g.input('timestep_embedding', [1, 1, D], 'schedule');
  const linear = (v: Value, name: string, out: number): Value => tensors.linear(g, v, prefix + name, out);
  const norm = (v: Value, name: string): Value => tensors.layerNorm(g, v, prefix + name);
  const attend = (name: string, q: Value, kv: Value, m?: Value): Value =>
    multiHead(g, tensors, prefix + name, [q, kv, kv], { heads, mask: m });

  const encoderLayer = (v: Value, name: string, m?: Value): Value => {
    const u = norm(v, `${name}.norm1`);
    const h = g.add(v, attend(`${name}.self_attn`, u, u, m));
    return g.add(h, feedForward(g, tensors, prefix + name, norm(h, `${name}.norm2`), 4 * D, 'gelu'));
  };
  const decoderLayer = (v: Value, name: string, memory: Value, own?: Value, cross?: Value): Value => {
    const u = norm(v, `${name}.norm1`);
    let h = g.add(v, attend(`${name}.self_attn`, u, u, own));
    h = g.add(h, attend(`${name}.multihead_attn`, norm(h, `${name}.norm2`), memory, cross));
    return g.add(h, feedForward(g, tensors, prefix + name, norm(h, `${name}.norm3`), 4 * D, 'gelu'));
  };

  const tokens = linear(x, 'input_emb', D);
  let h: Value;
  if (!shape.time_as_cond) {
    const length = horizon + 1;
    h = g.add(g.concat([time, tokens], 1), tensors.weight(g, `${prefix}pos_emb`, [1, length, D]));
    const own = shape.causal_attn ? causalMask(g, length) : undefined;
    for (let i = 0; i < shape.n_layer; i++) h = encoderLayer(h, `encoder.layers.${i}`, own);
    h = g.slice(h, 1, 1, horizon);
  } else {
    const observed = shape.cond_dim > 0 ? shape.n_obs_steps : 0;
    const pieces = [time];
    if (observed > 0) {
      const cond = shape.observed?.(g) ?? g.input('cond', [groups, observed, shape.cond_dim], 'observation');
      pieces.push(linear(cond, 'cond_obs_emb', D));
    }
    const rows = observed > 0 ? (shape.cond_positions ?? observed) : 0;
    const table = tensors.weight(g, `${prefix}cond_pos_emb`, [1, 1 + rows, D]);
    const positions = rows === observed ? table : g.slice(table, 1, 0, 1 + observed);
    let memory = g.add(g.concat(pieces, 1), positions);
    if (shape.n_cond_layers > 0)
      for (let i = 0; i < shape.n_cond_layers; i++) memory = encoderLayer(memory, `encoder.layers.${i}`);
    else memory = linear(g.unary('mish', linear(memory, 'encoder.0', 4 * D)), 'encoder.2', D);
    h = g.add(tokens, tensors.weight(g, `${prefix}pos_emb`, [1, horizon, D]));
    const own = shape.causal_attn ? causalMask(g, horizon) : undefined;
    // Time is the memory's first token, so observation s stands at s + 1.
    const cross =
      shape.causal_attn && observed > 0 ? mask(g, horizon, 1 + observed, (t, s) => t >= s - 1) : undefined;
    for (let i = 0; i < shape.n_layer; i++) h = decoderLayer(h, `decoder.layers.${i}`, memory, own, cross);
  }
  g.output('F', linear(norm(h, 'ln_f'), 'head', shape.output_dim));
  return g;
}
