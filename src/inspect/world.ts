// What a world model has besides one network: its networks one by one at the rows that the planner asks them for, and the
// programs that the compiler made of them all.

import type { MachineLimits } from '../host/machine-limits.js';
import { addon, native, type Precision } from '../native/index.js';
import type { PlanningPolicy } from '../policies/index.js';
import { TendonError } from '../types/index.js';
import type { InstructionTime, Work } from './work.js';

/** A network of the model, by itself. */
export interface NetworkReport extends Work {
  readonly network: string;
  readonly rows: number;
  readonly calls: number;
  readonly parameters: number;
}

/** A program that the planner runs. */
export interface ProgramReport extends Work {
  readonly program: string;
  readonly runs: number;
}

export interface WorldReport {
  readonly networks: readonly NetworkReport[];
  readonly programs: readonly ProgramReport[];
  readonly instructions: readonly InstructionTime[];
  /** Why there are no programs, where there are none. */
  readonly not_profiled?: string;
}

export async function inspectWorld(
  policy: PlanningPolicy,
  precision: Precision,
  limits: MachineLimits,
  rounds: number,
): Promise<WorldReport> {
  const { parts, iterations, profile } = await policy.describeWorld();
  const work = async (measured: readonly Measured[]): Promise<Work> => {
    const { flops, weight_bytes, ns } = sumOf(measured);
    const at_best_us = 1e3 * (await limits.least_ms(precision, flops, weight_bytes, 1));
    return { instructions: measured.length, flops, weight_bytes, at_best_us, measured_us: ns / 1e3 };
  };
  const networks: NetworkReport[] = [];
  for (const { name, graph, parameters, rows, calls } of parts) {
    const model = await native(() => addon().compileModel(graph.native, { precision, pool: policy.pool }));
    const session = await native(() => model.openSession({ batch: rows }));
    const measured = await native(() => session.profile(rounds));
    networks.push({ network: name, rows, calls, parameters, ...(await work(measured)) });
  }
  if (profile === undefined) return { networks, programs: [], instructions: [] };
  try {
    const measured = await profile(rounds);
    const programs: ProgramReport[] = [];
    for (const stage of new Set(measured.map((m) => m.stage))) {
      // A prior's candidates are drawn once, before the first iteration.
      const often = /step$/.test(stage) && !stage.startsWith('prior');
      const own = measured.filter((m) => m.stage === stage);
      programs.push({ program: stage, runs: often ? iterations : 1, ...(await work(own)) });
    }
    const instructions = measured.map(({ stage, label, flops, ns }) => ({
      stage,
      label,
      flops,
      us: ns / 1e3,
    }));
    return { networks, programs, instructions };
  } catch (caught) {
    if (!(caught instanceof TendonError) || caught.code !== 'unsupported') throw caught;
    return { networks, programs: [], instructions: [], not_profiled: caught.message };
  }
}

interface Measured {
  readonly flops: number;
  readonly weight_bytes: number;
  readonly ns: number;
}

function sumOf(reports: readonly Measured[]): Measured {
  const sum = { flops: 0, weight_bytes: 0, ns: 0 };
  for (const { flops, weight_bytes, ns } of reports) {
    sum.flops += flops;
    sum.weight_bytes += weight_bytes;
    sum.ns += ns;
  }
  return sum;
}
