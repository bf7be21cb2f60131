// Many episodes over all cores: seeds are handed to workers one by one, and every episode depends on its seed alone,
// so the result is the same for any number of workers.

import type { LoadOptions } from '../policies/index.js';
import { type ErrorCode, TendonError } from '../types/index.js';
import { startWorker } from '../types/package.js';
import type { EpisodeRecord } from './episode.js';
import { wilson } from './wilson.js';

/** What to evaluate: a policy on a simulated task, one episode for each seed. */
export interface EvaluateOptions {
  readonly policy: string;
  readonly task: string;
  readonly seeds: readonly number[];
  readonly load?: LoadOptions;
  /** Manifest of parts, or false for none; the folder's own when absent. */
  readonly parts?: string | false | undefined;
  /** What becomes of observations (disturb.ts). */
  readonly disturb?: string | undefined;
  /** Rows of a chunk to execute; the checkpoint's n_action_steps when absent. */
  readonly execute?: number;
  readonly workers: number;
  readonly onProgress?: (done: number, successes: number) => void;
}

/** The result of an evaluation: success rate with its 95 % Wilson interval, failures by mode, inference times. */
export interface Evaluation {
  readonly task: string;
  readonly policy: string;
  readonly episodes: number;
  readonly successes: number;
  readonly success_rate: number;
  /** Wilson, 95 %. */
  readonly interval: readonly [number, number];
  readonly mean_steps: number;
  readonly modes: Readonly<Record<string, number>>;
  readonly boundary_jump: { readonly median: number; readonly worst: number };
  readonly infer_ms: { readonly p50: number; readonly p99: number; readonly max: number };
  readonly records: readonly EpisodeRecord[];
}

/**
 * Runs one episode for each seed, in lock-step with the simulation, on worker threads with a policy each. Throws
 * `config_invalid` for a task that there is not, and what loading throws.
 */
export async function evaluatePolicy(options: EvaluateOptions): Promise<Evaluation> {
  const { seeds, workers, onProgress, ...data } = options;
  if (options.load?.compute?.pin !== undefined)
    throw new TendonError(
      'config_invalid',
      'pin: an evaluation has a worker per core with one thread each, which would all be bound to the same; leave it out',
    );
  const waiting = [...seeds];
  const records: EpisodeRecord[] = [];
  const drive = (): Promise<void> =>
    new Promise((resolve, reject) => {
      const worker = startWorker('dist/eval/worker.js', data);
      const next = (): void => {
        const seed = waiting.shift();
        if (seed !== undefined) worker.postMessage(seed);
        else void worker.terminate().then(() => resolve());
      };
      worker.on('error', reject);
      worker.on(
        'message',
        (message: { record?: EpisodeRecord; error?: { code: ErrorCode; message: string } }) => {
          if (message.error !== undefined) {
            void worker.terminate();
            reject(new TendonError(message.error.code, message.error.message));
            return;
          }
          if (message.record !== undefined) {
            records.push(message.record);
            onProgress?.(records.length, records.filter((r) => r.success).length);
          }
          next();
        },
      );
    });
  await Promise.all(Array.from({ length: Math.max(1, Math.min(workers, seeds.length)) }, drive));
  records.sort((a, b) => a.seed - b.seed);
  return summarise(options, records);
}

export function summarise(
  options: Pick<EvaluateOptions, 'task' | 'policy'>,
  records: readonly EpisodeRecord[],
): Evaluation {
  const successes = records.filter((r) => r.success).length;
  const modes: Record<string, number> = {};
  for (const r of records) modes[r.mode] = (modes[r.mode] ?? 0) + 1;
  const jumps = records.map((r) => r.boundary_jump).sort((a, b) => a - b);
  const times = records.flatMap((r) => r.infer_ms).sort((a, b) => a - b);
  const at = (sorted: readonly number[], q: number): number =>
    sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] ?? Number.NaN;
  return {
    task: options.task,
    policy: options.policy,
    episodes: records.length,
    successes,
    success_rate: successes / records.length,
    interval: wilson(successes, records.length),
    mean_steps: records.reduce((n, r) => n + r.steps, 0) / records.length,
    modes,
    boundary_jump: { median: at(jumps, 0.5), worst: at(jumps, 1) },
    infer_ms: { p50: at(times, 0.5), p99: at(times, 0.99), max: at(times, 1) },
    records,
  };
}
