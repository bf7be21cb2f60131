// What a checkpoint will need in memory, worked out from its network before any weight is read, and whether this machine has it.

import { type LoadOptions, openFamily } from '../policies/index.js';
import { TendonError } from '../types/index.js';

/** Bytes of a packed number by precision; products in int8 keep a scale for each row. */
const BYTES = { f32: 4, bf16: 2, int8: 1.02 } as const;
/** A matrix of fewer numbers stays in f32 (native compile/packing.cpp). */
const SMALL = 32 * 1024;
/** What loading takes beside the weights, as a share of them. */
const ROOM = 1.15;

export interface Needed {
  readonly parameters: number;
  /** Packed weights by precision. */
  readonly bytes: Readonly<Record<keyof typeof BYTES, number>>;
}

/** Of the network as the core would pack it; undefined where another runtime computes. Reads headers alone. */
export function memoryNeeded(dir: string, options: LoadOptions): Needed | undefined {
  const family = openFamily(dir, options);
  if (!('network' in family)) return undefined;
  const seen = new Set<string>();
  const bytes = { f32: 0, bf16: 0, int8: 0 };
  let parameters = 0;
  try {
    for (const { op, tensor, shape } of family.network.graph(1).nodes) {
      if (op !== 'weight' || tensor === undefined) continue;
      const key = `${tensor.file}:${tensor.offset}`;
      if (seen.has(key)) continue;
      seen.add(key);
      const count = shape.reduce((n, d) => n * d, 1);
      parameters += count;
      const isPacked = shape.length > 1 && count >= SMALL;
      for (const precision of ['f32', 'bf16', 'int8'] as const)
        bytes[precision] += count * (isPacked ? BYTES[precision] : BYTES.f32);
    }
  } catch (caught) {
    // A network that runs elsewhere has no graph of ours.
    if (caught instanceof TendonError && caught.code === 'unsupported') return undefined;
    throw caught;
  }
  return { parameters, bytes };
}

/**
 * Throws `out_of_resources` with a sentence when the weights cannot fit into what is free (`free`, bytes): in the precision that is
 * asked for, or, with auto, in any.
 */
export function checkFits(dir: string, needed: Needed, precision: string, free: number): void {
  const wanted = precision === 'auto' ? 'int8' : (precision as keyof typeof BYTES);
  const need = needed.bytes[wanted] * ROOM;
  if (!(need > free)) return;
  const lighter = (['bf16', 'int8'] as const).find((p) => needed.bytes[p] * ROOM <= free && p !== wanted);
  throw new TendonError(
    'out_of_resources',
    `${dir}: ${gb(needed.parameters)} billion parameters need ${gb(need)} GB in ${wanted}, and ${gb(free)} GB are free; ${lighter === undefined ? 'close other programs, or take a machine with more memory' : `with --precision ${lighter} they need ${gb(needed.bytes[lighter] * ROOM)} GB`}`,
    { dir, need, free },
  );
}

const gb = (bytes: number): string => (bytes / 1e9).toFixed(2);
