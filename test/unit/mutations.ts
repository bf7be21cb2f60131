// Damage from a fixed seed: what every fuzz of a file format does to its files.

/** Cases of the largest fuzz test; .ci/run asks for 10⁵, a run by hand has time for a tenth. */
const CASES = Number(process.env.TENDON_FUZZ ?? 10_000);

/** How many of `full` cases are tried, which are as many as stated when TENDON_FUZZ is 100000; at least 200. */
export const cases = (full: number): number =>
  Math.max(Math.min(full, 200), Math.round((full * CASES) / 100_000));

/** Longest that they may take, ms: what is counted ends, however busy the machine is. */
export const FUZZ_LIMIT_MS = 60_000 + 20 * CASES;

/** Whole numbers below a bound, from a seed. */
export function drawer(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

/** A copy with one to three edits: bytes replaced, flipped, filled or moved, or the end cut off after `least` bytes. */
export function mutate(bytes: Buffer, random: (below: number) => number, least = 16): Buffer {
  let mutated: Buffer = Buffer.from(bytes);
  for (let edits = 1 + random(3); edits > 0; edits--) {
    const at = random(mutated.length);
    const kind = random(8);
    if (kind < 3) mutated[at] = random(256);
    else if (kind < 5) mutated[at] = mutated[at]! ^ (1 << random(8));
    else if (kind === 5) mutated.fill(255, at, Math.min(mutated.length, at + 1 + random(8)));
    else if (kind === 6) mutated.copyWithin(at, random(mutated.length), random(mutated.length));
    else if (mutated.length > 2 * least)
      mutated = mutated.subarray(0, least + random(mutated.length - least));
  }
  return mutated;
}
