// Which precision a search runs in when it is told `auto`. Outputs within a per cent say nothing of a plan, since a search
// magnifies what its values lose, and two plans may be far apart and worth the same. So the plans themselves are valued: both by the
// f32 networks, in the search's own objective, against what another seed of the same search changes.

import {
  addon,
  type CancelToken,
  type NativeModel,
  type NetworkInputs,
  native,
  type PlannerTable,
} from '../../native/index.js';
import { searchActor } from './actors.js';

/** Situations that are planned for each precision, twice for f32. */
const SITUATIONS = 12;
/** Lightest first. */
const LIGHTER = ['int8', 'bf16'] as const;

export interface PlanPrecision {
  readonly precision: 'f32' | 'bf16' | 'int8';
  /** A sentence: what was measured, or why nothing was. */
  readonly said: string;
}

export interface Measured {
  readonly table: PlannerTable;
  /** Compiled in that precision. */
  model(precision: string): Promise<NativeModel>;
  /** The encoder's inputs of situation `i`. */
  situation(i: number): NetworkInputs;
}

/** The lightest precision whose plans are shown to be worth as much as those of f32; f32 where none is. */
export async function planPrecision(asked: Measured): Promise<PlanPrecision> {
  const situations = Array.from({ length: SITUATIONS }, (_, i) => asked.situation(i));
  const exact = await asked.model('f32');
  const latents = await encodings(exact, situations);
  const worth = await judge(exact, asked.table);
  const planned = await plans(exact, asked.table, latents, 0);
  const again = await plans(exact, asked.table, latents, SITUATIONS);
  const values = await valued(worth, latents, planned);
  const luck = mean((await valued(worth, latents, again)).map((v, i) => Math.abs(v - values[i]!)));
  const tried: string[] = [];
  for (const precision of LIGHTER) {
    const light = await asked.model(precision);
    const found = await plans(light, asked.table, await encodings(light, situations), 0);
    const lost = (await valued(worth, latents, found)).map((v, i) => values[i]! - v);
    tried.push(
      `${precision} plans are worth ${mean(lost).toPrecision(2)} less (± ${(2 * standardError(lost)).toPrecision(2)})`,
    );
    if (isAsGood(lost, luck)) return { precision, said: sentence(tried, luck, precision) };
  }
  return { precision: 'f32', said: sentence(tried, luck, 'f32') };
}

const sentence = (tried: readonly string[], luck: number, chosen: string): string =>
  `auto planned ${SITUATIONS} drawn situations and valued the plans in f32: ${tried.join(', ')}, where another seed changes ${luck.toPrecision(2)}; the search runs in ${chosen}`;

/** Plans that lose `lost` of their worth, two standard errors added, lose no more than another seed changes. */
export const isAsGood = (lost: readonly number[], luck: number): boolean =>
  mean(lost) + 2 * standardError(lost) <= luck;

type Latents = readonly Float32Array[];

async function encodings(model: NativeModel, situations: readonly NetworkInputs[]): Promise<Latents> {
  const encoder = await native(() => model.openSession({ batch: 1, outputs: ['latent'] }));
  const latents: Float32Array[] = [];
  for (const inputs of situations) latents.push((await native(() => encoder.run(inputs))).outputs.latent!);
  return latents;
}

/** A cold plan of each latent, by the draws of the seeds from `seed` on. */
async function plans(
  model: NativeModel,
  table: PlannerTable,
  latents: Latents,
  seed: number,
): Promise<Latents> {
  const actor = await searchActor(model, table);
  const found: Float32Array[] = [];
  for (const [i, latent] of latents.entries()) {
    await actor.reset(seed + i);
    const { actions } = await actor.act({ latent, cancel: never() });
    found.push(actions.map((a) => Math.min(1, Math.max(-1, a))));
  }
  return found;
}

/** A search of one candidate: the plan that it is given, whose score is then the plan's worth. */
async function judge(model: NativeModel, { control_cost: _, mix: __, ...table }: PlannerTable) {
  const once = {
    samples: 1,
    prior: 0,
    keep: 0,
    iterations: 1,
    elites: 1,
    pick: 'best',
    warm_start: false,
  } as const;
  const actor = await searchActor(model, { ...table, ...once });
  const samples = new Float32Array(table.horizon * table.action_dim);
  return async (latent: Float32Array, centre: Float32Array, seed: number): Promise<number> => {
    await actor.reset(seed);
    const { plan } = await actor.act({ latent, cancel: never(), centre, tape: { samples } });
    return plan!.best_score;
  };
}

async function valued(
  worth: (latent: Float32Array, plan: Float32Array, seed: number) => Promise<number>,
  latents: Latents,
  found: Latents,
): Promise<number[]> {
  const values: number[] = [];
  // One seed for a situation, so that its critics and its last action's noise are the same for every plan.
  for (const [i, plan] of found.entries()) values.push(await worth(latents[i]!, plan, i));
  return values;
}

const never = (): CancelToken => new (addon().CancelToken)();
const mean = (v: readonly number[]): number => v.reduce((a, b) => a + b, 0) / v.length;
const standardError = (v: readonly number[]): number => {
  const middle = mean(v);
  return Math.sqrt(v.reduce((s, x) => s + (x - middle) ** 2, 0) / (v.length * (v.length - 1)));
};
