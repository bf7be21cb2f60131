// dpm_adaptive as a policy's sampler: BESO's from its folder against the loop that beso.test.ts holds to the recording,
// its tolerances, guidance, prefixes; and where it is refused.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import type { SamplingOptions } from '../../src/policies/index.js';
import { loadPolicy } from '../../src/policies/index.js';
import { edmPreconditioner, followAdaptive } from '../../src/samplers/index.js';
import { writeCheckpointOf } from '../unit/checkpoints.js';
import { asked, beso, config, json } from './beso-small.js';
import { relativeError, withCheckpoint } from './golden.js';

const noise = beso.get('x_T').slice(0, 10);
const window = Array.from({ length: 5 }, (_, i) => ({
  stamp_ns: i,
  values: {
    'observation.state': beso.get('state').slice(i * 10, i * 10 + 10),
    'observation.goal': beso.get('goal').slice(0, 10),
  },
}));

function chunkOf(options: SamplingOptions): Promise<Float32Array> {
  return withCheckpoint(join(beso.dir, 'model.safetensors'), json, async (dir) => {
    const policy = await loadPolicy(dir, {
      compute: { precision: 'f32' },
      sampling: { sampler: 'dpm_adaptive', ...options },
    });
    const copies = Array.from({ length: options.candidates ?? 1 }, () => [...noise]).flat();
    const { actions, candidates } = await policy.infer(window, { noise: Float32Array.from(copies) });
    policy.close();
    return candidates ?? actions;
  });
}

describe('beso_small', () => {
  it('gives what the recorded loop gives for the same window', async () => {
    const ask = await asked(0);
    const { sigma_max, sigma_min } = config;
    const precondition = edmPreconditioner(config.sigma_data);
    const start = noise.map((v) => v * sigma_max);
    const loop = followAdaptive({ sigma_max, sigma_min, precondition }, {}, start);
    let step = loop.next();
    while (step.done !== true) step = loop.next(await ask(step.value.x, step.value.level));
    expect(relativeError(await chunkOf({}), step.value.slice(8))).toBeLessThan(1e-5);
  });

  it.each([1, 2])(
    'comes as near to the exact solution as its tolerances ask, with guidance %d',
    async (λ) => {
      // Ends at sigma_min too.
      const exact = await chunkOf({ sampler: 'dpm_fast', steps: 100, guidance_scale: λ });
      const at = async (tolerances: object): Promise<number> =>
        relativeError(await chunkOf({ guidance_scale: λ, ...tolerances }), exact);
      const tight = await at({ rtol: 1e-4, atol: 1e-5 });
      expect(tight).toBeLessThan(1e-4);
      const usual = await at({});
      expect(usual).toBeGreaterThan(10 * tight);
      expect(await at({ rtol: 2, atol: 2 })).toBeGreaterThan(usual);
    },
  );

  it('takes candidates together', async () => {
    const one = await chunkOf({});
    const three = await chunkOf({ candidates: 3 });
    expect(relativeError(three, [...one, ...one, ...one])).toBeLessThan(1e-5);
  });

  it.each([
    [{ eta: 0.5 }, /eta: dpm_adaptive takes as many draws/],
    [{ churn: { s_churn: 1 } }, /s_churn: dpm_adaptive takes no churn/],
    [{ parallel_tolerance: 1e-3 }, /parallel_tolerance: dpm_adaptive decides/],
    [{ atol: 0 }, /atol above 0/],
    [{ sampler: 'ddim', rtol: 0.1 }, /rtol: ddim takes the steps it is told/],
  ])('refuses %j', async (options, words) => {
    await expect(chunkOf(options as SamplingOptions)).rejects.toThrow(words);
  });
});

it('is drawn towards a prefix, and hears an abort between two calls', async () => {
  const policy = await loadPolicy(fileURLToPath(new URL('../../models/arm', import.meta.url)), {
    compute: { precision: 'f32' },
    sampling: { sampler: 'dpm_adaptive' },
  });
  const { observation_dims, action_dim } = policy.spec;
  const values = Object.fromEntries(
    Object.entries(observation_dims).map(([key, n]) => [key, new Float32Array(n).fill(0.1)]),
  );
  const seen = { stamp_ns: 0, values };
  const actions = new Float32Array(action_dim).fill(0.2);
  policy.reset(1);
  const chunk = await policy.infer(seen, { prefix: { actions, weights: Float32Array.of(1) } });
  policy.reset(1);
  const free = await policy.infer(seen);
  const first = (of: Float32Array): Float32Array => of.slice(0, action_dim);
  // It ends at sigma_min, not at 0.
  expect(relativeError(first(chunk.actions), actions)).toBeLessThan(0.1);
  expect(relativeError(first(free.actions), actions)).toBeGreaterThan(0.2);

  const stop = new AbortController();
  const cancelled = policy.infer(seen, { signal: stop.signal });
  stop.abort();
  await expect(cancelled).rejects.toMatchObject({ code: 'cancelled' });
  policy.close();
});

it('is refused where the levels are those of training', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'tendon-adaptive-'));
  try {
    const load = loadPolicy(writeCheckpointOf('diffusion_policy', dir), {
      sampling: { sampler: 'dpm_adaptive' },
    });
    await expect(load).rejects.toThrow(/its own noise levels, and diffusion_policy .* one of ddpm/);
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
});
