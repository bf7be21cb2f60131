// robomimic's .pth files through `tendon import` and loadPolicy, against the actions of its own RolloutPolicy: every draw it
// made is handed in (test/golden/make/robomimic_policies.py).

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { convert, writeCheckpoint } from '../../src/policies/convert/index.js';
import { convertRobomimic } from '../../src/policies/convert/robomimic.js';
import { loadPolicy } from '../../src/policies/index.js';
import type { PolicySpec } from '../../src/types/index.js';
import { openTorch, type TorchFile } from '../../src/weights/index.js';
import { type Golden, golden, relativeError } from './golden.js';
import { image, shapesOf, weight } from './hashed.js';
import { writeTorchZip } from './torch-zip.js';

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'tendon-robomimic-'));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

function saved(name: string): string {
  const shapes = shapesOf(name);
  const file = join(dir, 'model.pth');
  writeTorchZip(file, name, (tensor) => weight(tensor, shapes.get(tensor)!));
  return file;
}

/** The window of a step, oldest first. */
function windowOf(
  name: string,
  io: Golden,
  { n_obs_steps, observation_dims, image_shapes }: PolicySpec,
  step: number,
) {
  return Array.from({ length: n_obs_steps }, (_, i) => ({
    stamp_ns: i,
    values: Object.fromEntries(
      Object.entries(observation_dims).map(([key, n]) => {
        const all = io.get(`${step}.${key.replace('observation.', '')}`);
        return [key, all.slice(i * n, (i + 1) * n)];
      }),
    ),
    images: Object.fromEntries(
      Object.entries(image_shapes).map(([key, [, height, width]]) => [
        key,
        {
          ...{ height, width, channels: 3 as const },
          data: image(`${name}/${key.replace('observation.images.', '')}/${step}/${i}`, height, width),
        },
      ]),
    ),
  }));
}

/** The draws that the peer made, as the network takes them: the action's, and for a mixture which mode was picked. */
function noiseOf(io: Golden, step: number, rows: number, A: number): Float32Array {
  const noise = new Float32Array(rows * A).fill(-4);
  if (!io.has(`${step}.normal`)) return noise;
  const drawn = io.get(`${step}.normal`);
  if (!io.has(`${step}.pick`)) noise.set(drawn.slice(0, A));
  else {
    const pick = io.get(`${step}.pick`)[0]!;
    noise.set(drawn.slice(pick * A, (pick + 1) * A));
    // No other mode can be drawn with these.
    noise[A + pick] = 5;
  }
  return noise;
}

const ROWS: Record<string, number> = { rm_gmm: 3, rm_rnn_gmm: 15, rm_gru: 4, rm_transformer: 3 };

describe('robomimic', () => {
  test.each([
    ['rm_bc', 1],
    ['rm_gaussian', 1],
    ['rm_gmm', 1],
    ['rm_rnn_gmm', 5],
    ['rm_gru', 3],
    ['rm_transformer', 1],
    ['rm_transformer_future', 1],
  ] as const)('%s: the actions of %i steps', async (name, steps) => {
    const io = golden(name);
    const converted = convert(saved(name));
    expect(converted.config).toMatchObject({ type: 'robomimic', fps: 20 });
    writeCheckpoint(join(dir, 'policy'), converted);
    const policy = await loadPolicy(join(dir, 'policy'), { compute: { precision: 'f32' } });
    const { spec } = policy;
    expect(spec).toMatchObject({ horizon: 1, n_action_steps: 1, action_dim: 3, rate_hz: 20 });
    let state: unknown;
    for (let step = 0; step < steps; step++) {
      const noise = noiseOf(io, step, ROWS[name] ?? 1, 3);
      const chunk = await policy.infer(windowOf(name, io, spec, step), { noise, state: state as never });
      state = chunk.state;
      expect(relativeError(chunk.actions, io.get(`${step}.action`)), `step ${step}`).toBeLessThan(1e-4);
    }
    policy.close();
  });

  test('an RNN whose state is not handed back begins anew at every observation, and reset forgets it', async () => {
    writeCheckpoint(join(dir, 'policy'), convert(saved('rm_gru')));
    const policy = await loadPolicy(join(dir, 'policy'), { compute: { precision: 'f32' } });
    const io = golden('rm_gru');
    const [first] = windowOf('rm_gru', io, policy.spec, 0);
    const [second] = windowOf('rm_gru', io, policy.spec, 1);
    const alone = await policy.infer([second!], { state: undefined });
    policy.reset(0);
    await policy.infer(first!);
    const after = await policy.infer(second!);
    expect(relativeError(after.actions, io.get('1.action'))).toBeLessThan(1e-4);
    expect(relativeError(alone.actions, after.actions)).toBeGreaterThan(1e-3);
    policy.reset(0);
    expect((await policy.infer(second!)).actions).toEqual(alone.actions);
    policy.close();
  });

  /** The recorded file with other values in its configuration, by dotted paths. */
  function changed(name: string, values: Readonly<Record<string, unknown>>, algo?: string): TorchFile {
    const file = openTorch(saved(name));
    const root = new Map(file.root as Map<string, never>);
    const config = JSON.parse(String(root.get('config'))) as Record<string, unknown>;
    for (const [path, value] of Object.entries(values)) {
      const parts = path.split('.');
      const last = parts.pop()!;
      const section = parts.reduce((at, part) => at[part] as Record<string, unknown>, config);
      section[last] = value;
    }
    root.set('config', JSON.stringify(config) as never);
    if (algo !== undefined) root.set('algo_name', algo as never);
    return { ...file, root } as TorchFile;
  }

  test.each([
    ['BC-VAE', { 'algo.vae.enabled': true }],
    ['open_loop', { 'algo.rnn.enabled': true, 'algo.rnn.open_loop': true }],
    ['bidirectional', { 'algo.rnn.enabled': true, 'algo.rnn.kwargs.bidirectional': true }],
    ['depth', { 'observation.modalities.obs.depth': ['object'] }],
    ['goals', { 'observation.modalities.goal.low_dim': ['object'] }],
  ] as const)('%s is refused by name', (what, values) => {
    expect(() => convertRobomimic(changed('rm_bc', values))).toThrow(new RegExp(what));
  });

  test('algorithms other than bc and diffusion_policy are refused by name', () => {
    expect(() => convertRobomimic(changed('rm_bc', {}, 'iql'))).toThrow(/"iql"/);
  });
});
