// diffusion_policy's networks and normaliser against its own code.

import { describe, expect, it } from 'vitest';
import { timestepEmbedding, unetGraph } from '../../src/networks/index.js';
import { dpTransformerGraph } from '../../src/policies/dp/transformer.js';
import { applyForward, applyInverse } from '../../src/policies/processors/affine.js';
import { linearNormalizer } from '../../src/policies/processors/linear.js';
import { Tensors } from '../../src/policies/tensors.js';
import { BARS, golden, relativeError, runGraph } from './golden.js';

const half = (values: Float32Array, b: number): Float32Array =>
  values.slice((b * values.length) / 2, ((b + 1) * values.length) / 2);

describe('diffusion_policy', () => {
  it.each(BARS)('matches the UNet with local condition in %s to %d', async (precision, bar) => {
    const g = golden('dp_unet_local');
    const tensors = Tensors.open(g.dir, 'dp');
    const graph = unetGraph(
      {
        prefix: '',
        naming: 'diffusion_policy',
        horizon: 16,
        action_dim: 3,
        cond_dim: 0,
        local_cond_dim: 5,
        down_dims: [32, 64],
        kernel_size: 3,
        n_groups: 8,
        step_embed_dim: 32,
        film_scale: false,
      },
      tensors,
      1,
    );
    tensors.finish();
    for (const b of [0, 1]) {
      const given = {
        x: half(g.get('x'), b),
        local_cond: half(g.get('local_cond'), b),
        timestep_embedding: timestepEmbedding([g.get('t')[b]!], 32),
      };
      const { F } = await runGraph(graph, 1, given, precision);
      expect(relativeError(F!, half(g.get('out'), b))).toBeLessThan(bar);
    }
  });

  it.each(BARS)('matches the causal transformer in %s to %d', async (precision, bar) => {
    const g = golden('dp_transformer_causal');
    const tensors = Tensors.open(g.dir, 'dp');
    const graph = dpTransformerGraph(
      {
        prefix: '',
        input_dim: 4,
        output_dim: 4,
        horizon: 10,
        n_obs_steps: 2,
        cond_dim: 9,
        n_layer: 2,
        n_head: 4,
        n_emb: 64,
        causal_attn: true,
        time_as_cond: true,
        n_cond_layers: 0,
      },
      tensors,
      1,
    );
    tensors.finish();
    for (const b of [0, 1]) {
      const given = {
        x: half(g.get('x'), b),
        cond: half(g.get('cond'), b),
        timestep_embedding: timestepEmbedding([g.get('t')[b]!], 64),
      };
      const { F } = await runGraph(graph, 1, given, precision);
      expect(relativeError(F!, half(g.get('out'), b))).toBeLessThan(bar);
    }
  });

  it('matches the normaliser forward and back', () => {
    const g = golden('dp_normalizer_limits');
    const affine = linearNormalizer(Tensors.open(g.dir, 'dp'), '', 'action', 4);
    const x = g.get('x');
    const y = new Float32Array(x.length);
    for (let i = 0; i < x.length; i += 4) applyForward(affine, x.slice(i, i + 4), y, i);
    // Recorded in float32, where a feature of tiny range loses digits in x·scale + offset.
    expect(relativeError(y, g.get('y'))).toBeLessThan(1e-4);
    applyInverse(affine, y);
    expect(relativeError(y, g.get('xr'))).toBeLessThan(1e-5);
  });
});
