// An import drops no tensor without a word: each is taken, or known to be of no use when the policy runs, or an error.

import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { convertAct } from '../../src/policies/convert/act.js';
import { convertDp } from '../../src/policies/convert/dp.js';
import { Intake } from '../../src/policies/convert/intake.js';
import type { WeightFile } from '../../src/weights/index.js';
import { shapesOf } from '../golden/hashed.js';

const stats = fileURLToPath(new URL('../golden/imports/actpp_stats.pkl', import.meta.url));

/** A file whose tensors lie one after the other; those of `shared` lie where the tensor they name does. */
function fileOf(
  shapes: Iterable<readonly [string, readonly number[]]>,
  shared: Readonly<Record<string, string>> = {},
): WeightFile {
  const tensors = new Map<string, never>();
  let offset = 0;
  for (const [name, shape] of shapes) {
    const ref = { name, shape, dtype: 'F32', file: 'x.ckpt', offset };
    tensors.set(name, ref as never);
    offset += 4 * shape.reduce((n, d) => n * d, 1);
  }
  for (const [name, of] of Object.entries(shared))
    tensors.set(name, { ...(tensors.get(of)! as object), name } as never);
  return { path: 'x.ckpt', tensors, metadata: {} };
}

describe('an intake', () => {
  const file = fileOf([
    ['a.w', [2]],
    ['a.b', [2]],
    ['extra', [3]],
  ]);

  test('names what it has no place for', () => {
    const intake = new Intake(file, 'a net');
    intake.take(/^a\./, 'model.');
    expect(() => intake.finish()).toThrow(/1 of its 3 tensors have no place in a net.*extra/);
    intake.drop(/^extra$/, 'a note');
    const { tensors, dropped } = intake.finish();
    expect(Object.keys(tensors)).toEqual(['model.w', 'model.b']);
    expect(dropped).toEqual([{ why: 'a note', names: ['extra'] }]);
  });

  test('takes no two tensors under one name', () => {
    const intake = new Intake(file, 'a net');
    expect(() => intake.take(/^a\.\w/, 'model.w')).toThrow(/two tensors would be model.w/);
  });

  test('drops a second name only where it has the same bytes', () => {
    const intake = new Intake(
      fileOf(
        [
          ['nets.w', [2]],
          ['copy.b', [2]],
        ],
        { 'copy.w': 'nets.w' },
      ),
      'a net',
    );
    intake.take(/^nets\./, '');
    intake.dropShared(/^copy\./);
    expect(() => intake.finish()).toThrow(/copy\.b/);
  });
});

describe('every importer refuses a tensor that it does not know', () => {
  const cameras = { high: [64, 96], wrist: [64, 96] } as const;
  const act = [...shapesOf('actpp_2cam')];

  test('ACT and act-plus-plus', () => {
    expect(convertAct(fileOf(act), { cameras, stats }).found).toBe('act-plus-plus');
    expect(() =>
      convertAct(fileOf([...act, ['model.input_proj_depth.weight', [3]]]), { cameras, stats }),
    ).toThrow(/model\.input_proj_depth\.weight/);
  });

  test('act-plus-plus trained with codes is refused by name', () => {
    const codes = act.map(([name, shape]): readonly [string, readonly number[]] =>
      name.startsWith('model.latent_proj.') ? [name, [32, ...shape.slice(1)]] : [name, shape],
    );
    expect(() => convertAct(fileOf(codes), { cameras, stats })).toThrow(/--use_vq/);
  });

  test('diffusion_policy', () => {
    const map = (of: object): Map<string, never> =>
      new Map(
        Object.entries(of).map(([key, value]) => [
          key,
          (typeof value === 'object' && !Array.isArray(value) ? map(value) : value) as never,
        ]),
      );
    const policy = {
      ...{ _target_: 'p.DiffusionUnetLowdimPolicy', horizon: 16, n_action_steps: 8, n_obs_steps: 2 },
      ...{ obs_dim: 5, action_dim: 3, obs_as_global_cond: true },
      noise_scheduler: {
        _target_: 's.DDPMScheduler',
        num_train_timesteps: 100,
        beta_start: 1e-4,
        beta_end: 0.02,
      },
      model: { down_dims: [64], kernel_size: 5, n_groups: 8, diffusion_step_embed_dim: 128 },
    };
    const converted = (names: string[], more: object = {}) => {
      const root = map({ cfg: { policy: { ...policy, ...more } }, state_dicts: {} });
      return convertDp({ ...fileOf(names.map((name) => [name, [1]] as const)), root } as never);
    };
    const { dropped, tensors } = converted([
      'state_dicts.ema_model.x',
      'state_dicts.model.x',
      'state_dicts.optimizer.state.0.step',
    ]);
    expect(Object.keys(tensors)).toEqual(['x']);
    expect(dropped.flatMap(({ names }) => names)).toHaveLength(2);
    expect(() => converted(['state_dicts.ema_model.x', 'state_dicts.discriminator.w'])).toThrow(
      /discriminator/,
    );
    // A UNet that predicts the executed rows alone: they are the whole horizon, from its first row on.
    const whole = converted(['state_dicts.ema_model.x']).config;
    expect(whole).toMatchObject({ horizon: 16, n_action_steps: 8 });
    expect(whole).not.toHaveProperty('first_row');
    const only = { pred_action_steps_only: true };
    expect(converted(['state_dicts.ema_model.x'], only).config).toMatchObject({
      ...{ horizon: 8, n_action_steps: 8, first_row: 0 },
    });
    // UMI's transformer: every place of the map is a token, and no key is ignored.
    const camera = { shape: [3, 32, 32], type: 'rgb', horizon: 2 };
    const umi = {
      ...{ _target_: 'p.DiffusionTransformerTimmPolicy', n_emb: 64, num_inference_steps: 4 },
      shape_meta: {
        obs: { camera0_rgb: camera, pos: { shape: [3], horizon: 1, ignore_by_policy: true } },
        action: { shape: [3], horizon: 16 },
      },
      obs_encoder: { model_name: 'resnet18', use_group_norm: true, pretrained: false },
    };
    expect(converted(['state_dicts.ema_model.x'], umi).config).toMatchObject({
      ...{ obs_as: 'cond', horizon: 16, first_row: 0 },
      network: { kind: 'action_transformer', n_layer: 7, n_head: 8, n_emb: 64 },
      obs_encoder: {
        aggregation: 'none',
        horizons: { 'observation.images.camera0_rgb': 2, 'observation.pos': 1 },
      },
    });
    const transformer = { ...only, _target_: 'p.DiffusionTransformerLowdimPolicy' };
    expect(() => converted(['state_dicts.ema_model.x'], transformer)).toThrow(/supported for UNets/);
  });
});
