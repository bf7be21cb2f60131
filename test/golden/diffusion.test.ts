// LeRobot's diffusion policy against its own code (test/golden/diffusion_env_ddim), on every kind of kernel.

import { describe, expect, test } from 'vitest';
import { addon } from '../../src/native/index.js';
import { Checkpoint } from '../../src/policies/checkpoint.js';
import { openDiffusion } from '../../src/policies/diffusion/index.js';
import { encodeRows } from '../../src/samplers/index.js';
import { BARS, golden, relativeError } from './golden.js';

const { dir, config: json, get: io } = golden('diffusion_env_ddim');
// The recording is of the network alone: inputs and outputs are normalised already.
const family = openDiffusion(new Checkpoint(dir, json, { raw: 'all' }));
const ROWS = 2;
const part = (name: string, row: number): Float32Array => {
  const all = io(name);
  return all.slice((row * all.length) / ROWS, ((row + 1) * all.length) / ROWS);
};

describe.each(['reference', 'avx2', ''])('LeRobot diffusion on %s kernels', (isa) => {
  test('the condition, two timesteps of the UNet and ten steps of DDIM', async () => {
    const model = await addon().compileModel(family.network.graph(1).native, { precision: 'f32', isa });
    for (let row = 0; row < ROWS; row++) {
      const state = part('in.observation.state', row);
      const env = part('in.observation.environment_state', row);
      const history = [0, 1].map((t) => ({
        stamp_ns: t,
        values: {
          'observation.state': state.slice(4 * t, 4 * t + 4),
          'observation.environment_state': env.slice(6 * t, 6 * t + 6),
        },
      }));
      const inputs = family.network.condition(history, undefined, 1);
      expect(relativeError(inputs.cond as Float32Array, part('global_cond', row))).toBeLessThan(1e-6);

      const session = await model.openSession({ batch: 1 });
      const table = family.sampling.plan('ddim', 10).table!;
      expect(table.levels).toEqual([...io('timesteps')]);
      const t = part('unet.t', row)[0]!;
      const single = { ...table, rows: [table.rows[0]!], levels: [t] };
      const { outputs } = await session.run({
        x: part('noise', row),
        ...family.network.schedule(single.levels),
        ...inputs,
      });
      expect(relativeError(outputs.F!, part('unet.out', row))).toBeLessThan(1e-4);

      await session.setTable(encodeRows(table), family.network.schedule(table.levels));
      const { x } = await session.denoise({ inputs, start: part('noise', row) });
      expect(relativeError(x, part('sample.full', row))).toBeLessThan(1e-4);
      const { action_dim, n_action_steps } = family.spec;
      const from = family.window.firstRow(family.spec.n_obs_steps) * action_dim;
      expect(
        relativeError(x.slice(from, from + n_action_steps * action_dim), part('sample.actions', row)),
      ).toBeLessThan(1e-4);
    }
  });
});

// Its weights are drawn and not trained, and ten steps magnify what one call loses about eightfold.
test.each(BARS)(
  'the chunk after ten steps in %s stays within %d of the recording',
  async (precision, bar) => {
    const model = await addon().compileModel(family.network.graph(1).native, { precision });
    const session = await model.openSession({ batch: 1 });
    const table = family.sampling.plan('ddim', 10).table!;
    await session.setTable(encodeRows(table), family.network.schedule(table.levels));
    for (let row = 0; row < ROWS; row++) {
      const inputs = { cond: part('global_cond', row) };
      const { x } = await session.denoise({ inputs, start: part('noise', row) });
      const error = relativeError(x, part('sample.full', row));
      expect(error).toBeLessThan(bar);
      // A reduced precision must not be f32 by mistake.
      if (precision !== 'f32') expect(error).toBeGreaterThan(1e-4);
    }
  },
);

test('the step stage keeps no product that the schedule or the observation decides', async () => {
  const model = await addon().compileModel(family.network.graph(1).native, { precision: 'f32' });
  const session = await model.openSession({ batch: 4 });
  const steps = session
    .print()
    .split('\n')
    .filter((line) => line.startsWith('step'));
  expect(steps.length).toBeGreaterThan(10);
  expect(steps.filter((line) => /\blinear\b/.test(line))).toEqual([]);
});
