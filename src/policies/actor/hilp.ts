// HILP (seohongpark/HILP): φ maps states to a space where distances count steps; a policy is told the direction to the goal
// there. hilp_gcrl is jax (z of unit length), hilp_zsrl torch (z of length √z_dim, φ less its running mean).

import type { GraphBuilder, Value } from '../../native/index.js';
import { type Flax, unit } from '../../networks/index.js';
import type { Tensors } from '../tensors.js';
import { type Agent, gaussian, type Score } from './agent.js';

const GELU = { activation: 'gelu_tanh' } as const;
const RELU = { activation: 'relu', activate_final: true, layer: (i: number) => `layers_${i}` } as const;

/** √max(‖φ(s) − φ(g)‖², 1e-6): steps. */
const euclidean = (g: GraphBuilder, a: Value, b: Value): Value => {
  const squares = g.reduce('sum', g.unary('square', g.binary('sub', a, b)));
  return g.unary('sqrt', g.binary('maximum', squares, g.constant([1e-6], [1])));
};

export function hilpGcrlAgent(net: Flax): Agent {
  const actor = net.at('networks_skill_actor');
  // The first of two is φ.
  const phi = (g: GraphBuilder, s: Value): Value =>
    net.at('networks_value/phi/VmapLayerNormMLP_0').member(0).mlp(g, s, GELU);
  const dim = net.at('networks_value/phi/VmapLayerNormMLP_0').member(0).width('Dense_0');
  const skill: Score = (g, s, goal) => unit(g, g.binary('sub', phi(g, goal), phi(g, s)));
  const distance: Score = (g, s, goal) => euclidean(g, phi(g, s), phi(g, goal));
  const skill_dim = actor.at('MLP_0').width('layers_0') - dim;
  const follow: Agent['act'] = (g, s, z, draws) => {
    const h = actor.at('MLP_0').mlp(g, g.concat([s, z], 1), RELU);
    const log_std = actor.vector(g, 'log_stds');
    return gaussian(g, actor.dense(g, h, 'Dense_0'), log_std, draws?.action, draws?.temperature ?? 0);
  };
  return {
    name: 'hilp_gcrl',
    observation: [dim],
    goal: [dim],
    action_dim: actor.shape('Dense_0/bias')[0]!,
    discrete: false,
    subgoal_dim: 0,
    frame_stack: 1,
    act: (g, s, goal, draws) => follow(g, s, skill(g, s, goal), draws),
    below: { dim: skill_dim, act: follow },
    scores: {
      phi: (g, s) => phi(g, s),
      skill,
      distance,
      value: (g, s, goal) => g.affine(distance(g, s, goal), -1, 0),
    },
  };
}

/** Tensors of a pickled agent, below `agent.`; hidden widths follow from them. */
export function hilpZsrlAgent(tensors: Tensors): Agent {
  const weight = (name: string): readonly number[] => tensors.anyShape(`${name}.weight`).shape;
  const linear = (g: GraphBuilder, x: Value, name: string): Value =>
    tensors.linear(g, x, name, weight(name)[0]!);
  /** Linear → LayerNorm → tanh → Linear → relu, numbered as torch's Sequential does. */
  const trunk = (g: GraphBuilder, x: Value, name: string): Value => {
    const normed = tensors.layerNorm(g, linear(g, x, `${name}.0`), `${name}.1`);
    return g.unary('relu', linear(g, g.unary('tanh', normed), `${name}.3`));
  };
  const learner = 'agent.feature_learner';
  const z_dim = tensors.anyShape(`${learner}.running_mean`).shape[0]!;
  const dim = weight(`${learner}.phi1.0`)[1]!;
  const phi = (g: GraphBuilder, s: Value): Value => {
    const h = linear(g, trunk(g, s, `${learner}.phi1`), `${learner}.phi1.5`);
    return g.binary('sub', h, g.weight(tensors.ref(`${learner}.running_mean`, [z_dim])));
  };
  const skill: Score = (g, s, goal) =>
    g.affine(unit(g, g.binary('sub', phi(g, goal), phi(g, s))), Math.sqrt(z_dim), 0);
  const distance: Score = (g, s, goal) => euclidean(g, phi(g, s), phi(g, goal));
  const follow: Agent['act'] = (g, s, z) => {
    const both = [trunk(g, s, 'agent.actor.obs_net'), trunk(g, g.concat([s, z], 1), 'agent.actor.obs_z_net')];
    const h = g.unary('relu', linear(g, g.concat(both, 1), 'agent.actor.policy.0'));
    return g.unary('tanh', linear(g, h, 'agent.actor.policy.2'));
  };
  return {
    name: 'hilp_zsrl',
    observation: [dim],
    goal: [dim],
    action_dim: weight('agent.actor.policy.2')[0]!,
    discrete: false,
    subgoal_dim: 0,
    frame_stack: 1,
    act: (g, s, goal) => follow(g, s, skill(g, s, goal)),
    below: { dim: z_dim, act: follow },
    scores: {
      phi: (g, s) => phi(g, s),
      skill,
      distance,
      value: (g, s, goal) => g.affine(distance(g, s, goal), -1, 0),
    },
  };
}
