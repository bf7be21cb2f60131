// What an agent of this family is to the rest: how it acts, and what it can say of a state and a goal. Graphs are described
// with one sample; s and g are (1, n), or (1, h, w, channels) of bytes for pictures.

import type { GraphBuilder, Value } from '../../native/index.js';
import { clamp } from '../../networks/index.js';

/** Normal draws of one action, by the level they are for; absent: no noise (temperature 0). */
export interface Draws {
  /** (1, action width) */
  readonly action: Value;
  /** (1, subgoal width) */
  readonly subgoal?: Value | undefined;
  readonly temperature: number;
}

/** A number, or several, for a state and a goal; `a` where the network judges an action, (1, action_dim). */
export type Score = (g: GraphBuilder, s: Value, goal: Value, a?: Value) => Value;

export interface Agent {
  readonly name: string;
  readonly observation: Shape;
  readonly goal: Shape;
  /** Numbers of an action; of a categorical head the number of choices. */
  readonly action_dim: number;
  readonly discrete: boolean;
  /** Width of what a high level proposes; 0 without one. */
  readonly subgoal_dim: number;
  /** Frames on the channels of a picture, oldest first. */
  readonly frame_stack: number;
  /** The mean action (1, action_dim) before it is clipped, or the logits; with draws: a sample. */
  act(g: GraphBuilder, s: Value, goal: Value, draws?: Draws): Value;
  /** The level below what turns a goal into something nearer: told a subgoal (HIQL), a representation (SAW) or a skill (HILP). */
  readonly below?: { readonly dim: number; act: Agent['act'] };
  /** By name: value, distance, critic, goal_rep, subgoal …; what each gives is said where it is made. */
  readonly scores: Readonly<Record<string, Score>>;
}

/** (n), or (height, width, channels) of a picture. */
export type Shape = readonly number[];

/** mean + exp(log_std)·temperature·draw, or the mean. */
export function gaussian(
  g: GraphBuilder,
  mean: Value,
  log_std: Value | undefined,
  draw: Value | undefined,
  temperature: number,
): Value {
  if (draw === undefined || temperature === 0) return mean;
  const noise = g.affine(draw, temperature, 0);
  if (log_std === undefined) return g.add(mean, noise);
  return g.add(mean, g.mul(noise, g.unary('exp', clamp(g, log_std, -5, 2))));
}

/** The agent that is given what the level above proposes instead of a goal. */
export const onlyBelow = (agent: Agent): Agent | undefined =>
  agent.below && { ...agent, goal: [agent.below.dim], subgoal_dim: 0, act: agent.below.act };

/** Numbers in a shape. */
export const sizeOf = (shape: Shape): number => shape.reduce((n, d) => n * d, 1);

/**
 * Steps to a goal from a value of rewards −1 until it is reached: d = log(1 + (1 − γ)·V)/log γ, V clipped to where that is
 * finite. `negative` false: rewards 1 at the goal.
 */
export function stepsOf(g: GraphBuilder, value: Value, discount: number, negative: boolean): Value {
  const most = 1 / (1 - discount);
  const v = clamp(g, negative ? value : g.affine(value, 1, -most), -most + 1e-3, -1e-3);
  return g.affine(g.unary('log', g.affine(v, 1 - discount, 1)), 1 / Math.log(discount), 0);
}

export const meanOf = (g: GraphBuilder, values: readonly Value[]): Value =>
  g.affine(
    values.reduce((a, b) => g.add(a, b)),
    1 / values.length,
    0,
  );

export const leastOf = (g: GraphBuilder, values: readonly Value[]): Value =>
  values.reduce((a, b) => g.binary('minimum', a, b));
