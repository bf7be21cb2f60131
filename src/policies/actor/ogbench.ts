// Agents of OGBench and of what was made from it (SAW, OTA): flags.json says which agent and its options, the pickle holds
// `modules_<name>`. Formulas: OGBench's impls/agents/*.py and utils/networks.py; each level is computed at every step.

import type { GraphBuilder, Value } from '../../native/index.js';
import { type Flax, lengthNormalize } from '../../networks/index.js';
import { TendonError } from '../../types/index.js';
import {
  type Agent,
  type Draws,
  gaussian,
  leastOf,
  meanOf,
  type Score,
  type Shape,
  stepsOf,
} from './agent.js';
import { impala } from './impala.js';
import { iqe, mrn } from './quasimetric.js';

/** The fields of flags.json's `agent` that matter when acting. */
export interface OgbenchFlags {
  readonly agent_name: string;
  readonly discount: number;
  readonly gc_negative: boolean;
  readonly discrete: boolean;
  readonly encoder: string | null;
  readonly frame_stack: number | null;
  readonly latent_dim?: number | undefined;
  readonly quasimetric_type?: string | undefined;
  readonly low_discount?: number | undefined;
  readonly high_discount?: number | undefined;
  readonly subgoal_steps?: number | undefined;
  readonly abstraction_factor?: number | undefined;
}

const GELU = { activation: 'gelu_tanh' } as const;
/** Actors with a goal as it is; with a goal encoder of their own; with a level above them. */
const FLAT = ['gcbc', 'gcivl', 'gciql', 'crl', 'qrl'];
const ENCODED = ['saw', 'ris'];
const HIERARCHICAL = ['hiql', 'ota'];
export const OGBENCH_AGENTS = [...FLAT, ...ENCODED, ...HIERARCHICAL];

export function ogbenchAgent(net: Flax, flags: OgbenchFlags, picture: Shape | undefined): Agent {
  const { agent_name: name, discrete } = flags;
  const module = (which: string): Flax => net.at(`modules_${which}`);
  const hierarchical = HIERARCHICAL.includes(name);
  if (!OGBENCH_AGENTS.includes(name))
    throw new TendonError(
      'unsupported',
      `flags.json: agent.agent_name is "${name}"; the agents there are: ${OGBENCH_AGENTS.join(', ')}`,
      { agent_name: name },
    );
  const actor = module(hierarchical ? 'low_actor' : 'actor');
  const rep = ENCODED.includes(name)
    ? module(net.has('modules_actor_goal_rep_def') ? 'actor_goal_rep_def' : 'goal_rep')
    : undefined;
  const represent = (g: GraphBuilder, s: Value, goal: Value, which = module('goal_rep')): Value => {
    const both = g.concat([s, goal], -1);
    const inner = which.has('layers_1') ? impala(g, which.at('layers_0'), both) : both;
    return lengthNormalize(g, which.at(which.has('layers_1') ? 'layers_1' : 'layers_0').mlp(g, inner, GELU));
  };
  const subgoalOf: Agent['act'] = (g, s, goal, draws) => {
    const proposed = headOf(
      g,
      module('high_actor'),
      joined(g, module('high_actor'), s, goal),
      draws?.subgoal,
      draws?.temperature,
    );
    return lengthNormalize(g, proposed);
  };
  const acted = (g: GraphBuilder, input: Value, draws: Draws | undefined): Value =>
    headOf(g, actor, input, draws?.action, draws?.temperature);
  /** The actor, told what stands for a goal already. */
  const follow: Agent['act'] = (g, s, towards, draws) => acted(g, joined(g, actor, s, towards, true), draws);
  const head = actor.has('logit_net') ? 'logit_net' : 'mean_net';
  const rep_dim = hierarchical ? module('high_actor').shape('mean_net/bias')[0]! : 0;
  const observation = picture ?? [stateDim(net, name)];
  return {
    name,
    observation,
    goal: observation,
    action_dim: actor.shape(`${head}/bias`)[0]!,
    discrete: discrete || head === 'logit_net',
    subgoal_dim: rep_dim,
    frame_stack: flags.frame_stack ?? 1,
    act(g, s, goal, draws) {
      if (hierarchical) return follow(g, s, subgoalOf(g, s, goal, draws), draws);
      return rep === undefined
        ? acted(g, joined(g, actor, s, goal), draws)
        : follow(g, s, represent(g, s, goal, rep), draws);
    },
    ...(hierarchical || rep !== undefined
      ? { below: { dim: hierarchical ? rep_dim : widthOf(rep!), act: follow } }
      : {}),
    scores: {
      ...(net.has('modules_goal_rep') ? { goal_rep: (g, s, goal) => represent(g, s, goal) } : {}),
      ...(rep === undefined
        ? {}
        : { actor_goal_rep: (g: GraphBuilder, s: Value, goal: Value) => represent(g, s, goal, rep) }),
      ...(hierarchical ? proposals(subgoalOf) : {}),
      ...scoresOf(net, flags, represent),
    },
  };
}

/** What the high level proposes, and what it does with these draws, (1, rep_dim), already spread by a temperature. */
const proposals = (subgoalOf: Agent['act']): Record<string, Score> => ({
  subgoal: (g, s, goal) => subgoalOf(g, s, goal),
  proposal: (g, s, goal, a) => subgoalOf(g, s, goal, a && { action: a, subgoal: a, temperature: 1 }),
});

/** Numbers that a goal representation comes to. */
function widthOf(rep: Flax): number {
  const net = rep.at(rep.has('layers_1') ? 'layers_1' : 'layers_0');
  let last = 0;
  while (net.has(`Dense_${last + 1}`)) last++;
  return net.shape(`Dense_${last}/bias`)[0]!;
}

/** Width of a state: what stays of the first layer's input beside the goal or its representation. */
function stateDim(net: Flax, name: string): number {
  const width = (module: string): number => net.at(`modules_${module}`).width('actor_net/Dense_0');
  if (FLAT.includes(name)) return width('actor') / 2;
  if (HIERARCHICAL.includes(name)) return width('high_actor') / 2;
  const rep = net.at(
    net.has('modules_actor_goal_rep_def') ? 'modules_actor_goal_rep_def' : 'modules_goal_rep',
  );
  return rep.width('layers_0/Dense_0') / 2;
}

/** GCEncoder: a state encoder and a goal encoder, or one over both on their channels; without any: side by side. */
function joined(g: GraphBuilder, module: Flax, s: Value, goal: Value, encoded = false): Value {
  if (!module.has('gc_encoder')) return g.concat([s, goal], -1);
  const encoder = module.at('gc_encoder');
  const parts: Value[] = [];
  if (encoder.has('state_encoder')) parts.push(impala(g, encoder.at('state_encoder'), s));
  if (encoded) parts.push(goal);
  else {
    if (encoder.has('goal_encoder')) parts.push(impala(g, encoder.at('goal_encoder'), goal));
    if (encoder.has('concat_encoder'))
      parts.push(impala(g, encoder.at('concat_encoder'), g.concat([s, goal], -1)));
  }
  return g.concat(parts, -1);
}

/** GCActor and GCDiscreteActor: the mean (or a sample), or the logits. */
function headOf(g: GraphBuilder, module: Flax, input: Value, draw?: Value, temperature = 0): Value {
  const h = module.at('actor_net').mlp(g, input, { ...GELU, activate_final: true });
  if (module.has('logit_net')) return module.dense(g, h, 'logit_net');
  const mean = module.dense(g, h, 'mean_net');
  const log_std = module.has('log_stds')
    ? module.vector(g, 'log_stds')
    : module.has('log_std_net')
      ? module.dense(g, h, 'log_std_net')
      : undefined;
  return gaussian(g, mean, log_std, draw, temperature);
}

function scoresOf(
  net: Flax,
  flags: OgbenchFlags,
  represent: (g: GraphBuilder, s: Value, goal: Value) => Value,
): Record<string, Score> {
  const { discount, gc_negative, agent_name } = flags;
  const has = (name: string): boolean => net.has(`modules_${name}`);
  const module = (name: string): Flax => net.at(`modules_${name}`);
  /** Each network of a value or critic over [s; goal or its representation; a]. */
  const members = (g: GraphBuilder, which: Flax, s: Value, goal: Value, a?: Value): Value[] => {
    const towards = has('goal_rep') ? represent(g, s, goal) : goal;
    const input = joined(g, which, s, towards, has('goal_rep'));
    const x = a === undefined ? input : g.concat([input, a], -1);
    const one = which.shape('value_net/Dense_0/kernel').length === 2;
    const count = one ? 1 : which.size('value_net/Dense_0/kernel');
    return Array.from({ length: count }, (_, i) =>
      (one ? which : which.member(i)).at('value_net').mlp(g, x, GELU),
    );
  };
  const scores: Record<string, Score> = {};
  if (agent_name === 'qrl') {
    const metric = (g: GraphBuilder, s: Value, goal: Value): Value =>
      flags.quasimetric_type === 'mrn' ? mrn(g, module('value'), s, goal) : iqe(g, module('value'), s, goal);
    scores.distance = metric;
    scores.value = (g, s, goal) => g.affine(metric(g, s, goal), -1, 0);
    return scores;
  }
  if (has('value') && module('value').has('value_net')) {
    /** Each network's, (1, members). */
    scores.values = (g, s, goal) => g.concat(members(g, module('value'), s, goal), -1);
    scores.value = (g, s, goal) => meanOf(g, members(g, module('value'), s, goal));
    scores.distance = (g, s, goal) => stepsOf(g, scores.value!(g, s, goal), discount, gc_negative);
  }
  if (has('critic') && module('critic').has('value_net'))
    scores.critic = (g, s, goal, a) => leastOf(g, members(g, module('critic'), s, goal, a));
  if (has('critic') && module('critic').has('phi'))
    /** log of a density ratio: φ(s, a)·ψ(g)/√latent_dim, the lesser of two. */
    scores.critic = (g, s, goal, a) => leastOf(g, bilinear(g, module('critic'), s, goal, a));
  // Of CRL where it is trained by advantages.
  if (has('value') && module('value').has('phi'))
    scores.value = (g, s, goal) => meanOf(g, bilinear(g, module('value'), s, goal));
  if (has('low_value')) {
    const value =
      (which: string): Score =>
      (g, s, goal) =>
        meanOf(g, members(g, module(which), s, goal));
    scores.value = value('low_value');
    scores.high_value = value('high_value');
    const n = flags.abstraction_factor ?? 1;
    scores.low_distance = (g, s, goal) =>
      stepsOf(g, scores.value!(g, s, goal), flags.low_discount ?? discount, gc_negative);
    /** The high value counts options of n steps. */
    scores.high_distance = (g, s, goal) =>
      g.affine(
        stepsOf(g, scores.high_value!(g, s, goal), flags.high_discount ?? discount, gc_negative),
        n,
        n,
      );
    scores.distance = (g, s, goal) =>
      mixed(g, scores.low_distance!(g, s, goal), scores.high_distance!(g, s, goal), flags);
  }
  return scores;
}

function bilinear(g: GraphBuilder, module: Flax, s: Value, goal: Value, a?: Value): Value[] {
  const state = module.has('state_encoder') ? impala(g, module.at('state_encoder'), s) : s;
  const towards = module.has('goal_encoder') ? impala(g, module.at('goal_encoder'), goal) : goal;
  const left = a === undefined ? state : g.concat([state, a], -1);
  const one = module.shape('phi/Dense_0/kernel').length === 2;
  const count = one ? 1 : module.size('phi/Dense_0/kernel');
  return Array.from({ length: count }, (_, i) => {
    const net = one ? module : module.member(i);
    const phi = net.at('phi').mlp(g, left, GELU);
    const psi = net.at('psi').mlp(g, towards, GELU);
    return g.affine(g.reduce('sum', g.mul(phi, psi)), 1 / Math.sqrt(phi.shape.at(-1)!), 0);
  });
}

/** OTA: the low distance up to subgoal_steps, then over n steps linearly to the larger of both. */
function mixed(g: GraphBuilder, low: Value, high: Value, flags: OgbenchFlags): Value {
  const { subgoal_steps = 25, abstraction_factor = 1 } = flags;
  const share = g.binary(
    'minimum',
    g.binary(
      'maximum',
      g.affine(low, 1 / abstraction_factor, -subgoal_steps / abstraction_factor),
      g.constant([0], [1]),
    ),
    g.constant([1], [1]),
  );
  const far = g.binary('maximum', high, low);
  return g.add(low, g.mul(share, g.binary('sub', far, low)));
}
