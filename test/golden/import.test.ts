// `tendon import` on checkpoints as other trainings save them, down to the outputs their networks were recorded with.

import { execFileSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { FrameInput } from '../../src/native/index.js';
import { convertDp } from '../../src/policies/convert/dp.js';
import { convert, writeCheckpoint } from '../../src/policies/convert/index.js';
import type { DenoiserFamily } from '../../src/policies/denoiser-family.js';
import { openFamily } from '../../src/policies/load.js';
import { openSafetensors, readTensor } from '../../src/weights/index.js';
import { golden, relativeError, runGraph } from './golden.js';
import { image, keys, shapesOf, vector, weight } from './hashed.js';
import { imported, writeTorchZip } from './torch-zip.js';

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'tendon-import-'));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

/** Writes the case's checkpoint with the recorded (or hashed) weights and its own normaliser. */
function checkpoint(name: string, recorded: string): string {
  const file = join(dir, `${name}.ckpt`);
  const kept = join(golden(recorded).dir, 'model.safetensors');
  const network = existsSync(kept) ? openSafetensors(kept).tensors : undefined;
  writeTorchZip(file, name, (tensor) => {
    const [, key, part] = /^normalizer\.params_dict\.(\w+)\.(.*)$/.exec(tensor) ?? [];
    if (key === undefined)
      return network === undefined
        ? weight(tensor, shapesOf(recorded).get(tensor)!)
        : readTensor(network.get(tensor.replace(/^model\./, ''))!);
    const n = DIMS[recorded]![key]!;
    if (part === 'scale' || part === 'offset') {
      const u = vector(`normalizer.params_dict.${key}.`, 2 * n);
      return part === 'scale' ? u.slice(0, n).map((v) => 1 + 0.5 * v) : u.slice(n).map((v) => 0.2 * v);
    }
    return new Float32Array(n);
  });
  return file;
}
const SHAPES = keys('act_default_aloha').shapes;
const DIMS: Record<string, Record<string, number>> = {
  dp_transformer_causal: { obs: 9, action: 4 },
  dp_unet_local: { obs: 5, action: 3 },
  dp_bert: { obs: 5, action: 3 },
};

/** An observation that normalises to `want`. */
function undone(key: string, want: Float32Array): Float32Array {
  const n = want.length;
  const u = vector(`normalizer.params_dict.${key}.`, 2 * n);
  return want.map((v, i) => (v - Math.fround(0.2 * u[n + i]!)) / Math.fround(1 + 0.5 * u[i]!));
}

describe('diffusion_policy', () => {
  test.each([
    ['dp_transformer', 'dp_transformer_causal', 'cond', 2],
    ['dp_unet', 'dp_unet_local', 'local_cond', 2],
  ] as const)('%s.ckpt', async (name, recorded, input, observed) => {
    const out = join(dir, 'policy');
    const converted = convert(checkpoint(name, recorded));
    writeCheckpoint(out, converted);
    const family = openFamily(out) as DenoiserFamily;
    expect(family.spec).toMatchObject({ family: 'diffusion_policy', n_obs_steps: 2, n_action_steps: 8 });
    expect(family.sampling.defaults).toMatchObject({ sampler: 'ddpm', steps: 100 });

    const io = golden(recorded);
    const dims = DIMS[recorded]!;
    const half = (key: string): Float32Array => io.get(key).slice(0, io.get(key).length / 2);
    const cond = half(input).slice(0, observed * dims.obs!);
    const history = [0, 1].map((t) => ({
      stamp_ns: t,
      values: { 'observation.state': undone('obs', cond.slice(t * dims.obs!, (t + 1) * dims.obs!)) },
    }));
    const inputs = family.network.condition(history, undefined, 1) as Record<string, Float32Array>;
    const given = { ...inputs };
    // The UNet was recorded with observations at every position, which its policy fills with zeros after the newest.
    if (input === 'local_cond') {
      expect(relativeError(inputs.local_cond!.slice(0, cond.length), cond)).toBeLessThan(1e-5);
      expect(inputs.local_cond!.slice(cond.length).every((v) => v === 0)).toBe(true);
      given.local_cond = half('local_cond');
    }
    const table = family.sampling.plan('ddpm', 100).table!;
    const single = { ...table, rows: [table.rows[0]!], levels: [io.get('t')[0]!] };
    const { F } = await runGraph(family.network.graph(1), 1, {
      x: half('x'),
      ...family.network.schedule(single.levels),
      ...given,
    });
    expect(relativeError(F!, half('out'))).toBeLessThan(1e-4);
  });

  test('dp_bert.ckpt: time as a token, observations painted into the trajectory', async () => {
    const out = join(dir, 'policy');
    writeCheckpoint(out, convert(checkpoint('dp_bert', 'dp_bert')));
    const family = openFamily(out) as DenoiserFamily;
    const obs = vector('dp_bert/obs', 10);
    const history = [0, 1].map((t) => ({
      stamp_ns: t,
      values: { 'observation.state': undone('obs', obs.slice(t * 5, (t + 1) * 5)) },
    }));
    const table = family.sampling.plan('ddpm', 100).table!;
    const single = { ...table, rows: [table.rows[0]!], levels: [37] };
    const { F } = await runGraph(family.network.graph(1), 1, {
      x: vector('dp_bert/start', 64),
      ...family.network.schedule(single.levels),
      ...family.network.condition(history, undefined, 1),
    });
    expect(relativeError(F!, golden('dp_bert').get('out'))).toBeLessThan(1e-4);
  });

  const map = (of: object): Map<string, never> =>
    new Map(
      Object.entries(of).map(([key, value]) => [
        key,
        (typeof value === 'object' && value !== null && !Array.isArray(value) ? map(value) : value) as never,
      ]),
    );

  /** The encoder of an image policy of one camera, 84 × 84, as it is converted. */
  function encoderOf(obs_encoder: object): unknown {
    return configOf({ obs_encoder }).obs_encoder;
  }

  function configOf(given: object, scheduler: object = {}, beside: object = {}): Record<string, unknown> {
    const policy = {
      ...{ _target_: 'p.DiffusionUnetImagePolicy', horizon: 16, n_action_steps: 8, n_obs_steps: 2 },
      ...{ down_dims: [64], kernel_size: 5, n_groups: 8, diffusion_step_embed_dim: 128 },
      shape_meta: { obs: { top: { shape: [3, 84, 84], type: 'rgb' } }, action: { shape: [2] } },
      noise_scheduler: {
        _target_: 's.DDPMScheduler',
        num_train_timesteps: 100,
        beta_start: 1e-4,
        beta_end: 0.02,
        ...scheduler,
      },
      ...given,
    };
    const root = map({ cfg: { policy, ...beside }, state_dicts: {} });
    const tensors = new Map([['state_dicts.ema_model.x', {} as never]]);
    return convertDp({ path: 'latest.ckpt', root, tensors } as never).config;
  }

  /** A transformer of horizon 8 on two observations, as it is converted. */
  function transformerOf(obs_as_cond: boolean | undefined, model: object): Record<string, unknown> {
    const noise_scheduler = {
      _target_: 's.DDIMScheduler',
      ...{ num_train_timesteps: 100, beta_start: 1e-4, beta_end: 0.02, prediction_type: 'v_prediction' },
    };
    const policy = {
      ...{ _target_: 'p.DiffusionTransformerLowdimPolicy', horizon: 8, n_action_steps: 4, n_obs_steps: 2 },
      ...{
        obs_dim: 5,
        action_dim: 3,
        noise_scheduler,
        ...(obs_as_cond === undefined ? {} : { obs_as_cond }),
      },
      model: { horizon: 8, n_layer: 2, n_head: 4, n_emb: 32, ...model },
    };
    const root = map({ cfg: { policy }, state_dicts: {} });
    const tensors = new Map([['state_dicts.ema_model.x', {} as never]]);
    return convertDp({ path: 'latest.ckpt', root, tensors } as never).config;
  }

  test('a transformer paints unless told to condition, with room for as many observations as its table has', () => {
    expect(transformerOf(true, { n_obs_steps: 2, causal_attn: true })).toMatchObject({
      obs_as: 'cond',
      network: { causal_attn: true, time_as_cond: true, n_cond_layers: 0 },
      prediction_type: 'v_prediction',
    });
    expect(transformerOf(true, { n_obs_steps: 2 }).network).not.toHaveProperty('cond_positions');
    expect(transformerOf(true, { n_obs_steps: null }).network).toMatchObject({ cond_positions: 8 });
    expect(transformerOf(true, {}).network).toMatchObject({ cond_positions: 8 });
    // The peer's own default.
    for (const obs_as_cond of [undefined, false])
      expect(transformerOf(obs_as_cond, { time_as_cond: false })).toMatchObject({
        obs_as: 'inpainting',
        network: { causal_attn: false, time_as_cond: false },
      });
  });

  test('an image policy crops only at random, and resizes all cameras or each by its name', () => {
    const crop_shape = [76, 76];
    expect(encoderOf({ crop_shape })).toMatchObject({ crop_shape });
    expect(encoderOf({ crop_shape, random_crop: true })).toMatchObject({ crop_shape });
    expect(encoderOf({ crop_shape, random_crop: false })).toMatchObject({ crop_shape: null });
    expect(encoderOf({ crop_shape, resize_shape: [84, 96] })).toMatchObject({ resize_shape: [84, 96] });
    const each = encoderOf({ resize_shape: { top: [96, 96] } });
    expect(each).toMatchObject({ resize_shape: { 'observation.images.top': [96, 96] } });
  });

  test('DDPM’s variances are those that diffusers can sample with', () => {
    const variance = (variance_type: string): unknown =>
      configOf({ obs_encoder: {} }, { variance_type }).variance_type;
    for (const name of ['fixed_small', 'fixed_small_log', 'fixed_large']) expect(variance(name)).toBe(name);
    for (const name of ['fixed_large_log', 'learned', 'learned_range'])
      expect(() => variance(name)).toThrow(/noise_scheduler\.variance_type/);
  });

  test('numbers that a configuration makes of others are read, and nothing is evaluated', () => {
    const steps = (n_action_steps: unknown, more: object = {}): unknown =>
      configOf({ obs_encoder: {}, n_action_steps }, {}, more).n_action_steps;
    // omegaconf's way to name another value.
    const at = (name: string): string => ['$', '{', name, '}'].join('');
    const sum = (text: string): string => at(`eval:'${text}'`);
    expect(steps(sum(`${at('n')}+${at('latency')}`), { n: 8, latency: 2 })).toBe(10);
    expect(steps(at('task.n'), { task: { n: at('n') }, n: 6 })).toBe(6);
    expect(steps(sum(`2*(${at('n')}-1)//3`), { n: 8 })).toBe(4);
    for (const wrong of [sum('process.exit(1)'), sum(`${at('n')}+`), sum('1//0'), at('n'), sum('((((((')])
      expect(() => steps(wrong)).toThrow(/n_action_steps/);
    expect(() => steps(at('a'), { a: at('b'), b: at('a') })).toThrow(/refers to itself/);
  });
});

describe('the original ACT', () => {
  test('policy_best.ckpt with dataset_stats.pkl computes what LeRobot’s ACT does', async () => {
    const file = join(dir, 'policy_best.ckpt');
    writeTorchZip(file, 'act', (name) => weight(name, SHAPES.get(name)!));
    copyFileSync(imported('dataset_stats.pkl'), join(dir, 'dataset_stats.pkl'));
    expect(() => convert(file)).toThrow(/--cameras/);
    const out = join(dir, 'policy');
    const cli = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
    const said = execFileSync(process.execPath, [
      cli,
      'import',
      file,
      out,
      '--cameras',
      'top=480x640',
      '--fps',
      '50',
    ]);
    expect(String(said)).toContain('original ACT');

    const family = openFamily(out) as DenoiserFamily;
    expect(family.spec).toMatchObject({ family: 'act', horizon: 100, n_action_steps: 100, rate_hz: 50 });
    const qpos = (part: string, scale: number, base: number): Float32Array =>
      vector(`qpos_${part}`, 14).map((v) => base + scale * v);
    const [mean, std] = [qpos('mean', 0.5, 0), qpos('std', 0.2, 0.5)];
    const state = vector('camera_act/state', 14).map((v, i) => v * std[i]! + mean[i]!);
    // LeRobot's case has plain images, the original's are normalised by ImageNet's statistics: undo them.
    const observation = {
      stamp_ns: 0,
      values: { 'observation.state': state },
      images: {
        'observation.images.top': {
          width: 640,
          height: 480,
          channels: 3 as const,
          data: image('camera_act/observation.images.top/0', 480, 640),
        },
      },
    };
    const inputs = family.network.condition([observation], undefined, 1) as Record<
      string,
      Float32Array | FrameInput
    >;
    const frame = inputs['observation.images.top'] as FrameInput;
    const red = (byte: number): number => (byte / 255 - 0.485) / 0.229;
    expect(frame.values[0]).toBeCloseTo(red(0), 5);
    expect(frame.values[255]).toBeCloseTo(red(255), 5);
    for (let i = 0; i < 768; i++) frame.values[i] = (i % 256) / 255;
    const x = new Float32Array(100 * 14);
    const { F } = await runGraph(family.network.graph(1), 1, { x, ...inputs });
    expect(relativeError(F!, golden('camera_act').get('actions'))).toBeLessThan(1e-4);
    const action = new Float32Array(14);
    family.codec.decode(action, observation);
    expect(
      relativeError(
        action,
        vector('action_mean', 14).map((v) => 0.5 * v),
      ),
    ).toBeLessThan(1e-6);
  });
});

test('a file of nothing known is refused by what it holds, and leaves nothing behind', () => {
  const out = join(dir, 'policy');
  const file = fileURLToPath(new URL('./torch_zip/state.pt', import.meta.url));
  expect(() => convert(file)).toThrow(expect.objectContaining({ code: 'unsupported' }));
  expect(existsSync(out)).toBe(false);
});
