// Reads a recorded case and compares: the relative error of a whole array, against its largest value.

import { existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { addon, type GraphBuilder, type NetworkInputs, type Precision } from '../../src/native/index.js';
import { openSafetensors, readTensor } from '../../src/weights/index.js';

/**
 * Error against a recording that a chunk may have by the precision of its products: f32 sums in another order, mantissas
 * of 8 bits, 127 steps a channel. docs/numerics.md says what was measured.
 */
export const BARS: readonly (readonly [Precision, number])[] = [
  ['f32', 1e-4],
  ['bf16', 2e-2],
  ['int8', 5e-2],
];

export interface Golden {
  readonly dir: string;
  readonly config: Record<string, unknown>;
  has(name: string): boolean;
  get(name: string): Float32Array;
  shape(name: string): readonly number[];
}

export function golden(name: string): Golden {
  const dir = fileURLToPath(new URL(`./${name}/`, import.meta.url));
  const io = openSafetensors(join(dir, 'io.safetensors')).tensors;
  const ref = (key: string) => {
    const found = io.get(key);
    if (found === undefined) throw new Error(`golden ${name} has no ${key}`);
    return found;
  };
  const file = join(dir, 'config.json');
  const text = existsSync(file) ? readFileSync(file, 'utf8') : '';
  return {
    dir,
    config: text === '' ? {} : (JSON.parse(text) as Record<string, unknown>),
    has: (key) => io.has(key),
    get: (key) => readTensor(ref(key)),
    shape: (key) => ref(key).shape,
  };
}

export function relativeError(got: ArrayLike<number>, want: ArrayLike<number>): number {
  if (got.length !== want.length) return Number.POSITIVE_INFINITY;
  let worst = 0;
  let largest = 1e-30;
  for (let i = 0; i < want.length; i++) {
    const error = Math.abs(got[i]! - want[i]!);
    worst = Number.isFinite(error) ? Math.max(worst, error) : Number.POSITIVE_INFINITY;
    largest = Math.max(largest, Math.abs(want[i]!));
  }
  return worst / largest;
}

/** Runs a graph once for `batch` samples. */
export async function runGraph(
  graph: GraphBuilder,
  batch: number,
  inputs: NetworkInputs,
  precision: Precision = 'f32',
): Promise<Readonly<Record<string, Float32Array>>> {
  const model = await addon().compileModel(graph.native, { precision });
  const session = await model.openSession({ batch });
  return (await session.run(inputs)).outputs;
}

/** A folder with the case's weights and another config; `use` may read it until it resolves. */
export async function withCheckpoint<T>(
  weights: string,
  config: object,
  use: (dir: string) => Promise<T>,
): Promise<T> {
  const dir = mkdtempSync(join(tmpdir(), 'tendon-golden-'));
  try {
    writeFileSync(join(dir, 'config.json'), JSON.stringify(config));
    symlinkSync(weights, join(dir, basename(weights)));
    return await use(dir);
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}
