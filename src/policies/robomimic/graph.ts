// The networks of robomimic's behaviour cloning (models/obs_nets.py): the encoder's features through an MLP, an RNN of one
// step, or a causal transformer over the last observations; then a head.

import { GraphBuilder, type Value } from '../../native/index.js';
import { causalMask, type Rnn, rnnStateSize, rnnStep } from '../../networks/index.js';
import type { Tensors } from '../tensors.js';
import type { RobomimicConfig, TransformerConfig } from './config.js';
import { actionOf, modeDraws } from './heads.js';

const NETS = 'policy.nets.';

export const rnnOf = ({ network }: RobomimicConfig): Rnn | undefined =>
  network.kind === 'rnn'
    ? {
        ...{ kind: network.rnn_type, prefix: `${NETS}rnn.nets.` },
        layers: network.num_layers,
        hidden: network.hidden_dim,
      }
    : undefined;

/** Numbers of the state that the next step is given; 0 without an RNN. */
export function stateSize(config: RobomimicConfig): number {
  const rnn = rnnOf(config);
  return rnn === undefined ? 0 : rnnStateSize(rnn);
}

/** Rows of x: the action's noise, then the modes'; of F: the action, then the state. */
export const rowsOfX = (config: RobomimicConfig, action_dim: number): number =>
  1 + Math.ceil(Math.max(modeDraws(config.head), stateSize(config)) / action_dim);

/** `features` makes (n_obs_steps, width) from the observation inputs. */
export function robomimicGraph(
  config: RobomimicConfig,
  action_dim: number,
  tensors: Tensors,
  features: (g: GraphBuilder) => Value,
): GraphBuilder {
  const g = new GraphBuilder();
  const rows = rowsOfX(config, action_dim);
  const x = g.input('x', [1, rows, action_dim], 'step');
  const noise = g.slice(x, 1, 0, 1);
  const modes = modeDraws(config.head);
  const drawn =
    modes === 0
      ? undefined
      : g.slice(g.reshape(g.slice(x, 1, 1, rows - 1), [1, 1, (rows - 1) * action_dim]), 2, 0, modes);
  const seen = features(g);
  const { network } = config;
  let feature: Value;
  let state: Value | undefined;
  const rnn = rnnOf(config);
  if (network.kind === 'transformer') feature = transformer(g, tensors, config, network, seen);
  else if (rnn !== undefined) {
    const before = g.input('rnn_state', [1, rnnStateSize(rnn)], 'observation');
    const step = rnnStep(g, tensors, rnn, seen, before);
    state = step.state;
    feature = mlp(g, tensors, network.layer_dims, step.output);
  } else feature = mlp(g, tensors, network.layer_dims, seen);

  const wide = g.reshape(feature, [1, 1, feature.shape.at(-1)!]);
  const pieces = [actionOf(g, tensors, config.head, wide, noise, drawn)];
  const left = (rows - 1) * action_dim - (state?.shape[1] ?? 0);
  const flat = state === undefined ? [] : [state];
  if (left > 0) flat.push(g.constant(new Float32Array(left), [1, left]));
  if (rows > 1) pieces.push(g.reshape(g.concat(flat), [1, rows - 1, action_dim]));
  g.output('F', g.concat(pieces, 1));
  return g;
}

/** Linear and ReLU, layer by layer. */
function mlp(g: GraphBuilder, tensors: Tensors, dims: readonly number[], x: Value): Value {
  return dims.reduce(
    (h, dim, i) => g.unary('relu', tensors.linear(g, h, `${NETS}mlp._model.${2 * i}`, dim)),
    x,
  );
}

/** (n_obs_steps, width) → (1, embed_dim) of the row that acts. */
function transformer(
  g: GraphBuilder,
  tensors: Tensors,
  { n_obs_steps: T }: RobomimicConfig,
  network: TransformerConfig,
  seen: Value,
): Value {
  const { embed_dim: D, activation } = network;
  // Buffers of the causal mask.
  tensors.ignore(/\.attention\.mask$/);
  const linear = (v: Value, name: string, out: number, bias = true): Value =>
    tensors.linear(g, v, NETS + name, out, bias);
  const norm = (v: Value, name: string): Value => tensors.layerNorm(g, v, NETS + name);
  const tokens = g.reshape(linear(seen, 'embed_encoder', D), [1, T, D]);
  let h = norm(g.add(tokens, positions(g, tensors, network, T)), 'embed_ln');
  const mask = causalMask(g, T);
  for (let i = 0; i < network.num_layers; i++) {
    const block = `transformer.nets.transformer.${i}.nets.`;
    const qkv = linear(norm(h, `${block}ln1`), `${block}attention.nets.qkv`, 3 * D, false);
    const [q, k, v] = [0, 1, 2].map((part) => g.slice(qkv, 2, part * D, D));
    const mixed = g.attention(q!, k!, v!, network.num_heads, mask);
    h = g.add(h, linear(mixed, `${block}attention.nets.output`, D));
    const wide = linear(norm(h, `${block}ln2`), `${block}mlp.0`, activation === 'geglu' ? 8 * D : 4 * D);
    h = g.add(h, linear(activated(g, activation, wide), `${block}mlp.2`, D));
  }
  const out = norm(h, 'transformer.nets.output_ln');
  return g.slice(out, 1, network.acts === 'first' ? 0 : T - 1, 1);
}

function activated(g: GraphBuilder, activation: TransformerConfig['activation'], wide: Value): Value {
  if (activation === 'gelu') return g.unary('gelu', wide);
  const [value, gates] = g.halves(wide);
  return g.mul(value, g.unary('gelu', gates));
}

/** (1, T, D) */
function positions(g: GraphBuilder, tensors: Tensors, network: TransformerConfig, T: number): Value {
  const { embed_dim: D, embedding } = network;
  if (embedding === 'parameter') return tensors.weight(g, 'policy.params.embed_timestep', [1, T, D]);
  if (embedding === 'learned')
    return g.reshape(tensors.weight(g, `${NETS}embed_timestep.weight`, [T, D]), [1, T, D]);
  const table = new Float32Array(T * D);
  for (let t = 0; t < T; t++)
    for (let k = 0; k < D; k++) {
      const angle = t * Math.exp((2 * Math.floor(k / 2) * -Math.log(1e4)) / D);
      table[t * D + k] = k % 2 === 0 ? Math.sin(angle) : Math.cos(angle);
    }
  return g.constant(table, [1, T, D]);
}
