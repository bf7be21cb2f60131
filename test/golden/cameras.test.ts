// Policies with cameras against networks written from the papers over torchvision (make/cameras.py), at the configs and
// under the key names of the peers, the ACT of ALOHA at its full size.

import { describe, expect, test } from 'vitest';
import type { FrameInput, Precision } from '../../src/native/index.js';
import { addon } from '../../src/native/index.js';
import type { DenoiserFamily } from '../../src/policies/denoising-policy.js';
import { loadPolicy, openFamily } from '../../src/policies/load.js';
import type { Image } from '../../src/types/index.js';
import { BARS, golden, relativeError } from './golden.js';
import { grid, image, keys, vector, withHashed } from './hashed.js';

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
  const model = await addon().compileModel(family.graph(1).native, { precision });
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
] as const)('%s', (name, list, changes, cameras) => {
  const recorded = keys(list);
  const config: Record<string, unknown> = { ...recorded.config, type: 'diffusion', ...changes };
  const features = config.input_features as Record<string, Feature>;
  const grids = Object.fromEntries(
    [...recorded.shapes.keys()]
      .filter((key) => key.endsWith('pos_grid'))
      .map((key) => [key, { shape: recorded.shapes.get(key)!, values: grid(cameras[0][1], cameras[0][2]) }]),
  );

  test('one call of the network', async () => {
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
      const table = family.table('ddim', 10);
      const single = { ...table, rows: [table.rows[0]!], levels: [7] };
      const x = vector(`${name}/x`, family.model_horizon * family.spec.action_dim);
      const inputs = { x, ...family.schedule(single), ...family.condition(history, undefined, 1) };
      expect(relativeError(await runFamily(family, inputs, 'f32'), io('unet'))).toBeLessThan(1e-4);
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
      const inputs = family.condition([observation], undefined, 1);
      const x = new Float32Array(family.model_horizon * family.spec.action_dim);
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
        const x = new Float32Array(family.model_horizon * 3).fill(-4);
        // What is likely by the noise alone is drawn whatever the logits say within their range.
        x[5 * 3 + first] = 5;
        x[5 * 3 + CODES + second] = 5;
        const F = await runFamily(family, { x, ...family.condition(history, undefined, 1) }, precision);
        const want = golden(name).get(`actions.${first}.${second}`);
        expect(relativeError(F.subarray(0, want.length), want)).toBeLessThan(bar);
        expect(F.subarray(want.length).every((v) => v === 0)).toBe(true);
      });
    },
  );

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
      const policy = await loadPolicy(dir, { candidates: 256, precision: 'f32' });
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
