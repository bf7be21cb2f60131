// The report of `tendon inspect` as tables.

import type { InspectReport, StageReport } from '../inspect/inspect.js';
import type { InstructionTime, Work } from '../inspect/work.js';
import type { WorldReport } from '../inspect/world.js';
import { describePool } from './command.js';

const RUNS: Readonly<Record<string, string>> = {
  schedule: 'once per sampler',
  observation: 'once per inference',
  prepared: 'once per inference',
  step: 'once per call',
};

export function inspected(report: InspectReport): string {
  const { dir, spec, world } = report;
  const error = report.precision_error;
  const auto =
    error > 0 ? ` (auto: error ${error.toExponential(1)} of the largest output on probe inputs)` : '';
  const rate = spec.rate_hz === undefined ? '' : `, ${spec.rate_hz} Hz`;
  const observations = Object.entries(spec.observation_dims).map(([key, n]) => `${key} (${n})`);
  return [
    `${dir}: ${spec.family}, ${(report.parameters / 1e6).toFixed(2)} M parameters`,
    `  observations  ${observations.join(', ')}`,
    spec.scores === undefined
      ? `  actions       ${spec.horizon} × ${spec.action_dim}, ${spec.n_action_steps} executed${rate}`
      : `  scores        ${spec.scores.join(', ')}`,
    `  sampler       ${report.sampler}, ${report.steps} steps, ${report.candidates} candidate(s)`,
    `  kernels       ${report.isa}, ${report.precision}${auto}`,
    `  threads       ${describePool({ size: report.threads, cores: report.cores })}`,
    `  memory        ${(report.packed_weight_bytes / 1e6).toFixed(1)} MB packed weights, ${(report.arena_bytes / 1e6).toFixed(2)} MB arena`,
    '',
    '  stage         runs                instr  products      MFLOP   weights MB    share   at best µs   measured µs',
    ...report.stages.map(stageLine),
    ...(world === undefined ? [] : worldLines(world)),
    '',
    '  at best: what the machine’s arithmetic or reading of the weights, measured just now, allows; measured: each',
    '  instruction timed by itself, the median of several runs',
  ].join('\n');
}

function stageLine({ stage, matrix_products, share, ...work }: StageReport): string {
  const part = share === undefined ? '' : `${(100 * share).toFixed(1)} %`;
  return `  ${stage.padEnd(13)} ${(RUNS[stage] ?? '').padEnd(19)} ${String(work.instructions).padStart(5)} ${String(matrix_products).padStart(9)} ${mflop(work.flops)} ${megabytes(work)} ${part.padStart(8)} ${times(work)}`;
}

function worldLines({ networks, programs, not_profiled }: WorldReport): string[] {
  const line = (name: string, how: string, work: Work): string =>
    `  ${name.padEnd(19)} ${how.padEnd(22)} ${String(work.instructions).padStart(5)} ${mflop(work.flops)} ${megabytes(work)} ${times(work)}`;
  return [
    '\n  network, by itself  rows × calls in a plan instr      MFLOP   weights MB   at best µs   measured µs   parameters',
    ...networks.map(
      ({ network, rows, calls, parameters, ...work }) =>
        `${line(network, `${rows} × ${calls}`, work)} ${String(parameters).padStart(12)}`,
    ),
    ...(not_profiled === undefined ? [] : [`  ${not_profiled}`]),
    ...(programs.length === 0
      ? []
      : [
          '\n  program             runs in a plan         instr      MFLOP   weights MB   at best µs   measured µs',
        ]),
    ...programs.map(({ program, runs, ...work }) => line(program, String(runs), work)),
  ];
}

/** What --instructions and --graph add. */
export function graphAndInstructions(report: InspectReport, instructions: boolean, graph: boolean): string {
  const table = (rows: readonly InstructionTime[], width: number): string[] => [
    `\n  ${'stage'.padEnd(width)}      µs      MFLOP   instruction`,
    ...rows.map(
      ({ stage, us, flops, label }) =>
        `  ${stage.padEnd(width)} ${us.toFixed(2).padStart(7)} ${mflop(flops)}   ${label}`,
    ),
  ];
  return [
    ...(instructions ? table(report.instructions, 11) : []),
    ...(instructions && report.world !== undefined ? table(report.world.instructions, 19) : []),
    ...(graph ? [`\n${report.graph}`] : []),
  ].join('\n');
}

const mflop = (flops: number): string => (flops / 1e6).toFixed(3).padStart(10);
const megabytes = ({ weight_bytes }: Work): string => (weight_bytes / 1e6).toFixed(2).padStart(12);
const times = ({ at_best_us, measured_us }: Work): string =>
  `${at_best_us.toFixed(1).padStart(12)} ${measured_us.toFixed(1).padStart(13)}`;
