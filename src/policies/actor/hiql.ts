// The original HIQL's agents (seohongpark/HIQL, src/agents/hiql.py): networks_actor, networks_high_actor, φ on [goal; state]
// (targets first), relu policies beside gelu values, the standard deviation learnt. The config lies in the pickle.

import type { GraphBuilder, Value } from '../../native/index.js';
import { type Flax, lengthNormalize } from '../../networks/index.js';
import { type Agent, gaussian, meanOf, type Score, stepsOf } from './agent.js';

export interface HiqlFlags {
  /** What φ reads: `concat` [g; s], `state` g, `diff` g − s + 1e-6. */
  readonly rep_type: 'concat' | 'state' | 'diff';
  /** 0: the high actor proposes a difference to the state, which the low one is given as a state. */
  readonly use_rep: boolean;
  /** 0: one level. */
  readonly use_waypoints: boolean;
  readonly discount: number;
}

const GELU = { activation: 'gelu_tanh' } as const;
const RELU = { activation: 'relu', activate_final: true, layer: (i: number) => `layers_${i}` } as const;

export function hiqlAgent(net: Flax, flags: HiqlFlags): Agent {
  const low = net.at('networks_actor');
  const high = net.at('networks_high_actor');
  const dim = high.width('MLP_0/layers_0') / 2;
  const act = (g: GraphBuilder, module: Flax, input: Value, draw?: Value, temperature = 0): Value => {
    const h = module.at('MLP_0').mlp(g, input, RELU);
    return gaussian(g, module.dense(g, h, 'Dense_0'), module.vector(g, 'log_stds'), draw, temperature);
  };
  const represent = (g: GraphBuilder, s: Value, goal: Value): Value => {
    if (!flags.use_rep) return goal;
    const input =
      flags.rep_type === 'concat'
        ? g.concat([goal, s], 1)
        : flags.rep_type === 'state'
          ? goal
          : g.affine(g.binary('sub', goal, s), 1, 1e-6);
    return lengthNormalize(g, net.at('encoders_value_goal/LayerNormMLP_0').mlp(g, input, GELU));
  };
  const subgoal: Agent['act'] = (g, s, goal, draws) => {
    const proposed = act(g, high, g.concat([s, goal], 1), draws?.subgoal, draws?.temperature);
    return flags.use_rep ? lengthNormalize(g, proposed) : g.add(s, proposed);
  };
  const follow: Agent['act'] = (g, s, towards, draws) =>
    act(g, low, g.concat([s, towards], 1), draws?.action, draws?.temperature);
  const value: Score = (g, s, goal) => {
    const critics = net.at('networks_value/value_net/VmapLayerNormMLP_0');
    const input = g.concat([s, represent(g, s, goal)], 1);
    const members = Array.from({ length: critics.size('Dense_0/kernel') }, (_, i) =>
      critics.member(i).mlp(g, input, GELU),
    );
    return meanOf(g, members);
  };
  return {
    name: 'hiql_original',
    observation: [dim],
    goal: [dim],
    action_dim: low.shape('Dense_0/bias')[0]!,
    discrete: false,
    subgoal_dim: flags.use_waypoints ? high.shape('Dense_0/bias')[0]! : 0,
    frame_stack: 1,
    act: (g, s, goal, draws) =>
      follow(g, s, flags.use_waypoints ? subgoal(g, s, goal, draws) : represent(g, s, goal), draws),
    below: { dim: high.shape('Dense_0/bias')[0]!, act: follow },
    scores: {
      ...(flags.use_rep ? { goal_rep: represent } : {}),
      subgoal: (g, s, goal) => subgoal(g, s, goal),
      proposal: (g, s, goal, a) => subgoal(g, s, goal, a && { action: a, subgoal: a, temperature: 1 }),
      value,
      distance: (g, s, goal) => stepsOf(g, value(g, s, goal), flags.discount, true),
    },
  };
}
