// Samplers over σ as tables (Karras et al. 2022; Lu et al. 2022; k-diffusion; BESO gc_sampling). Notation: a step goes
// from s to n, D is the denoised estimate, d = (x − D)/s the slope, t = −ln σ, h = t_n − t_s = ln(s/n).

import { TendonError } from '../types/index.js';
import { makeTable, type Row, row, type SamplerTable } from './table.js';

/** How a network's output F becomes D at a level: D = a_x·x + a_f·F, the network being given c_in·x and `level`. */
export type Preconditioner = (sigma: number) => {
  readonly c_in: number;
  readonly a_x: number;
  readonly a_f: number;
  readonly level: number;
  /** 1/(∂D/∂x) were the data normal; 1 when absent. */
  readonly gain?: number;
};

/** EDM preconditioning (Karras et al. 2022, table 1), c_noise = ln σ / 4. */
export function edmPreconditioner(sigma_data: number): Preconditioner {
  return (sigma) => {
    const total = sigma * sigma + sigma_data * sigma_data;
    return {
      c_in: 1 / Math.sqrt(total),
      a_x: (sigma_data * sigma_data) / total,
      a_f: (sigma * sigma_data) / Math.sqrt(total),
      level: Math.log(sigma) / 4,
      gain: total / (sigma_data * sigma_data),
    };
  };
}

/** Extra noise before a step (Karras et al. 2022, algorithm 2), for the samplers that take it. */
export interface Churn {
  readonly s_churn: number;
  readonly s_tmin?: number;
  readonly s_tmax?: number;
  readonly s_noise?: number;
}

/** Collects rows; each call of `at(σ, …)` is one call of the denoiser. */
class Writer {
  readonly rows: Row[] = [];
  readonly levels: number[] = [];
  readonly gains: number[] = [];
  constructor(
    private readonly precondition: Preconditioner,
    private readonly churn: Churn | undefined,
    private readonly count: number,
  ) {}
  /** The level that a step from s begins at, and the row field that gets it there. */
  begin(s: number): { hat: number; more: Partial<Row> } {
    const { s_churn = 0, s_tmin = 0, s_tmax = Number.POSITIVE_INFINITY, s_noise = 1 } = this.churn ?? {};
    const gamma = s >= s_tmin && s <= s_tmax ? Math.min(s_churn / this.count, Math.SQRT2 - 1) : 0;
    const hat = s * (1 + gamma);
    return { hat, more: gamma > 0 ? { pre_noise: s_noise * Math.sqrt(hat * hat - s * s) } : {} };
  }
  at(sigma: number, fields: Partial<Row>): void {
    const { c_in, a_x, a_f, level, gain = 1 } = this.precondition(sigma);
    this.rows.push(row({ c_in, a_x, a_f, ...fields }));
    this.levels.push(level);
    this.gains.push(gain);
  }
  /** x ← (n/s)·x + (1 − n/s)·D: Euler on the slope, and DDIM, and DPM-Solver++ of first order. */
  euler(s: number, n: number, more: Partial<Row> = {}): void {
    this.at(s, { w_x: n / s, w_d: 1 - n / s, ...more });
  }
}

type Sampler = (w: Writer, sigmas: readonly number[]) => void;

const steps = (sigmas: readonly number[], visit: (s: number, n: number, i: number) => void): void => {
  for (let i = 0; i + 1 < sigmas.length; i++) visit(sigmas[i]!, sigmas[i + 1]!, i);
};

/** Noise to add and level to go down to so that the step ends at n in law (η = 1). */
function ancestral(s: number, n: number): { up: number; down: number } {
  const up = Math.min(n, Math.sqrt((n * n * (s * s - n * n)) / (s * s)));
  return { up, down: Math.sqrt(n * n - up * up) };
}

/** ∫ of the j-th Lagrange polynomial through the last `order` levels, from σ_i to σ_{i+1}; exact by Gauss–Legendre. */
function lmsCoefficient(order: number, sigmas: readonly number[], i: number, j: number): number {
  const nodes = [0.1834346424956498, 0.525532409916329, 0.7966664774136267, 0.9602898564975363];
  const weights = [0.362683783378362, 0.3137066458778873, 0.2223810344533745, 0.1012285362903763];
  const half = (sigmas[i + 1]! - sigmas[i]!) / 2;
  const middle = (sigmas[i + 1]! + sigmas[i]!) / 2;
  const polynomial = (tau: number): number => {
    let product = 1;
    for (let k = 0; k < order; k++)
      if (k !== j) product *= (tau - sigmas[i - k]!) / (sigmas[i - j]! - sigmas[i - k]!);
    return product;
  };
  let sum = 0;
  nodes.forEach((node, k) => {
    sum += weights[k]! * (polynomial(middle + half * node) + polynomial(middle - half * node));
  });
  return sum * half;
}

const SAMPLERS: Readonly<Record<string, Sampler>> = {
  euler: (w, sigmas) =>
    steps(sigmas, (from, n) => {
      const { hat, more } = w.begin(from);
      w.euler(hat, n, more);
    }),

  ddim: (w, sigmas) => steps(sigmas, (s, n) => w.euler(s, n)),

  heun: (w, sigmas) =>
    steps(sigmas, (from, n) => {
      const { hat: s, more } = w.begin(from);
      if (n === 0) return w.euler(s, n, more);
      w.euler(s, n, { ...more, save: 1, push: 1, h_x: 1 / s, h_d: -1 / s });
      const half = (n - s) / 2;
      w.at(n, { w_s: 1, w_h1: half, w_x: half / n, w_d: -half / n });
    }),

  // DPM-2: a midpoint on the logarithmic scale.
  dpm: (w, sigmas) =>
    steps(sigmas, (from, n) => {
      const { hat: s, more } = w.begin(from);
      if (n === 0) return w.euler(s, n, more);
      second(w, s, n, more);
    }),

  lms: (w, sigmas) =>
    steps(sigmas, (s, _n, i) => {
      const order = Math.min(i + 1, 4);
      const c = Array.from({ length: order }, (_, j) => lmsCoefficient(order, sigmas, i, j));
      w.at(s, {
        w_x: 1 + c[0]! / s,
        w_d: -c[0]! / s,
        w_h1: c[1] ?? 0,
        w_h2: c[2] ?? 0,
        w_h3: c[3] ?? 0,
        push: 1,
        h_x: 1 / s,
        h_d: -1 / s,
      });
    }),

  dpmpp_2m: (w, sigmas) =>
    steps(sigmas, (s, n, i) => {
      const push = { push: 1, h_d: 1 };
      if (i === 0 || n === 0) return w.euler(s, n, push);
      const r = Math.log(sigmas[i - 1]! / s) / Math.log(s / n);
      const gain = 1 - n / s;
      w.at(s, { w_x: n / s, w_d: gain * (1 + 1 / (2 * r)), w_h1: -gain / (2 * r), ...push });
    }),

  dpmpp_2s: (w, sigmas) =>
    steps(sigmas, (s, n) => {
      if (n === 0) return w.euler(s, n);
      const m = Math.sqrt(s * n);
      w.euler(s, m, { save: 1 });
      w.at(m, { w_s: n / s, w_d: 1 - n / s });
    }),

  euler_ancestral: (w, sigmas) =>
    steps(sigmas, (s, n) => {
      const { up, down } = ancestral(s, n);
      w.euler(s, down, { w_noise: up });
    }),

  // DPM-2 with ancestral noise; BESO calls it `ancestral`.
  ancestral: (w, sigmas) =>
    steps(sigmas, (s, n) => {
      const { up, down } = ancestral(s, n);
      if (down === 0) return w.euler(s, down, { w_noise: up });
      const m = Math.sqrt(s * down);
      w.euler(s, m, { save: 1 });
      w.at(m, { w_s: 1, w_x: (down - s) / m, w_d: -(down - s) / m, w_noise: up });
    }),

  dpmpp_2s_ancestral: (w, sigmas) =>
    steps(sigmas, (s, n) => {
      const { up, down } = ancestral(s, n);
      if (down === 0) return w.euler(s, down, { w_noise: up });
      const m = Math.sqrt(s * down);
      w.euler(s, m, { save: 1 });
      w.at(m, { w_s: down / s, w_d: 1 - down / s, w_noise: up });
    }),

  // Two draws per step over intervals of σ that both begin at s: they share a Brownian path, so the second is the
  // first (found again in x) and an independent part.
  dpmpp_sde: (w, sigmas) =>
    steps(sigmas, (s, n) => {
      if (n === 0) return w.euler(s, n);
      const m = Math.sqrt(s * n);
      const half = ancestral(s, m);
      const full = ancestral(s, n);
      w.euler(s, half.down, { w_noise: half.up, save: 1, push: 1, h_d: 1 });
      const shared = Math.sqrt((s - m) / (s - n));
      const again = (full.up * shared) / half.up;
      w.at(m, {
        w_s: full.down / s - (again * half.down) / s,
        w_h1: -again * (1 - half.down / s),
        w_x: again,
        w_d: 1 - full.down / s,
        w_noise: full.up * Math.sqrt(1 - shared * shared),
      });
    }),

  // DPM-Solver of mixed orders over even steps of ln σ, with as many calls as there are levels; stops at the last
  // level above 0.
  dpm_fast: (w, sigmas) => {
    const calls = sigmas.length;
    const m = Math.floor(calls / 3) + 1;
    const orders: number[] = calls % 3 === 0 ? Array(m - 2).fill(3) : Array(m - 1).fill(3);
    orders.push(...(calls % 3 === 0 ? [2, 1] : [calls % 3]));
    const ratio = sigmas.at(-2)! / sigmas[0]!;
    orders.forEach((order, i) => {
      const s = sigmas[0]! * ratio ** (i / m);
      const n = sigmas[0]! * ratio ** ((i + 1) / m);
      if (order === 1) w.euler(s, n);
      else if (order === 2) second(w, s, n);
      else third(w, s, n);
    });
  },
};

/** DPM-Solver-2, a midpoint on the logarithmic scale. */
function second(w: Writer, s: number, n: number, more: Partial<Row> = {}): void {
  const m = Math.sqrt(s * n);
  w.euler(s, m, { ...more, save: 1 });
  w.at(m, { w_s: 1, w_x: (n - s) / m, w_d: -(n - s) / m });
}

/** DPM-Solver-3 with stages at one and two thirds of the step; H1 is the slope at s. */
function third(w: Writer, s: number, n: number): void {
  const h = Math.log(s / n);
  const [a, b] = [s * (n / s) ** (1 / 3), s * (n / s) ** (2 / 3)];
  w.euler(s, a, { save: 1, push: 1, h_x: 1 / s, h_d: -1 / s });
  const bend = 2 * b * (Math.expm1((2 / 3) * h) / ((2 / 3) * h) - 1);
  w.at(a, { w_s: 1, w_h1: bend - (s - b), w_x: -bend / a, w_d: bend / a });
  const last = 1.5 * n * (Math.expm1(h) / h - 1);
  w.at(b, { w_s: 1, w_h1: last - (s - n), w_x: -last / b, w_d: last / b });
}

const CHURNABLE = ['euler', 'heun', 'dpm'];

export const SIGMA_SAMPLERS = Object.keys(SAMPLERS);

/** The table of `sampler` over `sigmas` (decreasing, ending in 0) for a network with this preconditioning. */
export function sigmaTable(
  sampler: string,
  sigmas: readonly number[],
  precondition: Preconditioner,
  churn?: Churn,
): SamplerTable {
  const write = Object.hasOwn(SAMPLERS, sampler) ? SAMPLERS[sampler] : undefined;
  if (write === undefined)
    throw new TendonError(
      'config_invalid',
      `sampler: expected one of ${SIGMA_SAMPLERS.join(', ')}, got "${sampler}"`,
      { sampler },
    );
  for (let i = 0; i + 1 < sigmas.length; i++)
    if (!(sigmas[i]! > sigmas[i + 1]!) || !(sigmas[i]! > 0))
      throw new TendonError(
        'config_invalid',
        `sigmas: expected levels that fall to 0, got ${sigmas.join(', ')}`,
        {},
      );
  if (sigmas.length < 2 || sigmas.at(-1) !== 0)
    throw new TendonError(
      'config_invalid',
      `sigmas: expected at least one level and a final 0, got ${sigmas.join(', ')}`,
    );
  if (churn !== undefined && churn.s_churn > 0 && !CHURNABLE.includes(sampler))
    throw new TendonError(
      'config_invalid',
      `s_churn: ${sampler} takes no churn; expected 0, or one of ${CHURNABLE.join(', ')}`,
      { sampler },
    );
  const writer = new Writer(precondition, churn, sigmas.length - 1);
  write(writer, sigmas);
  return makeTable(writer.rows, writer.levels, sigmas[0]!, writer.gains);
}
