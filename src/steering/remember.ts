// From runs to a memory: what was seen and what was done about it, in one safetensors file. Scorers hold what is new against it
// (`data`), memories recall chunks from it (`keys`, `chunks`, `utility`).

import type { Experience, PolicySpec } from '../types/index.js';
import { TendonError } from '../types/index.js';
import type { TensorSource } from '../weights/index.js';

export interface RememberOptions {
  readonly spec: PolicySpec;
  /** Entries kept, the newest; successes alone. */
  readonly most: number;
  /** What `data` is made of. */
  readonly inputs: 'observation' | 'observation,chunk';
}

/** Tensors `keys` (n, seen), `chunks` (n, horizon · action_dim), `utility` (n), `data` (n, width) with `min` and `max`. */
export function remembered(
  runs: readonly Experience[],
  { spec, most, inputs }: RememberOptions,
): Record<string, TensorSource> {
  const keysOf = Object.keys(spec.observation_dims);
  const entries = runs
    .filter((run) => run.success)
    .flatMap((run) => run.steps)
    .filter(({ chunk }) => chunk.horizon === spec.horizon && chunk.action_dim === spec.action_dim)
    .slice(-most);
  const n = entries.length;
  if (n === 0)
    throw new TendonError(
      'input_invalid',
      `remember: expected successful runs of chunks of ${spec.horizon} × ${spec.action_dim}; of ${runs.length} runs none has any`,
    );
  const seen = entries.map(({ observation }) => keysOf.flatMap((key) => [...observation.values[key]!]));
  const rows = spec.n_action_steps * spec.action_dim;
  const data = seen.map((key, i) =>
    inputs === 'observation' ? key : [...key, ...entries[i]!.chunk.actions.subarray(0, rows)],
  );
  const column = (pick: (...values: number[]) => number): Float32Array =>
    Float32Array.from(data[0]!, (_, c) => data.reduce((found, row) => pick(found, row[c]!), data[0]![c]!));
  return {
    keys: { shape: [n, seen[0]!.length], values: Float32Array.from(seen.flat()) },
    chunks: {
      shape: [n, spec.horizon * spec.action_dim],
      values: Float32Array.from(entries.flatMap(({ chunk }) => [...chunk.actions])),
    },
    utility: { shape: [n], values: new Float32Array(n).fill(1) },
    data: { shape: [n, data[0]!.length], values: Float32Array.from(data.flat()) },
    min: { shape: [data[0]!.length], values: column(Math.min) },
    max: { shape: [data[0]!.length], values: column(Math.max) },
  };
}
