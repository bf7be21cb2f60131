// `tendon import` and loadPolicy on files that the peers' own classes saved, against the chunks that those classes gave
// (test/golden/make says how each was made).

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { convert, writeCheckpoint } from '../../src/policies/convert/index.js';
import { loadPolicy } from '../../src/policies/index.js';
import { golden, relativeError } from './golden.js';
import { image, shapesOf, weight } from './hashed.js';
import { imported, writeTorchZip } from './torch-zip.js';

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'tendon-peers-'));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

/** The file as the peer saved it, its numbers hashed. */
function saved(name: string): string {
  const shapes = shapesOf(name);
  const file = join(dir, `${name}.ckpt`);
  writeTorchZip(file, name, (tensor) => weight(tensor, shapes.get(tensor)!));
  return file;
}

const frame = (name: string, height: number, width: number) => ({
  height,
  width,
  channels: 3 as const,
  data: image(name, height, width),
});

describe('act-plus-plus', () => {
  const cameras = { high: [64, 96], wrist: [64, 96] } as const;
  const stats = imported('actpp_stats.pkl');

  test('a ResNet for each camera: the chunk of the peer’s own DETRVAE', async () => {
    const io = golden('actpp_2cam');
    const converted = convert(saved('actpp_2cam'), { cameras, stats });
    expect(converted.found).toBe('act-plus-plus');
    expect(converted.dropped.flatMap(({ names }) => names)).toContain('model.is_pad_head.weight');
    writeCheckpoint(join(dir, 'policy'), converted);
    const policy = await loadPolicy(join(dir, 'policy'), { compute: { precision: 'f32' } });
    const chunk = await policy.infer({
      stamp_ns: 0,
      values: { 'observation.state': io.get('qpos') },
      images: {
        'observation.images.high': frame('actpp/high', 64, 96),
        'observation.images.wrist': frame('actpp/wrist', 64, 96),
      },
    });
    expect(chunk.action_dim).toBe(16);
    expect(relativeError(chunk.actions, io.get('actions'))).toBeLessThan(1e-4);
    policy.close();
  });

  test('as many cameras as there are backbones, no more and no fewer', () => {
    const file = saved('actpp_2cam');
    for (const wrong of [{ high: [64, 96] }, { ...cameras, low: [64, 96] }] as const)
      expect(() => convert(file, { cameras: wrong as never, stats })).toThrow(/2 backbones/);
    expect(() => convert(file, { stats })).toThrow(/name its 2/);
  });
});

describe('diffusion_policy with cameras', () => {
  const WH: Record<string, Record<string, readonly [number, number]>> = {
    dp_hybrid_2cam: { wrist: [72, 88], front: [72, 88] },
    dp_hybrid_painted: { front: [66, 77] },
    dp_hybrid_transformer: { front: [64, 64], side: [64, 64] },
    dp_hybrid_bert: { front: [80, 80] },
    dp_image_resized: { a: [64, 64], b: [72, 60] },
  };
  const dims = (name: string, key: string): number => golden(name).shape(key)[2]!;

  test.each(Object.keys(WH))('%s: the chunk of the peer’s own class', async (name) => {
    const io = golden(name);
    const converted = convert(saved(name));
    writeCheckpoint(join(dir, 'policy'), converted);
    const policy = await loadPolicy(join(dir, 'policy'), { compute: { precision: 'f32' } });
    expect(policy.spec).toMatchObject({ n_obs_steps: 2, n_action_steps: 4, action_dim: 3 });
    const values = ['pos', 'grip'].filter((key) => io.has(key));
    const history = [0, 1].map((t) => ({
      stamp_ns: t,
      values: Object.fromEntries(
        values.map((key) => {
          const n = dims(name, key);
          return [`observation.${key}`, io.get(key).slice(t * n, (t + 1) * n)];
        }),
      ),
      images: Object.fromEntries(
        Object.entries(WH[name]!).map(([key, [h, w]]) => [
          `observation.images.${key}`,
          frame(`${name}/${key}/${t}`, h, w),
        ]),
      ),
    }));
    const chunk = await policy.infer(history, { noise: io.get('noise') });
    // Row 0 lies before the newest observation.
    expect(relativeError(chunk.actions, io.get('actions').slice(3))).toBeLessThan(1e-4);
    policy.close();
  });
});

describe('UMI', () => {
  const WH: Record<string, readonly [keys: readonly string[], dims: Record<string, number>]> = {
    umi_vit: [['camera0_rgb'], { robot0_eef_pos: 3, robot0_gripper_width: 1 }],
    umi_resnet: [['camera0_rgb', 'camera1_rgb'], { robot0_eef_pos: 3 }],
    umi_resnet_soft: [['camera0_rgb'], { robot0_eef_pos: 3 }],
  };

  test.each(Object.keys(WH))(
    '%s: the chunk of the peer’s own policy, whose first row is now',
    async (name) => {
      const [cameras, dims] = WH[name]!;
      const io = golden(name);
      const converted = convert(saved(name));
      expect(converted.found).toBe('UMI DiffusionUnetTimmPolicy');
      writeCheckpoint(join(dir, 'policy'), converted);
      const policy = await loadPolicy(join(dir, 'policy'), { compute: { precision: 'f32' } });
      expect(policy.spec).toMatchObject({ n_obs_steps: 2, n_action_steps: 6, horizon: 8, action_dim: 4 });
      expect(policy.spec.observation_dims).not.toHaveProperty('observation.start');
      const history = [0, 1].map((t) => ({
        stamp_ns: t,
        values: Object.fromEntries(
          Object.entries(dims).map(([key, n]) => [
            `observation.${key}`,
            io.get(key).slice(t * n, (t + 1) * n),
          ]),
        ),
        images: Object.fromEntries(
          cameras.map((key) => [`observation.images.${key}`, frame(`${name}/${key}/${t}`, 64, 64)]),
        ),
      }));
      const chunk = await policy.infer(history, { noise: io.get('noise') });
      expect(relativeError(chunk.actions, io.get('actions'))).toBeLessThan(1e-4);
      policy.close();
    },
  );
});
