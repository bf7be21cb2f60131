// BESO's policy from its folder (test/golden/beso_small): how x begins, goals, earlier actions, bounds.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { addon } from '../../src/native/index.js';
import { besoGraph } from '../../src/policies/beso/graph.js';
import type { DenoiserFamily } from '../../src/policies/denoiser-family.js';
import { loadPolicy, openFamily } from '../../src/policies/index.js';
import { Tensors } from '../../src/policies/tensors.js';
import { encodeRows } from '../../src/samplers/index.js';
import { writeSafetensors } from '../../src/weights/index.js';
import { beso, config, json } from './beso-small.js';
import { relativeError, withCheckpoint } from './golden.js';

describe('beso_small from a folder', () => {
  it.each(['model.safetensors', 'model_state_dict.pth'])(
    'predicts through loadPolicy from %s: earlier actions in the window, the last row out',
    async (file) => {
      const x = beso.get('predict.x');
      const window = Array.from({ length: 5 }, (_, i) => ({
        stamp_ns: i,
        values: {
          'observation.state': beso.get('predict.state').slice(i * 10, i * 10 + 10),
          'observation.goal': beso.get('predict.goal'),
        },
      }));
      await withCheckpoint(join(beso.dir, file), json, async (dir) => {
        const policy = await loadPolicy(dir, { compute: { precision: 'f32' } });
        const chunk = await policy.infer(window, { noise: x });
        expect(chunk.horizon).toBe(1);
        expect(relativeError(chunk.actions, beso.get('predict.out').slice(8))).toBeLessThan(1e-4);
      });
    },
  );

  // BESO's kitchen does not scale its data and bounds its actions all the same.
  it.each(['MEAN_STD', 'IDENTITY'])(
    'acts on a window that grows over the first steps, with its own bounded actions in it (%s)',
    async (mode) => {
      // Bounds of 1.1 times these cut into what this network says.
      const limit = 0.05;
      const modes = { STATE: 'IDENTITY', ENV: 'IDENTITY', ACTION: mode };
      await withCheckpoint(
        join(beso.dir, 'model.safetensors'),
        { ...json, normalization_mapping: modes },
        async (dir) => {
          const flat = (value: number) => ({ shape: [2], values: new Float32Array(2).fill(value) });
          writeSafetensors(join(dir, 'stats.safetensors'), {
            'action.mean': flat(0),
            'action.std': flat(1),
            'action.min': flat(-limit),
            'action.max': flat(limit),
          });
          const step = {
            registry_name: 'normalizer_processor',
            config: { norm_map: modes },
            state_file: 'stats.safetensors',
          };
          for (const side of ['pre', 'post'])
            writeFileSync(join(dir, `policy_${side}processor.json`), JSON.stringify({ steps: [step] }));
          const policy = await loadPolicy(dir, { compute: { precision: 'f32' } });
          const family = openFamily(dir) as DenoiserFamily;
          const table = family.sampling.plan(family.sampling.defaults.sampler, family.sampling.defaults.steps)
            .table!;
          const given: number[] = [];
          let cut = 0;
          for (let t = 1; t <= 3; t++) {
            const state = beso.get('predict.state').slice(0, t * 10);
            const noise = beso.get('predict.x');
            const newest = {
              stamp_ns: t,
              values: { 'observation.state': state.slice(-10), 'observation.goal': beso.get('predict.goal') },
            };
            const chunk = await policy.infer(newest, { noise });
            // The peer's own way: a sequence of t slots, whose last is noise.
            const model = await addon().compileModel(
              besoGraph(config, Tensors.open(beso.dir, 'beso'), t, 1).native,
              {
                precision: 'f32',
              },
            );
            const session = await model.openSession({ batch: 1 });
            await session.setTable(encodeRows(table), family.network.schedule(table.levels));
            const fresh = [...noise.slice(2 * (t - 1), 2 * t)].map((v) => v * table.start_scale);
            const { x } = await session.denoise({
              inputs: { state, goal: beso.get('predict.goal') },
              start: Float32Array.from([...given, ...fresh]),
            });
            const want = [...x.slice(-2)].map((v) => {
              const bounded = Math.min(Math.max(v, -1.1 * limit), 1.1 * limit);
              if (bounded !== v) cut++;
              return bounded;
            });
            expect(relativeError(chunk.actions, want)).toBeLessThan(1e-4);
            given.push(...want);
          }
          expect(cut).toBeGreaterThan(0);
          policy.close();
        },
      );
    },
  );

  it('begins at sigma_max, whatever the first level of the schedule', async () => {
    await withCheckpoint(join(beso.dir, 'model.safetensors'), json, async (dir) => {
      const at = (sigma_schedule: string): number => {
        writeFileSync(join(dir, 'config.json'), JSON.stringify({ ...json, sigma_schedule }));
        return (openFamily(dir) as DenoiserFamily).sampling.plan('ddim', 5).start_scale;
      };
      for (const name of ['exponential', 'vp', 'iddpm']) expect(at(name)).toBe(config.sigma_max);
    });
  });

  it('takes a goal for each slot, or one for all', async () => {
    // Its table of positions is as long for four states after two goals as for five after one.
    const two = (length: number) => ({
      ...json,
      obs_seq_len: 4,
      goal_seq_len: 2,
      input_features: { ...json.input_features, 'observation.goal': { type: 'ENV', shape: [length] } },
    });
    const goal = Float32Array.from({ length: 20 }, (_, i) => i / 7);
    await withCheckpoint(join(beso.dir, 'model.safetensors'), two(20), async (dir) => {
      const inputs = (length: number): Record<string, unknown> => {
        writeFileSync(join(dir, 'config.json'), JSON.stringify(two(length)));
        const family = openFamily(dir) as DenoiserFamily;
        const values = {
          'observation.state': new Float32Array(10),
          'observation.goal': goal.slice(0, length),
        };
        return family.network.condition([{ stamp_ns: 0, values }], undefined, 2);
      };
      expect(inputs(20).goal).toEqual(Float32Array.of(...goal, ...new Float32Array(20)));
      const first = goal.slice(0, 10);
      expect(inputs(10).goal).toEqual(Float32Array.of(...first, ...first, ...new Float32Array(20)));
      expect(() => inputs(15)).toThrow(/goal_seq_len 2 times/);
    });
  });
});
