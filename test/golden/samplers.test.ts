// diffusers' schedulers and LeRobot's normalisation against their own code.

import { describe, expect, it } from 'vitest';
import { applyForward, applyInverse } from '../../src/policies/processors/affine.js';
import { normalizer } from '../../src/policies/processors/normalize.js';
import {
  alphasCumprod,
  betas,
  type DiffusersConfig,
  ddimTable,
  ddpmTable,
  runTable,
  timesteps,
} from '../../src/samplers/index.js';
import { golden, relativeError } from './golden.js';

const io = golden('diffusers_schedulers');
const config = (beta_schedule: string, prediction_type = 'epsilon'): DiffusersConfig => ({
  num_train_timesteps: 100,
  beta_schedule,
  beta_start: 1e-4,
  beta_end: 0.02,
  prediction_type,
  clip_sample: true,
  clip_sample_range: 1,
});

describe.each(['squaredcos_cap_v2', 'linear', 'scaled_linear'])('diffusers %s', (schedule) => {
  it('gives its betas and ᾱ', () => {
    expect(relativeError(betas(config(schedule)), io.get(`ddpm.${schedule}.betas`))).toBeLessThan(1e-5);
    const bars = io.get(`ddpm.${schedule}.alphas_cumprod`);
    expect(relativeError(alphasCumprod(config(schedule)), bars)).toBeLessThan(1e-5);
  });

  it.each([100, 50, 16, 15, 10, 8, 3, 1])('gives its %i timesteps', (steps) => {
    expect(timesteps(config(schedule), steps)).toEqual([...io.get(`ddim.${schedule}.timesteps.${steps}`)]);
  });
});

describe.each(['epsilon', 'sample', 'v_prediction'])('one step of %s', (prediction) => {
  it.each([90, 50, 0])('at t = %i', (t) => {
    const output = io.get('model_output');
    for (const [name, table] of [
      ['ddim', ddimTable(config('squaredcos_cap_v2', prediction), 10)],
      ['ddpm', ddpmTable(config('squaredcos_cap_v2', prediction), 10)],
    ] as const) {
      const call = table.levels.indexOf(t);
      const one = { ...table, rows: [table.rows[call]!], levels: [t] };
      const got = runTable(one, io.get('x'), [io.get('ddpm.noise')], () => output);
      expect(relativeError(got, io.get(`${name}.${prediction}.step.${t}`))).toBeLessThan(1e-5);
    }
  });
});

it('adds as much noise to a step of DDPM as its variance says', () => {
  const of = (variance_type: 'fixed_small' | 'fixed_small_log' | 'fixed_large'): number[] =>
    ddpmTable({ ...config('squaredcos_cap_v2'), variance_type }, 100).rows.map(({ w_noise }) => w_noise);
  const beta = betas(config('squaredcos_cap_v2'));
  // Step i is at timestep 99 − i; the last adds none.
  const large = of('fixed_large');
  large.slice(0, -1).forEach((noise, i) => {
    expect(noise ** 2).toBeCloseTo(beta[99 - i]!, 5);
  });
  expect(large.at(-1)).toBe(0);
  expect(of('fixed_small_log')).toEqual(of('fixed_small'));
  expect(of('fixed_small')[50]).toBeLessThan(large[50]!);
});

describe.each(['MIN_MAX', 'MEAN_STD', 'IDENTITY', 'QUANTILES', 'QUANTILE10'])('LeRobot %s', (mode) => {
  it('goes forward and back', () => {
    const norm = golden('lerobot_normalize');
    const stats = Object.fromEntries(
      ['mean', 'std', 'min', 'max', 'q01', 'q99', 'q10', 'q90'].map((s) => [s, norm.get(`stat.${s}`)]),
    );
    const affine = normalizer('x', mode, stats, 4);
    const x = norm.get('x');
    const forward = new Float32Array(x.length);
    for (let i = 0; i < x.length; i += 4) applyForward(affine, x.slice(i, i + 4), forward, i);
    expect(relativeError(forward, norm.get(`${mode}.fwd`))).toBeLessThan(1e-6);
    // The inverse was recorded on the same x, not on what went forward.
    const back = x.slice();
    applyInverse(affine, back);
    expect(relativeError(back, norm.get(`${mode}.inv`))).toBeLessThan(1e-6);
  });
});
