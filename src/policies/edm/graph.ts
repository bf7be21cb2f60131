// The residual MLP F of an `edm` policy (models/train/edm.py): noise level and condition as FiLM on every block. What
// the compiler makes of it: the condition's products run once per inference, FiLM once for all calls.

import { GraphBuilder, type Value } from '../../native/index.js';
import type { Tensors } from '../tensors.js';
import type { EdmConfig } from './config.js';

export function edmGraph(
  config: EdmConfig,
  tensors: Tensors,
  cond_dim: number,
  action_dim: number,
  groups: number,
): GraphBuilder {
  const g = new GraphBuilder();
  const chunk = config.horizon * action_dim;
  const x = g.input('x', [groups, config.horizon, action_dim], 'step');
  const c_noise = g.input('c_noise', [1, 1], 'schedule');
  const cond = g.input('cond', [groups, cond_dim], 'observation');
  const linear = (v: Value, name: string, out: number): Value => tensors.linear(g, v, `model.${name}`, out);

  const e = linear(
    g.unary('silu', linear(c_noise, 'sigma_mlp.0', config.sigma_embed_dim)),
    'sigma_mlp.2',
    config.sigma_embed_dim,
  );
  const c = g.unary('silu', linear(g.concat([cond, e]), 'cond_proj', config.hidden_dim));
  let h = linear(g.concat([g.reshape(x, [groups, chunk]), cond]), 'input_proj', config.hidden_dim);
  for (let i = 0; i < config.num_blocks; i++) {
    const u = linear(tensors.layerNorm(g, h, `model.blocks.${i}.norm`), `blocks.${i}.fc1`, config.hidden_dim);
    const [scale, shift] = g.halves(linear(c, `blocks.${i}.film`, 2 * config.hidden_dim));
    const film = g.unary('silu', g.add(g.mul(u, g.affine(scale, 1, 1)), shift));
    h = g.add(h, linear(film, `blocks.${i}.fc2`, config.hidden_dim));
  }
  const out = linear(g.unary('silu', tensors.layerNorm(g, h, 'model.output_norm')), 'output_proj', chunk);
  g.output('F', g.reshape(out, [groups, config.horizon, action_dim]));
  return g;
}
