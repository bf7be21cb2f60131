// A world model as the planner wants it (native/plan/rollout.h): one graph whose entries are compiled apart and share
// their weights. The rollout is unrolled over the horizon, so what depends on the observed latent alone is computed
// once per plan. After TD-MPC2 `_estimate_value` and LeRobot TD-MPC `estimate_value`.

import { GraphBuilder, type Value } from '../../native/index.js';
import { clamp } from '../../networks/index.js';

/**
 * The networks of a world model; a (rows, action_dim), results (rows, …). Z is what a rollout carries from step to step:
 * the latent itself (rows, latent_dim), or what a family makes of it (particles, a context of tokens).
 */
export interface WorldNetworks<Z = Value> {
  readonly latent_dim: number;
  readonly action_dim: number;
  /** Critics there are; 0 leaves the end of the horizon without a value. */
  readonly critics: number;
  /** Normal draws that `next` takes, of a model that draws its next state; absent: none. */
  readonly draws?: number;
  /** Declares the observation inputs and gives the latent. */
  encode(g: GraphBuilder): Value;
  /** What a rollout begins with at the observed latent. */
  begin(g: GraphBuilder, latent: Value): Z;
  /** `noise` (rows, draws), where there are draws. */
  next(g: GraphBuilder, z: Z, a: Value, noise?: Value): Z;
  /** Of acting with `a` in z, which led to `after`. */
  reward(g: GraphBuilder, z: Z, a: Value, after: Z): Value;
  /** What the critics read of z, (rows, tail_dim). */
  tail?(g: GraphBuilder, z: Z): Value;
  readonly tail_dim?: number;
  value?(g: GraphBuilder, critic: number, tail: Value, a: Value): Value;
  /** The policy prior's action with unit normal `noise` (rows, action_dim), or its mean without. */
  prior?(g: GraphBuilder, z: Z, noise: Value | undefined): Value;
  /** The probability that the episode has ended in z, (rows, 1). */
  ended?(g: GraphBuilder, z: Z): Value;
  /** How unsure a model without critics is of acting with `a` in z, (rows, 1). */
  doubt?(g: GraphBuilder, z: Z, a: Value): Value;
  /** z as numbers of a fixed width and back, which a tree keeps by node; absent: no tree search. */
  readonly packing?: { pack(g: GraphBuilder, z: Z): Value; unpack(g: GraphBuilder, packed: Value): Z };
}

/** Of networks whose rollouts carry the latent itself. */
export const LATENT_ITSELF = {
  begin: (_g: GraphBuilder, latent: Value): Value => latent,
  tail: (_g: GraphBuilder, z: Value): Value => z,
  packing: {
    pack: (_g: GraphBuilder, z: Value): Value => z,
    unpack: (_g: GraphBuilder, packed: Value): Value => packed,
  },
};

export interface WorldGraphOptions {
  readonly horizon: number;
  readonly discount: number;
  /** λ: each step's return falls by λ times the critics' standard deviation (LeRobot TD-MPC; FOWM). */
  readonly uncertainty?: number;
  /** What a tree's leaf is worth, of all critics (mean). */
  readonly ask?: 'mean' | 'minimum';
}

/**
 * Entries: latent · prior_actions · return (with tail_weight, and members or tail_latent and tail_action) · value_i · those
 * of a tree (native/plan/tree_rollout.h).
 */
export function worldGraph<Z>(networks: WorldNetworks<Z>, options: WorldGraphOptions): GraphBuilder {
  const g = new GraphBuilder();
  const { latent_dim, action_dim } = networks;
  g.output('latent', networks.encode(g));
  const latent = g.input('latent', [1, latent_dim], 'observation');
  if (networks.prior !== undefined) priorEntry(g, networks, latent, options.horizon);
  rolloutEntry(g, networks, latent, options);
  if (!together(networks, options) && networks.critics > 0) {
    const tail = g.input('critic_latent', [1, networks.tail_dim!], 'step');
    const a = g.input('critic_action', [1, action_dim], 'step');
    for (let i = 0; i < networks.critics; i++) g.output(`value_${i}`, networks.value!(g, i, tail, a));
  }
  if (networks.packing !== undefined && networks.prior !== undefined && networks.critics > 0)
    treeEntries(g, networks, latent, options);
  return g;
}

/** Whether the rollout's program has the critics in it: all are needed, or there is but one. */
const together = <Z>({ critics }: WorldNetworks<Z>, options: { uncertainty?: number | undefined }): boolean =>
  options.uncertainty !== undefined || critics === 1;

/** The slices of an input that hold each step's draws of `next`; of a model that draws nothing, undefined. */
function drawsOf<Z>(g: GraphBuilder, { draws = 0 }: WorldNetworks<Z>, name: string, horizon: number) {
  if (draws === 0) return () => undefined;
  const noise = g.input(name, [1, horizon * draws], 'step');
  return (t: number) => g.slice(noise, 1, t * draws, draws);
}

/** The prior acting alone from the latent. */
function priorEntry<Z>(g: GraphBuilder, networks: WorldNetworks<Z>, latent: Value, horizon: number): void {
  const { action_dim } = networks;
  let z = networks.begin(g, latent);
  g.output('greedy_action', networks.prior!(g, z, undefined));
  const noise = g.input('prior_noise', [1, horizon * action_dim], 'step');
  const drawn = drawsOf(g, networks, 'prior_model_noise', horizon);
  const actions: Value[] = [];
  for (let t = 0; t < horizon; t++) {
    const a = networks.prior!(g, z, g.slice(noise, 1, t * action_dim, action_dim));
    actions.push(a);
    if (t + 1 < horizon) z = networks.next(g, z, a, drawn(t));
  }
  g.output('prior_actions', g.concat(actions, 1));
}

/** G = Σ γ^t·alive_t·(r_t − λ·std) over given actions, then what the tail's value will be multiplied with. */
function rolloutEntry<Z>(
  g: GraphBuilder,
  networks: WorldNetworks<Z>,
  latent: Value,
  { horizon, discount, uncertainty }: WorldGraphOptions,
): void {
  const { action_dim, critics } = networks;
  const actions = g.input('actions', [1, horizon * action_dim], 'step');
  const drawn = drawsOf(g, networks, 'model_noise', horizon);
  let z = networks.begin(g, latent);
  let total: Value | undefined;
  let alive: Value | undefined;
  for (let t = 0; t < horizon; t++) {
    const a = g.slice(actions, 1, t * action_dim, action_dim);
    const after = networks.next(g, z, a, drawn(t));
    let gain = networks.reward(g, z, a, after);
    if (uncertainty !== undefined)
      gain = g.add(gain, g.affine(deviation(g, members(g, networks, z, a)), -uncertainty, 0));
    z = after;
    if (alive !== undefined) gain = g.mul(gain, alive);
    gain = g.affine(gain, discount ** t, 0);
    total = total === undefined ? gain : g.add(total, gain);
    if (networks.ended !== undefined) {
      const goes_on = g.affine(networks.ended(g, z), -1, 1);
      alive = alive === undefined ? goes_on : g.mul(alive, goes_on);
    }
  }
  if (critics > 0) {
    const last = discount ** horizon;
    const noise = networks.prior === undefined ? undefined : g.input('tail_noise', [1, action_dim], 'step');
    const a = networks.prior!(g, z, noise);
    const weight = alive === undefined ? g.affine(total!, 0, last) : g.affine(alive, last, 0);
    if (!together(networks, { uncertainty })) {
      g.output('tail_latent', networks.tail!(g, z));
      g.output('tail_action', a);
    } else {
      const all = members(g, networks, z, a);
      if (uncertainty !== undefined)
        total = g.add(total!, g.affine(deviation(g, all), -uncertainty * last, 0));
      g.output('members', all);
    }
    g.output('tail_weight', weight);
  }
  g.output('return', total!);
}

/** One edge of a tree, and actions drawn at its end. */
function treeEntries<Z>(
  g: GraphBuilder,
  networks: WorldNetworks<Z>,
  latent: Value,
  { uncertainty, ask = 'mean' }: WorldGraphOptions,
): void {
  const { action_dim, draws = 0, packing } = networks;
  const { pack, unpack } = packing!;
  const root = g.affine(pack(g, networks.begin(g, latent)), 1, 0);
  g.output('root_state', root);
  const width = root.shape[1]!;

  const z = unpack(g, g.input('node_state', [1, width], 'step'));
  const a = g.input('node_action', [1, action_dim], 'step');
  const noise = draws === 0 ? undefined : g.input('node_model_noise', [1, draws], 'step');
  const after = networks.next(g, z, a, noise);
  const doubt = (at: Z, action: Value, v: Value): Value =>
    uncertainty === undefined
      ? v
      : g.add(v, g.affine(deviation(g, members(g, networks, at, action)), -uncertainty, 0));
  g.output('next_state', g.affine(pack(g, after), 1, 0));
  g.output('node_reward', doubt(z, a, networks.reward(g, z, a, after)));
  const greedy = networks.prior!(g, after, undefined);
  const all = members(g, networks, after, greedy);
  g.output('node_value', doubt(after, greedy, g.reduce(ask === 'mean' ? 'mean' : 'min', all)));
  if (networks.ended !== undefined) g.output('node_alive', g.affine(networks.ended(g, after), -1, 1));

  const at = unpack(g, g.input('sample_state', [1, width], 'step'));
  const drawn = g.input('sample_noise', [1, action_dim], 'step');
  // A prior whose noise leaves [−1, 1] is cut where the actions are.
  g.output('sample_action', clamp(g, networks.prior!(g, at, drawn), -1, 1));
}

/** What all critics make of it, (rows, critics). */
export function members<Z>(g: GraphBuilder, networks: WorldNetworks<Z>, z: Z, a: Value): Value {
  const tail = networks.tail!(g, z);
  return g.concat(
    Array.from({ length: networks.critics }, (_, i) => networks.value!(g, i, tail, a)),
    1,
  );
}

/** Standard deviation over the last dim as torch has it: of n − 1. */
export function deviation(g: GraphBuilder, values: Value): Value {
  const n = values.shape.at(-1)!;
  return g.unary('sqrt', g.affine(g.reduce('variance', values), n / (n - 1), 0));
}
