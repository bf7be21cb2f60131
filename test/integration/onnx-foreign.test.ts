// A network on onnxruntime-node: levels of whole numbers, an abort between two calls, as many threads as were asked for.

import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { NativePool, NativeSession } from '../../src/native/index.js';
import type { DenoiserFamily } from '../../src/policies/denoiser-family.js';
import { loadPolicy, openFamily } from '../../src/policies/index.js';
import { runLoop } from '../../src/policies/loop-session.js';
import type { Follow, Loop, Question } from '../../src/samplers/index.js';
import type { Observation } from '../../src/types/index.js';
import { relativeError, runGraph } from '../golden/golden.js';
import { withUnreadOp } from './onnx-parts.js';

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'tendon-foreign-'));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

const training = {
  kind: 'diffusers',
  ...{ num_train_timesteps: 100, beta_schedule: 'squaredcos_cap_v2', beta_start: 1e-4, beta_end: 0.02 },
  ...{ prediction_type: 'epsilon', clip_sample: true, clip_sample_range: 1 },
};
const golden = (name: string): URL => new URL(`../golden/${name}/`, import.meta.url);
const io = (name: string): Record<string, number[]> =>
  JSON.parse(readFileSync(fileURLToPath(new URL('io.json', golden(name))), 'utf8')) as never;

/** `core`: as it was exported; else with an op that the core does not read. */
function folder(name: string, changes: object = {}, core = false): string {
  const config = {
    ...{ type: 'onnx', sample: 'x', level: 't', condition: 'cond', n_obs_steps: 1, n_action_steps: 4 },
    input_features: { 'observation.state': { type: 'STATE', shape: [6] } },
    output_features: { action: { type: 'ACTION', shape: [2] } },
    normalization_mapping: { STATE: 'IDENTITY', ACTION: 'IDENTITY' },
    training,
    ...changes,
  };
  writeFileSync(join(dir, 'config.json'), JSON.stringify(config));
  const exported = readFileSync(fileURLToPath(new URL('model.onnx', golden(name))));
  writeFileSync(join(dir, 'model.onnx'), core ? exported : withUnreadOp(exported));
  return dir;
}
const observation = (cond: readonly number[]): Observation => ({
  stamp_ns: 0,
  values: { 'observation.state': Float32Array.from(cond) },
});

/** Asks once, at level 37, and returns the answer. */
const once: Follow = function* (start): Loop {
  const answer = yield { x: Float64Array.from(start), level: 37, call: 0 };
  return Float64Array.from('ancestors' in answer ? answer.f : answer);
};

/** A session that asks once. */
const opened = (family: DenoiserFamily, threads: number): Promise<NativeSession> =>
  family.network.open(
    { start_scale: 1, noise_draws: 0, table: undefined, follow: once },
    {
      ...{ candidates: 1, groups: 1, guided: false, parallel_tolerance: 0 },
      // Only its size is asked: the threads are the runtime's own.
      pool: { size: threads } as NativePool,
      model: () => Promise.reject(new Error('this network is not compiled')),
    },
  );

// One is looked up, (1); the other is cast, a scalar.
describe.each(['onnx_timestep', 'onnx_timestep_scalar'])('%s, a level of whole numbers', (name) => {
  const { x, cond, out } = io(name) as Record<'x' | 'cond' | 'out', number[]>;

  test('on onnxruntime-node', async () => {
    const family = openFamily(folder(name)) as DenoiserFamily;
    const session = await opened(family, 1);
    const inputs = family.network.condition([observation(cond)], undefined, 1);
    const answer = await session.denoise({ inputs, start: Float32Array.from(x) });
    expect(answer).toMatchObject({ status: 'ok', calls: 1 });
    expect(relativeError(answer.x, out)).toBeLessThan(1e-5);
  });

  test('in the core', async () => {
    const family = openFamily(folder(name, {}, true)) as DenoiserFamily;
    const answer = await runGraph(family.network.graph(1), 1, {
      x: Float32Array.from(x),
      ...family.network.schedule([37]),
      cond: Float32Array.from(cond),
    });
    expect(relativeError(answer.out!, out)).toBeLessThan(1e-5);
  });

  test.each(['ddpm', 'heun'])('both alike, with %s', async (sampler) => {
    const chunk = async (core: boolean): Promise<Float32Array> => {
      const policy = await loadPolicy(folder(name, {}, core), {
        compute: { precision: 'f32' },
        sampling: { sampler, steps: 10 },
      });
      policy.reset(2);
      const { actions } = await policy.infer(observation(cond));
      policy.close();
      return actions;
    };
    expect(relativeError(await chunk(false), await chunk(true))).toBeLessThan(1e-4);
  });
});

test('where training asks between whole numbers, they are refused', () => {
  const edm = { kind: 'edm', sigma_data: 0.5, sigma_min: 0.01, sigma_max: 1 };
  expect(() => openFamily(folder('onnx_timestep', { training: edm }))).toThrow(
    /"t" is of whole numbers \(I64\)/,
  );
});

test('an abort is heard before the first call and between two', async () => {
  const policy = await loadPolicy(folder('onnx_timestep'), {
    sampling: { sampler: 'ddpm', steps: 100, candidates: 8 },
  });
  const seen = observation(io('onnx_timestep').cond!);
  const cancelled = expect.objectContaining({ code: 'cancelled' });
  await expect(policy.infer(seen, { signal: AbortSignal.abort() })).rejects.toEqual(cancelled);
  const stop = new AbortController();
  const running = policy.infer(seen, { signal: stop.signal });
  // Its 800 calls each come back through the event loop, which has turned a few times by then.
  for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve));
  stop.abort();
  await expect(running).rejects.toEqual(cancelled);
  // And the next one is as if nothing had been.
  policy.reset(4);
  const after = await policy.infer(seen);
  policy.reset(4);
  expect((await policy.infer(seen)).actions).toEqual(after.actions);
  policy.close();

  let calls = 0;
  const third = { cancelled: false };
  const ask = async ({ x }: Question): Promise<Float64Array> => {
    if (++calls === 3) third.cancelled = true;
    return x;
  };
  const forever = function* (): Loop {
    for (;;) yield { x: Float64Array.of(1), level: 0, call: 0 };
  };
  expect(await runLoop(forever(), ask, third)).toEqual({ status: 'cancelled', calls: 3 });
});

test.runIf(process.platform === 'linux')('it has the threads it was given', async () => {
  const family = openFamily(folder('onnx_timestep')) as DenoiserFamily;
  const threads = (): number => readdirSync('/proc/self/task').length;
  // The first brings what the library has for all.
  const first = await opened(family, 1);
  const before = threads();
  const alone = await opened(family, 1);
  expect(threads() - before).toBe(0);
  const four = await opened(family, 4);
  // The caller's is the fourth.
  expect(threads() - before).toBe(3);
  expect([first, alone, four]).toHaveLength(3);
});
