// openpi's converted folders: the recorded π0 and π0.5 as openpi's converter writes them, against the same weights in LeRobot's folder,
// which is held to LeRobot's own class. Pictures of the tower's size, since the two resize differently; PIL's resize is held to PIL.

import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { loadPolicy, openFamily } from '../../src/policies/index.js';
import { sizedLikePil } from '../../src/policies/vla/pictures.js';
import type { Image } from '../../src/types/index.js';
import { golden, relativeError } from './golden.js';
import { openpiFolder, taskOf } from './vla-folder.js';

type Json = Record<string, unknown>;

const picture = (seed: number): Image => ({
  ...{ width: 56, height: 56, channels: 3 },
  data: Uint8Array.from({ length: 56 * 56 * 3 }, (_, i) => (i * 31 + seed * 97 + (i >> 5)) & 255),
});

describe.each(['pi0', 'pi05'] as const)('%s', (kind) => {
  const io = golden(`${kind}_tiny`);
  const state = io.get('raw.observation.state');

  it('gives the chunk of the same weights in LeRobot’s folder', async () => {
    const lerobot = await loadPolicy(io.dir, { compute: { precision: 'f32', threads: 1 } });
    const cameras = Object.keys(lerobot.spec.image_shapes);
    const task = taskOf(io).trim();
    const want = await lerobot.infer(
      {
        stamp_ns: 0,
        values: { 'observation.state': state },
        images: { [cameras[0]!]: picture(1), [cameras[1]!]: picture(2) },
      },
      // LeRobot's π0 takes the task untouched.
      { task: kind === 'pi0' ? task.replaceAll('_', ' ') : task, noise: io.get('noise') },
    );
    const policy = await loadPolicy(openpiFolder(io), { compute: { precision: 'f32', threads: 1 } });
    expect(policy.spec).toMatchObject({ family: kind, horizon: 10, n_action_steps: 10, action_dim: 6 });
    const chunk = await policy.infer(
      {
        stamp_ns: 0,
        values: { state },
        images: { 'images.base_0_rgb': picture(1), 'images.left_wrist_0_rgb': picture(2) },
      },
      { task, noise: io.get('noise') },
    );
    // 1e-6 beside a deviation instead of 1e-8.
    expect(relativeError(chunk.actions, want.actions)).toBeLessThan(1e-4);
  });
});

it('π0.5 without the state in its prompt, as pi05_libero', async () => {
  const io = golden('pi05_tiny');
  const dir = openpiFolder(io, { discrete_state_input: false });
  const policy = await loadPolicy(dir, { compute: { precision: 'f32', threads: 1 } });
  const chunk = async (value: number) =>
    (
      await policy.infer(
        {
          stamp_ns: 0,
          values: { state: new Float32Array(5).fill(value) },
          images: { 'images.base_0_rgb': picture(1) },
        },
        { task: 'lift', noise: io.get('noise') },
      )
    ).actions;
  expect(await chunk(0)).toEqual(await chunk(0.7));
});

it('robots of openpi have their clients’ names; deltas are from the state, in the policy’s joints', () => {
  const io = golden('pi0_tiny');
  const wide = (stats: Json): Json =>
    Object.fromEntries(
      Object.keys(stats).map((key) => [key, { mean: Array(32).fill(0), std: Array(32).fill(1) }]),
    );
  const libero = openFamily(openpiFolder(io, { robot: 'libero', delta: true }, wide));
  if (!('network' in libero)) throw new Error('no denoiser');
  expect(libero.spec.observation_dims).toEqual({ 'observation.state': 8 });
  expect(Object.keys(libero.spec.image_shapes)).toEqual(['observation.image', 'observation.wrist_image']);
  const rows = new Float32Array(14).fill(0.5);
  const state8 = Float32Array.from([1, 2, 3, 4, 5, 6, 7, 8]);
  libero.codec.decode(rows, { stamp_ns: 0, values: { 'observation.state': state8 } });
  // Six joints are differences, the gripper is not.
  for (const [j, want] of [1.5, 2.5, 3.5, 4.5, 5.5, 6.5, 0.5].entries())
    expect(rows[7 + j]).toBeCloseTo(want, 5);
  const droid = openFamily(openpiFolder(io, { robot: 'droid' }, wide));
  expect(droid.spec.observation_dims).toEqual({
    'observation.joint_position': 7,
    'observation.gripper_position': 1,
  });
  const aloha = openFamily(openpiFolder(io, { robot: 'aloha' }, wide));
  if (!('network' in aloha)) throw new Error('no denoiser');
  const actions = new Float32Array(14).fill(0.5);
  aloha.codec.decode(actions, { stamp_ns: 0, values: { state: new Float32Array(14).fill(0.25) } });
  // Joint 0: 0.5 + 0.25. Joint 1 turns the other way: −(0.5 − 0.25). The gripper is absolute, and an angle.
  expect(actions[0]).toBeCloseTo(0.75, 5);
  expect(actions[1]).toBeCloseTo(-0.25, 5);
  expect(actions[6]).toBeCloseTo((0.5 + 0.5476 + 0.6213) / 2.1123, 5);
});

it('what is missing is said', () => {
  const io = golden('pi0_tiny');
  const dir = openpiFolder(io);
  mkdirSync(join(dir, 'assets', 'other'));
  writeFileSync(join(dir, 'assets', 'other', 'norm_stats.json'), '{"norm_stats":{}}');
  expect(() => openFamily(dir)).toThrow(/statistics of other, physical\/robot.*--dataset other/);
  expect(() => openFamily(dir, { dataset: 'other' })).toThrow(/statistics of state and actions/);
  openFamily(dir, { dataset: 'physical/robot' });
  rmSync(join(dir, 'assets'), { recursive: true });
  expect(() => openFamily(dir)).toThrow(/assets\/<asset>\/norm_stats\.json.*copy the assets folder/);
  expect(() => openFamily(openpiFolder(io, { delta: true }))).toThrow(/known for aloha and libero/);
});

it('pictures are sized as PIL sizes them (openpi’s client), byte for byte', () => {
  const cases = JSON.parse(readFileSync(new URL('./pil_bilinear.json', import.meta.url), 'utf8')) as {
    height: number;
    width: number;
    size: number;
    rows: number;
    columns: number;
    data: number[];
    sized: number[];
  }[];
  for (const { height, width, size, rows, columns, data, sized } of cases) {
    const image = sizedLikePil({ width, height, channels: 3, data: Uint8Array.from(data) }, size);
    expect([image.height, image.width]).toEqual([rows, columns]);
    expect([...image.data]).toEqual(sized);
  }
});
