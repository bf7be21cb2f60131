// BESO against its own code (test/golden/beso_small): the network, guidance, σ schedules, and every sampler with its
// noise, in the native loop and in the TypeScript one.

import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { addon, type NativeSession } from '../../src/native/index.js';
import { BesoConfig } from '../../src/policies/beso/config.js';
import { besoGraph } from '../../src/policies/beso/graph.js';
import { Tensors } from '../../src/policies/checkpoint.js';
import { loadPolicy } from '../../src/policies/index.js';
import {
  edmPreconditioner,
  encodeRows,
  type SamplerTable,
  SIGMA_SCHEDULES,
  sigmaSchedule,
  sigmaTable,
} from '../../src/samplers/index.js';
import { golden, relativeError, runGraph, withCheckpoint } from './support/golden.js';

const beso = golden('beso_small');
const features = {
  type: 'beso',
  input_features: {
    'observation.state': { type: 'STATE', shape: [10] },
    'observation.goal': { type: 'ENV', shape: [10] },
  },
  output_features: { action: { type: 'ACTION', shape: [2] } },
  normalization_mapping: { STATE: 'IDENTITY', ENV: 'IDENTITY', ACTION: 'IDENTITY' },
};
const config = BesoConfig.parse({ ...beso.config, ...features });
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

async function sampler(
  table: SamplerTable,
  guidance = 1,
): Promise<(noise: Float32Array) => Promise<Float32Array>> {
  const groups = guidance === 1 ? 1 : 2;
  const model = await addon().compileModel(besoGraph(config, tensors(), 5, groups).native, {
    precision: 'f32',
  });
  const session: NativeSession = await model.openSession({ batch: 2 });
  await session.setTable(encodeRows(table), { c_noise: Float32Array.from(table.levels) });
  const goal = new Float32Array(groups * 20);
  goal.set(beso.get('goal'));
  const state = new Float32Array(groups * 100);
  for (let i = 0; i < groups; i++) state.set(beso.get('state'), i * 100);
  return async (noise) =>
    (await session.denoise({ inputs: { state, goal }, start: beso.get('x_T'), noise, guidance })).x;
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
      const got = sigmaSchedule(name, 3, { sigma_min: 0.05, sigma_max: 1 });
      expect(relativeError(got, beso.get(`sched.${name}`))).toBeLessThan(1e-5);
    });

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
        const got = await (await sampler(table))(Float32Array.from(noise));
        expect(relativeError(got, beso.get(`sample.${name}.${steps}`))).toBeLessThan(1e-4);
      });
});
void join;
void loadPolicy;
void withCheckpoint;
