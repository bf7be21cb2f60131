// Particles inside a sampler's loop against recorded vectors (test/golden/fk_steering): a known mixture denoised by the flow's
// stochastic equation, its samples and their history going on from the ancestors that the filter finds, to the end.

import { expect, it } from 'vitest';
import { Particles, POTENTIALS, softmax } from '../../src/parts/index.js';
import {
  edmPreconditioner,
  flowSdeTable,
  followTable,
  type SamplerTable,
  sigmaTable,
} from '../../src/samplers/index.js';
import { golden, relativeError } from './golden.js';

const io = golden('fk_steering');
const c = io.config as Record<string, number> & { mixture: { weights: number[]; std: number } };
const size = c.horizon! * c.action_dim!;
const count = c.num_particles!;
const means = Array.from({ length: c.mixture.weights.length }, (_, k) =>
  io.get('mixture.means').slice(k * size, (k + 1) * size),
);

/** The mean of what x may have come from: x = a·D + b·noise. */
function denoised(x: ArrayLike<number>, a: number, b: number): Float64Array {
  const variance = a * a * c.mixture.std ** 2 + b * b;
  const logs = means.map((m, k) => {
    let sum = 0;
    for (let i = 0; i < size; i++) sum += (x[i]! - a * m[i]!) ** 2;
    return Math.log(c.mixture.weights[k]!) - sum / (2 * variance);
  });
  const share = softmax(logs);
  return Float64Array.from({ length: size }, (_, i) =>
    means.reduce(
      (sum, m, k) => sum + share[k]! * (m[i]! + ((a * c.mixture.std ** 2) / variance) * (x[i]! - a * m[i]!)),
      0,
    ),
  );
}

const levels = (sampler: string): number[] => [...io.get(`${sampler}.levels`)];
const SAMPLERS: Readonly<
  Record<string, { table: SamplerTable; answer(x: Float64Array, call: number): Float64Array }>
> = {
  flow_sde: {
    table: flowSdeTable('noise_at_one', c.steps!, c.noise_level!),
    answer(x, call) {
      const t = levels('flow_sde')[call]!;
      return denoised(x, 1 - t, t).map((d, i) => (x[i]! - d) / t);
    },
  },
  euler_ancestral: {
    table: sigmaTable('euler_ancestral', levels('euler_ancestral'), edmPreconditioner(0.5)),
    answer(scaled, call) {
      const sigma = levels('euler_ancestral')[call]!;
      const { c_in, a_x, a_f } = edmPreconditioner(0.5)(sigma);
      const x = scaled.map((v) => v / c_in);
      return denoised(x, 1, sigma).map((d, i) => (d - a_x * x[i]!) / a_f);
    },
  },
};

for (const [sampler, { table, answer }] of Object.entries(SAMPLERS))
  for (const potential of POTENTIALS)
    for (const resample of ['systematic', 'multinomial'] as const)
      it(`${sampler}, ${potential}, ${resample}`, () => {
        const at = `${sampler}.${potential}.carried.${resample}`;
        const filter = new Particles({
          ...{ count, lambda: c.lambda!, potential, least: c.reward_min!, ess: c.ess_threshold!, resample },
          ...{ start: c.resample_start!, end: c.resample_end!, every: c.resample_every! },
        });
        const noise = Array.from({ length: c.steps! }, (_, i) =>
          io.get(`${sampler}.noise`).subarray(i * count * size, (i + 1) * count * size),
        );
        const row = (name: string, call: number): Float32Array =>
          io.get(name).slice(call * count, (call + 1) * count);
        const loop = followTable(
          table,
          io.get(`${sampler}.start`).map((v) => v * table.start_scale),
          noise,
        );
        let step = loop.next();
        while (step.done !== true) {
          const { x, call, calls } = step.value;
          const f = new Float64Array(x.length);
          for (let i = 0; i < count; i++) f.set(answer(x.subarray(i * size, (i + 1) * size), call), i * size);
          const ancestors = filter.isScored(call, calls!)
            ? filter.step(row(`${at}.rewards`, call), call === calls! - 1, row(`${sampler}.uniforms`, call))
                .ancestors
            : undefined;
          step = loop.next(ancestors === undefined ? f : { f, ancestors });
        }
        expect(relativeError(step.value, io.get(`${at}.final_denoised`))).toBeLessThan(1e-5);
      });
