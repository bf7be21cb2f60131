// What a world model expects of several chunks, rolled together: Σ γ^t·reward along the rows, the last of them worth what the
// critics say of it where there are any. Scorers of the form `return` rank candidates by it.

import { addon, type NativeModel, type NativePool, type NativeSession, native } from '../../native/index.js';
import { type Goal, type Observation, type PolicySpec, TendonError } from '../../types/index.js';
import { History } from '../history.js';
import { openFamily } from '../load.js';
import { imaginedGraph } from './imagination.js';
import type { WorldModelFamily } from './planning-policy.js';

/** Rollouts of a model that draws its next state, of each chunk. */
const ROLLOUTS = 8;

interface Rolled {
  readonly encoder: NativeSession;
  readonly model: NativeModel;
  readonly sessions: Map<number, Promise<NativeSession>>;
}

/** What a world model expects chunks of another policy to return. */
export class RolledReturns {
  readonly spec: PolicySpec;
  private readonly rollouts: number;
  private readonly outputs: readonly string[];
  /** By rows of a chunk. */
  private readonly compiled = new Map<number, Promise<Rolled>>();

  private constructor(
    private readonly family: WorldModelFamily,
    private readonly pool: NativePool,
  ) {
    this.spec = family.spec;
    this.outputs = family.networks.critics > 0 ? ['reward', 'value'] : ['reward'];
    this.rollouts = (family.networks.draws ?? 0) > 0 ? ROLLOUTS : 1;
  }

  /** Throws `unsupported` for a policy that is no world model. */
  static async open(dir: string, pool: NativePool): Promise<RolledReturns> {
    const family = openFamily(dir);
    if (!('kind' in family))
      throw new TendonError(
        'unsupported',
        `${dir} is a policy of the family ${family.spec.family}, which predicts actions and not what comes of them; name a world model (tdmpc, tdmpc2, ensemble, rssm, scalezero)`,
        { dir },
      );
    return new RolledReturns(family, pool);
  }

  /** (chunks): of physical actions, each (rows · action_dim), all as long. */
  async of(observation: Observation, chunks: readonly Float32Array[], goal?: Goal): Promise<Float32Array> {
    const { family, rollouts } = this;
    const { action_dim } = family.spec;
    const size = chunks[0]!.length;
    const steps = size / action_dim;
    const { encoder, model, sessions } = await this.for(steps);
    const history = new History(family.spec, family.rename).take(observation);
    const { latent } = (
      await native(() =>
        encoder.run({
          ...family.observe(history, goal, () => 0.5),
          ...family.recall?.(undefined, (count) => new Float32Array(count)),
        }),
      )
    ).outputs;
    const batch = chunks.length * rollouts;
    const actions = new Float32Array(batch * size);
    chunks.forEach((chunk, c) => {
      const rows = chunk.slice();
      family.encode(rows, history.at(-1)!);
      for (let i = 0; i < size; i++) rows[i] = Math.min(1, Math.max(-1, rows[i]!));
      for (let k = 0; k < rollouts; k++) actions.set(rows, (c * rollouts + k) * size);
    });
    const { draws = 0 } = family.networks;
    // The same draws for every chunk: they differ by what they do.
    const noise = draws === 0 ? undefined : addon().philoxNormal(0, 0, 0, rollouts * steps * draws);
    const session = await sessionOf(model, sessions, batch, this.outputs);
    const { outputs, status } = await native(() =>
      session.run({
        latent: latent!,
        actions,
        ...(noise === undefined ? {} : { model_noise: repeated(noise, chunks.length) }),
      }),
    );
    if (status !== 'ok')
      throw new TendonError('policy_failed', `${family.spec.family}: its prediction is not finite`);
    const { reward, value } = outputs;
    return Float32Array.from({ length: chunks.length }, (_, c) => {
      let sum = 0;
      for (let row = c * rollouts; row < (c + 1) * rollouts; row++)
        for (let t = 0; t < steps; t++) {
          const of = value !== undefined && t === steps - 1 ? value : reward!;
          sum += family.discount ** t * of[row * steps + t]!;
        }
      return sum / rollouts;
    });
  }

  private for(steps: number): Promise<Rolled> {
    let rolled = this.compiled.get(steps);
    if (rolled === undefined) {
      rolled = this.compile(steps);
      this.compiled.set(steps, rolled);
      rolled.catch(() => this.compiled.delete(steps));
    }
    return rolled;
  }

  private async compile(steps: number): Promise<Rolled> {
    const graph = imaginedGraph(this.family.networks, steps);
    const model = await native(() =>
      addon().compileModel(graph.native, { pool: this.pool, precision: 'f32' }),
    );
    const encoder = await native(() => model.openSession({ batch: 1, outputs: ['latent'] }));
    return { encoder, model, sessions: new Map() };
  }
}

async function sessionOf(
  model: NativeModel,
  sessions: Map<number, Promise<NativeSession>>,
  batch: number,
  outputs: readonly string[],
): Promise<NativeSession> {
  let session = sessions.get(batch);
  if (session === undefined) {
    session = native(() => model.openSession({ batch, outputs }));
    sessions.set(batch, session);
    session.catch(() => sessions.delete(batch));
    if (sessions.size > 8) sessions.delete(sessions.keys().next().value!);
  }
  return session;
}

function repeated(values: Float32Array, times: number): Float32Array {
  const out = new Float32Array(times * values.length);
  for (let i = 0; i < times; i++) out.set(values, i * values.length);
  return out;
}
