// Samplers against closed forms: with a denoiser that knows the answer, every one must reach it.

import { describe, expect, it } from 'vitest';
import { addon } from '../../src/native/index.js';
import {
  type DiffusersConfig,
  diffusionTable,
  edmPreconditioner,
  flowTable,
  followAdaptive,
  type Preconditioner,
  ROW_FIELDS,
  type Row,
  runTable,
  SIGMA_SAMPLERS,
  SIGMA_SCHEDULES,
  sigmaSchedule,
  sigmaTable,
  vpPreconditioner,
} from '../../src/samplers/index.js';

const range = { sigma_min: 0.02, sigma_max: 5 };
/** Output F is D itself. */
const plain: Preconditioner = (sigma) => ({ c_in: 1, a_x: 0, a_f: 1, level: sigma });
let state = 7;
const uniform = (): number => {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
  return (state + 0.5) / 2 ** 32;
};
const normal = (): number => Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform());
const draws = (n: number, size: number): number[][] =>
  Array.from({ length: n }, () => Array.from({ length: size }, normal));

describe.each(SIGMA_SAMPLERS)('%s', (name) => {
  it.each([1, 2, 3, 7, 10])('reaches the answer of a perfect denoiser in %i steps', (steps) => {
    const table = sigmaTable(name, sigmaSchedule('karras', steps, range), plain);
    const target = [0.3, -1.2];
    const x = runTable(table, [5, -5], draws(table.noise_draws, 2), () => target);
    // dpm_fast stops at the last level above 0.
    const slack = name !== 'dpm_fast' ? 1e-9 : steps === 1 ? 6 : 0.3;
    x.forEach((v, i) => {
      expect(Math.abs(v - target[i]!)).toBeLessThan(slack);
    });
  });

  it('keeps the variance of Gaussian data with many steps', () => {
    // For data N(0, 1) the best denoiser is x/(1 + σ²), and the samples must again be N(0, 1).
    const table = sigmaTable(name, sigmaSchedule('karras', 60, { sigma_min: 0.01, sigma_max: 20 }), plain);
    const size = 4000;
    const start = Float64Array.from({ length: size }, () => 20 * normal());
    const x = runTable(table, start, draws(table.noise_draws, size), (v, sigma) =>
      v.map((a) => a / (1 + sigma * sigma)),
    );
    const variance = x.reduce((s, v) => s + v * v, 0) / size;
    expect(variance).toBeGreaterThan(0.85);
    expect(variance).toBeLessThan(1.15);
  });
});

it('churn adds noise and takes as much away', () => {
  const sigmas = sigmaSchedule('karras', 60, { sigma_min: 0.01, sigma_max: 20 });
  // What 60 steps give for Gaussian data, from the recursion of the variance; 1 is the limit of many steps.
  const expected = { euler: 0.817, heun: 1.022, dpm: 1.024 };
  for (const [name, want] of Object.entries(expected)) {
    const table = sigmaTable(name, sigmas, plain, { s_churn: 20 });
    expect(table.noise_draws).toBe(60);
    const start = Float64Array.from({ length: 4000 }, () => 20 * normal());
    const x = runTable(table, start, draws(60, 4000), (v, s) => v.map((a) => a / (1 + s * s)));
    const variance = x.reduce((s, v) => s + v * v, 0) / 4000;
    expect(Math.abs(variance / want - 1)).toBeLessThan(0.08);
  }
});

it('flow matching reaches its end in both conventions of time', () => {
  // The velocity of a straight path from noise to a known end.
  const end = [2, -3];
  for (const time of ['noise_at_one', 'noise_at_zero'] as const) {
    const table = flowTable(time, 10);
    expect(table.levels[0]).toBe(time === 'noise_at_one' ? 1 : 0);
    const x = runTable(table, [0.5, 0.1], [], (v, t) =>
      end.map((e, i) => (time === 'noise_at_one' ? (v[i]! - e) / t : (e - v[i]!) / (1 - t))),
    );
    x.forEach((v, i) => {
      expect(v).toBeCloseTo(end[i]!, 9);
    });
    // One step is x ± v/N.
    const one = runTable({ ...table, rows: table.rows.slice(0, 1) }, [1], [], () => [4]);
    expect(one[0]).toBeCloseTo(time === 'noise_at_one' ? 1 - 0.4 : 1 + 0.4, 12);
  }
});

it('a variance-preserving network is driven from σ-space whatever it predicts', () => {
  const config = (prediction_type: string): DiffusersConfig => ({
    num_train_timesteps: 100,
    beta_schedule: 'squaredcos_cap_v2',
    beta_start: 1e-4,
    beta_end: 0.02,
    prediction_type,
    clip_sample: false,
    clip_sample_range: 1,
  });
  for (const type of ['epsilon', 'sample', 'v_prediction']) {
    const { precondition, sigmas } = vpPreconditioner(config(type));
    const sigma = sigmas[50]!;
    const { c_in, a_x, a_f, level } = precondition(sigma);
    expect(level).toBe(50);
    const [x0, eps] = [0.7, -0.4];
    const x = x0 + sigma * eps;
    const [a, b] = [1 / Math.sqrt(1 + sigma ** 2), sigma / Math.sqrt(1 + sigma ** 2)];
    expect(c_in).toBeCloseTo(a, 12);
    const f = type === 'epsilon' ? eps : type === 'sample' ? x0 : a * eps - b * x0;
    expect(a_x * x + a_f * f).toBeCloseTo(x0, 9);
  }
});

it('rows have the fields of the native loop, in its order', () => {
  expect(addon().samplerFields()).toEqual([...ROW_FIELDS]);
});

it('refuses what does not fit, with the reason', () => {
  const edm = edmPreconditioner(0.5);
  expect(() => sigmaTable('eulr', [1, 0], edm)).toThrow(/expected one of euler/);
  expect(() => sigmaTable('euler', [1, 0.5], edm)).toThrow(/final 0/);
  expect(() => sigmaTable('euler', [0.5, 1, 0], edm)).toThrow(/fall to 0/);
  expect(() => sigmaTable('dpmpp_2m', [1, 0], edm, { s_churn: 1 })).toThrow(/takes no churn/);
  expect(() => sigmaSchedule('karass', 3, range)).toThrow(/expected one of karras/);
  for (const schedule of SIGMA_SCHEDULES)
    expect(() => sigmaSchedule(schedule, 0, range)).toThrow(/whole number/);
  expect(() => flowTable('noise_at_one', 0)).toThrow(/whole number/);
  const range01 = { sigma_max: 1, sigma_min: 0.01, precondition: edm };
  expect(() => followAdaptive({ ...range01, sigma_max: 0.001 }, {}, [1]).next()).toThrow(
    /sigma_max > sigma_min/,
  );
  expect(() => followAdaptive(range01, { atol: 0 }, [1]).next()).toThrow(/atol above 0/);
  const lost = followAdaptive(range01, { max_calls: 50 }, [1]);
  let calls = 0;
  expect(() => {
    for (let step = lost.next(); step.done !== true; step = lost.next([Number.NaN])) calls++;
  }).toThrow(/no end after 50/);
  expect(calls).toBe(50);
});

describe('noise that a sampler is asked for', () => {
  const config = {
    num_train_timesteps: 100,
    beta_schedule: 'squaredcos_cap_v2',
    beta_start: 1e-4,
    beta_end: 0.02,
    prediction_type: 'epsilon',
    clip_sample: true,
    clip_sample_range: 1,
  };

  it('η = 1 makes DDIM of all steps DDPM (Song et al. 2021, section 4.1)', () => {
    const ddim = diffusionTable({ ...config, clip_sample: false }, 'ddim', 100, { eta: 1 });
    const ddpm = diffusionTable({ ...config, clip_sample: false }, 'ddpm', 100);
    expect(ddim.levels).toEqual(ddpm.levels);
    // x' as a mixture of x, the network's output and fresh noise.
    const mixture = (r: Row): number[] => [r.w_x + r.w_d * r.a_x, r.w_f + r.w_d * r.a_f, r.w_noise];
    ddim.rows.slice(0, -1).forEach((row, i) => {
      mixture(row).forEach((v, k) => {
        expect(v).toBeCloseTo(mixture(ddpm.rows[i]!)[k]!, 5);
      });
    });
  });

  it('is refused where it has no meaning', () => {
    expect(() => diffusionTable(config, 'ddpm', 10, { eta: 0.5 })).toThrow(/eta/);
    expect(() => diffusionTable(config, 'ddim', 10, { eta: 2 })).toThrow(/eta/);
    expect(() => diffusionTable(config, 'ddim', 10, { churn: { s_churn: 1 } })).toThrow(/s_churn/);
    expect(() => diffusionTable(config, 'dpmpp_2m', 10, { churn: { s_churn: 1 } })).toThrow(/s_churn/);
    expect(diffusionTable(config, 'euler', 10, { churn: { s_churn: 5 } }).noise_draws).toBeGreaterThan(0);
  });
});
