// Every key list recorded from the peers opens: no tensor is missing, none is left over, every shape is what the config
// says. The files are of the right size and hold only holes, so that 1 GB takes no disk.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { writeHoles } from '../../bench/weights.js';
import { openFamily } from '../../src/policies/load.js';
import { keys } from './hashed.js';

/** Statistics among the weights, as LeRobot ≤ 0.3.3 kept them. */
function statistics(config: Record<string, unknown>): [string, number[]][] {
  const action = (config.output_features as Record<string, { shape: number[] }>).action!.shape;
  return ['mean', 'std', 'min', 'max'].flatMap((stat): [string, number[]][] => [
    [`unnormalize_outputs.buffer_action.${stat}`, action],
    ...Object.entries(config.input_features as Record<string, { type: string; shape: number[] }>).map(
      ([key, { type, shape }]): [string, number[]] => [
        `normalize_inputs.buffer_${key.replaceAll('.', '_')}.${stat}`,
        type === 'VISUAL' ? [shape[0]!, 1, 1] : shape,
      ],
    ),
  ]);
}

test.each([
  ['act_default_aloha', 'act', 14, 'model.action_head.weight'],
  ['diffusion_img_legacy_gn', 'diffusion', 2, 'diffusion.unet.diffusion_step_encoder.1.weight'],
  ['diffusion_img_v06_bn_2cam', 'diffusion', 6, 'diffusion.rgb_encoder.1.out.weight'],
  ['diffusion_pusht_full', 'diffusion', 2, 'diffusion.unet.diffusion_step_encoder.1.weight'],
  ['vqbet_small', 'vqbet', 3, 'vqbet.policy.transformer.wte.weight'],
  ['tdmpc2_5M_default', 'tdmpc2', 6, '_reward.0.weight'],
])('%s opens as %s', (list, type, action_dim, name) => {
  const { shapes, config } = keys(list);
  const dir = mkdtempSync(join(tmpdir(), 'tendon-keys-'));
  try {
    const lerobot = 'input_features' in config;
    writeFileSync(join(dir, 'config.json'), JSON.stringify(lerobot ? { ...config, type } : config));
    const all = new Map([...shapes, ...(lerobot ? statistics(config) : [])]);
    writeHoles(join(dir, 'model.safetensors'), all);
    const { spec } = openFamily(dir);
    expect(spec.family).toBe(type);
    expect(spec.action_dim).toBe(action_dim);
    // One tensor more, one of another shape, one less: each is refused.
    const shape = shapes.get(name)!;
    const without = new Map(all);
    without.delete(name);
    for (const wrong of [
      new Map([...all, ['model.extra.weight', [3]]]) as Map<string, readonly number[]>,
      new Map([...all, [name, [...shape.slice(0, -1), shape.at(-1)! + 1]]]) as Map<string, readonly number[]>,
      without,
    ]) {
      writeHoles(join(dir, 'model.safetensors'), wrong);
      expect(() => openFamily(dir)).toThrow(
        expect.objectContaining({ code: expect.stringMatching(/^(weights_mismatch|graph_invalid)$/) }),
      );
    }
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
});
