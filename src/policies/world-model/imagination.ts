// What a world model expects of given actions, step by step: reward, value, and how unsure it is of them. Where planning
// needs only their sum (graph.ts), this says what is in it; nothing is chosen here.

import {
  addon,
  GraphBuilder,
  type NativePool,
  type NativeSession,
  native,
  type Value,
} from '../../native/index.js';
import { type Goal, type Observation, type PolicySpec, TendonError } from '../../types/index.js';
import { History } from '../history.js';
import { openFamily } from '../load.js';
import { deviation, members, type WorldNetworks } from './graph.js';
import type { WorldModelFamily } from './planning-policy.js';

/** Rollouts of a model that draws its next state; their mean is shown, their spread is doubt. */
const ROLLOUTS = 32;

/** What a world model expects of a chunk. */
export interface Imagined {
  /** Each (steps). */
  readonly reward: Float32Array;
  /** The critics' mean of acting with the row there; absent without critics. */
  readonly value: Float32Array | undefined;
  /** In the unit that `unsure_of` names; absent of a single network that draws nothing. */
  readonly uncertainty: Float32Array | undefined;
  readonly unsure_of: string;
  /** Σ γ^t·r_t over the rows. */
  readonly return: number;
  /** Numbers of the actions beyond what the model knows, which were cut to [−1, 1]. */
  readonly cut: number;
}

/** Entries: latent; reward, value and doubt of (rows, steps), from `latent`, `actions` and, of a model that draws, `model_noise`. */
export function imaginedGraph<Z>(networks: WorldNetworks<Z>, steps: number): GraphBuilder {
  const g = new GraphBuilder();
  const { latent_dim, action_dim, critics, draws = 0, doubt } = networks;
  g.output('latent', networks.encode(g));
  const latent = g.input('latent', [1, latent_dim], 'observation');
  const actions = g.input('actions', [1, steps * action_dim], 'step');
  const noise = draws === 0 ? undefined : g.input('model_noise', [1, steps * draws], 'step');
  const [rewards, values, doubts]: [Value[], Value[], Value[]] = [[], [], []];
  let z = networks.begin(g, latent);
  for (let t = 0; t < steps; t++) {
    const a = g.slice(actions, 1, t * action_dim, action_dim);
    if (critics > 0) {
      const all = members(g, networks, z, a);
      values.push(g.reduce('mean', all));
      if (critics > 1) doubts.push(deviation(g, all));
    } else if (doubt !== undefined) doubts.push(doubt(g, z, a));
    const after = networks.next(g, z, a, noise && g.slice(noise, 1, t * draws, draws));
    rewards.push(networks.reward(g, z, a, after));
    z = after;
  }
  const join = (of: readonly Value[]): Value => (of.length === 1 ? g.affine(of[0]!, 1, 0) : g.concat(of, 1));
  g.output('reward', join(rewards));
  if (values.length > 0) g.output('value', join(values));
  if (doubts.length > 0) g.output('doubt', join(doubts));
  return g;
}

/** A world model asked what would come of given actions, without acting. */
export class Imagination {
  readonly spec: PolicySpec;

  private constructor(
    private readonly family: WorldModelFamily,
    private readonly encoder: NativeSession,
    private readonly rollout: NativeSession,
    readonly steps: number,
    private readonly rollouts: number,
    private readonly draws: number,
  ) {
    this.spec = family.spec;
  }

  /** A world model's folder, for sequences of `steps` rows. Throws `unsupported` for a policy that is no world model. */
  static async open(dir: string, steps: number, pool: NativePool): Promise<Imagination> {
    const family = openFamily(dir);
    if (!('kind' in family))
      throw new TendonError(
        'unsupported',
        `${dir} is a policy of the family ${family.spec.family}, which predicts actions and not what comes of them; name a world model (tdmpc, tdmpc2, ensemble, rssm, scalezero)`,
        { dir },
      );
    const { draws = 0 } = family.networks;
    const graph = imaginedGraph(family.networks, steps);
    const model = await native(() => addon().compileModel(graph.native, { pool, precision: 'f32' }));
    const rollouts = draws === 0 ? 1 : ROLLOUTS;
    const outputs = graph.outputs.map(({ name }) => name).filter((name) => name !== 'latent');
    const encoder = await native(() => model.openSession({ batch: 1, outputs: ['latent'] }));
    const rollout = await native(() => model.openSession({ batch: rollouts, outputs }));
    return new Imagination(family, encoder, rollout, steps, rollouts, draws);
  }

  /** What is expected of physical actions (steps, action_dim) from an observation; a latent with a memory begins anew. */
  async imagine(observation: Observation, actions: Float32Array, goal?: Goal): Promise<Imagined> {
    const { family, steps, rollouts, draws } = this;
    const length = steps * family.spec.action_dim;
    if (actions.length !== length)
      throw new TendonError(
        'input_invalid',
        `expected ${steps} actions of ${family.spec.action_dim} numbers, got ${actions.length} numbers in all`,
        { expected: length, got: actions.length },
      );
    const history = new History(family.spec, family.rename).take(observation);
    const inputs = {
      ...family.observe(history, goal, () => 0.5),
      ...family.recall?.(undefined, (count) => new Float32Array(count)),
    };
    const { latent } = (await native(() => this.encoder.run(inputs))).outputs;
    const rows = actions.slice();
    family.encode(rows, history.at(-1)!);
    let cut = 0;
    const sequences = new Float32Array(rollouts * length);
    rows.forEach((a, i) => {
      // The limit itself, once through the statistics and back, is no excess.
      if (Math.abs(a) > 1 + 1e-5) cut++;
      for (let k = 0; k < rollouts; k++) sequences[k * length + i] = Math.min(1, Math.max(-1, a));
    });
    const noise = draws === 0 ? {} : { model_noise: addon().philoxNormal(0, 0, 0, rollouts * steps * draws) };
    const { outputs } = await native(() =>
      this.rollout.run({ latent: latent!, actions: sequences, ...noise }),
    );
    const mean = (of: Float32Array): Float32Array => over(of, steps, (v) => average(v));
    const reward = mean(outputs.reward!);
    const drawn = rollouts > 1 && outputs.doubt === undefined;
    return {
      reward,
      value: outputs.value && mean(outputs.value),
      uncertainty: drawn ? over(outputs.reward!, steps, spread) : outputs.doubt && mean(outputs.doubt),
      unsure_of: drawn
        ? 'standard deviation of the reward over rollouts'
        : outputs.value !== undefined
          ? 'standard deviation of the critics'
          : 'distance of a member from the mean of all, normalised observations',
      return: reward.reduce((sum, r, t) => sum + family.discount ** t * r, 0),
      cut,
    };
  }
}

/** Of every step, something of its numbers over the rollouts, (rollouts, steps). */
function over(values: Float32Array, steps: number, of: (v: number[]) => number): Float32Array {
  return Float32Array.from({ length: steps }, (_, t) =>
    of(Array.from({ length: values.length / steps }, (_, k) => values[k * steps + t]!)),
  );
}

const average = (v: readonly number[]): number => v.reduce((a, b) => a + b, 0) / v.length;

function spread(v: readonly number[]): number {
  const middle = average(v);
  return Math.sqrt(v.reduce((sum, x) => sum + (x - middle) ** 2, 0) / (v.length - 1));
}
