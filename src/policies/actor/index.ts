// The `actor` family: policies that answer a state and a goal with one action (GCBC, GCIVL, GCIQL, CRL, QRL, HIQL, SAW, OTA,
// HILP, SMORe), both levels of a hierarchy in one compiled program. Without noise a sampler of one row is enough, as for ACT.

import { GraphBuilder, type Value } from '../../native/index.js';
import { clamp, largest, uniformOf } from '../../networks/index.js';
import { type Goal, type Observation, TendonError } from '../../types/index.js';
import type { Checkpoint } from '../checkpoint.js';
import { definePolicy } from '../define.js';
import type { DenoiserFamily } from '../denoiser-family.js';
import { direct } from '../sampling.js';
import { type Agent, type Draws, onlyBelow, sizeOf } from './agent.js';
import { type ActorConfig, parseActorConfig } from './config.js';
import { openAgent } from './open.js';

export { isActorFolder } from './open.js';

const STATE = 'observation.state';
const IMAGE = 'observation.image';
/** The goal in `Goal`, or in an observation: a whole observation as the training had it; of a picture its bytes, (h, w, c). */
export const GOAL = 'goal';

export function openActor({ dir, config: json }: Checkpoint): DenoiserFamily {
  const config = parseActorConfig(json, dir);
  const { agent: whole, finish } = openAgent(dir, config);
  const agent = config.given === 'subgoal' ? onlyBelow(whole) : whole;
  if (agent === undefined)
    throw new TendonError(
      'config_invalid',
      `given: ${whole.name} has one level, which is told the goal itself; leave "given" out`,
      { agent: whole.name },
    );
  const isPicture = agent.observation.length === 3;
  const numbers = sizeOf(agent.observation);
  const goals = sizeOf(agent.goal);
  /** Columns of x: an action's draws, then a subgoal's; of a categorical head one draw for each choice. */
  const width = agent.action_dim + agent.subgoal_dim;
  const action_dim = agent.discrete ? 1 : agent.action_dim;
  const use = config.goal_use;
  if (use !== undefined && (isPicture || config.given === 'subgoal' || use.some((i) => i >= goals)))
    throw new TendonError(
      'config_invalid',
      `goal_use: expected entries below ${goals} of a state, got ${use.join(', ')}`,
    );

  const [height, across, channels] = agent.observation;
  const frame = isPicture ? channels! / agent.frame_stack : 0;
  return definePolicy({
    family: 'actor',
    rate_hz: config.fps,
    action_dim,
    observes: {
      observation_dims: isPicture ? {} : { [STATE]: numbers },
      image_shapes: isPicture ? { [IMAGE]: [frame, height!, across!] } : {},
      goal_dims: { [GOAL]: goals },
    },
    network: {
      rows: 1,
      columns: width,
      build: (groups) => described(agent, groups, config.temperature),
      finish() {
        // Where the lower level acts alone, what the whole agent needs still has its place in the file.
        if (agent !== whole) described(whole, 1, config.temperature);
        finish();
      },
      condition(history, goal) {
        const newest = history.at(-1)!;
        const wanted = goalOf(goal, newest, config, goals);
        if (!isPicture) return { [STATE]: newest.values[STATE]!, [GOAL]: wanted };
        return { [IMAGE]: stacked(history, frame), [GOAL]: wanted };
      },
    },
    sampling: direct('actor', 1),
    codec: { decode: () => undefined },
    window: { n_obs_steps: agent.frame_stack },
  });
}

function described(agent: Agent, groups: number, temperature: number): GraphBuilder {
  const g = new GraphBuilder();
  const s = observed(g, agent);
  const goal = g.input(GOAL, [1, ...agent.goal], 'observation');
  const x = g.input('x', [groups, 1, agent.action_dim + agent.subgoal_dim], 'step');
  g.output('action', actionOf(g, agent, s, goal, x, temperature));
  return g;
}

/** The state, (1, n), or the newest frames on the channels of one picture, (1, h, w, channels). */
function observed(g: GraphBuilder, agent: Agent): Value {
  const name = agent.observation.length === 3 ? IMAGE : STATE;
  return g.input(name, [1, ...agent.observation], 'observation');
}

/** (1, 1, width) as the sampler's loop has it: the action, clipped to ±1, or the chosen index; the rest is not read. */
function actionOf(
  g: GraphBuilder,
  agent: Agent,
  s: Value,
  goal: Value,
  x: Value,
  temperature: number,
): Value {
  const groups = x.shape[0]!;
  const flat = g.reshape(x, [groups, x.shape[2]!]);
  const draws: Draws = {
    temperature: agent.discrete ? 0 : temperature,
    action: g.slice(flat, 1, 0, agent.action_dim),
    subgoal: agent.subgoal_dim === 0 ? undefined : g.slice(flat, 1, agent.action_dim, agent.subgoal_dim),
  };
  const answer = agent.act(g, s, goal, draws);
  const action = agent.discrete ? chosen(g, answer, draws.action, temperature) : clamp(g, answer, -1, 1);
  const rest = x.shape[2]! - action.shape[1]!;
  const padding = g.affine(g.slice(flat, 1, 0, Math.max(rest, 1)), 0, 0);
  const one = g.expand(action, [groups, action.shape[1]!]);
  return g.reshape(
    rest === 0 ? g.add(one, g.affine(g.slice(flat, 1, 0, one.shape[1]!), 0, 0)) : g.concat([one, padding], 1),
    [groups, 1, x.shape[2]!],
  );
}

/** The index of the largest logit; with a temperature of logits/T plus Gumbel noise, which is a categorical draw. */
function chosen(g: GraphBuilder, logits: Value, draw: Value, temperature: number): Value {
  const n = logits.shape[1]!;
  const scores =
    temperature === 0 ? logits : g.add(g.affine(logits, 1 / Math.max(1e-6, temperature), 0), gumbel(g, draw));
  const index = g.constant(
    Float32Array.from({ length: n }, (_, i) => i),
    [1, n],
  );
  return g.reduce('max', g.mul(largest(g, scores), index));
}

/** −log(−log u), u the distribution function of a normal draw. */
function gumbel(g: GraphBuilder, normal: Value): Value {
  const u = clamp(g, uniformOf(g, normal), 1e-30, 1 - 1e-7);
  return g.affine(g.unary('log', g.affine(g.unary('log', u), -1, 0)), -1, 0);
}

/**
 * The goal as given, or as an observation has it; entries that the user does not set are the present ones. Where only some
 * entries count, those alone may be given.
 */
function goalOf(
  goal: Goal | undefined,
  newest: Observation,
  { goal_use }: ActorConfig,
  length: number,
): Float32Array {
  const wanted = goal?.[GOAL] ?? newest.values[GOAL];
  const some = goal_use !== undefined && wanted?.length === goal_use.length;
  if (wanted === undefined || (wanted.length !== length && !some))
    throw new TendonError(
      'input_invalid',
      `goal: this policy is told where to go; expected ${length} numbers${goal_use === undefined ? '' : `, or the ${goal_use.length} that count (goal_use)`} under "${GOAL}" in the goal or the observation, got ${wanted?.length ?? 'none'}`,
      { expected: length, got: wanted?.length },
    );
  const now = newest.values[STATE];
  if (goal_use === undefined || now === undefined) return wanted;
  const out = now.slice();
  goal_use.forEach((entry, i) => {
    out[entry] = wanted[some ? i : entry]!;
  });
  return out;
}

/** Frames, oldest first, on the channels of one picture. */
function stacked(history: readonly Observation[], channels: number): Float32Array {
  const frames = history.map(({ images }) => images![IMAGE]!.data);
  const pixels = frames[0]!.length / channels;
  const out = new Float32Array(pixels * channels * frames.length);
  for (let pixel = 0, at = 0; pixel < pixels; pixel++)
    for (const data of frames) for (let c = 0; c < channels; c++) out[at++] = data[pixel * channels + c]!;
  return out;
}
