// What `tendon check` says of memory before it reads a weight: the published sizes from their key lists (files of holes), held to the
// tables of parameters of the papers, and refused where they do not fit.

import { cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { writeHoles } from '../../bench/weights.js';
import { checkPolicy } from '../../src/inspect/check.js';
import { checkFits, memoryNeeded } from '../../src/inspect/memory.js';
import { golden } from '../golden/golden.js';
import { keys } from '../golden/hashed.js';

// Used parameters without the embedding table, which stays in the file: docs/vla.md of the facts, section 10.
test.each([
  ['smolvla', 402.7e6 - 47.3e6],
  ['pi0', 3238e6 - 526.6e6],
  ['pi05', 3353e6 - 526.6e6],
] as const)('%s at its published size', (kind, parameters) => {
  const dir = mkdtempSync(join(tmpdir(), 'tendon-needed-'));
  try {
    const { shapes, config } = keys(`${kind}_base`);
    // Unnormalised, since a key list has no statistics.
    const normalization_mapping = { STATE: 'IDENTITY', ACTION: 'IDENTITY', VISUAL: 'IDENTITY' };
    writeFileSync(join(dir, 'config.json'), JSON.stringify({ ...config, type: kind, normalization_mapping }));
    writeHoles(join(dir, 'model.safetensors'), shapes);
    cpSync(join(golden(`${kind}_tiny`).dir, 'tokenizer'), join(dir, 'tokenizer'), { recursive: true });
    const needed = memoryNeeded(dir, {})!;
    // Of the last prefix layer only keys and values are used: all but those and its input's norm is less.
    expect(needed.parameters).toBeLessThan(parameters);
    expect(needed.parameters).toBeGreaterThan(0.95 * parameters);
    expect(needed.bytes.bf16 / needed.parameters).toBeCloseTo(2, 1);
    const free = needed.bytes.bf16 * 1.2;
    checkFits(dir, needed, 'bf16', free);
    checkFits(dir, needed, 'auto', free);
    expect(() => checkFits(dir, needed, 'f32', free)).toThrow(
      /GB in f32, and .* GB are free; with --precision bf16/,
    );
    expect(() => checkFits(dir, needed, 'auto', 1e8)).toThrow(/close other programs/);
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
});

test('it is told before anything is loaded', async () => {
  const told: number[] = [];
  const { bytes } = await checkPolicy(
    golden('pi0_tiny').dir,
    { compute: { precision: 'f32', threads: 1 } },
    (needed) => told.push(needed.bytes.f32),
  );
  expect(told.length).toBe(1);
  // Kernels pad a matrix to whole tiles.
  expect(bytes.packed_weights! / told[0]!).toBeGreaterThan(0.9);
  expect(bytes.packed_weights! / told[0]!).toBeLessThan(1.6);
});
