// The vision transformer block against transformers' own CLIPVisionModel and SiglipVisionModel (make/vit.py).

import { expect, test } from 'vitest';
import { GraphBuilder } from '../../src/native/index.js';
import { type Vit, vit } from '../../src/networks/index.js';
import { Tensors } from '../../src/policies/tensors.js';
import { openSafetensors } from '../../src/weights/index.js';
import { golden, relativeError, runGraph } from './golden.js';
import { image, shapesOf, withHashed } from './hashed.js';

const SIZE = {
  prefix: '',
  naming: 'transformers',
  width: 64,
  depth: 2,
  heads: 4,
  patch: 12,
  mlp: 96,
  class_token: false,
  pre_norm: false,
  patch_bias: true,
} as const;
const CASES: Record<string, Vit> = {
  vit_clip: {
    ...{ ...SIZE, class_token: true, pre_norm: true, patch_bias: false },
    ...{ eps: 1e-5, activation: 'quick_gelu', final_norm: 'class' },
  },
  vit_siglip: { ...SIZE, eps: 1e-6, activation: 'gelu_tanh', final_norm: 'all' },
};

test.each(Object.keys(CASES))('%s', async (name) => {
  await withHashed({ shapes: shapesOf(name), config: {} }, {}, async (dir) => {
    const tensors = new Tensors(openSafetensors(`${dir}/model.safetensors`), name);
    const g = new GraphBuilder();
    const x = g.input('x', [2, 48, 48, 3], 'step');
    g.output('out', vit(g, tensors, CASES[name]!, x));
    tensors.finish();
    const frames = [0, 1].flatMap((i) => [...image(`vit/${i}`, 48, 48)].map((byte) => byte / 255));
    const { out } = await runGraph(g, 1, { x: Float32Array.from(frames) });
    expect(relativeError(out!, golden(name).get('out'))).toBeLessThan(1e-4);
  });
});
