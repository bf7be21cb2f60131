// Mutates a file many times from a fixed seed and sorts what a reader makes of it.

import { TendonError } from '../../src/types/index.js';
import { ELEMENT_BYTES, type WeightFile } from '../../src/weights/index.js';
import { drawer, mutate } from './mutations.js';

export function fuzz(bytes: Buffer, count: number, read: (mutated: Buffer) => WeightFile) {
  const random = drawer(12345);
  const result = { foreign: [] as string[], refused: 0, read: 0, outside: 0 };
  for (let i = 0; i < count; i++) {
    const mutated = mutate(bytes, random);
    try {
      for (const ref of read(mutated).tensors.values()) {
        const size = ref.shape.reduce((n, d) => n * d, ELEMENT_BYTES[ref.dtype]!);
        if (!(ref.offset >= 0 && ref.offset + size <= mutated.length)) result.outside++;
      }
      result.read++;
    } catch (error) {
      if (error instanceof TendonError) result.refused++;
      else if (result.foreign.length < 5) result.foreign.push(String((error as Error).stack));
    }
  }
  return result;
}
