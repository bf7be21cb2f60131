// A world model as the planner wants it (native/plan/rollout.h): one graph whose entries are compiled apart and share
// their weights. The rollout is unrolled over the horizon, so what depends on the observed latent alone is computed
// once per plan. After TD-MPC2 `_estimate_value` and LeRobot TD-MPC `estimate_value`.

import { GraphBuilder, type Value } from '../../native/index.js';

/** The networks of a world model; z (rows, latent_dim), a (rows, action_dim), results (rows, …). */
export interface WorldNetworks {
  readonly latent_dim: number;
  readonly action_dim: number;
  /** Critics there are; 0 leaves the end of the horizon without a value. */
  readonly critics: number;
  /** Declares the observation inputs and gives the latent. */
  encode(g: GraphBuilder): Value;
  next(g: GraphBuilder, z: Value, a: Value): Value;
  reward(g: GraphBuilder, z: Value, a: Value): Value;
  value(g: GraphBuilder, critic: number, z: Value, a: Value): Value;
  /** The policy prior's action with unit normal `noise` (rows, action_dim), or its mean without. */
  prior?(g: GraphBuilder, z: Value, noise: Value | undefined): Value;
  /** 1 where the episode has ended in z, else 0, (rows, 1). */
  ended?(g: GraphBuilder, z: Value): Value;
}

export interface WorldGraphOptions {
  readonly horizon: number;
  readonly discount: number;
  /** λ: each step's return falls by λ times the critics' standard deviation (LeRobot TD-MPC; FOWM). */
  readonly uncertainty?: number;
}

/** Entries: latent · prior_actions · return (with tail_weight, and members or tail_latent and tail_action) · value_i. */
export function worldGraph(networks: WorldNetworks, options: WorldGraphOptions): GraphBuilder {
  const g = new GraphBuilder();
  const { latent_dim, action_dim } = networks;
  g.output('latent', networks.encode(g));
  const latent = g.input('latent', [1, latent_dim], 'observation');
  if (networks.prior !== undefined) priorEntry(g, networks, latent, options.horizon);
  rolloutEntry(g, networks, latent, options);
  if (options.uncertainty === undefined && networks.critics > 0) {
    const z = g.input('critic_latent', [1, latent_dim], 'step');
    const a = g.input('critic_action', [1, action_dim], 'step');
    for (let i = 0; i < networks.critics; i++) g.output(`value_${i}`, networks.value(g, i, z, a));
  }
  return g;
}

/** The prior acting alone from the latent. */
function priorEntry(g: GraphBuilder, networks: WorldNetworks, latent: Value, horizon: number): void {
  const { action_dim } = networks;
  g.output('greedy_action', networks.prior!(g, latent, undefined));
  const noise = g.input('prior_noise', [1, horizon * action_dim], 'step');
  const actions: Value[] = [];
  let z = latent;
  for (let t = 0; t < horizon; t++) {
    const a = networks.prior!(g, z, g.slice(noise, 1, t * action_dim, action_dim));
    actions.push(a);
    if (t + 1 < horizon) z = networks.next(g, z, a);
  }
  g.output('prior_actions', g.concat(actions, 1));
}

/** G = Σ γ^t (r_t − λ·std) over given actions, then what the tail's value will be multiplied with. */
function rolloutEntry(
  g: GraphBuilder,
  networks: WorldNetworks,
  latent: Value,
  { horizon, discount, uncertainty }: WorldGraphOptions,
): void {
  const { action_dim, critics } = networks;
  const actions = g.input('actions', [1, horizon * action_dim], 'step');
  let z = latent;
  let total: Value | undefined;
  let ended: Value | undefined;
  for (let t = 0; t < horizon; t++) {
    const a = g.slice(actions, 1, t * action_dim, action_dim);
    let gain = networks.reward(g, z, a);
    if (uncertainty !== undefined)
      gain = g.add(gain, g.affine(deviation(g, members(g, networks, z, a)), -uncertainty, 0));
    z = networks.next(g, z, a);
    if (ended !== undefined) gain = g.mul(gain, g.affine(ended, -1, 1));
    gain = g.affine(gain, discount ** t, 0);
    total = total === undefined ? gain : g.add(total, gain);
    if (networks.ended !== undefined) {
      const now = networks.ended(g, z);
      ended = ended === undefined ? now : g.binary('maximum', ended, now);
    }
  }
  if (critics > 0) {
    const last = discount ** horizon;
    const noise = networks.prior === undefined ? undefined : g.input('tail_noise', [1, action_dim], 'step');
    const a = networks.prior!(g, z, noise);
    const weight = ended === undefined ? g.affine(total!, 0, last) : g.affine(ended, -last, last);
    if (uncertainty === undefined) {
      g.output('tail_latent', z);
      g.output('tail_action', a);
    } else {
      const all = members(g, networks, z, a);
      total = g.add(total!, g.affine(deviation(g, all), -uncertainty * last, 0));
      g.output('members', all);
    }
    g.output('tail_weight', weight);
  }
  g.output('return', total!);
}

function members(g: GraphBuilder, networks: WorldNetworks, z: Value, a: Value): Value {
  return g.concat(
    Array.from({ length: networks.critics }, (_, i) => networks.value(g, i, z, a)),
    1,
  );
}

/** Standard deviation over the last dim as torch has it: of n − 1. */
function deviation(g: GraphBuilder, values: Value): Value {
  const n = values.shape.at(-1)!;
  return g.unary('sqrt', g.affine(g.reduce('variance', values), n / (n - 1), 0));
}
