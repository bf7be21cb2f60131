// The folders in which SmolVLA, π0 and π0.5 are found (docs of LeRobot's loaders, v0.3.3 to 0.6.1): each gives the chunk that the
// peer's own class gave, whatever its tensors are called and wherever its files lie.

import { cpSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { openFamily } from '../../src/policies/index.js';
import { openWeights, readTensor, writeSafetensors } from '../../src/weights/index.js';
import { golden } from './golden.js';
import { chunkError, emptyDir, type Layout, laidOut, taskOf } from './vla-folder.js';

const F32 = 2e-5;
const smolvla = golden('smolvla_tiny');
const pi0 = golden('pi0_tiny');
const pi05 = golden('pi05_tiny');

/** Names as transformers < 4.52 gave them. */
const before452 = (name: string): string =>
  name
    .replace('.paligemma.model.language_model.', '.paligemma.language_model.model.')
    .replace('.paligemma.model.', '.paligemma.')
    .replace('.paligemma.lm_head.', '.paligemma.language_model.lm_head.');

const oldPi0 = ({ num_inference_steps, image_resolution, chunk_size, ...rest }: Record<string, unknown>) => ({
  ...rest,
  num_steps: num_inference_steps,
  resize_imgs_with_padding: image_resolution,
  n_action_steps: chunk_size,
  proj_width: 48,
  attention_implementation: 'eager',
});

const LAYOUTS: readonly (readonly [string, typeof smolvla, Layout])[] = [
  ['smolvla: compiled when it was saved', smolvla, { names: (n) => n.replace('model.', 'model._orig_mod.') }],
  ['smolvla: without `model.`', smolvla, { names: (n) => n.replace('model.', '') }],
  ['smolvla ≤ 0.3.3: statistics among the weights', smolvla, { statistics: '' }],
  ['smolvla ≤ 0.3.3: statistics by a data set’s name', smolvla, { statistics: 'so100-red_' }],
  ['smolvla in three shards', smolvla, { shards: 3 }],
  ['smolvla: tokenizer in the folder itself', smolvla, { tokenizer: '' }],
  [
    'smolvla without lm_head and the last norm, which nothing reads',
    smolvla,
    { names: (n) => (/lm_head|text_model\.norm/.test(n) ? undefined : n) },
  ],
  [
    'smolvla with fields of the published base',
    smolvla,
    {
      config: (c) => ({
        ...c,
        ...{ prefix_length: 0, pad_language_to: 'max_length', num_expert_layers: 0, load_vlm_weights: true },
      }),
    },
  ],
  ['pi0: compiled when it was saved', pi0, { names: (n) => n.replace('model.', 'model._orig_mod.') }],
  ['pi0 without `model.` (openpi’s converter)', pi0, { names: (n) => n.replace(/^model\./, '') }],
  ['pi0: names before transformers 4.52', pi0, { names: before452 }],
  ['pi0 without the tower’s inner level', pi0, { names: (n) => n.replace('.vision_model.', '.') }],
  [
    'pi0: embed_tokens, and no lm_head',
    pi0,
    {
      names: (n) => n.replace('.paligemma.lm_head.', '.paligemma.model.language_model.embed_tokens.'),
    },
  ],
  [
    'pi0: time_mlp_* for action_time_mlp_*',
    pi0,
    { names: (n) => n.replace('.action_time_mlp_', '.time_mlp_') },
  ],
  ['pi0 in two shards', pi0, { shards: 2 }],
  ['pi05 without `model.`, compiled', pi05, { names: (n) => n.replace(/^model\./, '_orig_mod.') }],
  ['pi05: names before transformers 4.52', pi05, { names: before452 }],
  [
    'pi05: action_time_mlp_* for time_mlp_*',
    pi05,
    { names: (n) => n.replace('.time_mlp_', '.action_time_mlp_') },
  ],
  [
    'pi05 with π0’s state_proj, which it does not have',
    pi05,
    { more: { 'model.state_proj.weight': { shape: [48, 32], values: new Float32Array(48 * 32) } } },
  ],
  [
    'pi05: the step’s length of text stands before the config’s',
    pi05,
    { config: (c) => ({ ...c, tokenizer_max_length: 8 }) },
  ],
];

describe('folders', () => {
  it.each(LAYOUTS)('%s', async (_, io, layout) => {
    expect(await chunkError(io, laidOut(io, layout))).toBeLessThan(F32);
  });

  it.each([
    ['f16', 'F16', 2e-2],
    ['bf16', 'BF16', 2e-2],
  ] as const)('numbers in %s, and mixed', async (_, dtype, bar) => {
    // Rounding the weights changes the chunk by what rounding does; the same numbers in f32 must give the same chunk.
    for (const io of [smolvla, pi0, pi05]) {
      const half = laidOut(io, { dtype: () => dtype });
      expect(await chunkError(io, half)).toBeLessThan(bar);
      const mixed = laidOut(io, { dtype: (name) => (/norm|embedding/.test(name) ? 'F32' : dtype) });
      expect(await chunkError(io, mixed)).toBeLessThan(bar);
    }
  });

  it('π0 of LeRobot 0.3: its config, its names, statistics among the weights, and pictures padded left and above', async () => {
    // Both pictures of the case are padded, so that LeRobot 0.6’s chunk must differ: only where they lie.
    const dir = laidOut(pi0, { names: before452, statistics: '', config: oldPi0 });
    const error = await chunkError(pi0, dir);
    expect(error).toBeGreaterThan(1e-3);
    const { spec } = openFamily(dir);
    expect([spec.horizon, spec.n_action_steps]).toEqual([10, 10]);
  });

  it('statistics of several data sets need a choice', async () => {
    const dir = laidOut(smolvla, { statistics: 'so100-red_' });
    const refs = openWeights(dir).tensors;
    const more = Object.fromEntries(
      [...refs]
        .filter(([name]) => name.includes('buffer_'))
        .map(([name, ref]) => [
          name.replace('so100-red_', 'so101_'),
          { shape: ref.shape, values: readTensor(ref).map((v) => v + 1) },
        ]),
    );
    const both = laidOut(smolvla, { statistics: 'so100-red_', more });
    await expect(chunkError(smolvla, both)).rejects.toThrow(/statistics of .*so100-red.*so101.*--dataset/s);
    expect(await chunkError(smolvla, both, { dataset: 'so100-red' })).toBeLessThan(F32);
    expect(await chunkError(smolvla, both, { dataset: 'so101' })).toBeGreaterThan(1e-2);
  });

  it('where the tokenizer may lie, and what is said when it is nowhere', async () => {
    const dir = laidOut(pi0, { tokenizer: undefined });
    await expect(chunkError(pi0, dir)).rejects.toThrow(
      /tokenizer\.json and tokenizer_config\.json of google\/paligemma-3b-pt-224 into .*tokenizer.*--tokenizer/s,
    );
    const elsewhere = emptyDir();
    cpSync(join(pi0.dir, 'tokenizer'), elsewhere, { recursive: true });
    expect(await chunkError(pi0, dir, { tokenizer: elsewhere })).toBeLessThan(F32);
    const hub = emptyDir();
    const model = join(hub, 'models--google--paligemma-3b-pt-224');
    mkdirSync(join(model, 'refs'), { recursive: true });
    writeFileSync(join(model, 'refs', 'main'), 'abc');
    cpSync(join(pi0.dir, 'tokenizer'), join(model, 'snapshots', 'abc'), { recursive: true });
    process.env.HF_HUB_CACHE = hub;
    try {
      expect(await chunkError(pi0, dir)).toBeLessThan(F32);
    } finally {
      delete process.env.HF_HUB_CACHE;
    }
  });

  it('a LoRA adapter beside its base, whose tensors have the names of another release', async () => {
    const base = laidOut(pi0, { names: (n) => n.replace(/^model\./, '').replace('.vision_model.', '.') });
    const dir = emptyDir();
    const target = 'model.paligemma_with_expert.gemma_expert.model.layers.0.self_attn.q_proj';
    const { shape } = openWeights(pi0.dir).tensors.get(`${target}.weight`)!;
    const [out, inner] = shape as [number, number];
    const lora = (which: 'A' | 'B', rows: number, columns: number, value: (i: number) => number) => ({
      [`base_model.model.${target}.lora_${which}.weight`]: {
        shape: [rows, columns],
        values: Float32Array.from({ length: rows * columns }, (_, i) => value(i)),
      },
    });
    const write = (size: number): void =>
      writeSafetensors(join(dir, 'adapter_model.safetensors'), {
        ...lora('A', 2, inner, (i) => Math.sin(i) * size),
        ...lora('B', out, 2, (i) => Math.cos(i) * size),
      });
    writeFileSync(
      join(dir, 'adapter_config.json'),
      JSON.stringify({ peft_type: 'LORA', base_model_name_or_path: base, r: 2, lora_alpha: 4 }),
    );
    write(0);
    expect(await chunkError(pi0, dir)).toBeLessThan(F32);
    write(0.3);
    const changed = await chunkError(pi0, dir);
    // The same sum by hand, in a folder of its own.
    const values = readTensor(openWeights(pi0.dir).tensors.get(`${target}.weight`)!);
    const a = (k: number, i: number): number => Math.fround(Math.sin(k * inner + i) * 0.3);
    const b = (o: number, k: number): number => Math.fround(Math.cos(o * 2 + k) * 0.3);
    for (let o = 0; o < out; o++)
      for (let i = 0; i < inner; i++) values[o * inner + i]! += 2 * (b(o, 0) * a(0, i) + b(o, 1) * a(1, i));
    const byHand = laidOut(pi0, {
      names: (n) => (n === `${target}.weight` ? undefined : n),
      more: { [`${target}.weight`]: { shape, values } },
    });
    const want = await chunkError(pi0, byHand);
    expect(want).toBeGreaterThan(1e-3);
    expect(Math.abs(changed - want)).toBeLessThan(F32);
  });

  it('what no shape tells is asked for', () => {
    const dir = laidOut(smolvla, {});
    writeFileSync(
      join(dir, 'vlm_config.json'),
      JSON.stringify({
        text_config: { num_attention_heads: 5, num_key_value_heads: 2 },
        vision_config: { num_attention_heads: 3 },
      }),
    );
    expect(() => openFamily(dir)).toThrow(/not 5 heads on 2/);
  });

  it.each(['groot', 'xvla', 'pi0_fast', 'wall_x'])('%s is refused by name', (type) => {
    const dir = laidOut(pi0, { config: (c) => ({ ...c, type }) });
    expect(() => openFamily(dir)).toThrow(new RegExp(`"${type}", which is known and not built`));
  });

  it.each([
    [pi05, { use_visual_memory: true }, /memory of frames/],
    [pi05, { use_proprioceptive_memory: true }, /memory of frames/],
    [smolvla, { use_delta_joint_actions_aloha: true }, /never run it/],
    [smolvla, { num_expert_layers: 3 }, /num_expert_layers/],
    [smolvla, { num_vlm_layers: 9 }, /num_vlm_layers is 9/],
    [pi0, { image_resolution: [224, 224] }, /takes 56 × 56/],
    [smolvla, { resize_imgs_with_padding: [64, 48] }, /a square/],
    [pi0, { n_action_steps: 11 }, /at most the 10 rows/],
  ] as const)('%#: a field that changes the network is said, not guessed', (io, fields, message) => {
    const dir = laidOut(io, { config: (c) => ({ ...c, ...fields }) });
    expect(() => openFamily(dir)).toThrow(message);
  });

  it('a tensor that belongs to nothing is refused, and one that is missing', () => {
    const stray = { 'model.new_proj.weight': { shape: [1], values: new Float32Array(1) } };
    expect(() => openFamily(laidOut(pi0, { more: stray }))).toThrow(/new_proj/);
    const without = (n: string): string | undefined => (n.endsWith('action_out_proj.bias') ? undefined : n);
    expect(() => openFamily(laidOut(pi0, { names: without }))).toThrow(
      /no tensor model.action_out_proj.bias/,
    );
  });

  it('what LeRobot 0.4 trained with is an option, with a sentence', async () => {
    const said: string[] = [];
    const listen = (warning: Error): void => void said.push(warning.message);
    process.on('warning', listen);
    const error = await chunkError(pi05, pi05.dir, { trained_with: '0.4' });
    await new Promise(setImmediate);
    process.off('warning', listen);
    expect(error).toBeGreaterThan(1e-3);
    expect(said.join()).toMatch(/padded with −3.*max_state_dim.*LeRobot 0\.4/);
    expect(taskOf(pi05)).toContain('red_block');
  });
});
