// What the compiler made of a checkpoint: stages and instructions with their work, their time, and the least time that the
// machine allows.

import { MachineLimits } from '../host/machine-limits.js';
import { type LoadOptions, loadPolicy, PlanningPolicy } from '../policies/index.js';
import type { PolicySpec } from '../types/index.js';
import type { InstructionTime, Work } from './work.js';
import { inspectWorld, type WorldReport } from './world.js';

/** Runs of every stage that are timed. */
const PROFILE_ROUNDS = 15;

export interface StageReport extends Work {
  readonly stage: string;
  readonly matrix_products: number;
  /** Of the floating-point operations of one inference; absent for what runs once per sampler. */
  readonly share?: number | undefined;
}

export interface InspectReport {
  readonly dir: string;
  readonly spec: PolicySpec;
  readonly parameters: number;
  readonly sampler: string;
  readonly steps: number;
  readonly candidates: number;
  readonly isa: string;
  readonly precision: string;
  /** Of `auto`: largest error on probe inputs, relative to the largest output. */
  readonly precision_error: number;
  readonly threads: number;
  readonly cores: readonly number[];
  readonly packed_weight_bytes: number;
  readonly arena_bytes: number;
  readonly stages: readonly StageReport[];
  readonly instructions: readonly InstructionTime[];
  /** The network as described, before compiling. */
  readonly graph: string;
  readonly world?: WorldReport;
}

/** Compiles the checkpoint in `dir` and times it. Throws what loading throws. */
export async function inspectPolicy(dir: string, options: LoadOptions): Promise<InspectReport> {
  const policy = await loadPolicy(dir, { ...options, scorer: true });
  try {
    const { report, session, graph } = await policy.describe();
    const { spec, choice, pool } = policy;
    const limits = await MachineLimits.measure(pool);
    const measured = await session.profile(PROFILE_ROUNDS);
    const stages = session.stages();
    const flopsOf = (stage: (typeof stages)[number]): number =>
      stage.flops * (stage.name === 'step' ? choice.steps : 1);
    const total = stages.reduce((sum, stage) => sum + flopsOf(stage), 0);
    const rows: StageReport[] = [];
    // One after the other: what the machine allows is measured when it is first asked for.
    for (const stage of stages) {
      const ns = measured.filter((m) => m.stage === stage.name).reduce((sum, m) => sum + m.ns, 0);
      rows.push({
        stage: stage.name,
        instructions: stage.instructions,
        matrix_products: stage.matrix_products,
        flops: stage.flops,
        weight_bytes: stage.weight_bytes,
        share: stage.name === 'schedule' ? undefined : flopsOf(stage) / total,
        at_best_us: 1e3 * (await limits.least_ms(report.precision, stage.flops, stage.weight_bytes, 1)),
        measured_us: ns / 1e3,
      });
    }
    const world =
      policy instanceof PlanningPolicy
        ? await inspectWorld(policy, report.precision, limits, PROFILE_ROUNDS)
        : undefined;
    return {
      dir,
      spec,
      parameters: report.parameters,
      sampler: choice.sampler,
      steps: choice.steps,
      candidates: choice.candidates,
      isa: report.isa,
      precision: report.precision,
      precision_error: report.precision_error,
      threads: pool.size,
      cores: pool.cores,
      packed_weight_bytes: report.packed_bytes,
      arena_bytes: session.arena_bytes,
      stages: rows,
      instructions: measured.map(({ stage, label, flops, ns }) => ({ stage, label, flops, us: ns / 1e3 })),
      graph: graph.print(),
      ...(world === undefined ? {} : { world }),
    };
  } finally {
    policy.close();
  }
}
