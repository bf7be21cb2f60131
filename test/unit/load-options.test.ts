// What may be asked of a policy as it is loaded and as it infers, beyond what it computes: which cores, until when, and
// all steps at once. With the demo model, through the public door.

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { loadOptions } from '../../src/cli/command.js';
import { addon } from '../../src/native/index.js';
import {
  inNouns,
  type LoadedPolicy,
  type LoadOptions,
  loadPolicy,
  withOptions,
} from '../../src/policies/index.js';
import type { ActionChunk, InferOptions, Observation } from '../../src/types/index.js';
import { openSafetensors, readTensor } from '../../src/weights/index.js';

const DIR = 'models/arm';
const opened: LoadedPolicy[] = [];
afterAll(() => {
  for (const policy of opened) policy.close();
});

async function load(options: LoadOptions): Promise<LoadedPolicy> {
  const policy = await loadPolicy(DIR, withOptions({ compute: { precision: 'f32' } }, options));
  opened.push(policy);
  return policy;
}

const draws = (stream: number, count: number): Float32Array => addon().philoxNormal(5, stream, 0, count);

/** The chunk for the same observation, goal and noise, whatever happened before. */
function infer(policy: LoadedPolicy, options: InferOptions = {}): Promise<ActionChunk> {
  const { observation_dims, goal_dims } = policy.spec;
  const filled = (dims: Readonly<Record<string, number>>, stream: number) =>
    Object.fromEntries(Object.entries(dims).map(([key, n], i) => [key, draws(stream + i, n)]));
  policy.reset(3);
  const observation: Observation = { stamp_ns: 1, values: filled(observation_dims, 10) };
  return policy.infer(observation, { goal: filled(goal_dims, 20), ...options });
}

/** Cores that a thread may run on, as the system tells. */
function coresOf(thread: string): string {
  const status = readFileSync(`/proc/self/task/${thread}/status`, 'utf8');
  return /^Cpus_allowed_list:\s*(.*)$/m.exec(status)![1]!;
}
const threads = (): string[] => readdirSync('/proc/self/task');

describe('cores', () => {
  const mine = coresOf(threads()[0]!)
    .split(',')
    .flatMap((part) => {
      const [from, to = from] = part.split('-').map(Number);
      return Array.from({ length: to! - from! + 1 }, (_, i) => from! + i);
    });

  it('binds every worker to the core that it was given', async () => {
    const cores = [...mine].reverse();
    const before = new Set(threads());
    const policy = await load({ compute: { pin: cores } });
    const workers = threads().filter((thread) => !before.has(thread) && !/[,-]/.test(coresOf(thread)));
    expect(workers.map((thread) => Number(coresOf(thread))).sort()).toEqual(cores.slice(1).sort());
    expect([policy.pool.size, policy.pool.cores]).toEqual([cores.length, cores]);
    const free = await load({ compute: { threads: cores.length } });
    expect(free.pool.cores).toEqual([]);
    expect((await infer(policy)).actions).toEqual((await infer(free)).actions);
  });

  it('takes the first cores when none is named, and refuses those that are not there', async () => {
    expect((await load({ compute: { pin: true, threads: 1 } })).pool.cores).toEqual(mine.slice(0, 1));
    await expect(load({ compute: { pin: [1023] } })).rejects.toThrow(
      /pin: this process cannot run on core 1023; it may use 0/,
    );
    await expect(load({ compute: { pin: mine.slice(0, 1), threads: 2 } })).rejects.toMatchObject({
      code: 'config_invalid',
    });
    expect(loadOptions({ pin: '4-6,1' })).toMatchObject({ compute: { pin: [4, 5, 6, 1], threads: 4 } });
    expect(loadOptions({ pin: 'any', threads: '2' })).toMatchObject({ compute: { pin: true, threads: 2 } });
    for (const pin of ['', 'all', '1-', '3-1', '1;2', '-1'])
      expect(() => loadOptions({ pin }), pin).toThrow(/--pin: expected any, or cores/);
    expect(loadOptions({ priority: 'nice:-5' })).toMatchObject({ compute: { priority: { nice: -5 } } });
    expect(loadOptions({ priority: 'rr:99' })).toMatchObject({ compute: { priority: { round_robin: 99 } } });
    for (const priority of ['', 'rr', 'rr:0', 'nice:20', 'nice:-21', 'fifo:1', 'rr:5;'])
      expect(() => loadOptions({ priority }), priority).toThrow(/--priority: expected nice/);
  });
});

it('is cancelled between two steps by the signal, and is then as if nothing had been', async () => {
  const steps = 400;
  const policy = await load({ compute: { threads: 2 }, sampling: { sampler: 'euler', steps } });
  const undisturbed = await infer(policy);
  expect(undisturbed.timing.calls).toBe(steps);
  const half_ms = undisturbed.timing.total_ns / 2e6;
  // When the timer fires is the system's affair: until it did while steps were being made.
  let calls = 0;
  for (let attempt = 0; attempt < 50 && (calls === 0 || calls === steps); attempt++) {
    const { signal, abort } = aborting();
    const timer = setTimeout(abort, half_ms);
    calls = await infer(policy, { signal }).then(
      () => steps,
      (caught) => {
        expect(caught).toMatchObject({ code: 'cancelled' });
        return caught.fields.calls as number;
      },
    );
    clearTimeout(timer);
  }
  expect(calls).toBeGreaterThan(0);
  expect(calls).toBeLessThan(steps);
  expect((await infer(policy)).actions).toEqual(undisturbed.actions);
});

function aborting(): { signal: AbortSignal; abort: () => void } {
  const controller = new AbortController();
  return { signal: controller.signal, abort: () => controller.abort() };
}

describe('all steps at once', () => {
  const statistics = openSafetensors(
    join(DIR, 'policy_postprocessor_step_0_unnormalizer_processor.safetensors'),
  );
  const std = readTensor(statistics.tensors.get('action.std')!);

  it.each([
    ['euler', 30],
    ['heun', 10],
    ['dpmpp_2m', 10],
  ])(
    '%s in %i steps arrives within its tolerance of one after the other, in fewer calls',
    async (sampler, steps) => {
      const want = await infer(await load({ compute: { threads: 2 }, sampling: { sampler, steps } }));
      const distance = (got: ActionChunk): number =>
        Math.max(...got.actions.map((a, i) => Math.abs(a - want.actions[i]!) / std[i % std.length]!));
      const one = await infer(
        await load({ compute: { threads: 2 }, sampling: { sampler, steps, parallel_tolerance: 1e-3 } }),
      );
      expect(distance(one)).toBeLessThan(1e-3);
      expect(one.timing.calls).toBeLessThan(want.timing.calls!);
      // Nothing meets this one: after as many iterations as there are calls every sample is exact but for the batch's sums.
      const exact = await infer(
        await load({ compute: { threads: 2 }, sampling: { sampler, steps, parallel_tolerance: 1e-12 } }),
      );
      expect(exact.timing.calls).toBeGreaterThan(one.timing.calls!);
      expect(exact.timing.calls).toBeLessThanOrEqual(want.timing.calls!);
      expect(distance(exact)).toBeLessThan(1e-5);
    },
  );
});

describe('the three nouns', () => {
  it.each([
    [
      { compute: { steps: 3 } },
      'compute.steps: no option of loading a policy; expected sampling: { steps: … }',
    ],
    [{ joins: { prefx: true } }, 'expected one of prefix, derivative, trained, candidates'],
    [{ sampling: { lambda: 1 } }, 'sampling.lambda: no option'],
    [
      { precison: 'f32' },
      'precison: no option of loading a policy; expected one of compute, sampling, joins, task',
    ],
  ])('%j is refused with where it belongs', async (options, why) => {
    await expect(loadPolicy(DIR, options as LoadOptions)).rejects.toThrow(why);
  });

  it('of two, the second is said last, noun by noun', () => {
    const under = { raw: 'all', compute: { threads: 2, precision: 'f32' }, sampling: { steps: 3 } } as const;
    expect(withOptions(under, { compute: { threads: 1 }, joins: { prefix: true } })).toEqual({
      raw: 'all',
      compute: { threads: 1, precision: 'f32' },
      sampling: { steps: 3 },
      joins: { prefix: true },
    });
  });

  it('callers and recordings from before them are read as they are meant', async () => {
    const flat = {
      ...{ precision: 'f32', threads: 1, sampler: 'ddim', steps: 3, candidates: 2, raw: ['action'] },
      ...{ joins: { prefix: true }, prefix_derivative: true },
    } as const;
    const nouns = {
      raw: ['action'],
      compute: { precision: 'f32', threads: 1 },
      sampling: { sampler: 'ddim', steps: 3, candidates: 2 },
      joins: { prefix: true, derivative: true },
    };
    expect(inNouns(flat)).toEqual(nouns);
    expect(inNouns(nouns as LoadOptions)).toEqual(nouns);
    const said = { precision: 'f32', threads: 1, steps: 2, candidates: 3 } as const;
    const policy = await loadPolicy(DIR, said);
    opened.push(policy);
    expect(policy.choice).toMatchObject({ precision: 'f32', steps: 2, candidates: 3 });
    expect(policy.pool.size).toBe(1);
  });
});
