// BESO's score transformer F (score_gpts.py, DiffusionGPT): tokens [σ | goals | s₁ a₁ … s_t a_t] under a causal mask,
// pre-norm blocks, actions read off their own tokens. A state and its action share a position.

import { GraphBuilder, type Value } from '../../native/index.js';
import { causalMask } from '../../networks/index.js';
import type { Tensors } from '../tensors.js';
import type { BesoConfig } from './config.js';

type Shape = Pick<
  BesoConfig,
  | 'state_dim'
  | 'action_dim'
  | 'embed_dim'
  | 'n_layers'
  | 'n_heads'
  | 'goal_conditioned'
  | 'goal_seq_len'
  | 'obs_seq_len'
  | 'linear_output'
>;

/** `steps` states and actions, at most obs_seq_len. */
export function besoGraph(shape: Shape, tensors: Tensors, steps: number, groups: number): GraphBuilder {
  const { embed_dim: D, n_heads } = shape;
  const goals = shape.goal_conditioned ? shape.goal_seq_len : 0;
  const name = (part: string): string => `inner_model.${part}`;
  const g = new GraphBuilder();
  const x = g.input('x', [groups, steps, shape.action_dim], 'step');
  const c_noise = g.input('c_noise', [1, 1, 1], 'schedule');
  const state = g.input('state', [groups, steps, shape.state_dim], 'observation');
  const linear = (v: Value, part: string, out: number): Value => tensors.linear(g, v, name(part), out);

  // The table has room for one position more than is ever used.
  const table = tensors.weight(g, name('pos_emb'), [1, shape.obs_seq_len + goals + 1, D]);
  const positions = g.slice(table, 1, goals, steps);
  const states = g.add(linear(state, 'tok_emb', D), positions);
  const actions = g.add(linear(x, 'action_emb', D), positions);
  const pairs = g.reshape(
    g.concat([g.reshape(states, [groups, steps, 1, D]), g.reshape(actions, [groups, steps, 1, D])], 2),
    [groups, 2 * steps, D],
  );
  const tokens = [linear(c_noise, 'sigma_emb', D)];
  if (goals > 0) {
    const goal = g.input('goal', [groups, goals, shape.state_dim], 'observation');
    tokens.push(g.add(linear(goal, 'tok_emb', D), g.slice(table, 1, 0, goals)));
  }
  let h = g.concat([...tokens, pairs], 1);

  const length = 1 + goals + 2 * steps;
  const mask = causalMask(g, length);
  for (let i = 0; i < shape.n_layers; i++) {
    const block = `blocks.${i}`;
    const u = tensors.layerNorm(g, h, name(`${block}.ln1`));
    const [q, k, v] = ['query', 'key', 'value'].map((part) => linear(u, `${block}.attn.${part}`, D));
    h = g.add(h, linear(g.attention(q!, k!, v!, n_heads, mask), `${block}.attn.proj`, D));
    const wide = g.unary(
      'gelu',
      linear(tensors.layerNorm(g, h, name(`${block}.ln2`)), `${block}.mlp.0`, 4 * D),
    );
    h = g.add(h, linear(wide, `${block}.mlp.2`, D));
  }
  h = tensors.layerNorm(g, g.slice(h, 1, 1 + goals, 2 * steps), name('ln_f'));
  const read = g.reshape(g.slice(g.reshape(h, [groups, steps, 2, D]), 2, 1, 1), [groups, steps, D]);
  const out = shape.linear_output
    ? linear(read, 'action_pred', shape.action_dim)
    : linear(g.unary('silu', linear(read, 'action_pred.0', 100)), 'action_pred.2', shape.action_dim);
  g.output('F', out);
  return g;
}
