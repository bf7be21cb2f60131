// The reward as a network of its own, of the state before, the action and the state after: where a reward is read off what
// a step led to, that is easier to learn than foreseeing it, and members are left to predict motion alone. It says the
// symlog of the reward (as DreamerV3 and TD-MPC2 do), so that what is rare and dear does not blur what happens every day.

import type { GraphBuilder, Value } from '../../native/index.js';
import type { Tensors } from '../tensors.js';
import type { EnsembleConfig } from './config.js';

export type RewardNetwork = (g: GraphBuilder, before: Value, a: Value, after: Value) => Value;

/** Linear layers `reward_layers.<i>.{weight (out, in), bias}`; all that is given and its result are (rows, particles, …). */
export function rewardNetwork(
  { reward, activation }: EnsembleConfig,
  tensors: Tensors,
  state_dim: number,
  action_dim: number,
  activate: (g: GraphBuilder, name: EnsembleConfig['activation'], x: Value) => Value,
): RewardNetwork | undefined {
  if (reward === undefined) return undefined;
  const widths = [2 * state_dim + action_dim, ...Array(reward.num_layers).fill(reward.hid_size), 1];
  const layers = Array.from({ length: reward.num_layers + 1 }, (_, i) => ({
    weight: tensors.ref(`reward_layers.${i}.weight`, [widths[i + 1], widths[i]]),
    bias: tensors.ref(`reward_layers.${i}.bias`, [widths[i + 1]]),
  }));
  return (g, before, a, after) => {
    let h = g.concat([before, a, after], 2);
    layers.forEach(({ weight, bias }, i) => {
      h = g.linear(h, g.weight(weight), g.weight(bias));
      if (i < reward.num_layers) h = activate(g, activation, h);
    });
    return g.unary('symexp', h);
  };
}
