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

export interface ScoredRows {
  /** (rows, observation), as the training had them; pictures as bytes. */
  readonly observations: Float32Array;
  /** (rows, goal) */
  readonly goals: Float32Array;
  /** (rows, action_dim) where a critic judges actions. */
  readonly actions?: Float32Array;
}

export class GoalScorer {
  private readonly sessions = new Map<string, Promise<NativeSession>>();

  private constructor(
    readonly agent: string,
    private readonly networks: Agent,
    private readonly pool: NativePool,
  ) {}

  /** Of a checkpoint of the `actor` family. Throws as `loadPolicy` does. */
  static async open(
    dir: string,
    options: { readonly threads?: number; readonly pool?: NativePool } = {},
  ): Promise<GoalScorer> {
    const { agent } = openAgent(dir, configOf(dir));
    return new GoalScorer(agent.name, agent, poolFor(options));
  }

  /** What can be asked: value, distance, critic, goal_rep, subgoal, phi, skill …, as far as this agent has it. */
  get names(): readonly string[] {
    return Object.keys(this.networks.scores);
  }

  /** (rows, width): width 1 but for representations. Throws `unsupported` for what the agent does not have. */
  async score(name: string, { observations, goals, actions }: ScoredRows): Promise<Float32Array> {
    const width = sizeOf(this.networks.observation);
    const rows = observations.length / width;
    const fits = (values: Float32Array | undefined, n: number): boolean =>
      values === undefined || values.length === rows * n;
    if (
      !Number.isInteger(rows) ||
      rows < 1 ||
      !fits(goals, sizeOf(this.networks.goal)) ||
      !fits(actions, this.networks.action_dim)
    )
      throw new TendonError(
        'input_invalid',
        `score: expected rows of ${width} observed numbers, ${sizeOf(this.networks.goal)} of a goal and ${this.networks.action_dim} of an action; got ${observations.length}, ${goals.length} and ${actions?.length ?? 'none'}`,
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
      session = this.compile(score, rows, judged);
      this.sessions.set(key, session);
      session.catch(() => this.sessions.delete(key));
    }
    return session;
  }

  private async compile(
    score: Agent['scores'][string],
    rows: number,
    judged: boolean,
  ): Promise<NativeSession> {
    const g = new GraphBuilder();
    const s = g.input('s', [1, ...this.networks.observation], 'step');
    const goal = g.input('goal', [1, ...this.networks.goal], 'step');
    const a = judged ? g.input('a', [1, this.networks.action_dim], 'step') : undefined;
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
