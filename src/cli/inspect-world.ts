// The half of `tendon inspect` that a world model needs: its networks one by one at the rows that the planner asks them for,
// and the programs that the compiler made of them all.

import { addon, native, type Precision } from '../native/index.js';
import type { PlanningPolicy } from '../policies/index.js';
import type { TendonError } from '../types/index.js';
import type { Limits } from './bench/limits.js';

type Say = (line: string) => void;

/** What stands in a line of either table. */
interface Row {
  readonly name: string;
  readonly how: string;
  readonly instructions: number;
  readonly flops: number;
  readonly weight_bytes: number;
  readonly ns: number;
}

export async function sayWorld(
  policy: PlanningPolicy,
  precision: Precision,
  limits: Limits,
  rounds: number,
  instructions: boolean,
  say: Say,
): Promise<void> {
  const { parts, iterations, profile } = await policy.describeWorld();
  const line = async ({ name, how, instructions, flops, weight_bytes, ns }: Row): Promise<string> => {
    const least_us = 1e3 * (await limits.least_ms(precision, flops, weight_bytes, 1));
    return `  ${name.padEnd(19)} ${how.padEnd(22)} ${String(instructions).padStart(5)} ${(flops / 1e6).toFixed(3).padStart(10)} ${(weight_bytes / 1e6).toFixed(2).padStart(12)} ${least_us.toFixed(1).padStart(12)} ${(ns / 1e3).toFixed(1).padStart(13)}`;
  };
  say(
    '\n  network, by itself  rows × calls in a plan instr      MFLOP   weights MB   at best µs   measured µs   parameters',
  );
  for (const { name, graph, parameters, rows, calls } of parts) {
    const model = await native(() => addon().compileModel(graph.native, { precision, pool: policy.pool }));
    const session = await native(() => model.openSession({ batch: rows }));
    const measured = await native(() => session.profile(rounds));
    const row = { name, how: `${rows} × ${calls}`, instructions: measured.length, ...sumOf(measured) };
    say(`${await line(row)} ${String(parameters).padStart(12)}`);
  }
  if (profile === undefined) return;
  const measured = await profile(rounds).catch((caught: TendonError) => {
    if (caught.code !== 'unsupported') throw caught;
    say(`  ${caught.message}`);
  });
  if (measured === undefined) return;
  say(
    '\n  program             runs in a plan         instr      MFLOP   weights MB   at best µs   measured µs',
  );
  for (const stage of new Set(measured.map((m) => m.stage))) {
    const own = measured.filter((m) => m.stage === stage);
    // A prior's candidates are drawn once, before the first iteration.
    const often = /step$/.test(stage) && !stage.startsWith('prior');
    say(
      await line({
        name: stage,
        how: often ? String(iterations) : '1',
        instructions: own.length,
        ...sumOf(own),
      }),
    );
  }
  if (instructions) {
    say('\n  stage                  µs      MFLOP   instruction');
    for (const m of measured)
      say(
        `  ${m.stage.padEnd(19)} ${(m.ns / 1e3).toFixed(2).padStart(7)} ${(m.flops / 1e6).toFixed(3).padStart(10)}   ${m.label}`,
      );
  }
}

function sumOf(reports: readonly { flops: number; weight_bytes: number; ns: number }[]): {
  flops: number;
  weight_bytes: number;
  ns: number;
} {
  const sum = { flops: 0, weight_bytes: 0, ns: 0 };
  for (const { flops, weight_bytes, ns } of reports) {
    sum.flops += flops;
    sum.weight_bytes += weight_bytes;
    sum.ns += ns;
  }
  return sum;
}
