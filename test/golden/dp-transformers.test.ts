// The transformers of diffusion_policy that its recordings leave out: BERT, a memory of time alone, a memory of encoder
// layers; and observations painted into the trajectory, from a folder to actions (make/dp_transformers.py).

import { describe, expect, it } from 'vitest';
import type { GraphBuilder } from '../../src/native/index.js';
import { timestepEmbedding, unetGraph } from '../../src/networks/index.js';
import type { DenoiserFamily } from '../../src/policies/denoiser-family.js';
import { loadPolicy, openFamily } from '../../src/policies/index.js';
import { Tensors } from '../../src/policies/tensors.js';
import { BARS, golden, relativeError, runGraph } from './golden.js';
import { type Keys, keys, shapesOf, vector, withHashed } from './hashed.js';

const [H, TO, ACTION, OBS] = [8, 2, 3, 5];
const CASES = ['dp_bert', 'dp_bert_causal', 'dp_time_memory', 'dp_memory_layers'];

const flat = (n: number, value: number) => ({ shape: [n], values: new Float32Array(n).fill(value) });
/** Observations are halved and moved, actions doubled on the way out. */
const NORMALIZER = {
  'normalizer.params_dict.obs.scale': flat(OBS, 0.5),
  'normalizer.params_dict.obs.offset': flat(OBS, 0.25),
  'normalizer.params_dict.action.scale': flat(ACTION, 0.5),
  'normalizer.params_dict.action.offset': flat(ACTION, 0),
};

function folderOf(obs_as: string, network: object): Record<string, unknown> {
  return {
    type: 'diffusion_policy',
    ...{ n_obs_steps: TO, horizon: H, n_action_steps: 4, obs_as, network },
    input_features: { 'observation.state': { type: 'STATE', shape: [OBS] } },
    output_features: { action: { type: 'ACTION', shape: [ACTION] } },
    normalizer_keys: { 'observation.state': 'obs', action: 'action' },
    noise_scheduler_type: 'DDPM',
    ...{ num_train_timesteps: 100, beta_schedule: 'squaredcos_cap_v2', beta_start: 1e-4, beta_end: 0.02 },
    ...{ prediction_type: 'epsilon', clip_sample: true, num_inference_steps: 5 },
  };
}

function checkpointOf(name: string): { checkpoint: Keys; width: number } {
  const { painted, time_as_cond, causal_attn, n_cond_layers } = golden(name).config as Record<string, never>;
  const network = {
    kind: 'transformer',
    ...{ n_layer: 2, n_head: 4, n_emb: 32, time_as_cond, causal_attn, n_cond_layers },
    ...(painted ? {} : { cond_positions: H }),
  };
  const config = folderOf(painted ? 'inpainting' : 'cond', network);
  const width = ACTION + (painted ? OBS : 0);
  return { checkpoint: { shapes: shapesOf(name), config }, width };
}

/** Two observations that normalise to `seen`. */
const historyOf = (seen: Float32Array) =>
  Array.from({ length: TO }, (_, t) => ({
    stamp_ns: t,
    values: { 'observation.state': seen.slice(t * OBS, (t + 1) * OBS).map((v) => (v - 0.25) / 0.5) },
  }));

describe.each(CASES)('%s', (name) => {
  const io = golden(name);
  const { checkpoint, width } = checkpointOf(name);
  const history = historyOf(vector(`${name}/obs`, TO * OBS));
  const start = vector(`${name}/start`, H * width);

  it.each(BARS)('answers one call in %s to %d', async (precision, bar) => {
    await withHashed(checkpoint, NORMALIZER, async (dir) => {
      const family = openFamily(dir) as DenoiserFamily;
      const inputs = family.network.condition(history, undefined, 1);
      const timestep_embedding = timestepEmbedding([37], 32);
      const { F } = await runGraph(
        family.network.graph(1),
        1,
        { x: start, timestep_embedding, ...inputs },
        precision,
      );
      expect(relativeError(F!, io.get('out'))).toBeLessThan(bar);
    });
  });

  it.each(['ddim', 'ddpm'])(
    'goes five steps of %s, and acts from the newest observation on',
    async (sampler) => {
      await withHashed(checkpoint, NORMALIZER, async (dir) => {
        const policy = await loadPolicy(dir, {
          compute: { precision: 'f32' },
          sampling: { sampler, steps: 5 },
        });
        const chunk = await policy.infer(history, {
          noise: start,
          ...(sampler === 'ddpm' ? { step_noise: vector(`${name}/noise`, 4 * H * width) } : {}),
        });
        const rows = io.get(sampler).slice((TO - 1) * ACTION);
        expect(
          relativeError(
            chunk.actions,
            rows.map((v) => 2 * v),
          ),
        ).toBeLessThan(1e-4);
        policy.close();
      });
    },
  );
});

describe.each(['sample', 'v_prediction'])('a network that predicts %s', (prediction_type) => {
  const name = 'dp_memory_layers';
  const io = golden(name);
  const { checkpoint, width } = checkpointOf(name);
  const history = historyOf(vector(`${name}/obs`, TO * OBS));

  it.each(['ddim', 'ddpm'])('goes five steps of %s', async (sampler) => {
    const config = { ...checkpoint.config, prediction_type };
    await withHashed({ ...checkpoint, config }, NORMALIZER, async (dir) => {
      const policy = await loadPolicy(dir, {
        compute: { precision: 'f32' },
        sampling: { sampler, steps: 5 },
      });
      const { actions } = await policy.infer(history, {
        noise: vector(`${name}/start`, H * width),
        ...(sampler === 'ddpm' ? { step_noise: vector(`${name}/noise`, 4 * H * width) } : {}),
      });
      const rows = io.get(`${sampler}.${prediction_type}`).slice((TO - 1) * ACTION);
      expect(
        relativeError(
          actions,
          rows.map((v) => 2 * v),
        ),
      ).toBeLessThan(1e-4);
      policy.close();
    });
  });
});

it('takes each candidate’s actions from its own trajectory', async () => {
  const { checkpoint, width } = checkpointOf('dp_bert');
  const history = historyOf(vector('dp_bert/obs', TO * OBS));
  const start = vector('dp_bert/start', H * width);
  await withHashed(checkpoint, NORMALIZER, async (dir) => {
    const policy = await loadPolicy(dir, {
      compute: { precision: 'f32' },
      sampling: { sampler: 'ddim', candidates: 2 },
    });
    const noise = Float32Array.of(...start.map((v) => -v), ...start);
    const { candidates } = await policy.infer(history, { noise });
    const alone = await policy.infer(history, { noise: start, candidates: 1 });
    expect(relativeError(candidates!.slice(alone.actions.length), alone.actions)).toBeLessThan(1e-5);
    expect(relativeError(candidates!.slice(0, alone.actions.length), alone.actions)).toBeGreaterThan(0.1);
    policy.close();
  });
});

it('cannot be drawn towards a prefix, and says so', async () => {
  await withHashed(checkpointOf('dp_bert').checkpoint, NORMALIZER, async (dir) => {
    const policy = await loadPolicy(dir, { compute: { precision: 'f32' }, sampling: { sampler: 'ddim' } });
    const prefix = { actions: new Float32Array(ACTION), weights: Float32Array.of(1) };
    const infer = policy.infer(historyOf(new Float32Array(TO * OBS)), { prefix });
    await expect(infer).rejects.toThrow(/painted into this chunk/);
    await expect(loadPolicy(dir, { joins: { prefix: true } })).rejects.toThrow(/painted into this chunk/);
    policy.close();
  });
});

it('a UNet sees what was observed in place of what was drawn', async () => {
  const recorded = keys('dp_unet_global');
  const c = recorded.config as { down_dims: number[]; kernel_size: number; n_groups: number };
  const D = recorded.config.diffusion_step_embed_dim as number;
  const width = recorded.shapes.get('final_conv.1.weight')![0]!;
  const obs = width - 1;
  // The recorded keys without their condition.
  const shapes = new Map(
    [...recorded.shapes].map(([key, shape]) => [
      `model.${key}`,
      key.endsWith('cond_encoder.1.weight') ? [shape[0]!, D] : shape,
    ]),
  );
  const network = {
    ...{ kind: 'unet', down_dims: c.down_dims, kernel_size: c.kernel_size, n_groups: c.n_groups },
    ...{ diffusion_step_embed_dim: D, cond_predict_scale: recorded.config.cond_predict_scale },
  };
  const config = {
    ...folderOf('inpainting', network),
    input_features: { 'observation.state': { type: 'STATE', shape: [obs] } },
    output_features: { action: { type: 'ACTION', shape: [1] } },
  };
  const normalizer = Object.fromEntries(
    Object.keys(NORMALIZER).map((key) => [
      key,
      flat(key.includes('.obs.') ? obs : 1, key.endsWith('scale') ? 1 : 0),
    ]),
  );
  await withHashed({ shapes, config }, normalizer, async (dir) => {
    const family = openFamily(dir) as DenoiserFamily;
    const seen = vector('unet/seen', TO * obs);
    const history = Array.from({ length: TO }, (_, t) => ({
      stamp_ns: t,
      values: { 'observation.state': seen.slice(t * obs, (t + 1) * obs) },
    }));
    const x = vector('unet/x', H * width);
    const timestep_embedding = timestepEmbedding([12], D);
    const ours = await runGraph(family.network.graph(1), 1, {
      x,
      timestep_embedding,
      ...family.network.condition(history, undefined, 1),
    });
    for (let t = 0; t < TO; t++) x.set(seen.subarray(t * obs, (t + 1) * obs), t * width + 1);
    const plain: GraphBuilder = unetGraph(
      {
        ...{ prefix: 'model.', naming: 'diffusion_policy', horizon: H, action_dim: width, cond_dim: 0 },
        ...{ down_dims: c.down_dims, kernel_size: c.kernel_size, n_groups: c.n_groups },
        ...{ step_embed_dim: D, film_scale: recorded.config.cond_predict_scale === true },
      },
      Tensors.open(dir, 'dp'),
      1,
    );
    const { F } = await runGraph(plain, 1, { x, timestep_embedding });
    expect(relativeError(ours.F!, F!)).toBeLessThan(1e-6);
  });
});
