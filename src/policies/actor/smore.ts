// SMORe (hari-sikchi/SMORe, jaxrl's layout): relu policy with tanh on its mean, evaluated at temperature 0; the score of two
// critics ranks actions (a density ratio without a scale); values have LayerNorm before relu.

import type { GraphBuilder, Value } from '../../native/index.js';
import type { Flax } from '../../networks/index.js';
import type { Agent, Score } from './agent.js';
import { gaussian, leastOf } from './agent.js';

const HIDDEN = { activation: 'relu', norm: 'before' } as const;

/** Statistics that are not saved with the model: (x − mean)/(std + eps). */
export interface Scaling {
  readonly mean: readonly number[];
  readonly std: readonly number[];
}
export interface SmoreScaling {
  readonly observations?: Scaling | undefined;
  readonly goals?: Scaling | undefined;
  readonly eps: number;
}

/** `actor` and, where they are there, `critic` and `value`: files of one training. */
export function smoreAgent(
  actor: Flax,
  critic: Flax | undefined,
  value: Flax | undefined,
  goal_dim: number | undefined,
  scaling: SmoreScaling,
): Agent {
  const width = actor.width('MLP_0/Dense_0');
  const goals = goal_dim ?? scaling.goals?.mean.length ?? width / 2;
  const scaled = (g: GraphBuilder, x: Value, by: Scaling | undefined): Value => {
    if (by === undefined) return x;
    const factors = by.std.map((std) => 1 / (std + scaling.eps));
    const shifts = by.mean.map((mean, i) => -mean * factors[i]!);
    const n = factors.length;
    return g.add(g.mul(x, g.constant(factors, [1, n])), g.constant(shifts, [1, n]));
  };
  const input = (g: GraphBuilder, s: Value, goal: Value, a?: Value): Value => {
    const both = [scaled(g, s, scaling.observations), scaled(g, goal, scaling.goals)];
    return g.concat(a === undefined ? both : [...both, a], 1);
  };
  const scores: Record<string, Score> = {};
  if (critic !== undefined)
    scores.critic = (g, s, goal, a) =>
      leastOf(
        g,
        [0, 1].map((i) => critic.at(`Critic_${i}/MLP_0`).mlp(g, input(g, s, goal, a), HIDDEN)),
      );
  if (value !== undefined) scores.value = (g, s, goal) => value.at('MLP_0').mlp(g, input(g, s, goal), HIDDEN);
  return {
    name: 'smore',
    observation: [width - goals],
    goal: [goals],
    action_dim: actor.shape('Dense_0/bias')[0]!,
    discrete: false,
    subgoal_dim: 0,
    frame_stack: 1,
    act(g, s, goal, draws) {
      const h = actor.at('MLP_0').mlp(g, input(g, s, goal), { ...HIDDEN, activate_final: true });
      const mean = g.unary('tanh', actor.dense(g, h, 'Dense_0'));
      return gaussian(g, mean, actor.vector(g, 'log_stds'), draws?.action, draws?.temperature ?? 0);
    },
    scores,
  };
}
