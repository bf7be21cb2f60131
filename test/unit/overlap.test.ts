// What is played where chunks overlap, against ACT's recording, LeRobot's four functions and 10⁵ random chunks.

import { describe, expect, it } from 'vitest';
import { ChunkPlayer, InferenceDelay, Limiter, overlapFor } from '../../src/control/index.js';
import type { ActionChunk, ChunkMode } from '../../src/types/index.js';
import { golden, relativeError } from '../golden/golden.js';

const PERIOD = 20e6;

function chunk(stamp_ns: number, action_dim: number, actions: Float32Array, period_ns = PERIOD): ActionChunk {
  const timing = { queue_ns: 0, observe_ns: 0, denoise_ns: 0, total_ns: 0 };
  const horizon = actions.length / action_dim;
  return { stamp_ns, period_ns, horizon, action_dim, actions, n_candidates: 1, chosen: 0, timing };
}

/** Numbers in [0, 1), the same for the same seed. */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

const MODES: readonly ChunkMode[] = [
  { mode: 'receding' },
  { mode: 'async', aggregate: 'weighted_average' },
  { mode: 'async', aggregate: 'latest_only' },
  { mode: 'async', aggregate: 'average' },
  { mode: 'async', aggregate: 'conservative' },
  { mode: 'ensemble', coeff: 0.01 },
];

describe('overlap', () => {
  it('is ACT’s temporal ensemble when a chunk is made at every row', () => {
    const recorded = golden('act_temporal_ensemble_0.01');
    const [count, horizon, dim] = recorded.shape('in.chunks') as [number, number, number];
    const chunks = recorded.get('in.chunks');
    const ensemble = overlapFor({ mode: 'ensemble', coeff: 0.01 }, PERIOD);
    const got = new Float32Array(count * dim);
    let playing: ActionChunk | undefined;
    for (let step = 0; step < count; step++) {
      const said = chunks.slice(step * horizon * dim, (step + 1) * horizon * dim);
      playing = ensemble.merge(chunk(step * PERIOD, dim, said), playing);
      got.set(playing.actions.subarray(0, dim), step * dim);
    }
    // The recording sums up to 10 terms one by one in f32.
    expect(relativeError(got, recorded.get('out.actions'))).toBeLessThan(2e-6);
  });

  it.each([
    ['weighted_average', 0.3 * 10 + 0.7 * 20],
    ['latest_only', 20],
    ['average', 15],
    ['conservative', 0.7 * 10 + 0.3 * 20],
  ] as const)('%s mixes only the rows that both speak of', (aggregate, mixed) => {
    const overlap = overlapFor({ mode: 'async', aggregate }, PERIOD);
    const old = chunk(0, 1, new Float32Array(4).fill(10));
    const got = overlap.merge(chunk(2 * PERIOD, 1, new Float32Array(4).fill(20)), old);
    expect(got.stamp_ns).toBe(2 * PERIOD);
    expect(got.actions[0]).toBeCloseTo(mixed, 5);
    expect(got.actions[1]).toBeCloseTo(mixed, 5);
    expect([...got.actions.slice(2)]).toEqual([20, 20]);
  });

  it('reads a chunk off the other’s grid between its rows', () => {
    const overlap = overlapFor({ mode: 'async', aggregate: 'average' }, PERIOD);
    const got = overlap.merge(
      chunk(PERIOD / 2, 1, Float32Array.of(4, 4)),
      chunk(0, 1, Float32Array.of(0, 2, 4)),
    );
    expect([...got.actions]).toEqual([(1 + 4) / 2, (3 + 4) / 2]);
  });

  it('forgets what was said before a reset', () => {
    const ensemble = overlapFor({ mode: 'ensemble', coeff: 0.01 }, PERIOD);
    ensemble.merge(chunk(0, 1, new Float32Array(8).fill(5)), undefined);
    ensemble.reset();
    const fresh = ensemble.merge(chunk(PERIOD, 1, new Float32Array(8).fill(1)), undefined);
    expect(fresh.actions.every((value) => value === 1)).toBe(true);
  });

  it.each(MODES)('10⁵ random chunks: finite, within limits, the same twice: %o', (mode) => {
    const play = (): { checksum: number; worst: number; skipped: number } => {
      const next = random(7);
      const overlap = overlapFor(mode, PERIOD);
      const player = new ChunkPlayer(PERIOD);
      const limiter = new Limiter({ lower: [-1, -1], upper: [1, 1], velocity: [3, 3] }, new Float64Array(2));
      const desired = new Float64Array(2);
      const out = new Float64Array(2);
      let now_ns = 0;
      let checksum = 0;
      let worst = 0;
      let skipped = 0;
      for (let k = 0; k < 100_000; k++) {
        now_ns += Math.floor(next() * 3 * PERIOD);
        // Up to four rows late, 1 to 8 rows, jumps far outside the limits, and now and then no period of its own.
        const stamp_ns = now_ns - Math.floor(next() * 4 * PERIOD);
        const scale = next() < 0.01 ? 3e38 : 4;
        const actions = Float32Array.from(
          { length: 2 * (1 + Math.floor(next() * 8)) },
          () => (next() - 0.5) * scale,
        );
        const given = chunk(stamp_ns, 2, actions, next() < 0.1 ? 0 : PERIOD);
        const joined = overlap.merge(given, player.current);
        expect(joined.stamp_ns).toBe(stamp_ns);
        player.accept(joined, now_ns, desired);
        const row = Math.floor((now_ns - stamp_ns) / PERIOD);
        if (player.at(now_ns, desired)) {
          if (desired[0] !== joined.actions[row * 2]) throw new Error(`chunk ${k} did not play row ${row}`);
          if (row > 0) skipped++;
        } else if (row < joined.horizon) throw new Error(`chunk ${k} is silent at row ${row}`);
        limiter.limit(desired, 0.02, out);
        for (const value of out) worst = Math.max(worst, Number.isNaN(value) ? Number.NaN : Math.abs(value));
        checksum = (checksum * 31 + out[0]! * 1e9 + out[1]!) % 1e9;
      }
      return { checksum, worst, skipped };
    };
    const first = play();
    expect(first.worst).toBeLessThanOrEqual(1);
    expect(first.skipped).toBeGreaterThan(10_000);
    expect(play()).toEqual(first);
  });
});

describe('inference delay', () => {
  it('covers the slow ones of late and forgets a cold start', () => {
    const delay = new InferenceDelay();
    delay.push(3e9);
    expect(delay.expected_ns).toBe(3e9);
    for (let i = 0; i < 20; i++) delay.push(10e6 + i);
    expect(delay.expected_ns).toBe(10e6 + 19);
    for (let i = 0; i < 64; i++) delay.push(i % 10 === 0 ? 50e6 : 20e6);
    expect(delay.expected_ns).toBe(50e6);
  });
});
