// One step of torch.nn.LSTM and torch.nn.GRU (batch 1, one direction), whose state the caller carries: LSTM of Hochreiter and
// Schmidhuber 1997 with a forget gate, GRU of Cho et al. 2014 with the reset gate after the product, as torch has it.

import type { GraphBuilder, Value } from '../native/index.js';
import type { Weights } from './weights.js';

export interface Rnn {
  readonly kind: 'LSTM' | 'GRU';
  /** Key of the module that has weight_ih_l0, … */
  readonly prefix: string;
  readonly layers: number;
  readonly hidden: number;
}

/** Numbers of the state: h of each layer, and for an LSTM c after each h. */
export const rnnStateSize = ({ kind, layers, hidden }: Rnn): number =>
  layers * hidden * (kind === 'LSTM' ? 2 : 1);

/** x (1, in), state (1, rnnStateSize) → the last layer's output (1, hidden) and the next state. */
export function rnnStep(
  g: GraphBuilder,
  weights: Weights,
  net: Rnn,
  x: Value,
  state: Value,
): { readonly output: Value; readonly state: Value } {
  const { hidden: H } = net;
  const next: Value[] = [];
  let out = x;
  let at = 0;
  const take = (): Value => {
    at += H;
    return g.slice(state, 1, at - H, H);
  };
  for (let layer = 0; layer < net.layers; layer++) {
    const h = take();
    if (net.kind === 'LSTM') {
      const [output, c] = lstm(g, weights, net, layer, out, h, take());
      next.push(output, c);
      out = output;
    } else {
      out = gru(g, weights, net, layer, out, h);
      next.push(out);
    }
  }
  return { output: out, state: g.concat(next) };
}

/** `part` of `gates` rows of weight_<side>_l<layer>: (hidden) of them, times v. */
function gate(
  g: GraphBuilder,
  weights: Weights,
  net: Rnn,
  [side, layer, part]: readonly [side: 'ih' | 'hh', layer: number, part: number],
  v: Value,
): Value {
  const { hidden: H, kind, prefix } = net;
  const gates = kind === 'LSTM' ? 4 : 3;
  const rows = (name: string, shape: number[]): Value =>
    weights.rows(g, `${prefix}${name}_${side}_l${layer}`, [gates * H, ...shape], part * H, H);
  return g.linear(v, rows('weight', [v.shape.at(-1)!]), rows('bias', []));
}

function lstm(
  g: GraphBuilder,
  weights: Weights,
  net: Rnn,
  layer: number,
  x: Value,
  h: Value,
  c: Value,
): [output: Value, cell: Value] {
  // Input, forget, cell, output, in torch's order.
  const [input, forget, cell, output] = [0, 1, 2, 3].map((part) =>
    g.add(gate(g, weights, net, ['ih', layer, part], x), gate(g, weights, net, ['hh', layer, part], h)),
  );
  const sigmoid = (v: Value): Value => g.unary('sigmoid', v);
  const tanh = (v: Value): Value => g.unary('tanh', v);
  const next = g.add(g.mul(sigmoid(forget!), c), g.mul(sigmoid(input!), tanh(cell!)));
  return [g.mul(sigmoid(output!), tanh(next)), next];
}

function gru(g: GraphBuilder, weights: Weights, net: Rnn, layer: number, x: Value, h: Value): Value {
  const of = (side: 'ih' | 'hh', part: number): Value =>
    gate(g, weights, net, [side, layer, part], side === 'ih' ? x : h);
  const reset = g.unary('sigmoid', g.add(of('ih', 0), of('hh', 0)));
  const update = g.unary('sigmoid', g.add(of('ih', 1), of('hh', 1)));
  const fresh = g.unary('tanh', g.add(of('ih', 2), g.mul(reset, of('hh', 2))));
  // (1 − z)·n + z·h
  return g.add(fresh, g.mul(update, g.binary('sub', h, fresh)));
}
