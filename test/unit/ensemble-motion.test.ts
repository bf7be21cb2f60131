// What an ensemble's config knows of its state, against the same written out in numbers: features that follow, switches,
// actions relative to where the robot will be, a reward with a network of its own.

import { describe, expect, it, test } from 'vitest';
import { GraphBuilder } from '../../src/native/index.js';
import { EnsembleConfig } from '../../src/policies/ensemble/config.js';
import { motionOf } from '../../src/policies/ensemble/motion.js';
import { ensembleNetworks } from '../../src/policies/ensemble/networks.js';
import { loadPolicy } from '../../src/policies/index.js';
import { normalizer } from '../../src/policies/processors/normalize.js';
import { Tensors } from '../../src/policies/tensors.js';
import { golden, relativeError, runGraph, withCheckpoint } from '../golden/golden.js';

const io = golden('ensemble');
const weights = `${io.dir}model.safetensors`;

/** A tip (0, 1), whether it holds (2), and a goal that stands still: offset (3, 4), distance (5), direction (6), cut (7). */
const STATE = 8;
const FOLLOWS = [
  { as: 'offset', at: 3, of: 0 },
  { as: 'offset', at: 4, of: 1 },
  { as: 'norm', at: 5, of: [3, 4], floor: 0.001 },
  { as: 'ratio', at: 6, of: 3, by: 5 },
  { as: 'tanh', at: 7, of: 4, scale: 0.04 },
];
const config = EnsembleConfig.parse({
  ...io.config,
  no_delta_list: [],
  predicted: [0, 1, 2],
  switches: [2],
  follows: FOLLOWS,
});
const mean = Float32Array.of(0.3, -0.1, 0.8, 0.05, 0.02, 0.2, 0.4, -0.3);
const std = Float32Array.of(0.2, 0.3, 0.4, 0.25, 0.15, 0.1, 0.5, 0.6);
const affine = normalizer('state', 'MEAN_STD', { mean, std }, STATE, 'current', 0);
const normalised = (x: readonly number[]): Float32Array =>
  Float32Array.from(x, (v, i) => v * affine.mul[i]! + affine.add[i]!);

describe('features that follow', () => {
  const goal = [0.5, 0.1];
  const seen = (x: number, y: number, holds: number): number[] => {
    const [dx, dy] = [goal[0]! - x, goal[1]! - y];
    const far = Math.max(0.001, Math.hypot(dx, dy));
    return [x, y, holds, dx, dy, far, dx / far, Math.tanh(dy / 0.04)];
  };

  test.each([
    ['goes on holding', 0.9, 1],
    ['lets go', 0.4, 0],
  ])('a tip that moves and %s', async (_, said, holds) => {
    const g = new GraphBuilder();
    const before = g.input('before', [1, 1, STATE], 'step');
    const predicted = g.input('said', [1, 1, 3], 'step');
    g.output('after', g.affine(motionOf(config, STATE, affine)(g, before, predicted), 1, 0));
    const { after } = await runGraph(g, 1, {
      before: normalised(seen(0.2, 0.05, 1)),
      // Changes of the tip in its own scale; of the switch its value.
      said: Float32Array.of(0.03 / 0.2, 0.04 / 0.3, (said - 0.8) / 0.4),
    });
    // f32 all along, and a cut with a slope of 25.
    expect(relativeError(after!, normalised(seen(0.23, 0.09, holds)))).toBeLessThan(1e-5);
  });
});

it('asks of an action from where the state has come, when actions are relative to where it will be', async () => {
  const [S, A] = [4, 2];
  const expectation = EnsembleConfig.parse({
    ...io.config,
    propagation: 'expectation',
    action_relative_to: 'observation.state',
    action_travel: 0.4,
  });
  const units = {
    state: normalizer('s', 'MEAN_STD', { mean: mean.slice(0, S), std: std.slice(0, S) }, S, 'current', 0),
    action: normalizer(
      'a',
      'MEAN_STD',
      { mean: Float32Array.of(0, 0), std: Float32Array.of(0.1, 0.2) },
      A,
      'current',
      0,
    ),
  };
  const positions = (z: Float32Array): number[] =>
    [0, 1].map((i) => z[i]! * units.state.back_mul[i]! + units.state.back_add[i]!);
  /** States after each of `rows`, of a model that takes them as they are or one after the other from an origin. */
  const rolled = async (rows: readonly Float32Array[], relative: boolean): Promise<Float32Array[]> => {
    const networks = ensembleNetworks(expectation, Tensors.open(io.dir, 'ensemble'), S, A, {
      ...units,
      ...(relative ? { positions: 0 } : {}),
    });
    const g = new GraphBuilder();
    let z = networks.begin(g, g.input('latent', [1, S], 'observation'));
    rows.forEach((_, t) => {
      z = networks.next(g, z, g.input(`a.${t}`, [1, A], 'step'));
      g.output(`after.${t}`, g.affine(z.states, 1, 0));
    });
    const latent = Float32Array.of(0.4, -0.2, 0.1, 0.3);
    const out = await runGraph(g, 1, {
      latent,
      ...Object.fromEntries(rows.map((a, t) => [`a.${t}`, a])),
    });
    return [latent, ...rows.map((_, t) => out[`after.${t}`]!)];
  };
  const rows = [Float32Array.of(0.5, -0.3), Float32Array.of(0.2, 0.9)];
  const states = await rolled(rows, true);
  const start = positions(states[0]!);
  const now = positions(states[1]!);
  const reach = [0.1, 0.2];
  const second = rows[1]!.map(
    (a, i) => (start[i]! + 0.4 * rows[0]![i]! * reach[i]! + a * reach[i]! - now[i]!) / reach[i]!,
  );
  const plain = await rolled([rows[0]!, second], false);
  expect(relativeError(states[2]!, plain[2]!)).toBeLessThan(1e-5);
  expect(relativeError(states[2]!, (await rolled(rows, false))[2]!)).toBeGreaterThan(1e-3);
});

test.each([
  [{ predicted: [0, 9] }, 'predicted'],
  [{ predicted: [0], switches: [1] }, 'switches'],
  [{ follows: [{ as: 'offset', at: 9, of: 0 }] }, 'follows'],
  [{ follows: [{ as: 'offset', at: 1, of: 0 }] }, 'predicted'],
  [{ follows: [{ as: 'angle', at: 1, of: 0 }] }, 'follows'],
  [{ reward: { num_layers: 1, hid_size: 4 } }, 'min_logvar'],
])('a structure that makes no sense is refused by what is wrong: %#', async (change, text) => {
  await withCheckpoint(weights, { ...io.config, ...change }, async (dir) => {
    await expect(loadPolicy(dir)).rejects.toThrow(text);
  });
});
