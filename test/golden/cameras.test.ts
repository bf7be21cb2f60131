// Policies with cameras against networks written from the papers over torchvision (make/cameras.py), at the configs and
// under the key names of the peers, the ACT of ALOHA at its full size.

import { describe, expect, test } from 'vitest';
import type { FrameInput, Precision } from '../../src/native/index.js';
import { addon } from '../../src/native/index.js';
import type { DenoiserFamily } from '../../src/policies/denoiser-family.js';
import { loadPolicy, openFamily } from '../../src/policies/load.js';
import type { Image } from '../../src/types/index.js';
import { BARS, golden, relativeError } from './golden.js';
import { grid, image, keys, vector, weight, withHashed } from './hashed.js';

interface Feature {
  readonly type: string;
  readonly shape: readonly number[];
}

/** The case's frames of one camera, oldest first. */
const frames = (name: string, camera: string, count: number, [h, w]: readonly [number, number]): Image[] =>
  Array.from({ length: count }, (_, i) => ({
    width: w,
    height: h,
    channels: 3,
    data: image(`${name}/${camera}/${i}`, h, w),
  }));

/** Statistics of LeRobot ≤ 0.3.3 that leave states and actions as they are. */
const plain = (key: string, n: number): Record<string, { shape: number[]; values: Float32Array }> => ({
  [`${key}.min`]: { shape: [n], values: new Float32Array(n).fill(-1) },
  [`${key}.max`]: { shape: [n], values: new Float32Array(n).fill(1) },
  [`${key}.mean`]: { shape: [n], values: new Float32Array(n) },
  [`${key}.std`]: { shape: [n], values: new Float32Array(n).fill(1) },
});

function statistics(name: string, config: Record<string, unknown>, plainCameras: boolean) {
  const all: Record<string, { shape: number[]; values: Float32Array }> = {};
  for (const [key, { type, shape }] of Object.entries(config.input_features as Record<string, Feature>)) {
    const buffer = `normalize_inputs.buffer_${key.replaceAll('.', '_')}`;
    if (type !== 'VISUAL') Object.assign(all, plain(buffer, shape[0]!));
    else
      for (const [stat, base, flat] of [
        ['mean', 0.5, 0],
        ['std', 0.25, 1],
      ] as const)
        all[`${buffer}.${stat}`] = {
          shape: [3, 1, 1],
          values: plainCameras
            ? new Float32Array(3).fill(flat)
            : vector(`${name}/${key}/${stat}`, 3).map((v) =>
                Math.fround(Math.fround(v * Math.fround(0.1)) + base),
              ),
        };
  }
  Object.assign(all, plain('unnormalize_outputs.buffer_action', actions(config)));
  return all;
}
const actions = (config: Record<string, unknown>): number =>
  (config.output_features as { action: Feature }).action.shape[0]!;

async function runFamily(
  family: DenoiserFamily,
  inputs: Record<string, Float32Array | FrameInput>,
  precision: Precision,
) {
  const model = await addon().compileModel(family.network.graph(1).native, { precision });
  const session = await model.openSession({ batch: 1 });
  return (await session.run(inputs)).outputs.F!;
}

describe.each([
  ['camera_diffusion_gn', 'diffusion_img_legacy_gn', {}, [['observation.image', 3, 3]]],
  [
    'camera_diffusion_bn_2',
    'diffusion_img_v06_bn_2cam',
    {},
    [
      ['observation.images.top', 2, 3],
      ['observation.images.wrist', 2, 3],
    ],
  ],
  [
    'camera_diffusion_resize',
    'diffusion_img_v06_bn_2cam',
    { resize_shape: [50, 80], crop_ratio: 0.9 },
    [
      ['observation.images.top', 2, 3],
      ['observation.images.wrist', 2, 3],
    ],
  ],
  [
    // One encoder for both cameras.
    'camera_diffusion_r34',
    'diffusion_img_v06_bn_2cam',
    { vision_backbone: 'resnet34', use_group_norm: true, use_separate_rgb_encoder_per_camera: false },
    [
      ['observation.images.top', 2, 3],
      ['observation.images.wrist', 2, 3],
    ],
  ],
  [
    'camera_diffusion_r50',
    'diffusion_img_legacy_gn',
    { vision_backbone: 'resnet50', use_group_norm: false },
    [['observation.image', 3, 3]],
  ],
] as const)('%s', (name, list, changes, cameras) => {
  // A list of its own where the backbone is another than the recorded one.
  const recorded = keys('vision_backbone' in changes ? name : list, list);
  const config: Record<string, unknown> = { ...recorded.config, type: 'diffusion', ...changes };
  const features = config.input_features as Record<string, Feature>;
  const grids = Object.fromEntries(
    [...recorded.shapes.keys()]
      .filter((key) => key.endsWith('pos_grid'))
      .map((key) => [key, { shape: recorded.shapes.get(key)!, values: grid(cameras[0][1], cameras[0][2]) }]),
  );

  test.each(BARS)('one call of the network in %s, to %d', async (precision, bar) => {
    const io = golden(name).get;
    const given = { ...grids, ...statistics(name, config, false) };
    await withHashed({ ...recorded, config }, given, async (dir) => {
      const family = openFamily(dir) as DenoiserFamily;
      const n = config.n_obs_steps as number;
      const width = features['observation.state']!.shape[0]!;
      const state = vector(`${name}/state`, n * width);
      const pictures = cameras.map(([camera]) => {
        const [, h, w] = features[camera]!.shape as [number, number, number];
        return [camera, frames(name, camera, n, [h, w])] as const;
      });
      const history = Array.from({ length: n }, (_, t) => ({
        stamp_ns: t,
        values: { 'observation.state': state.slice(t * width, (t + 1) * width) },
        images: Object.fromEntries(pictures.map(([camera, all]) => [camera, all[t]!])),
      }));
      const table = family.sampling.plan('ddim', 10).table!;
      const single = { ...table, rows: [table.rows[0]!], levels: [7] };
      const x = vector(`${name}/x`, family.network.rows * family.spec.action_dim);
      const inputs = {
        x,
        ...family.network.schedule(single.levels),
        ...family.network.condition(history, undefined, 1),
      };
      expect(relativeError(await runFamily(family, inputs, precision), io('unet'))).toBeLessThan(bar);
    });
  });
});

describe.each([
  ['camera_act', 'act_default_aloha', {}, { 'observation.images.top': [480, 640] }],
  [
    'camera_act_r50',
    'camera_act_r50',
    { vision_backbone: 'resnet50', replace_final_stride_with_dilation: true },
    { 'observation.images.top': [96, 128], 'observation.images.wrist': [64, 64] },
  ],
] as const)('%s', (name, list, changes, cameras) => {
  const recorded = keys(list, 'act_default_aloha');
  const seen = Object.entries(cameras as Record<string, readonly [number, number]>);
  const config: Record<string, unknown> = { ...recorded.config, type: 'act', ...changes };
  config.input_features = {
    'observation.state': { type: 'STATE', shape: [14] },
    ...Object.fromEntries(seen.map(([key, size]) => [key, { type: 'VISUAL', shape: [3, ...size] }])),
  };

  test.each(BARS)('the chunk in %s, to %d', async (precision, bar) => {
    const given = statistics(name, config, true);
    await withHashed({ ...recorded, config }, given, async (dir) => {
      const family = openFamily(dir) as DenoiserFamily;
      const images = Object.fromEntries(seen.map(([key, size]) => [key, frames(name, key, 1, size)[0]!]));
      const observation = {
        stamp_ns: 0,
        values: { 'observation.state': vector(`${name}/state`, 14) },
        images,
      };
      const inputs = family.network.condition([observation], undefined, 1);
      const x = new Float32Array(family.network.rows * family.spec.action_dim);
      const chunk = await runFamily(family, { x, ...inputs }, precision);
      expect(relativeError(chunk, golden(name).get('actions'))).toBeLessThan(bar);
    });
  });
});

describe('camera_vqbet', () => {
  const name = 'camera_vqbet';
  const recorded = keys('vqbet_small');
  // Warmer than the peer's 0.1, so that a hashed network's logits do not decide alone.
  const TEMPERATURE = 2;
  const config = { ...recorded.config, type: 'vqbet', bet_softmax_temperature: TEMPERATURE };
  const given = {
    ...statistics(name, config, true),
    'vqbet.rgb_encoder.pool.pos_grid': { shape: [4, 2], values: grid(2, 2) },
  };
  const CODES = 16;
  const state = vector(`${name}/state`, 5 * 4);
  const pictures = frames(name, 'observation.image', 5, [64, 64]);
  const history = pictures.map((picture, t) => ({
    stamp_ns: t,
    values: { 'observation.state': state.slice(4 * t, 4 * t + 4) },
    images: { 'observation.image': picture },
  }));

  const codes = [
    [3, 11],
    [0, 15],
  ] as const;
  test.each(codes.flatMap((pair) => BARS.map((bar) => [...pair, ...bar] as const)))(
    'the actions of codes %d and %d in %s, to %d',
    async (first, second, precision, bar) => {
      await withHashed({ ...recorded, config }, given, async (dir) => {
        const family = openFamily(dir) as DenoiserFamily;
        const x = new Float32Array(family.network.rows * 3).fill(-4);
        // What is likely by the noise alone is drawn whatever the logits say within their range.
        x[5 * 3 + first] = 5;
        x[5 * 3 + CODES + second] = 5;
        const F = await runFamily(
          family,
          { x, ...family.network.condition(history, undefined, 1) },
          precision,
        );
        const want = golden(name).get(`actions.${first}.${second}`);
        expect(relativeError(F.subarray(0, want.length), want)).toBeLessThan(bar);
        expect(F.subarray(want.length).every((v) => v === 0)).toBe(true);
      });
    },
  );

  describe('sequentially_select', () => {
    const head = 'vqbet.action_head.map_to_cbet_preds_';
    const { config: plain, shapes: all } = recorded;
    const shapes = new Map([...all].filter(([key]) => !key.startsWith(`${head}bin`)));
    const width = plain.gpt_output_dim as number;
    shapes.set(`${head}primary_bin.0.weight`, [CODES, width]).set(`${head}primary_bin.0.bias`, [CODES]);
    shapes.set(`${head}secondary_bin.0.bias`, [CODES]);
    const secondary = `${head}secondary_bin.0.weight`;
    // As in the script: what the first code says counts twentyfold.
    const values = weight(secondary, [CODES, width + CODES]).map((v, i) =>
      i % (width + CODES) < width ? v : 20 * v,
    );
    const sequential = { ...config, sequentially_select: true };
    const tensors = { ...given, [secondary]: { shape: [CODES, width + CODES], values } };
    const io = golden(name);
    const pairs = [0, 1].map((i) => [...io.get('sequence').slice(2 * i, 2 * i + 2)] as [number, number]);

    test.each(pairs)('the second code after %d is the likeliest then, %d', async (first, second) => {
      await withHashed({ shapes, config: sequential }, tensors, async (dir) => {
        const family = openFamily(dir) as DenoiserFamily;
        const x = new Float32Array(family.network.rows * 3).fill(-4);
        x[5 * 3 + first] = 5;
        // The same draw for every second code: its logits decide.
        x.fill(0, 5 * 3 + CODES, 5 * 3 + 2 * CODES);
        const F = await runFamily(family, { x, ...family.network.condition(history, undefined, 1) }, 'f32');
        const want = io.get(`actions.${first}.${second}`);
        expect(relativeError(F.subarray(0, want.length), want)).toBeLessThan(1e-4);
      });
    });

    test('the second code’s logits, by how far each lies below the likeliest', async () => {
      await withHashed({ shapes, config: sequential }, tensors, async (dir) => {
        const family = openFamily(dir) as DenoiserFamily;
        const inputs = family.network.condition(history, undefined, 1);
        const [[first, likeliest]] = pairs as [[number, number]];
        const logits = io.get(`secondary.${first}`);
        // Gumbel noise of a normal draw, as the network makes it of x (float64 here, clamped well inside).
        const gumbel = (u: number): number => -Math.log(-Math.log(u));
        const margin = (c: number): number => (logits[likeliest]! - logits[c]!) / TEMPERATURE;
        const chosen = async (c: number, advantage: number): Promise<boolean> => {
          const x = new Float32Array(family.network.rows * 3).fill(-4);
          x[5 * 3 + first] = 5;
          // Every draw at the median but the code's, whose noise exceeds the others' by `advantage`.
          x.fill(0, 5 * 3 + CODES, 5 * 3 + 2 * CODES);
          x[5 * 3 + CODES + c] = normalOf(Math.exp(-Math.exp(-(gumbel(0.5) + advantage))));
          const F = await runFamily(family, { x, ...inputs }, 'f32');
          return relativeError(F.subarray(0, 15), io.get(`actions.${first}.${likeliest}`)) > 1e-3;
        };
        const near = [...logits.keys()].filter((c) => c !== likeliest && margin(c) < 6).slice(0, 3);
        expect(near.length).toBe(3);
        for (const c of near) {
          expect(await chosen(c, margin(c) - 0.01)).toBe(false);
          expect(await chosen(c, margin(c) + 0.01)).toBe(true);
        }
      });
    });
  });

  test('codes are drawn as often as their probabilities say', async () => {
    const logits = golden(name).get('logits');
    const odds = (codebook: number): number[] => {
      const e = [...logits.subarray(codebook * CODES, (codebook + 1) * CODES)].map((v) =>
        Math.exp(v / TEMPERATURE),
      );
      const sum = e.reduce((a, b) => a + b);
      return e.map((v) => v / sum);
    };
    await withHashed({ ...recorded, config }, given, async (dir) => {
      const policy = await loadPolicy(dir, { compute: { precision: 'f32' }, sampling: { candidates: 256 } });
      const seen = new Map<string, number>();
      const DRAWS = 8;
      for (let i = 0; i < DRAWS; i++) {
        const { candidates } = await policy.infer(history);
        for (let c = 0; c < 256; c++) {
          const key = [...candidates!.subarray(c * 15, c * 15 + 15)].map((v) => v.toFixed(3)).join();
          seen.set(key, (seen.get(key) ?? 0) + 1);
        }
      }
      // The most likely pair, against a binomial's five standard deviations.
      const p = Math.max(...odds(0)) * Math.max(...odds(1));
      const n = 256 * DRAWS;
      const most = Math.max(...seen.values());
      expect(Math.abs(most - n * p)).toBeLessThan(5 * Math.sqrt(n * p * (1 - p)) + 1);
      expect(seen.size).toBeGreaterThan(1);
      policy.close();
    });
  });
});

/** The x whose standard normal distribution function is `p`, by bisection. */
function normalOf(p: number): number {
  let [low, high] = [-8, 8];
  for (let i = 0; i < 80; i++) {
    const middle = (low + high) / 2;
    // Abramowitz and Stegun 7.1.26 errs by 1.5e-7, far less than the margins asked for.
    const t = 1 / (1 + 0.3275911 * (Math.abs(middle) / Math.SQRT2));
    const poly =
      t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))));
    const tail = 0.5 * poly * Math.exp((-middle * middle) / 2);
    if ((middle < 0 ? tail : 1 - tail) < p) low = middle;
    else high = middle;
  }
  return low;
}

describe.each([
  ['dp_image', 'resnet18', false, { camera_a: [96, 96], camera_b: [97, 99] }],
  ['dp_image_shared', 'resnet34', true, { camera_a: [96, 96], camera_b: [96, 96] }],
  ['dp_image_r50', 'resnet50', false, { camera_a: [96, 96] }],
] as const)('%s', (name, backbone, shared, sizes) => {
  const io = golden(name);
  const { shapes } = keys(name, 'dp_unet_global');
  const { config: unet } = keys('dp_unet_global');
  const one = (value: number) => ({ shape: [1], values: Float32Array.of(value) });
  const two = (value: number) => ({ shape: [2], values: new Float32Array(2).fill(value) });
  const given = {
    ...Object.fromEntries(
      Object.keys(sizes).flatMap((camera) => [
        // [0, 1] to [−1, 1]
        [`normalizer.params_dict.${camera}.scale`, one(2)],
        [`normalizer.params_dict.${camera}.offset`, one(-1)],
        [`normalizer.params_dict.${camera}.input_stats.min`, one(0)],
      ]),
    ),
    'normalizer.params_dict.agent_pos.scale': two(1),
    'normalizer.params_dict.agent_pos.offset': two(0),
    'normalizer.params_dict.action.scale': { shape: [3], values: new Float32Array(3).fill(1) },
    'normalizer.params_dict.action.offset': { shape: [3], values: new Float32Array(3) },
    'obs_encoder._dummy_variable': { shape: [0], values: new Float32Array(0) },
    'mask_generator._dummy_variable': { shape: [0], values: new Float32Array(0) },
  };
  const config = {
    type: 'diffusion_policy',
    n_obs_steps: 2,
    horizon: 16,
    n_action_steps: 8,
    input_features: {
      ...Object.fromEntries(
        // Not in the order of their names, which decides.
        Object.entries(sizes)
          .reverse()
          .map(([camera, size]) => [`observation.images.${camera}`, { type: 'VISUAL', shape: [3, ...size] }]),
      ),
      'observation.agent_pos': { type: 'STATE', shape: [2] },
    },
    output_features: { action: { type: 'ACTION', shape: [3] } },
    normalizer_keys: {
      'observation.images.camera_a': 'camera_a',
      'observation.images.camera_b': 'camera_b',
      'observation.agent_pos': 'agent_pos',
      action: 'action',
    },
    obs_as: 'global_cond',
    network: {
      kind: 'unet',
      down_dims: unet.down_dims,
      kernel_size: unet.kernel_size,
      n_groups: unet.n_groups,
      diffusion_step_embed_dim: unet.diffusion_step_embed_dim,
      cond_predict_scale: unet.cond_predict_scale,
    },
    obs_encoder: {
      backbone,
      group_norm: !shared,
      shared,
      crop_shape: [76, 76],
      imagenet_norm: true,
    },
    noise_scheduler_type: 'DDPM',
    num_train_timesteps: 100,
    beta_schedule: 'squaredcos_cap_v2',
    beta_start: 0.0001,
    beta_end: 0.02,
    prediction_type: 'epsilon',
    clip_sample: true,
    num_inference_steps: 10,
  };

  test.each(BARS)('one call of the whole network in %s, to %d', async (precision, bar) => {
    await withHashed({ shapes, config }, given, async (dir) => {
      const family = openFamily(dir) as DenoiserFamily;
      const position = vector(`${name}/agent_pos`, 4);
      const history = [0, 1].map((t) => ({
        stamp_ns: t,
        values: { 'observation.agent_pos': position.slice(2 * t, 2 * t + 2) },
        images: Object.fromEntries(
          Object.entries(sizes).map(([camera, size]) => [
            `observation.images.${camera}`,
            frames(name, camera, 2, size)[t]!,
          ]),
        ),
      }));
      const table = family.sampling.plan('ddim', 10).table!;
      const single = { ...table, rows: [table.rows[0]!], levels: [7] };
      const x = vector(`${name}/x`, 16 * 3);
      const inputs = {
        x,
        ...family.network.schedule(single.levels),
        ...family.network.condition(history, undefined, 1),
      };
      expect(relativeError(await runFamily(family, inputs, precision), io.get('unet'))).toBeLessThan(bar);
    });
  });

  test('the other norm than the file has is refused by its tensors', async () => {
    const other = { ...config, obs_encoder: { ...config.obs_encoder, group_norm: shared } };
    await withHashed({ shapes, config: other }, given, async (dir) => {
      expect(() => openFamily(dir)).toThrow(expect.objectContaining({ code: 'weights_mismatch' }));
    });
  });
});
