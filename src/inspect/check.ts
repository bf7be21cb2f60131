// Whether a checkpoint loads, runs on zeros and on noise with finite actions, how long that takes and in how much memory.

import { statSync } from 'node:fs';
import { join } from 'node:path';
import { type LoadedPolicy, type LoadOptions, loadPolicy } from '../policies/index.js';
import { type Observation, type PolicySpec, TendonError } from '../types/index.js';
import { checkFits, memoryNeeded, type Needed } from './memory.js';
import { goalOf, observe } from './observe.js';

const RUNS = 7;

/** Several inferences. */
export interface Timing {
  readonly runs: number;
  readonly median_ms: number;
  /** Calls of the network in one inference; absent where nothing is denoised. */
  readonly calls?: number | undefined;
  /** Range of the actions. */
  readonly lowest: number;
  readonly highest: number;
  readonly finite: boolean;
}

/** A stage of the compiled network. */
export interface StageTime {
  readonly stage: string;
  readonly instructions: number;
  readonly flops: number;
  readonly ms: number;
}

export interface CheckReport {
  readonly dir: string;
  readonly spec: PolicySpec;
  readonly sampler: string;
  readonly steps: number;
  readonly candidates: number;
  readonly precision: string;
  readonly threads: number;
  readonly cores: readonly number[];
  readonly on_zeros: Timing;
  readonly on_noise: Timing;
  /** Absent where another runtime computes; `not_described` says which. */
  readonly stages?: readonly StageTime[];
  readonly not_described?: string;
  readonly kernels?: { readonly isa: string; readonly precision: string };
  readonly bytes: {
    readonly packed_weights?: number;
    readonly arena?: number;
    readonly file: number;
    /** Of the process: before, the most that loading added, the most in all. */
    readonly before: number;
    readonly loading: number;
    readonly peak: number;
  };
  readonly loaded_ms: number;
  readonly first_chunk_ms: number;
  readonly process_ms: number;
}

/**
 * Loads the checkpoint in `dir` and runs it. `foretold` is called before any weight is read, with what they will need. Throws what
 * loading throws, and `out_of_resources` where the memory that is free cannot hold the weights.
 */
export async function checkPolicy(
  dir: string,
  options: LoadOptions,
  foretold: (needed: Needed, free: number) => void = () => undefined,
): Promise<CheckReport> {
  const needed = memoryNeeded(dir, options);
  if (needed !== undefined) {
    const free = process.availableMemory();
    foretold(needed, free);
    checkFits(dir, needed, options.compute?.precision ?? 'auto', free);
  }
  const before = process.memoryUsage.rss();
  const began = performance.now();
  const policy = await loadPolicy(dir, { ...options, scorer: true });
  const loaded_ms = performance.now() - began;
  const loading = process.resourceUsage().maxRSS * 1024 - before;
  try {
    const { spec, choice, pool } = policy;
    policy.reset(0);
    await policy.infer(observe(spec, 0), { goal: goalOf(spec, observe(spec, 0)) });
    const first_chunk_ms = performance.now() - began;
    const on_zeros = await timed(policy, () => observe(spec, 0));
    let seed = 1;
    const on_noise = await timed(policy, () => observe(spec, seed++));
    const { bytes, ...network } = await networkOf(policy);
    return {
      dir,
      spec,
      ...choice,
      threads: pool.size,
      cores: pool.cores,
      on_zeros,
      on_noise,
      ...network,
      bytes: {
        ...bytes,
        file: fileBytes(dir),
        before,
        loading,
        peak: process.resourceUsage().maxRSS * 1024,
      },
      loaded_ms,
      first_chunk_ms,
      process_ms: process.uptime() * 1e3,
    };
  } finally {
    policy.close();
  }
}

/** What the compiler made of it, each stage with its time. */
async function networkOf(policy: LoadedPolicy) {
  try {
    const { report, session } = await policy.describe();
    const times = await session.profile(RUNS);
    const stages = session
      .stages()
      .filter(({ instructions }) => instructions > 0)
      .map(({ name, flops, instructions }): StageTime => {
        const ns = times.filter(({ stage }) => stage === name).reduce((sum, time) => sum + time.ns, 0);
        return { stage: name, instructions, flops, ms: ns / 1e6 };
      });
    return {
      stages,
      kernels: { isa: report.isa, precision: report.precision },
      bytes: { packed_weights: report.packed_bytes, arena: session.arena_bytes },
    };
  } catch (caught) {
    if (!(caught instanceof TendonError) || caught.code !== 'unsupported') throw caught;
    return { not_described: caught.message, bytes: {} };
  }
}

async function timed(policy: LoadedPolicy, next: () => Observation): Promise<Timing> {
  const ms: number[] = [];
  let [lowest, highest, finite] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, true];
  let calls: number | undefined;
  for (let i = 0; i < RUNS; i++) {
    const observation = next();
    const { actions, timing } = await policy.infer(observation, { goal: goalOf(policy.spec, observation) });
    ms.push(timing.total_ns / 1e6);
    calls = timing.calls;
    for (const action of actions) {
      finite &&= Number.isFinite(action);
      lowest = Math.min(lowest, action);
      highest = Math.max(highest, action);
    }
  }
  return { runs: RUNS, median_ms: ms.sort((a, b) => a - b)[RUNS >> 1]!, calls, lowest, highest, finite };
}

function fileBytes(dir: string): number {
  return statSync(join(dir, 'model.safetensors'), { throwIfNoEntry: false })?.size ?? 0;
}
