// Particles (Feynman–Kac steering, Singhal et al. 2025): K chunks are denoised together; at scheduled calls their estimates
// are scored, and those that score well are copied over those that do not. Only a stochastic sampler parts the copies again.

import { TendonError } from '../types/index.js';
import { type Row, softmax } from './numbers.js';

/**
 * Potentials of Feynman–Kac steering (Singhal et al. 2025): difference, maximum or sum of rewards; `rt`: the reward itself.
 */
export const POTENTIALS = ['diff', 'max', 'add', 'rt'] as const;
export type Potential = (typeof POTENTIALS)[number];

/** How particles are steered. */
export interface ParticleOptions {
  readonly count: number;
  /** λ: how strongly the target is tilted towards the score. */
  readonly lambda: number;
  readonly potential: Potential;
  /** Stands for the score before the first; below every score, or `max` never does anything. */
  readonly least: number;
  /** Resampled when the effective number of particles falls below this share of them. */
  readonly ess: number;
  readonly resample: 'multinomial' | 'systematic';
  /** Calls that are scored: from `start` to `end` every `every`-th; the last call always is. */
  readonly start: number;
  readonly end: number;
  readonly every: number;
  /**
   * Log weights of calls that did not resample are carried on. False is the rule that the authors' code ships: they are
   * dropped, and the last call of `max` and `add` takes the running value where the score of the result belongs.
   */
  readonly carried?: boolean;
}

/** What one resampling did. */
export interface Resampled {
  readonly share: Float64Array;
  readonly ess: number;
  /** Whom each particle continues; undefined when none was resampled. */
  readonly ancestors: readonly number[] | undefined;
}

/**
 * Feynman–Kac particles: weights along the denoising, resampled when their effective number falls (Singhal et al. 2025).
 */
export class Particles {
  private log_weights: Float64Array;
  /** log of the product of potentials along each lineage. */
  private log_product: Float64Array;
  private running: Float64Array;

  constructor(private readonly options: ParticleOptions) {
    const { count, lambda, ess, every } = options;
    if (!Number.isInteger(count) || count < 2 || count > 1024)
      throw new TendonError('config_invalid', `particles: expected 2 to 1024, got ${count}`, { count });
    if (!Number.isFinite(lambda) || !(ess >= 0 && ess <= 1) || !(every >= 1))
      throw new TendonError(
        'config_invalid',
        `particles: expected a finite lambda, ess from 0 to 1 and every from 1, got ${lambda}, ${ess}, ${every}`,
      );
    this.log_weights = new Float64Array(count);
    this.log_product = new Float64Array(count);
    this.running = new Float64Array(count).fill(options.potential === 'add' ? 0 : options.least);
  }

  isScored(call: number, calls: number): boolean {
    const { start, end, every } = this.options;
    return call === calls - 1 || (call >= start && call <= end && (call - start) % every === 0);
  }

  /**
   * One scored call: `scores` (count) of the denoised estimates, `uniforms` one number for systematic draws, count for
   * multinomial ones. Scores that are not finite weigh nothing.
   */
  step(scores: Row, last: boolean, uniforms: Row): Resampled {
    const { count, ess: threshold, resample, carried = true } = this.options;
    const before = this.running;
    const log_g = this.potentials(scores, last);
    const product = this.log_product.map((v, i) => v + log_g[i]!);
    const weights = carried ? this.log_weights.map((v, i) => v + log_g[i]!) : log_g;
    const share = softmax(weights);
    const ess = 1 / share.reduce((sum, v) => sum + v * v, 0);
    if (!(ess < threshold * count)) {
      if (carried) {
        this.log_weights = weights;
        this.log_product = product;
      } else if (this.options.potential === 'diff' && before === this.running) this.log_product = product;
      return { share, ess, ancestors: undefined };
    }
    const ancestors =
      resample === 'systematic' ? systematic(share, uniforms[0]!) : multinomial(share, uniforms);
    const from = (values: Float64Array): Float64Array => Float64Array.from(ancestors, (i) => values[i]!);
    this.log_weights = new Float64Array(count);
    this.log_product = from(product);
    this.running = from(this.running);
    return { share, ess, ancestors };
  }

  /** log G of each particle; the running values move on. */
  private potentials(scores: Row, last: boolean): Float64Array {
    const { lambda, potential, carried = true } = this.options;
    const before = this.running;
    this.running = before.map((v, i) => {
      const r = scores[i]!;
      if (potential === 'max') return Math.max(v, r);
      return potential === 'add' ? v + r : r;
    });
    const now = this.running;
    if (last && potential !== 'diff') {
      // The product along a lineage becomes exp(λ·r) of the result.
      const value = carried || potential === 'rt' ? scores : now;
      return this.log_product.map((v, i) => lambda * value[i]! - v);
    }
    return now.map((v, i) => lambda * (potential === 'diff' ? scores[i]! - before[i]! : v));
  }
}

/** Each particle draws its ancestor by a number of its own, uniform in [0, 1). */
export function multinomial(share: Row, uniforms: Row): number[] {
  return Array.from({ length: share.length }, (_, i) => indexOf(share, uniforms[i]!));
}

/** One number for all: (u + i)/K. Less variance than multinomial. */
export function systematic(share: Row, u: number): number[] {
  return Array.from({ length: share.length }, (_, i) => indexOf(share, (u + i) / share.length));
}

function indexOf(share: Row, u: number): number {
  let sum = 0;
  let last = 0;
  for (let i = 0; i < share.length; i++) {
    if (share[i]! <= 0) continue;
    sum += share[i]!;
    last = i;
    if (u < sum) return i;
  }
  return last;
}
