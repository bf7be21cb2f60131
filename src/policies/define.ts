// A family from its parts: what it observes, its network, how it samples, how rows of x become actions, what it sees of the
// past. What most families have in common is filled in here.

import type { GraphBuilder, NativeSession } from '../native/index.js';
import { encodeRows } from '../samplers/index.js';
import { type PolicySpec, TendonError } from '../types/index.js';
import type {
  Carry,
  Codec,
  DenoiserFamily,
  Joining,
  Network,
  Opening,
  Sampling,
  SamplingPlan,
} from './denoiser-family.js';
import type { ActionCodec } from './features.js';
import { GUIDED, guideSchedule } from './guided.js';
import { drawn, type JoiningShape, notJoined } from './joining.js';
import { LoopSession } from './loop-session.js';

/** What a family says of itself. Parts that are left out are the usual ones. */
export interface Definition {
  readonly family: string;
  /** Rate of the data that the policy was trained on. */
  readonly rate_hz: number | undefined;
  readonly action_dim: number;
  /** What an observation and a goal must hold: fields of PolicySpec. */
  readonly observes: Pick<PolicySpec, 'observation_dims'> &
    Partial<
      Pick<
        PolicySpec,
        'image_shapes' | 'any_size' | 'any_image_size' | 'optional_images' | 'goal_dims' | 'texts' | 'scores'
      >
    >;
  readonly network: Pick<Network, 'rows' | 'condition'> & {
    /** Columns of x; action_dim when absent. */
    readonly columns?: number;
    /** Describes the network: step input `x`, output first. Called once at load, so that a wrong tensor is found there. */
    build(groups: number): GraphBuilder;
    /** Throws when something in the checkpoint belongs to nothing that was built (Tensors.finish). */
    finish?(): void;
    /** Absent: the network is told of no level. */
    readonly schedule?: Network['schedule'];
    readonly guidable?: boolean;
    /** Runs elsewhere than in the core. */
    readonly open?: Network['open'];
  };
  readonly sampling: Sampling;
  readonly codec: Pick<ActionCodec, 'decode'> &
    Partial<Pick<ActionCodec, 'encode'>> & {
      /** Normalised bounds of each action, (action_dim): what is sampled beyond is brought back to them. */
      readonly bounds?: { readonly low: Float32Array; readonly high: Float32Array } | undefined;
    };
  readonly window?: {
    /** 1 when absent. */
    readonly n_obs_steps?: number;
    /** The row of x that is executed first; 0 when absent. */
    readonly first_row?: number;
    /** Rows of a chunk, where x has others beside them; all from the first that is executed when absent. */
    readonly horizon?: number;
    /** All of a chunk's rows when absent. */
    readonly n_action_steps?: number;
    readonly rename?: Readonly<Record<string, string>> | undefined;
    /** Coefficient of ACT's temporal ensemble, which the checkpoint asks for. */
    readonly ensemble?: number | undefined;
    readonly grows?: boolean;
    readonly carry?: Carry;
  };
  /** Absent: drawn by the sampler where the codec can encode, else not at all. */
  readonly joining?: (shape: JoiningShape) => Joining;
}

/** Nothing goes from one answer to the next. */
const STATELESS: Carry = { begin: () => ({}), next: () => undefined };

/** The family that a definition describes, its network built once. */
export function definePolicy(definition: Definition): DenoiserFamily {
  const { family, rate_hz, action_dim, observes, sampling, codec, window = {} } = definition;
  const { rows, columns = action_dim } = definition.network;
  const { n_obs_steps = 1, first_row = 0, grows = false, ensemble } = window;
  const { horizon = rows - first_row } = window;
  return {
    spec: {
      image_shapes: {},
      goal_dims: {},
      ...observes,
      family,
      n_obs_steps,
      horizon,
      n_action_steps: window.n_action_steps ?? horizon,
      action_dim,
      rate_hz,
      ...(ensemble === undefined ? {} : { ensemble }),
    },
    network: networkOf(definition.network, columns),
    sampling,
    window: {
      rename: window.rename ?? {},
      grows,
      firstRow: (observations) => (grows ? observations - 1 : first_row),
      carry: window.carry ?? STATELESS,
    },
    codec: codecOf(codec),
    joining: joiningOf(definition, { action_dim, rows, columns }),
  };
}

function networkOf(given: Definition['network'], columns: number): Network {
  const { rows, build, finish, schedule, guidable = false, open = openCompiled } = given;
  const graph = (groups: number): GraphBuilder => {
    const built = build(groups);
    finish?.();
    return built;
  };
  // A network of another runtime is checked by whoever opens it.
  if (given.open === undefined) graph(1);
  const network: Network = {
    rows,
    columns,
    guidable,
    graph,
    schedule: schedule ?? (() => ({})),
    condition: (history, goal, groups) => given.condition(history, goal, groups),
    open: (plan, opening) => open.call(network, plan, opening),
  };
  return network;
}

/** A session of the core, which follows the plan's table by itself, or is asked call by call where there is none. */
async function openCompiled(
  this: Network,
  plan: SamplingPlan,
  { candidates, groups, guided, stepped = false, parallel_tolerance, model }: Opening,
): Promise<NativeSession> {
  const { table } = plan;
  if (guided && groups > 1)
    throw new TendonError(
      'unsupported',
      'a prefix through the derivative needs a denoiser without classifier-free guidance; set derivative: false',
    );
  if (guided && table === undefined)
    throw new TendonError(
      'unsupported',
      'a sampler that chooses its own steps is not drawn towards a prefix through the derivative; set derivative: false, or choose another sampler',
    );
  if (guided && stepped)
    throw new TendonError(
      'unsupported',
      'particles and terms do not go together with a prefix through the derivative; set derivative: false',
    );
  const compiled = await model();
  if (table === undefined || stepped) {
    const session = await compiled.openSession({ batch: candidates });
    return new LoopSession(session, plan.follow, (level) => this.schedule([level]));
  }
  const session = await compiled.openSession({
    batch: candidates,
    ...(guided ? { outputs: [GUIDED] } : {}),
  });
  const schedule = { ...this.schedule(table.levels), ...(guided ? guideSchedule(table) : {}) };
  await session.setTable(encodeRows(table), schedule, parallel_tolerance);
  return session;
}

function codecOf({ bounds, ...codec }: Definition['codec']): Codec {
  return {
    decode: (rows, newest) => codec.decode(rows, newest),
    clip(x) {
      if (bounds === undefined) return;
      const n = bounds.low.length;
      for (let i = 0; i < x.length; i++)
        x[i] = Math.min(Math.max(x[i]!, bounds.low[i % n]!), bounds.high[i % n]!);
    },
  };
}

function joiningOf(
  { family, codec, joining = drawn }: Definition,
  shape: Omit<JoiningShape, 'encode'>,
): Joining {
  const { encode } = codec;
  if (encode === undefined)
    return notJoined(`${family} does not denoise, so its chunks cannot be drawn towards a prefix`);
  return joining({ ...shape, encode: (rows, newest) => encode.call(codec, rows, newest) });
}
