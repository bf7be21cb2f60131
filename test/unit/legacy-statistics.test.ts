// Statistics among the weights (LeRobot ≤ 0.3.3, policies/normalize.py), with numbers worked out by hand for each mode:
//   MEAN_STD  y = (x − mean)/(std + 1e-8)              back  y·std + mean
//   MIN_MAX   y = 2(x − min)/(max − min + 1e-8) − 1    back  (y + 1)/2·(max − min) + min
// The epsilon is added to every range and deviation on the way in, and to none on the way back.

import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { DenoiserFamily } from '../../src/policies/denoiser-family.js';
import { openFamily } from '../../src/policies/index.js';
import { openSafetensors, readTensor, writeSafetensors } from '../../src/weights/index.js';
import { writeCheckpointOf } from './checkpoints.js';

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'tendon-legacy-'));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

type Numbers = Record<string, Record<string, readonly number[]>>;

/** LeRobot's diffusion on four states, six of the environment and three actions, as 0.3.3 saved it. */
function open(modes: Record<string, string>, stats: Numbers): DenoiserFamily {
  const modern = writeCheckpointOf('diffusion', join(dir, 'modern'));
  const old = join(dir, 'old');
  mkdirSync(old);
  const config = JSON.parse(readFileSync(join(modern, 'config.json'), 'utf8')) as object;
  writeFileSync(join(old, 'config.json'), JSON.stringify({ ...config, normalization_mapping: modes }));
  const tensors: Record<string, { shape: readonly number[]; values: Float32Array }> = {};
  for (const [name, ref] of openSafetensors(join(modern, 'model.safetensors')).tensors)
    tensors[name] = { shape: ref.shape, values: readTensor(ref) };
  for (const [feature, by] of Object.entries(stats))
    for (const [stat, numbers] of Object.entries(by))
      for (const side of feature === 'action'
        ? ['normalize_targets', 'unnormalize_outputs']
        : ['normalize_inputs'])
        tensors[`${side}.buffer_${feature}.${stat}`] = {
          shape: [numbers.length],
          values: Float32Array.from(numbers),
        };
  writeSafetensors(join(old, 'model.safetensors'), tensors);
  return openFamily(old) as DenoiserFamily;
}

/** Both observations of the window, as the network's condition has them: state, then environment. */
function conditioned(family: DenoiserFamily, state: number[], environment: number[]): number[] {
  const seen = {
    stamp_ns: 0,
    values: {
      'observation.state': Float32Array.from(state),
      'observation.environment_state': Float32Array.from(environment),
    },
  };
  const { cond } = family.network.condition([seen, seen], undefined, 1) as { cond: Float32Array };
  expect(cond.slice(10)).toEqual(cond.slice(0, 10));
  return [...cond.slice(0, 10)];
}

function decoded(family: DenoiserFamily, rows: number[]): number[] {
  const actions = Float32Array.from(rows);
  family.codec.decode(actions, { stamp_ns: 0, values: {} });
  return [...actions];
}

const close = (got: number[], want: number[]): void => {
  expect(got).toHaveLength(want.length);
  want.forEach((v, i) => {
    // What float32 keeps of it; near 0, of the numbers that it came from.
    expect(Math.abs(got[i]! - v), `${got[i]} for ${v}`).toBeLessThanOrEqual(Math.abs(v) * 1e-7 + 1e-8);
  });
};

describe('LeRobot ≤ 0.3.3', () => {
  it('MEAN_STD in, MIN_MAX out', () => {
    const family = open(
      { STATE: 'MEAN_STD', ENV: 'IDENTITY', ACTION: 'MIN_MAX' },
      {
        observation_state: { mean: [1, -2, 0, 10], std: [0.5, 4, 0, 1e-8] },
        action: { min: [-1, 0, 3], max: [3, 0, 3] },
      },
    );
    const got = conditioned(family, [3, -2, 1, 11], [1, 2, 3, 4, 5, 6]);
    // 2/0.50000001; 0; a deviation of zero: 1/1e-8; one of 1e-8: 1/2e-8. The environment goes in as it is.
    close(got, [3.99999992, 0, 1e8, 5e7, 1, 2, 3, 4, 5, 6]);
    // (−1…3): 0.5 → 2; a range of zero gives its only value, with nothing added: 0 exactly, and 3.
    expect(decoded(family, [0.5, 1, -1, -1, -1, 1])).toEqual([2, 0, 3, -1, 0, 3]);
  });

  it('MIN_MAX in, MEAN_STD out', () => {
    const family = open(
      { STATE: 'MIN_MAX', ENV: 'MIN_MAX', ACTION: 'MEAN_STD' },
      {
        observation_state: { min: [0, -2, 5, 0], max: [4, 2, 5, 1e-8] },
        observation_environment_state: { min: [0, 0, 0, 0, 0, 0], max: [1, 2, 4, 8, 16, 32] },
        action: { mean: [1, 2, 3], std: [0.5, 0, 1e-8] },
      },
    );
    const got = conditioned(family, [1, 2, 6, 1e-8], [1, 1, 1, 1, 1, 1]);
    // 2·1/4 − 1; 2·4/4 − 1; a range of zero: 2·1/1e-8 − 1; one of 1e-8: 2·1e-8/2e-8 − 1 = 0.
    close(got.slice(0, 3), [-0.5, 1, 2e8 - 1]);
    expect(Math.abs(got[3]!)).toBeLessThan(1e-7);
    close(got.slice(4), [1, 0, -0.5, -0.75, -0.875, -0.9375]);
    // y·std + mean, and no epsilon: 2·0.5 + 1; 7·0 + 2; 4·1e-8 + 3.
    expect(decoded(family, [2, 7, 4])).toEqual([2, 2, 3]);
    // And back towards a prefix, where there is one: (2 − 1)/(0.5 + 1e-8) …
    const given = { actions: Float32Array.of(2, 2, 3), weights: Float32Array.of(1) };
    const { prefix } = family.joining.begin(given, { stamp_ns: 0, values: {} }, 0).towards;
    close([...prefix!.subarray(0, 3)], [1.99999996, 0, 0]);
  });

  it('IDENTITY needs no statistics and changes nothing', () => {
    const modes = { STATE: 'IDENTITY', ENV: 'MEAN_STD', ACTION: 'IDENTITY' };
    const family = open(modes, {
      observation_environment_state: { mean: [0, 0, 0, 0, 0, 1], std: [1, 1, 1, 1, 1, 2] },
    });
    close(conditioned(family, [9, -9, 0.25, 1e6], [1, 0, 0, 0, 0, 5]), [9, -9, 0.25, 1e6, 1, 0, 0, 0, 0, 2]);
    expect(decoded(family, [9, -9, 0.25])).toEqual([9, -9, 0.25]);
  });

  it('statistics that were never set are refused, as there', () => {
    const modes = { STATE: 'MEAN_STD', ENV: 'IDENTITY', ACTION: 'IDENTITY' };
    const unset = Array<number>(4).fill(Number.POSITIVE_INFINITY);
    expect(() => open(modes, { observation_state: { mean: unset, std: unset } })).toThrow(
      /"mean"\[0\] is Infinity; the checkpoint was saved before/,
    );
  });
});
