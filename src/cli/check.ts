// `tendon check DIR`: does a checkpoint load, does every tensor have its place, does it run, how long and in how much.

import { statSync } from 'node:fs';
import { join } from 'node:path';
import { type LoadedPolicy, loadPolicy } from '../policies/index.js';
import { type Goal, type Image, type Observation, type PolicySpec, TendonError } from '../types/index.js';
import { type Command, describePool, loadOptions, POLICY_OPTIONS } from './command.js';

const RUNS = 7;

export const check: Command = {
  summary: 'loads a checkpoint, runs it on zeros and on noise, says shapes, times and memory',
  usage: 'tendon check DIR',
  options: { ...POLICY_OPTIONS },
  async run(values, { say, positionals }) {
    const dir = positionals[0];
    if (dir === undefined)
      throw new TendonError(
        'config_invalid',
        'check: expected a checkpoint folder, e.g. tendon check models/arm',
      );
    const before = process.memoryUsage.rss();
    const began = process.hrtime.bigint();
    const policy = await loadPolicy(dir, loadOptions(values));
    const loaded_ms = Number(process.hrtime.bigint() - began) / 1e6;
    const loading = process.resourceUsage().maxRSS * 1024;
    const { spec, choice } = policy;
    policy.reset(0);
    const first = await policy.infer(observe(spec, 0));
    const first_ms = Number(process.hrtime.bigint() - began) / 1e6;
    say(`${dir}: ${spec.family}; every tensor is used, none is missing
  takes    ${inputsOf(spec).join('\n           ')}
  gives    ${first.horizon} × ${spec.action_dim} actions, ${spec.n_action_steps} of them executed${spec.rate_hz === undefined ? '; the checkpoint does not say at which rate' : `, at ${spec.rate_hz} Hz`}
  sampler  ${choice.sampler}, ${choice.steps} step(s), ${choice.candidates} candidate(s), precision ${choice.precision}
  threads  ${describePool(policy.pool)}`);
    const still = await timed(policy, () => observe(spec, 0));
    let seed = 1;
    const noisy = await timed(policy, () => observe(spec, seed++));
    say(`
  on zeros   ${describe(still)}
  on noise   ${describe(noisy)}`);
    const described = await policy.describe().catch((caught: TendonError) => {
      if (caught.code !== 'unsupported') throw caught;
      say(`  ${caught.message}`);
    });
    if (described !== undefined) await sayStages(described.session, say);
    const peak = process.resourceUsage().maxRSS * 1024;
    say(`
  loaded in ${loaded_ms.toFixed(0)} ms, first chunk after ${first_ms.toFixed(0)} ms, ${(process.uptime() * 1e3).toFixed(0)} ms since the process began
  ${described === undefined ? '' : memoryOf(described)}file ${mb(fileBytes(dir))}
  memory: loading took ${mb(loading - before)} at most, on top of ${mb(before)}; ${mb(peak)} in all after the runs`);
    policy.close();
    if (!still.finite || !noisy.finite)
      throw new TendonError('policy_failed', `${dir}: its actions are not finite; see above`);
    say('  all right');
    return 0;
  },
};

type Described = Awaited<ReturnType<LoadedPolicy['describe']>>;

const memoryOf = ({ report, session }: Described): string =>
  `${report.precision} on ${report.isa}: ${mb(report.packed_bytes)} packed weights, ${mb(session.arena_bytes)} arena; `;

/** Each stage with its work and its time, measured instruction by instruction. */
async function sayStages(session: Described['session'], say: (line: string) => void): Promise<void> {
  const times = await session.profile(RUNS);
  for (const { name, flops, instructions } of session.stages()) {
    if (instructions === 0) continue;
    const ns = times.filter(({ stage }) => stage === name).reduce((sum, { ns }) => sum + ns, 0);
    say(
      `  ${name.padEnd(12)} ${instructions} instructions, ${(flops / 1e6).toFixed(2)} MFLOP, ${(ns / 1e6).toFixed(3)} ms`,
    );
  }
}

interface Timing {
  readonly ms: number[];
  /** Of the network, in one inference; undefined where nothing is denoised. */
  readonly calls: number | undefined;
  readonly low: number;
  readonly high: number;
  readonly finite: boolean;
}

async function timed(policy: LoadedPolicy, next: () => Observation): Promise<Timing> {
  const ms: number[] = [];
  let low = Number.POSITIVE_INFINITY;
  let high = Number.NEGATIVE_INFINITY;
  let finite = true;
  let calls: number | undefined;
  for (let i = 0; i < RUNS; i++) {
    const observation = next();
    const { actions, timing } = await policy.infer(observation, { goal: goalOf(policy.spec, observation) });
    ms.push(timing.total_ns / 1e6);
    calls = timing.calls;
    for (const action of actions) {
      finite &&= Number.isFinite(action);
      low = Math.min(low, action);
      high = Math.max(high, action);
    }
  }
  return { ms: ms.sort((a, b) => a - b), calls, low, high, finite };
}

const describe = ({ ms, calls, low, high }: Timing): string =>
  `${ms[RUNS >> 1]!.toFixed(1)} ms (median of ${RUNS})${calls === undefined ? '' : `, ${calls} call(s) of the network`}, actions from ${low.toPrecision(3)} to ${high.toPrecision(3)}`;

/** Zeros for seed 0; otherwise numbers in [−1, 1] and pixels of any value, the same for the same seed. */
function observe(spec: PolicySpec, seed: number): Observation {
  let state = seed;
  const next = (): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return seed === 0 ? 0 : state / 2 ** 32;
  };
  const values = Object.fromEntries(
    Object.entries(spec.observation_dims).map(([key, n]) => [
      key,
      Float32Array.from({ length: n }, () => (seed === 0 ? 0 : 2 * next() - 1)),
    ]),
  );
  const images = Object.fromEntries(
    Object.entries(spec.image_shapes).map(([key, [channels, height, width]]): [string, Image] => [
      key,
      {
        width,
        height,
        channels: channels as 1 | 3,
        data: Uint8Array.from({ length: channels * height * width }, () => 256 * next()),
      },
    ]),
  );
  return { stamp_ns: seed, values, images };
}

/** Of goals that no observation holds: zeros, or numbers that differ from one observation to the next. */
const goalOf = (spec: PolicySpec, { stamp_ns }: Observation): Goal =>
  Object.fromEntries(
    Object.entries(spec.goal_dims)
      .filter(([key]) => spec.observation_dims[key] === undefined)
      .map(([key, n]) => [
        key,
        Float32Array.from({ length: n }, (_, i) => Math.sin(i + 1) * Math.sign(stamp_ns)),
      ]),
  );

const inputsOf = (spec: PolicySpec): string[] => [
  ...Object.entries(spec.observation_dims).map(([key, n]) => `${key} (${n})`),
  ...Object.entries(spec.image_shapes).map(([key, [c, h, w]]) => `${key} (${h}×${w}, ${c} channels)`),
  ...Object.entries(spec.goal_dims).map(([key, n]) => `goal ${key} (${n})`),
  `${spec.n_obs_steps} observation(s) back`,
];

const mb = (bytes: number): string => `${(bytes / 1e6).toFixed(1)} MB`;

function fileBytes(dir: string): number {
  try {
    return statSync(join(dir, 'model.safetensors')).size;
  } catch {
    return 0;
  }
}
