// LeRobot's ACT and its temporal ensemble against their own code.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { ActConfig } from '../../src/policies/act/config.js';
import { TemporalEnsemble } from '../../src/policies/act/ensemble.js';
import { actGraph } from '../../src/policies/act/graph.js';
import { loadPolicy } from '../../src/policies/index.js';
import { Tensors } from '../../src/policies/tensors.js';
import { BARS, golden, relativeError, runGraph, withCheckpoint } from './golden.js';

describe('ACT', () => {
  it.each(BARS)('matches the pre-norm, GELU network without a VAE in %s to %d', async (precision, bar) => {
    const g = golden('act_env_prenorm_gelu_novae');
    const tensors = Tensors.open(g.dir, 'act');
    const graph = actGraph(
      ActConfig.parse(g.config),
      { state: 5, environment: 7, action: 4 },
      [],
      tensors,
      1,
    );
    tensors.finish();
    for (const b of [0, 1]) {
      const given = {
        state: g.get('in.observation.state').slice(b * 5, b * 5 + 5),
        environment: g.get('in.observation.environment_state').slice(b * 7, b * 7 + 7),
      };
      const { F } = await runGraph(graph, 1, given, precision);
      expect(relativeError(F!, g.get('out.actions').slice(b * 40, b * 40 + 40))).toBeLessThan(bar);
    }
  });

  it('speaks through loadPolicy, with and without the ensemble', async () => {
    const g = golden('act_env_prenorm_gelu_novae');
    const pipeline = JSON.stringify({ steps: [] });
    const observation = {
      stamp_ns: 0,
      values: {
        'observation.state': g.get('in.observation.state').slice(0, 5),
        'observation.environment_state': g.get('in.observation.environment_state').slice(0, 7),
      },
    };
    const want = g.get('out.actions').slice(0, 40);
    for (const changes of [{}, { temporal_ensemble_coeff: 0.01, n_action_steps: 1 }])
      await withCheckpoint(
        join(g.dir, 'model.safetensors'),
        { type: 'act', ...g.config, ...changes },
        async (dir) => {
          for (const side of ['pre', 'post'])
            writeFileSync(join(dir, `policy_${side}processor.json`), pipeline);
          const policy = await loadPolicy(dir, { compute: { precision: 'f32' } });
          expect(relativeError((await policy.infer(observation)).actions, want)).toBeLessThan(1e-4);
          // The second chunk's first row is the mean of the first's second and its own first.
          const second = (await policy.infer(observation)).actions;
          const weight = 'n_action_steps' in changes ? Math.exp(-0.01) : Number.POSITIVE_INFINITY;
          const mean = Array.from({ length: 4 }, (_, i) =>
            weight === Number.POSITIVE_INFINITY
              ? want[i]!
              : (want[4 + i]! + weight * want[i]!) / (1 + weight),
          );
          expect(relativeError(second.slice(0, 4), mean)).toBeLessThan(1e-4);
          await expect(policy.choose({ sampler: 'ddim', steps: 10 })).rejects.toThrow(/does not denoise/);
        },
      );
  });

  it('matches the temporal ensemble over 25 chunks', () => {
    const g = golden('act_temporal_ensemble_0.01');
    const ensemble = new TemporalEnsemble(0.01, 3);
    const chunks = g.get('in.chunks');
    const want = g.get('out.actions');
    for (let i = 0; i < 25; i++) {
      const got = ensemble.update(chunks.slice(i * 30, i * 30 + 30));
      expect(relativeError(got.slice(0, 3), want.slice(i * 3, i * 3 + 3))).toBeLessThan(1e-5);
    }
  });
});
