// Networks that judge what a policy is about to do, under the names their authors save: coin flips (TACO), critics of whole
// chunks (qc), failure detectors (SAFE), random network distillation.

import type { GraphBuilder, Value } from '../native/index.js';
import type { Flax } from './flax.js';
import type { Weights } from './weights.js';

const widthOf = (weights: Weights, name: string): number => weights.ref(`${name}.weight`, [-1, -1]).shape[0]!;
const dense = (g: GraphBuilder, weights: Weights, x: Value, name: string): Value =>
  weights.linear(g, x, name, widthOf(weights, name));

/** The scale that TACO puts on features before its networks. */
const FEATURE_SCALE = 10;

/**
 * TACO's coin flips f(s) = g(10·s) + (g_prior(10·s) − mean)/√(var + 1e-6), (rows, flips): where s was seen n times, ‖f‖² is about
 * flips/n. Names `cfn.*` and `prior_cfn.*`, `prefix` in front of both.
 */
export function coinFlips(g: GraphBuilder, weights: Weights, s: Value, prefix = ''): Value {
  const scaled = g.affine(s, FEATURE_SCALE, 0);
  const out = flips(g, weights, scaled, `${prefix}cfn.`);
  const prior = flips(g, weights, scaled, `${prefix}prior_cfn.`);
  const n = out.shape.at(-1)!;
  const mean = weights.weight(g, `${prefix}prior_mean`, [1, n]);
  const spread = g.unary('rsqrt', g.affine(weights.weight(g, `${prefix}prior_var`, [1, n]), 1, 1e-6));
  return g.add(out, g.mul(g.binary('sub', prior, mean), spread));
}

function flips(g: GraphBuilder, weights: Weights, x: Value, name: string): Value {
  let h = weights.layerNorm(
    g,
    g.unary('gelu', dense(g, weights, x, `${name}input_proj`)),
    `${name}input_norm`,
  );
  for (let i = 0; weights.has(`${name}blocks.${i}.fc1.weight`); i++) {
    const block = `${name}blocks.${i}.`;
    const inner = g.unary('gelu', dense(g, weights, h, `${block}fc1`));
    h = weights.layerNorm(g, g.add(h, dense(g, weights, inner, `${block}fc2`)), `${block}norm`);
  }
  return dense(g, weights, h, `${name}output`);
}

/** Times that each row was seen: flips/‖f‖², (rows, 1). */
export function visitCount(g: GraphBuilder, flips: Value): Value {
  const squares = g.reduce('sum', g.unary('square', flips));
  return g.affine(g.unary('reciprocal', squares), flips.shape.at(-1)!, 0);
}

/**
 * Critics of x = (state, whole chunk) under flax's names, (rows, critics): gelu (tanh form), then LayerNorm. The chunk counts
 * within ±1; what is given has it so.
 */
export function chunkCritics(g: GraphBuilder, net: Flax, x: Value): Value {
  const count = net.size('value_net/Dense_0/kernel');
  const members = Array.from({ length: count }, (_, i) =>
    net.member(i).at('value_net').mlp(g, x, { activation: 'gelu_tanh' }),
  );
  return g.concat(members, 1);
}

/** stable-baselines3's critics of x = (observation, action), (rows, critics): `critic.qf<i>.<0, 2, …>` with ReLU between. */
export function qCritics(g: GraphBuilder, weights: Weights, x: Value): Value {
  const members: Value[] = [];
  for (let i = 0; weights.has(`critic.qf${i}.0.weight`); i++) {
    let h = x;
    for (let j = 0; weights.has(`critic.qf${i}.${j}.weight`); j += 2)
      h = dense(g, weights, j === 0 ? h : g.unary('relu', h), `critic.qf${i}.${j}`);
    members.push(h);
  }
  return members.length === 1 ? members[0]! : g.concat(members, 1);
}

/** SAFE's MLP over one feature, (rows, 1) in (0, 1): how much it looks like a failure. */
export function failureScore(g: GraphBuilder, weights: Weights, x: Value): Value {
  const hidden = g.unary('relu', dense(g, weights, x, 'projector.0'));
  return g.unary('sigmoid', dense(g, weights, hidden, 'projector.2'));
}

/** One step of SAFE's LSTM (torch's gates i, f, g, o): the score (rows, 1) and the state that is carried on. */
export function failureLstm(
  g: GraphBuilder,
  weights: Weights,
  x: Value,
  state: { readonly h: Value; readonly c: Value },
): { readonly score: Value; readonly h: Value; readonly c: Value } {
  const n = state.h.shape[1]!;
  const gate = (of: string, input: Value, inputs: number): Value =>
    g.linear(
      input,
      weights.weight(g, `lstm.weight_${of}_l0`, [4 * n, inputs]),
      weights.weight(g, `lstm.bias_${of}_l0`, [4 * n]),
    );
  const gates = g.add(gate('ih', x, x.shape[1]!), gate('hh', state.h, n));
  const part = (i: number): Value => g.slice(gates, 1, i * n, n);
  const [input, forget, output] = [0, 1, 3].map((i) => g.unary('sigmoid', part(i))) as [Value, Value, Value];
  const c = g.add(g.mul(forget, state.c), g.mul(input, g.unary('tanh', part(2))));
  const h = g.mul(output, g.unary('tanh', c));
  return { score: g.unary('sigmoid', dense(g, weights, h, 'fc')), h, c };
}

/** ‖predictor − target‖, (rows, 1): small where training has been. */
export function distilled(g: GraphBuilder, weights: Weights, x: Value): Value {
  const net = (name: string): Value =>
    dense(g, weights, g.unary('relu', dense(g, weights, x, `${name}.0`)), `${name}.2`);
  const squares = g.reduce('sum', g.unary('square', g.binary('sub', net('predictor'), net('target'))));
  return g.unary('sqrt', squares);
}
