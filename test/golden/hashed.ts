// Numbers that the golden scripts and the tests both make for themselves (make/hashed.py is the same), and checkpoints
// of them under recorded key names: networks of any size without a weight in the repository.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { writeSafetensors } from '../../src/weights/index.js';

/** Float32 of base + scale·u, where u of element i is a hash of `name` and i, in [−1, 1). */
function hashed(name: string, count: number, scale: number, base = 0): Float32Array {
  let seed = 2166136261;
  for (const byte of Buffer.from(name)) seed = Math.imul(seed ^ byte, 16777619);
  const out = new Float32Array(count);
  for (let i = 0; i < count; i++) {
    let h = (Math.imul(i, 0x9e3779b9) + seed) | 0;
    h = Math.imul(h ^ (h >>> 16), 0x7feb352d);
    h = Math.imul(h ^ (h >>> 15), 0x846ca68b);
    h ^= h >>> 16;
    out[i] = base + scale * ((h >>> 8) / 2 ** 23 - 1);
  }
  return out;
}

export const vector = (name: string, count: number): Float32Array => hashed(name, count, 1);

export function weight(name: string, shape: readonly number[]): Float32Array {
  const count = shape.reduce((n, d) => n * d, 1);
  // Its numbers are given by whoever knows the map's height.
  if (name.endsWith('pos_grid')) return new Float32Array(count);
  if (name.endsWith('running_var')) return hashed(name, count, 0.5, 1);
  if (shape.length <= 1)
    return name.endsWith('weight') ? hashed(name, count, 0.1, 1) : hashed(name, count, 0.1);
  const fan = count / shape[0]!;
  return hashed(name, count, Math.sqrt((shape.length === 4 ? 6 : 3) / fan));
}

/** (h·w, 2): x and y of each position, as numpy's linspace has them. */
export function grid(h: number, w: number): Float32Array {
  const line = (n: number, i: number): number => (i === n - 1 ? 1 : -1 + i * (2 / (n - 1)));
  return Float32Array.from({ length: 2 * h * w }, (_, i) => {
    const at = i >> 1;
    return i % 2 === 0 ? line(w, at % w) : line(h, Math.floor(at / w));
  });
}

/** (height, width, 3), blocks of 8 pixels. */
export function image(name: string, height: number, width: number): Uint8Array {
  const columns = Math.ceil(width / 8);
  const coarse = vector(name, Math.ceil(height / 8) * columns * 3);
  const out = new Uint8Array(height * width * 3);
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++)
      for (let c = 0; c < 3; c++)
        out[(y * width + x) * 3 + c] = (coarse[((y >> 3) * columns + (x >> 3)) * 3 + c]! + 1) * 127.5;
  return out;
}

export interface Keys {
  readonly shapes: ReadonlyMap<string, readonly number[]>;
  readonly config: Record<string, unknown>;
}

const read = (name: string): string =>
  readFileSync(fileURLToPath(new URL(`./keys/${name}`, import.meta.url)), 'utf8');

/** A recorded list of tensors, and the config it belongs to. */
export function keys(list: string, config = list): Keys {
  return {
    shapes: shapesOf(list),
    config: JSON.parse(read(`${config}.config.json`)) as Record<string, unknown>,
  };
}

export function shapesOf(list: string): Keys['shapes'] {
  return new Map(
    read(`${list}.txt`)
      .trim()
      .split('\n')
      .map((line) => {
        const [name, shape] = line.split('\t');
        return [name!, shape!.match(/\d+/g)?.map(Number) ?? []] as const;
      }),
  );
}

/** A folder with `config` and hashed weights of those shapes, with `given` tensors in place of theirs. */
export async function withHashed<T>(
  { shapes, config }: Keys,
  given: Readonly<Record<string, { shape: readonly number[]; values: Float32Array }>>,
  use: (dir: string) => Promise<T>,
): Promise<T> {
  const dir = mkdtempSync(join(tmpdir(), 'tendon-hashed-'));
  try {
    writeFileSync(join(dir, 'config.json'), JSON.stringify(config));
    const tensors = Object.fromEntries(
      [...shapes].map(([name, shape]) => [name, { shape, values: weight(name, shape) }]),
    );
    writeSafetensors(join(dir, 'model.safetensors'), { ...tensors, ...given });
    return await use(dir);
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}
