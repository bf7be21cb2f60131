// `tendon check DIR`: does a checkpoint load, does every tensor have its place, does it run, how long and in how much.

import { type CheckReport, checkPolicy, type Timing } from '../inspect/check.js';
import type { Needed } from '../inspect/memory.js';
import { type PolicySpec, TendonError } from '../types/index.js';
import { type Command, describePool, loadOptions, POLICY_OPTIONS } from './command.js';
import { waiting } from './progress.js';

export const check: Command = {
  summary: 'loads a checkpoint, runs it on zeros and on noise, says shapes, times and memory',
  usage: 'tendon check DIR [--json]',
  examples: [
    'tendon check models/arm',
    'tendon check hf:lerobot/diffusion_pusht@main',
    'tendon check models/mine --steps 10 --threads 2',
    'tendon check models/mine --json | jq .on_noise.median_ms',
  ],
  takes: 'policy',
  json: true,
  options: { ...POLICY_OPTIONS },
  async run(values, { text, say }) {
    const dir = text('policy');
    const foretold = ({ parameters, bytes }: Needed, free: number): void => {
      if (values.json !== true && bytes.f32 > WORTH_SAYING)
        say(
          `${(parameters / 1e6).toFixed(0)} M parameters: ${mb(bytes.f32)} of packed weights in f32, ${mb(bytes.bf16)} in bf16, ${mb(bytes.int8)} in int8; ${mb(free)} are free`,
        );
    };
    let done = (): void => undefined;
    const report = await checkPolicy(dir, loadOptions(values), (needed, free) => {
      foretold(needed, free);
      done = waiting(`loading ${dir} and running it`);
    }).finally(() => done());
    say(values.json === true ? JSON.stringify(report, undefined, 1) : described(report));
    if (!report.on_zeros.finite || !report.on_noise.finite)
      throw new TendonError('policy_failed', `${dir}: its actions are not finite; see above`);
    return 0;
  },
};

/** Less than this is on no machine a question, bytes. */
const WORTH_SAYING = 100e6;

function described(report: CheckReport): string {
  const { dir, spec, bytes, kernels, stages = [] } = report;
  const rate =
    spec.rate_hz === undefined ? '; the checkpoint does not say at which rate' : `, at ${spec.rate_hz} Hz`;
  const network =
    kernels === undefined
      ? ''
      : `${kernels.precision} on ${kernels.isa}: ${mb(bytes.packed_weights ?? 0)} packed weights, ${mb(bytes.arena ?? 0)} arena; `;
  const lines = [
    `${dir}: ${spec.family}; every tensor is used, none is missing`,
    `  takes    ${inputsOf(spec).join('\n           ')}`,
    `  gives    ${spec.scores === undefined ? `${spec.horizon} × ${spec.action_dim} actions, ${spec.n_action_steps} of them executed${rate}` : `scores from 0 to 1: ${spec.scores.join(', ')}`}`,
    `  sampler  ${report.sampler}, ${report.steps} step(s), ${report.candidates} candidate(s), precision ${report.precision}`,
    `  threads  ${describePool({ size: report.threads, cores: report.cores })}`,
    '',
    `  on zeros   ${timing(report.on_zeros)}`,
    `  on noise   ${timing(report.on_noise)}`,
    ...(report.not_described === undefined ? [] : [`  ${report.not_described}`]),
    ...stages.map(
      ({ stage, instructions, flops, ms }) =>
        `  ${stage.padEnd(12)} ${instructions} instructions, ${(flops / 1e6).toFixed(2)} MFLOP, ${ms.toFixed(3)} ms`,
    ),
    '',
    `  loaded in ${report.loaded_ms.toFixed(0)} ms, first chunk after ${report.first_chunk_ms.toFixed(0)} ms, ${report.process_ms.toFixed(0)} ms since the process began`,
    `  ${network}file ${mb(bytes.file)}`,
    `  memory: loading took ${mb(bytes.loading)} at most, on top of ${mb(bytes.before)}; ${mb(bytes.peak)} in all after the runs`,
  ];
  const fine = report.on_zeros.finite && report.on_noise.finite;
  return [...lines, ...(fine ? ['  all right'] : [])].join('\n');
}

const timing = ({ runs, median_ms, calls, lowest, highest }: Timing): string =>
  `${median_ms.toFixed(1)} ms (median of ${runs})${calls === undefined ? '' : `, ${calls} call(s) of the network`}, actions from ${lowest.toPrecision(3)} to ${highest.toPrecision(3)}`;

const inputsOf = (spec: PolicySpec): string[] => [
  ...Object.entries(spec.observation_dims).map(([key, n]) => `${key} (${n})`),
  ...Object.entries(spec.image_shapes).map(([key, [c, h, w]]) => `${key} (${h}×${w}, ${c} channels)`),
  ...Object.entries(spec.goal_dims).map(([key, n]) => `goal ${key} (${n})`),
  `${spec.n_obs_steps} observation(s) back`,
];

const mb = (bytes: number): string => `${(bytes / 1e6).toFixed(1)} MB`;
