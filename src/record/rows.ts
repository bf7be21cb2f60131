// One observation of a recording, row by row: what goals, routes and memories are made of.

import { NS_PER_S, TendonError } from '../types/index.js';
import { observationOf, Recording } from './read.js';

export interface RecordedRow {
  /** s after the first observation of the recording. */
  readonly at_s: number;
  readonly row: Float32Array;
}

/** Throws `file_missing`, `file_corrupt`, or `input_invalid` where `key` was never observed, with the keys that were. */
export async function recordedRows(file: string, key: string): Promise<RecordedRow[]> {
  const recording = await Recording.open(file);
  const rows: RecordedRow[] = [];
  const keys = new Set<string>();
  let first_ns: number | undefined;
  for await (const event of recording.events()) {
    if (event.channel !== 'observation') continue;
    const { stamp_ns, values } = observationOf(event);
    first_ns ??= stamp_ns;
    for (const name of Object.keys(values)) keys.add(name);
    const row = values[key];
    if (row !== undefined) rows.push({ at_s: (stamp_ns - first_ns) / NS_PER_S, row });
  }
  if (rows.length === 0)
    throw new TendonError(
      'input_invalid',
      `${file}: no observation has "${key}"; recorded are ${[...keys].join(', ') || 'none'}`,
      { file, key },
    );
  return rows;
}
