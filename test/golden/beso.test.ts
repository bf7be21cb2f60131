// BESO against its own code (test/golden/beso_small): the network, guidance, σ schedules, and every sampler with its
// noise, in the native loop and in the TypeScript one.

import { describe, expect, it } from 'vitest';
import { addon, type Precision } from '../../src/native/index.js';
import { besoGraph } from '../../src/policies/beso/graph.js';
import { Tensors } from '../../src/policies/tensors.js';
import {
  edmPreconditioner,
  encodeRows,
  followAdaptive,
  makeTable,
  row,
  type SamplerTable,
  SIGMA_SCHEDULES,
  sigmaSchedule,
  sigmaTable,
} from '../../src/samplers/index.js';
import { asked, beso, config } from './beso-small.js';
import { BARS, relativeError, runGraph } from './golden.js';

const tensors = (): Tensors => Tensors.open(beso.dir, 'beso');
const precondition = edmPreconditioner(0.5);
const scaled = (values: Float32Array, by: number): Float32Array => values.map((v) => v * by);

/** F for the two samples of the case, whose σ differ: one run each. */
async function network(steps: number, goal: Float32Array): Promise<Float32Array> {
  const sigma = beso.get('sigma');
  const out: number[] = [];
  const state = beso.get('state');
  const x = beso.get('x_T');
  for (let b = 0; b < 2; b++) {
    const outputs = await runGraph(besoGraph(config, tensors(), steps, 1), 1, {
      x: x.slice(b * 10, b * 10 + steps * 2),
      c_noise: Float32Array.of(precondition(sigma[b]!).level),
      state: state.slice(b * 50, b * 50 + steps * 10),
      goal: goal.slice(b * 10, b * 10 + 10),
    });
    out.push(...outputs.F!);
  }
  return Float32Array.from(out);
}

type Guided = { guidance: number; table: SamplerTable; noise: Float32Array; precision?: Precision };

/** Both samples through the native loop, each with its own condition. */
async function sample({ guidance, table, noise, precision = 'f32' }: Guided): Promise<Float32Array> {
  const groups = guidance === 1 ? 1 : 2;
  const model = await addon().compileModel(besoGraph(config, tensors(), 5, groups).native, { precision });
  const session = await model.openSession({ batch: 1 });
  await session.setTable(encodeRows(table), { c_noise: Float32Array.from(table.levels) });
  const out: number[] = [];
  for (let b = 0; b < 2; b++) {
    const goal = new Float32Array(groups * 10);
    goal.set(beso.get('goal').slice(b * 10, b * 10 + 10));
    const one = beso.get('state').slice(b * 50, b * 50 + 50);
    const state = Float32Array.from(groups === 2 ? [...one, ...one] : one);
    const draws = noise.filter((_, i) => Math.floor(i / 10) % 2 === b);
    const start = beso.get('x_T').slice(b * 10, b * 10 + 10);
    const result = await session.denoise({ inputs: { state, goal }, start, noise: draws, guidance });
    out.push(...result.x);
  }
  return Float32Array.from(out);
}

describe('beso_small', () => {
  it('matches the network, conditional, unconditional and with a shorter window', async () => {
    const goal = beso.get('goal');
    expect(relativeError(await network(5, goal), beso.get('inner.out'))).toBeLessThan(1e-4);
    expect(relativeError(await network(5, scaled(goal, 0)), beso.get('inner.out_uncond'))).toBeLessThan(1e-4);
    expect(relativeError(await network(2, goal), beso.get('inner.out_t2'))).toBeLessThan(1e-4);
  });

  for (const name of SIGMA_SCHEDULES.filter((s) => beso.has(`sched.${s}`)))
    it(`matches the ${name} schedule`, () => {
      // Recorded with karras at ρ = 5 and polyexp at ρ = 1.
      const rho = name === 'karras' ? 5 : 1;
      const got = sigmaSchedule(name, 3, { sigma_min: 0.05, sigma_max: 1, rho });
      expect(relativeError(got, beso.get(`sched.${name}`))).toBeLessThan(1e-5);
    });

  it('matches the cosine_beta schedule', () => {
    // cosine_beta_schedule(5)
    const want = [0.999, 0.7240524, 0.4736353, 0.2795438, 0.1012941, 0];
    const got = sigmaSchedule('cosine_beta', 5, { sigma_min: 0.05, sigma_max: 1 });
    expect(relativeError(got, want)).toBeLessThan(1e-6);
  });

  it('rounds the ties of iddpm to the even level, as torch does', () => {
    // get_iddpm_sigmas(7, 0.005, 1)
    const want = [0.9998443, 0.7721294, 0.5834219, 0.4213184, 0.2776941, 0.1438058, 0.006422469, 0];
    const got = sigmaSchedule('iddpm', 7, { sigma_min: 0.005, sigma_max: 1 });
    expect(relativeError(got, want)).toBeLessThan(1e-4);
  });

  describe.each(BARS)('samplers in %s, to %d', (precision, bar) => {
    for (const steps of [3, 10])
      for (const name of [
        'euler',
        'heun',
        'dpm',
        'ddim',
        'lms',
        'dpmpp_2m',
        'dpmpp_2s',
        'euler_ancestral',
        'ancestral',
        'dpmpp_2s_ancestral',
        'dpm_fast',
      ])
        it(`matches ${name} with ${steps} steps`, async () => {
          const table = sigmaTable(name, [...beso.get(`sigmas.exp.${steps}`)], precondition);
          const noise: number[] = [];
          for (let i = 0; i < table.noise_draws; i++)
            noise.push(...beso.get(`sample.${name}.${steps}.noise${i}`));
          const got = await sample({ guidance: 1, table, noise: Float32Array.from(noise), precision });
          expect(relativeError(got, beso.get(`sample.${name}.${steps}`))).toBeLessThan(bar);
        });
  });

  it('matches dpm_adaptive, whose error is judged over both samples', async () => {
    const both = await Promise.all([asked(0), asked(1)]);
    for (const steps of [3, 10]) {
      const sigmas = beso.get(`sigmas.exp.${steps}`);
      const range = { sigma_max: sigmas[0]!, sigma_min: sigmas.at(-2)!, precondition };
      const loop = followAdaptive(range, {}, beso.get('x_T'));
      let step = loop.next();
      while (step.done !== true) {
        const { x, level } = step.value;
        const f = [...(await both[0]!(x.slice(0, 10), level)), ...(await both[1]!(x.slice(10), level))];
        step = loop.next(f);
      }
      expect(relativeError(step.value, beso.get(`sample.dpm_adaptive.${steps}`))).toBeLessThan(1e-4);
    }
  });

  for (const guidance of [0, 1, 1.5, 2])
    it(`matches guidance ${guidance}`, async () => {
      const sigma = beso.get('sigma');
      for (let b = 0; b < 2; b++) {
        // One row that gives D itself.
        const { c_in, a_x, a_f, level } = precondition(sigma[b]!);
        const table = makeTable([row({ c_in, a_x, a_f, w_d: 1 })], [level], 1);
        const got = await sample({ guidance, table, noise: new Float32Array(0) });
        const want = beso.get(`cfg.${guidance.toFixed(1)}`).slice(b * 10, b * 10 + 10);
        expect(relativeError(got.slice(b * 10, b * 10 + 10), want)).toBeLessThan(1e-4);
      }
    });
});
