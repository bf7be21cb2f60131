// A sampler is a table: one row of coefficients per denoiser call, computed here in float64 and run by the native
// loop (native/ops/sampler.h defines what a row does). `runTable` is the same loop in plain TypeScript: the
// definition that tests compare with.

/** Fields in the order of native/ops/sampler.h. */
export const ROW_FIELDS = [
  'pre_noise',
  'c_in',
  'a_x',
  'a_f',
  'clip',
  'guide',
  'save',
  'w_x',
  'w_f',
  'w_d',
  'w_h1',
  'w_h2',
  'w_h3',
  'w_s',
  'w_noise',
  'push',
  'h_x',
  'h_d',
] as const;

export type Row = Record<(typeof ROW_FIELDS)[number], number>;

export interface SamplerTable {
  readonly rows: readonly Row[];
  /** What the network is told of each call's noise level: c_noise, or the timestep. */
  readonly levels: readonly number[];
  /** Unit noise times this is x at the first row. */
  readonly start_scale: number;
  /** Draws of the size of x that the rows consume. */
  readonly noise_draws: number;
  /** 1/(∂D/∂x) at each call were the data normal: what guidance through the network's derivative is scaled by. */
  readonly gains: readonly number[];
}

export function row(fields: Partial<Row>): Row {
  const zero = Object.fromEntries(ROW_FIELDS.map((f) => [f, 0])) as Row;
  return { ...zero, c_in: 1, a_f: 1, guide: 1, ...fields };
}

export function makeTable(
  rows: readonly Row[],
  levels: readonly number[],
  start_scale: number,
  gains: readonly number[] = rows.map(() => 1),
): SamplerTable {
  const noise_draws = rows.reduce((n, r) => n + (r.pre_noise !== 0 ? 1 : 0) + (r.w_noise !== 0 ? 1 : 0), 0);
  return { rows, levels, start_scale, noise_draws, gains };
}

/** Rows as the addon takes them. */
export function encodeRows(table: SamplerTable): Float32Array {
  return Float32Array.from(table.rows.flatMap((r) => ROW_FIELDS.map((f) => r[f])));
}

/** What the network is asked at one call. */
export interface Question {
  /** c_in·x */
  readonly x: Float64Array;
  readonly level: number;
  readonly call: number;
  /** Of a table: how many calls there are, the denoised estimate D of an answer F, and what D changes by with F. */
  readonly calls?: number;
  readonly estimate?: (f: ArrayLike<number>) => Float64Array;
  readonly a_f?: number;
}

/** F, where the sampler's samples go on from one another: sample i continues `ancestors[i]` from the next level on. */
export interface Resampled {
  readonly f: ArrayLike<number>;
  readonly ancestors: readonly number[];
}

/** What the denoised estimate is drawn towards, and how much of it, element by element of x. */
export interface Prefix {
  readonly target: ArrayLike<number>;
  readonly weights: ArrayLike<number>;
}

/** A sampler at work: asks the network, takes each answer F, returns x. */
export type Loop = Generator<Question, Float64Array, ArrayLike<number> | Resampled>;
/** Begins one at x of the first level, with the draws it will add. */
export type Follow = (start: ArrayLike<number>, noise: readonly ArrayLike<number>[], prefix?: Prefix) => Loop;

/** The loop in float64, call by call: yields what the network is asked, takes its answer F, returns x. */
export function* followTable(
  table: SamplerTable,
  start: ArrayLike<number>,
  noise: readonly ArrayLike<number>[],
  prefix?: Prefix,
): Loop {
  let x = Float64Array.from(start);
  let saved = new Float64Array(x.length);
  let history: Float64Array[] = [];
  let draw = 0;
  for (const [call, r] of table.rows.entries()) {
    if (r.pre_noise !== 0) {
      const e = noise[draw++]!;
      x = x.map((v, i) => v + r.pre_noise * e[i]!);
    }
    const here = x;
    const estimate = (f: ArrayLike<number>): Float64Array =>
      here.map((v, i) => {
        const d = r.a_x * v + r.a_f * f[i]!;
        return r.clip > 0 ? Math.min(r.clip, Math.max(-r.clip, d)) : d;
      });
    const answer = yield {
      ...{ x: x.map((v) => r.c_in * v), level: table.levels[call]!, call },
      ...{ calls: table.rows.length, estimate, a_f: r.a_f },
    };
    const { f, ancestors } = 'ancestors' in answer ? answer : { f: answer, ancestors: undefined };
    const d = estimate(f).map((v, i) =>
      prefix === undefined ? v : v + r.guide * prefix.weights[i]! * (prefix.target[i]! - v),
    );
    if (r.save !== 0) saved = x.slice();
    const e = r.w_noise !== 0 ? noise[draw++]! : undefined;
    const weights = [r.w_h1, r.w_h2, r.w_h3];
    const next = x.map((v, i) => {
      let sum = r.w_x * v + r.w_f * f[i]! + r.w_d * d[i]! + r.w_s * saved[i]!;
      weights.forEach((w, j) => {
        if (w !== 0) sum += w * history[j]![i]!;
      });
      return e === undefined ? sum : sum + r.w_noise * e[i]!;
    });
    if (r.push !== 0) history = [x.map((v, i) => r.h_x * v + r.h_d * d[i]!), ...history].slice(0, 3);
    x = next;
    if (ancestors === undefined) continue;
    x = continued(x, ancestors);
    saved = continued(saved, ancestors);
    history = history.map((values) => continued(values, ancestors));
  }
  return x;
}

/** Equal parts of `values`, each taken from that of its ancestor. */
function continued(values: Float64Array, ancestors: readonly number[]): Float64Array<ArrayBuffer> {
  const size = values.length / ancestors.length;
  const out = new Float64Array(values.length);
  ancestors.forEach((from, i) => {
    out.set(values.subarray(from * size, (from + 1) * size), i * size);
  });
  return out;
}

/** The same with a network at hand: `network(c_in·x, level)` gives F. */
export function runTable(
  table: SamplerTable,
  start: ArrayLike<number>,
  noise: readonly ArrayLike<number>[],
  network: (x: Float64Array, level: number) => ArrayLike<number>,
  prefix?: Prefix,
): Float64Array {
  const loop = followTable(table, start, noise, prefix);
  let step = loop.next();
  while (step.done !== true) step = loop.next(network(step.value.x, step.value.level));
  return step.value;
}
