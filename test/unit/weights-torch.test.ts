// Torch zips written by torch itself (test/golden/torch_zip/make.py), whole, hostile and mutated.

import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { TendonError } from '../../src/types/index.js';
import { openTorch, readTensor } from '../../src/weights/index.js';
import { memorySource } from '../../src/weights/source.js';
import { readTorch } from '../../src/weights/torch.js';
import { cases } from './mutations.js';
import { fuzz } from './weights-fuzz.js';

const file = (name: string): string => fileURLToPath(new URL(`../golden/torch_zip/${name}`, import.meta.url));
const code = (open: () => unknown): string => {
  try {
    open();
  } catch (error) {
    if (error instanceof TendonError) return `${error.code}: ${error.message}`;
    throw error;
  }
  return 'no error';
};

describe('torch zips', () => {
  it('names every tensor by its path and reads every dtype where it lies', () => {
    const { tensors } = openTorch(file('state.pt'));
    const numbers = (name: string): number[] => [...readTensor(tensors.get(name)!)];
    expect([...tensors.keys()]).toEqual([
      ...['a.weight', 'a.bias', 'half', 'bf16', 'double', 'long', 'bool', 'scalar', 'empty', 'parameter'].map(
        (n) => `model.${n}`,
      ),
      'optimizer.0.exp.0',
    ]);
    expect(tensors.get('model.a.weight')!.shape).toEqual([4, 6]);
    expect(numbers('model.a.weight')).toEqual(Array.from({ length: 24 }, (_, i) => i));
    // A view into the same storage.
    expect(numbers('model.a.bias')).toEqual([6, 7, 8, 9, 10, 11]);
    expect(numbers('model.half')).toEqual([1.5, -2, 65504]);
    expect(numbers('model.bf16')).toEqual([1.5, -3]);
    expect(numbers('model.double')[1]).toBe(7);
    expect(numbers('model.long')).toEqual([1, -2, 3]);
    expect(numbers('model.bool')).toEqual([1, 0]);
    expect(numbers('model.scalar')).toEqual([4]);
    expect(numbers('model.empty')).toEqual([]);
    expect(numbers('model.parameter')).toEqual([1, 1, 1, 1]);
  });

  it('refuses by name what would run code, and runs nothing', () => {
    expect(code(() => openTorch(file('evil.pt')))).toMatch(/^file_unsafe: .*posix\.system/);
    expect(existsSync('/tmp/tendon-was-here')).toBe(false);
  });

  it('refuses transposed tensors and the format before zip with what to do', () => {
    expect(code(() => openTorch(file('strided.pt')))).toMatch(/^unsupported: .*contiguous/);
    expect(code(() => openTorch(file('old.pt')))).toMatch(
      /^unsupported: .*a row of pickles, as torch before 1\.6 saved/,
    );
  });

  it('answers mutated files with an error of ours or with tensors inside the file', () => {
    const bytes = readFileSync(file('state.pt'));
    const result = fuzz(bytes, cases(100_000), (mutated) => readTorch(memorySource('fuzz.pt', mutated)));
    expect(result.foreign).toEqual([]);
    expect(result.refused).toBeGreaterThan(cases(1000));
    expect(result.outside).toBe(0);
  });
});
