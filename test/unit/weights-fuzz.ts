// Mutates a file many times from a fixed seed and sorts what a reader makes of it.

import { TendonError } from '../../src/types/index.js';
import { ELEMENT_BYTES, type WeightFile } from '../../src/weights/index.js';

export function fuzz(bytes: Buffer, count: number, read: (mutated: Buffer) => WeightFile) {
  let state = 12345;
  const random = (below: number): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
  const result = { foreign: [] as string[], refused: 0, read: 0, outside: 0 };
  for (let i = 0; i < count; i++) {
    let mutated: Buffer = Buffer.from(bytes);
    for (let edits = 1 + random(3); edits > 0; edits--) {
      const at = random(mutated.length);
      const kind = random(8);
      if (kind < 3) mutated[at] = random(256);
      else if (kind < 5) mutated[at] = mutated[at]! ^ (1 << random(8));
      else if (kind === 5) mutated.fill(255, at, Math.min(mutated.length, at + 1 + random(8)));
      else if (kind === 6) mutated.copyWithin(at, random(mutated.length), random(mutated.length));
      else if (mutated.length > 32) mutated = mutated.subarray(0, 16 + random(mutated.length - 16));
    }
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
