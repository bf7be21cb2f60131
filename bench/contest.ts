// One row of the bench: ours in each precision against the peer, one after the other, round and round in the same run,
// so that whatever else the machine does meets all of them alike. Medians and 99th percentiles; with busy processes
// beside both sides, in turns with rounds without them.

import type { MachineLimits } from '../src/host/machine-limits.js';
import type { BusyProcesses } from './busy.js';

export interface Side {
  readonly precision: string;
  /** What one run does at least: operations, and weights of so many bytes read so often. */
  readonly flops: number;
  readonly bytes: number;
  readonly reads: number;
  run(): Promise<unknown>;
}

export interface Contest {
  readonly name: string;
  readonly ours: readonly Side[];
  /** onnxruntime-node doing the same. */
  peer(): Promise<unknown>;
  /** PyTorch doing the same, where it is installed: in the same run, after the others, whom its threads would disturb. */
  torch?(): Promise<{ run(): Promise<unknown>; close(): void }>;
  close(): Promise<unknown>;
}

export interface BenchRow {
  readonly name: string;
  readonly precision: string;
  /** Processes beside both sides that want a core each. */
  readonly busy: number;
  readonly ours_ms: number;
  readonly ours_p99_ms: number;
  readonly peer_ms: number;
  readonly peer_p99_ms: number;
  readonly ratio: number;
  readonly torch_ms?: number;
  /** The least time that the machine's measured peaks allow, as a share of ours. */
  readonly limit_share: number;
}

/** Rounds before the first that counts. */
const WARM_UP = 1;
/** Each turn begins when the other side's threads have stopped spinning for more work, and with a run that is not counted. */
const SETTLE_MS = 5;
const RUNS = 3;
const TORCH_ROUNDS = 12;

/** The times of both sides while so many processes are busy beside them. */
interface Times {
  readonly busy: number;
  readonly peer: number[];
  readonly ours: readonly number[][];
}

export async function hold(
  contest: Contest,
  budget_ms: number,
  limits: MachineLimits,
  beside?: BusyProcesses,
): Promise<BenchRow[]> {
  const torch: number[] = [];
  const times = (busy: number): Times => ({ busy, peer: [], ours: contest.ours.map(() => []) });
  const quiet = times(0);
  const all = beside === undefined ? [quiet] : [quiet, times(beside.count)];
  const until = performance.now() + budget_ms * all.length;
  for (let round = 0; round < WARM_UP + 3 || performance.now() < until; round++) {
    const keep = round >= WARM_UP;
    const turn = async (run: () => Promise<unknown>, into: number[]): Promise<void> => {
      await new Promise((resolve) => setTimeout(resolve, SETTLE_MS));
      await run();
      for (let i = 0; i < RUNS; i++) {
        const ms = await timed(run);
        if (keep) into.push(ms);
      }
    };
    for (const { busy, peer, ours } of all) {
      if (busy > 0) beside?.work();
      await turn(() => contest.peer(), peer);
      for (const [i, side] of contest.ours.entries()) await turn(() => side.run(), ours[i]!);
      beside?.rest();
    }
  }
  await contest.close();
  if (contest.torch !== undefined) {
    const side = await contest.torch();
    const end = performance.now() + budget_ms;
    for (let round = 0; round < TORCH_ROUNDS && (round < 5 || performance.now() < end); round++)
      torch.push(await timed(() => side.run()));
    torch.splice(0, 2);
    side.close();
  }
  const rows: BenchRow[] = [];
  for (const { busy, peer, ours } of all) {
    const peer_ms = quantile(peer, 0.5);
    for (const [i, { precision, flops, bytes, reads }] of contest.ours.entries()) {
      const ours_ms = quantile(ours[i]!, 0.5);
      rows.push({
        name: contest.name,
        precision,
        busy,
        ours_ms,
        ours_p99_ms: quantile(ours[i]!, 0.99),
        peer_ms,
        peer_p99_ms: quantile(peer, 0.99),
        ratio: ours_ms / peer_ms,
        ...(torch.length > 0 && busy === 0 ? { torch_ms: quantile(torch, 0.5) } : {}),
        limit_share: (await limits.least_ms(precision, flops, bytes, reads)) / ours_ms,
      });
    }
  }
  return rows;
}

async function timed(run: () => Promise<unknown>): Promise<number> {
  const began = performance.now();
  await run();
  return performance.now() - began;
}

export function quantile(values: readonly number[], q: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))]!;
}
