// What steers a denoiser while it runs, from its parts of these kinds: cost terms, which move the estimate up a scorer's gradient,
// and particles, which let candidates that score well be continued instead of others (particles.ts, terms.ts).

import { type DenoiseCall, type DenoiseSteer, TendonError } from '../types/index.js';
import type { TermEntry } from './kinds/denoise.js';
import type { Row } from './numbers.js';
import { Particles } from './particles.js';
import type { Chunks, Denoiser, Moment, Scorer } from './ports.js';
import { clipped, controlGain } from './terms.js';

/** Step of the central differences, in normalised actions. */
const DELTA = 1e-2;

/** What parts that act on the way are told of the inference around them. */
export interface DenoiseContext {
  /** Of a part by its name. */
  moment(name: string): Moment;
  /** Shape and times of the chunk that is being drawn. */
  readonly shape: Omit<Chunks, 'values' | 'n'>;
  /** Counts a call in which a scorer failed; the network's answer is left as it is. */
  failed(name: string, caught: unknown): void;
}

/** Undefined where there is nothing to steer by, such as particles of one candidate. */
export function steering(
  parts: readonly (readonly [string, Denoiser])[],
  n: number,
  context: DenoiseContext,
): DenoiseSteer | undefined {
  const { shape } = context;
  const scored = async (name: string, scorer: Scorer, values: Float32Array): Promise<Row> => {
    const count = values.length / (shape.horizon * shape.action_dim);
    return (await scorer.score({ ...shape, values, n: count }, context.moment(name), undefined)).scores;
  };
  const steps = parts.flatMap(([name, { entry, scorer }]): DenoiseSteer[] => {
    const score = (values: Float32Array): Promise<Row> => scored(name, scorer, values);
    if (entry.kind === 'term') return [(call) => termShift(entry, call, score)];
    return n < 2
      ? []
      : [particleFilter(new Particles({ ...entry, count: n }), n, context.moment(name), score)];
  });
  if (steps.length === 0) return undefined;
  return async (call) => {
    let shift: Float64Array | undefined;
    let ancestors: readonly number[] | undefined;
    for (const [i, step] of steps.entries()) {
      try {
        const found = await step(call);
        const moved = found.shift;
        if (moved !== undefined) shift = Float64Array.from(moved, (v, k) => v + (shift?.[k] ?? 0));
        ancestors = found.ancestors ?? ancestors;
      } catch (caught) {
        context.failed(parts[i]![0], caught);
      }
    }
    return { shift, ancestors };
  };
}

type ScoreChunks = (values: Float32Array) => Promise<Row>;

/** How a term moves the estimate of every candidate. */
async function termShift(
  { scale, gain, most }: TermEntry,
  call: DenoiseCall,
  score: ScoreChunks,
): Promise<{ shift: Float64Array }> {
  const t = 1 - call.call / call.calls;
  // A velocity's term moves D by −t of it, and a score is what a cost is not.
  const factor = scale * (gain === 'control' ? controlGain(t) * t : 1);
  const gradient = await gradientOf(call, score);
  const size = gradient.length / call.n;
  const shift = new Float64Array(gradient.length);
  for (let c = 0; c < call.n; c++) {
    const own = gradient.subarray(c * size, (c + 1) * size).map((v) => v * factor);
    shift.set(clipped(own, most), c * size);
  }
  if (!shift.every(Number.isFinite)) throw new Error('its gradient is not finite');
  return { shift };
}

function particleFilter(particles: Particles, n: number, moment: Moment, score: ScoreChunks): DenoiseSteer {
  return async ({ call, calls, denoised, chunks }) => {
    if (!particles.isScored(call, calls)) return {};
    const found = await score(chunks(denoised));
    const u = moment.uniforms((call + 1) * n).subarray(call * n);
    return { ancestors: particles.step(found, call === calls - 1, u).ancestors };
  };
}

/** Of a score with respect to D, (n, rows, columns), by central differences, all of them scored together. */
async function gradientOf({ denoised, n, chunks }: DenoiseCall, score: ScoreChunks): Promise<Float64Array> {
  const size = denoised.length / n;
  const gradient = new Float64Array(denoised.length);
  for (let c = 0; c < n; c++) {
    const rows = new Float64Array(2 * size * size);
    const own = denoised.subarray(c * size, (c + 1) * size);
    for (let i = 0; i < size; i++)
      for (const [k, sign] of [1, -1].entries()) {
        const at = (2 * i + k) * size;
        rows.set(own, at);
        rows[at + i]! += sign * DELTA;
      }
    const found = await score(chunks(rows));
    if (found.length !== 2 * size)
      throw new TendonError('policy_failed', `expected ${2 * size} scores, got ${found.length}`);
    for (let i = 0; i < size; i++) gradient[c * size + i] = (found[2 * i]! - found[2 * i + 1]!) / (2 * DELTA);
  }
  return gradient;
}
