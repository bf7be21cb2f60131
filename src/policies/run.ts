// What is alike in every inference: the caller's signal ends it, its time is taken, its failures are errors, and its answer is
// a chunk that says from when on its rows are valid.

import { addon, type CancelToken } from '../native/index.js';
import {
  type ActionChunk,
  NS_PER_S,
  type Observation,
  type PolicySpec,
  TendonError,
} from '../types/index.js';

/** What an inference gives to the runner. */
export interface Answer {
  readonly newest: Observation;
  /** (n_candidates, horizon, action_dim), physical units; the first is the answer. */
  readonly candidates: Float32Array;
  readonly n_candidates: number;
  /** Of each candidate; higher is better. */
  readonly scores?: Float32Array;
  readonly observe_ns: number;
  readonly denoise_ns: number;
  /** Of the network. */
  readonly calls?: number;
  /** What the next inference should be given. */
  readonly state?: object | undefined;
}

/** What an inference may ask of the runner. */
export interface Running {
  /** Set once the caller's signal is aborted. */
  readonly cancel: CancelToken;
  elapsed_ns(): number;
}

/** Runs one inference. `infer` throws; what it gives becomes a chunk. */
export async function runInference(
  { action_dim, horizon, rate_hz }: PolicySpec,
  signal: AbortSignal | undefined,
  infer: (running: Running) => Promise<Answer>,
): Promise<ActionChunk> {
  const began = process.hrtime.bigint();
  const elapsed_ns = (): number => Number(process.hrtime.bigint() - began);
  const cancel = new (addon().CancelToken)();
  const abort = (): void => cancel.cancel();
  signal?.addEventListener('abort', abort, { once: true });
  try {
    if (signal?.aborted) cancel.cancel();
    const answer = await infer({ cancel, elapsed_ns });
    const { newest, candidates, n_candidates, scores, observe_ns, denoise_ns, calls, state } = answer;
    const total_ns = elapsed_ns();
    return {
      stamp_ns: newest.stamp_ns,
      period_ns: rate_hz === undefined ? 0 : Math.round(NS_PER_S / rate_hz),
      horizon,
      action_dim,
      actions: candidates.slice(0, horizon * action_dim),
      ...(n_candidates > 1 ? { candidates } : {}),
      n_candidates,
      ...(scores === undefined ? {} : { scores }),
      chosen: 0,
      timing: {
        queue_ns: Math.max(0, total_ns - observe_ns - denoise_ns),
        observe_ns,
        denoise_ns,
        total_ns,
        ...(calls === undefined ? {} : { calls }),
      },
      ...(state === undefined ? {} : { state }),
    };
  } finally {
    signal?.removeEventListener('abort', abort);
  }
}

/** Throws for a result that is no answer: `cancelled` by the caller, `policy_failed` for NaN or infinity from `what`. */
export function checkStatus(status: string, what: string, calls?: number): void {
  if (status === 'cancelled')
    throw new TendonError(
      'cancelled',
      `the inference was cancelled by its caller${calls === undefined ? '' : ` after ${calls} calls of the network`}`,
      calls === undefined ? {} : { calls },
    );
  if (status !== 'ok')
    throw new TendonError(
      'policy_failed',
      `${what} produced NaN or infinity; check the observation and its statistics`,
    );
}
