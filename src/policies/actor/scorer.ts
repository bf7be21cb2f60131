// What a goal-conditioned agent's networks say of states and goals: distances in steps, values, what a critic thinks of an
// action, representations. Rows are computed together. Distances count control steps of the training's rate.

import {
  addon,
  GraphBuilder,
  type NativePool,
  type NativeSession,
  native,
  poolFor,
} from '../../native/index.js';
import { TendonError } from '../../types/index.js';
import { readConfig } from '../checkpoint.js';
import { type Agent, sizeOf } from './agent.js';
import { type ActorConfig, parseActorConfig } from './config.js';
import { openAgent } from './open.js';

/** What a GoalScorer judges. */
export interface ScoredRows {
  /** (rows, observation), as the training had them; pictures as bytes. */
  readonly observations: Float32Array;
  /** (rows, goal) */
  readonly goals: Float32Array;
  /** (rows, action_dim) where a critic judges actions; of `proposal` its draws, (rows, subgoal_dim). */
  readonly actions?: Float32Array;
}

/**
 * Networks of a goal-conditioned agent that judge states, goals and actions: values, distances in steps, representations.
 */
export class GoalScorer {
  private readonly sessions = new Map<string, Promise<NativeSession>>();

  private constructor(
    readonly agent: string,
    private readonly networks: Agent,
    private readonly config: ActorConfig,
    private readonly pool: NativePool,
  ) {}

  /** Of a checkpoint of the `actor` family. Throws as `loadPolicy` does. */
  static async open(
    dir: string,
    options: { readonly threads?: number; readonly pool?: NativePool } = {},
  ): Promise<GoalScorer> {
    const config = configOf(dir);
    const { agent } = openAgent(dir, config);
    return new GoalScorer(agent.name, agent, config, poolFor(options));
  }

  /** What can be asked: value, distance, critic, goal_rep, subgoal, phi, skill …, as far as this agent has it. */
  get names(): readonly string[] {
    return Object.keys(this.networks.scores);
  }

  /** Numbers of a state, of a goal, and of what the level above proposes (0 without one). */
  get widths(): { readonly observation: number; readonly goal: number; readonly subgoal: number } {
    const { observation, goal, subgoal_dim } = this.networks;
    return { observation: sizeOf(observation), goal: sizeOf(goal), subgoal: subgoal_dim };
  }

  /** Steps per second that distances count; undefined where the checkpoint does not say. */
  get rate_hz(): number | undefined {
    return this.config.fps;
  }

  /** Entries of a goal that count; undefined: all. */
  get goal_use(): readonly number[] | undefined {
    return this.config.goal_use;
  }

  /** (rows, width): width 1 but for representations. Throws `unsupported` for what the agent does not have. */
  async score(name: string, { observations, goals, actions }: ScoredRows): Promise<Float32Array> {
    const width = sizeOf(this.networks.observation);
    const judged = this.judged(name);
    const rows = observations.length / width;
    const fits = (values: Float32Array | undefined, n: number): boolean =>
      values === undefined || values.length === rows * n;
    if (
      !Number.isInteger(rows) ||
      rows < 1 ||
      !fits(goals, sizeOf(this.networks.goal)) ||
      !fits(actions, judged)
    )
      throw new TendonError(
        'input_invalid',
        `score: expected rows of ${width} observed numbers, ${sizeOf(this.networks.goal)} of a goal and ${judged} of ${name === 'proposal' ? 'draws' : 'an action'}; got ${observations.length}, ${goals.length} and ${actions?.length ?? 'none'}`,
      );
    const session = await this.session(name, rows, actions !== undefined);
    const inputs = { s: observations, goal: goals, ...(actions === undefined ? {} : { a: actions }) };
    const known = new Set(session.inputs.map((input) => input.name));
    const { outputs, status } = await native(() =>
      session.run(Object.fromEntries(Object.entries(inputs).filter(([key]) => known.has(key)))),
    );
    if (status !== 'ok')
      throw new TendonError('policy_failed', `score ${name}: the network's answer is not finite`);
    return outputs.score!;
  }

  /** Width of what is judged or drawn beside state and goal. */
  private judged(name: string): number {
    return name === 'proposal' ? this.networks.subgoal_dim : this.networks.action_dim;
  }

  /** One for each name and number of rows. */
  private session(name: string, rows: number, judged: boolean): Promise<NativeSession> {
    const score = Object.hasOwn(this.networks.scores, name) ? this.networks.scores[name] : undefined;
    if (score === undefined)
      throw new TendonError(
        'unsupported',
        `score: ${this.agent} has ${this.names.join(', ') || 'none'}; got "${name}"`,
        { name },
      );
    const key = `${name}/${rows}/${judged}`;
    let session = this.sessions.get(key);
    if (session === undefined) {
      session = this.compile(score, rows, judged ? this.judged(name) : 0);
      this.sessions.set(key, session);
      session.catch(() => this.sessions.delete(key));
    }
    return session;
  }

  private async compile(
    score: Agent['scores'][string],
    rows: number,
    judged: number,
  ): Promise<NativeSession> {
    const g = new GraphBuilder();
    const s = g.input('s', [1, ...this.networks.observation], 'step');
    const goal = g.input('goal', [1, ...this.networks.goal], 'step');
    const a = judged === 0 ? undefined : g.input('a', [1, judged], 'step');
    g.output('score', score(g, s, goal, a));
    const model = await native(() => addon().compileModel(g.native, { precision: 'f32', pool: this.pool }));
    return native(() => model.openSession({ batch: rows }));
  }
}

function configOf(dir: string): ActorConfig {
  try {
    return parseActorConfig(readConfig(dir), dir);
  } catch (error) {
    if (error instanceof TendonError && error.code === 'file_missing') return parseActorConfig({}, dir);
    throw error;
  }
}
