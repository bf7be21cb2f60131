// PEFT's LoRA folders: what is merged, where the base is found, and what is refused by name. The sums are written out here
// from the paper and PEFT's names; lerobot-cases.test.ts has a folder that PEFT itself saved.

import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { baseOf } from '../../src/policies/adapters/base.js';
import { readAdapterConfig } from '../../src/policies/adapters/config.js';
import { merged } from '../../src/policies/adapters/merge.js';
import { loadPolicy, openFamily } from '../../src/policies/index.js';
import { openSafetensors, readTensor, writeSafetensors } from '../../src/weights/index.js';
import { writeCheckpointOf } from './checkpoints.js';

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'tendon-adapters-'));
  vi.stubEnv('TENDON_CACHE', join(dir, 'cache'));
});
afterEach(() => {
  rmSync(dir, { recursive: true, force: true });
  vi.unstubAllEnvs();
});

type Numbers = Record<string, { shape: readonly number[]; values: Float32Array }>;
let drawn = 1;
const tensor = (...shape: number[]) => ({
  shape,
  values: Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => Math.sin(drawn++)),
});

function folder(name: string, tensors: Numbers, file = 'model.safetensors'): string {
  const at = join(dir, name);
  mkdirSync(at, { recursive: true });
  writeSafetensors(join(at, file), tensors);
  return at;
}
const CONFIG = {
  peft_type: 'LORA',
  base_model_name_or_path: '../base',
  r: 2,
  lora_alpha: 6,
  init_lora_weights: true,
};
function adapter(tensors: Numbers, config: object = {}, prefix = 'base_model.model.'): string {
  const named = Object.fromEntries(Object.entries(tensors).map(([name, t]) => [prefix + name, t]));
  const at = folder('adapter', named, 'adapter_model.safetensors');
  writeFileSync(join(at, 'adapter_config.json'), JSON.stringify({ ...CONFIG, ...config }));
  return at;
}
/** W + scale·B·A by hand; A (rank, inner), B (outer, rank). */
function sum(w: Numbers[''], a: Numbers[''], b: Numbers[''], scale: number, turned = false): number[] {
  const [rank, outer] = [a.shape[0]!, b.shape[0]!];
  const inner = a.values.length / rank;
  return [...w.values].map((v, at) => {
    const [o, i] = turned ? [at % outer, Math.floor(at / outer)] : [Math.floor(at / inner), at % inner];
    let s = 0;
    for (let k = 0; k < rank; k++) s += b.values[o * rank + k]! * a.values[k * inner + i]!;
    return v + scale * s;
  });
}
function check(file: ReturnType<typeof merged>, name: string, want: number[]): void {
  const got = readTensor(file.tensors.get(name)!);
  expect(got).toHaveLength(want.length);
  for (const [i, v] of want.entries()) expect(got[i], `${name}[${i}]`).toBeCloseTo(v, 5);
}

describe('what is merged', () => {
  it('linear layers and convolutions, each at its rank and scale; the rest stays', () => {
    const base = {
      'net.a.weight': tensor(4, 3),
      'net.b.weight': tensor(4, 3, 5),
      'net.c.0.weight': tensor(2, 2, 3, 3),
      'net.a.bias': tensor(4),
    };
    const [a, b, c] = [
      [tensor(2, 3), tensor(4, 2)],
      [tensor(1, 3, 5), tensor(4, 1, 1)],
      [tensor(2, 2, 3, 3), tensor(2, 2, 1, 1)],
    ] as const;
    const at = adapter(
      {
        'net.a.lora_A.weight': a[0]!,
        'net.a.lora_B.weight': a[1]!,
        'net.b.lora_A.weight': b[0]!,
        'net.b.lora_B.weight': b[1]!,
        'net.c.0.lora_A.default.weight': c[0]!,
        'net.c.0.lora_B.default.weight': c[1]!,
      },
      { rank_pattern: { 'net.b': 1 }, alpha_pattern: { '.*\\.[0-9]': 10 } },
    );
    const file = merged(at, folder('base', base));
    check(file, 'net.a.weight', sum(base['net.a.weight'], a[0]!, a[1]!, 3));
    check(file, 'net.b.weight', sum(base['net.b.weight'], b[0]!, b[1]!, 6));
    check(file, 'net.c.0.weight', sum(base['net.c.0.weight'], c[0]!, c[1]!, 5));
    check(file, 'net.a.bias', [...base['net.a.bias'].values]);
    expect([...file.tensors.keys()].sort()).toEqual(Object.keys(base).sort());
  });

  it.each([
    ['rslora: α/√r', { use_rslora: true }, 6 / Math.sqrt(2), false],
    ['fan_in_fan_out: the weight lies the other way', { fan_in_fan_out: true }, 3, true],
  ])('%s', (_, config, scale, turned) => {
    const [w, a, b] = [turned ? tensor(3, 4) : tensor(4, 3), tensor(2, 3), tensor(4, 2)];
    const at = adapter({ 'x.lora_A.weight': a, 'x.lora_B.weight': b }, config);
    check(merged(at, folder('base', { 'x.weight': w })), 'x.weight', sum(w, a, b, scale, turned));
  });

  it('embeddings, biases, modules that were trained whole, attention’s joint projection', () => {
    const base = {
      'table.weight': tensor(5, 3),
      'x.weight': tensor(4, 3),
      'x.bias': tensor(4),
      'head.weight': tensor(2, 2),
      'attn.in_proj_weight': tensor(6, 2),
    };
    const [ea, eb, a, b, shift, head, ia, ib] = [
      tensor(2, 5),
      tensor(3, 2),
      tensor(2, 3),
      tensor(4, 2),
      tensor(4),
      tensor(2, 2),
      tensor(2, 2),
      tensor(6, 2),
    ] as const;
    const at = adapter({
      'table.lora_embedding_A': ea,
      'table.lora_embedding_B': eb,
      'x.lora_A.weight': a,
      'x.lora_B.weight': b,
      'x.lora_B.bias': shift,
      'head.modules_to_save.default.weight': head,
      'attn.lora_A.weight': ia,
      'attn.lora_B.weight': ib,
    });
    const file = merged(at, folder('base', base));
    check(file, 'table.weight', sum(base['table.weight'], ea, eb, 3, true));
    check(
      file,
      'x.bias',
      [...base['x.bias'].values].map((v, i) => v + 3 * shift.values[i]!),
    );
    check(file, 'head.weight', [...head.values]);
    check(file, 'attn.in_proj_weight', sum(base['attn.in_proj_weight'], ia, ib, 3));
  });

  it('DoRA: each output of the sum at the length that was trained, in linear layers and convolutions', () => {
    const base = { 'x.weight': tensor(4, 3), 'y.weight': tensor(4, 3, 5) };
    const [a, b, m] = [tensor(2, 3), tensor(4, 2), tensor(4)] as const;
    const [ca, cb, cm] = [tensor(2, 3, 5), tensor(4, 2, 1), tensor(1, 4, 1)] as const;
    const at = adapter(
      {
        'x.lora_A.weight': a,
        'x.lora_B.weight': b,
        'x.lora_magnitude_vector': m,
        'y.lora_A.weight': ca,
        'y.lora_B.weight': cb,
        'y.lora_magnitude_vector.default.weight': cm,
      },
      { use_dora: true },
    );
    const file = merged(at, folder('base', base));
    for (const [name, lengths, plain] of [
      ['x.weight', m, sum(base['x.weight'], a, b, 3)],
      ['y.weight', cm, sum(base['y.weight'], ca, cb, 3)],
    ] as const) {
      const inner = plain.length / 4;
      const norm = (o: number): number => Math.hypot(...plain.slice(o * inner, (o + 1) * inner));
      const want = plain.map(
        (v, i) => (v * lengths.values[Math.floor(i / inner)]!) / norm(Math.floor(i / inner)),
      );
      check(file, name, want);
    }
  });

  // Measured against PEFT 0.21's own forward: lora.MultiheadAttention merges out_proj's product twice in every call, and a
  // module whose weight is read without a call never applies its own.
  it('an attention wrapped whole as PEFT runs it; weights that are read and not called stay', () => {
    const base = {
      'attn.in_proj_weight': tensor(6, 2),
      'attn.out_proj.weight': tensor(2, 2),
      'other.in_proj_weight': tensor(6, 2),
      'other.out_proj.weight': tensor(2, 2),
      'plain.out_proj.weight': tensor(2, 2),
      'model.decoder_pos_embed.weight': tensor(5, 2),
    };
    const [ia, ib, a, b] = [tensor(1, 2), tensor(6, 1), tensor(1, 2), tensor(2, 1)] as const;
    const at = adapter(
      {
        'attn.lora_A.weight': ia,
        'attn.lora_B.weight': ib,
        'attn.base_layer.out_proj.lora_A.weight': a,
        'attn.base_layer.out_proj.lora_B.weight': b,
        'other.out_proj.lora_A.weight': tensor(2, 2),
        'other.out_proj.lora_B.weight': tensor(2, 2),
        'plain.out_proj.lora_A.weight': a,
        'plain.out_proj.lora_B.weight': b,
        'model.decoder_pos_embed.lora_embedding_A': tensor(2, 5),
        'model.decoder_pos_embed.lora_embedding_B': tensor(2, 2),
      },
      { rank_pattern: { attn: 1, 'plain.out_proj': 1 } },
    );
    const file = merged(at, folder('base', base));
    check(file, 'attn.in_proj_weight', sum(base['attn.in_proj_weight'], ia, ib, 6));
    check(file, 'attn.out_proj.weight', sum(base['attn.out_proj.weight'], a, b, 12));
    check(file, 'plain.out_proj.weight', sum(base['plain.out_proj.weight'], a, b, 6));
    for (const name of ['other.out_proj.weight', 'model.decoder_pos_embed.weight'] as const)
      check(file, name, [...base[name].values]);
  });

  it('names of compiled policies, on either side', () => {
    const [w, a, b] = [tensor(4, 3), tensor(2, 3), tensor(4, 2)];
    const at = adapter({ 'net._orig_mod.x.lora_A.weight': a, 'net._orig_mod.x.lora_B.weight': b });
    check(merged(at, folder('base', { '_orig_mod.net.x.weight': w })), 'net.x.weight', sum(w, a, b, 3));
  });
});

describe('what is refused', () => {
  it.each([
    ['another kind', { peft_type: 'LOHA' }, /peft_type is LOHA/],
    ['quantised adapters', { use_qalora: true }, /use_qalora is set.*merge_and_unload/],
    [
      'PiSSA',
      { init_lora_weights: 'pissa_niter_4' },
      /"pissa_niter_4", and it changes the weights of the base/,
    ],
    ['trained parameters', { target_parameters: ['x'] }, /target_parameters is set/],
    [
      'an expression that could take long',
      { rank_pattern: { '(a+)+': 2 } },
      /no expression that is read here/,
    ],
    ['a rank of zero', { r: 0 }, /\br\b/],
    ['another rank than the tensors have', { r: 3 }, /x: expected rank 3 .*, got 2/],
  ])('%s', (_, config, text) => {
    const at = adapter({ 'x.lora_A.weight': tensor(2, 3), 'x.lora_B.weight': tensor(4, 2) }, config);
    expect(() => merged(at, folder('base', { 'x.weight': tensor(4, 3) }))).toThrow(text);
  });
  it.each([
    [
      'no such module',
      { 'y.lora_A.weight': [2, 3], 'y.lora_B.weight': [4, 2] },
      /y needs lora_A and lora_B.*belongs to another/,
    ],
    ['half of a product', { 'x.lora_A.weight': [2, 3] }, /one of the two is missing/],
    [
      'shapes that do not fit',
      { 'x.lora_A.weight': [2, 4], 'x.lora_B.weight': [4, 2] },
      /do not make the base's \(4, 3\)/,
    ],
    ['a module of another size', { 'x.weight': [3, 3] }, /x\.weight \(3, 3\) should replace .*\(4, 3\)/],
    [
      'magnitudes alone',
      { 'x.lora_magnitude_vector': [4] },
      /x needs lora_A and lora_B.*one of the two is missing/,
    ],
    [
      'too few magnitudes',
      { 'x.lora_A.weight': [2, 3], 'x.lora_B.weight': [4, 2], 'x.lora_magnitude_vector': [3] },
      /expected 4 magnitudes \(DoRA\).*got \(3\)/,
    ],
    ['something else', { 'x.lora_E': [4] }, /x\.lora_E .*none of that name/],
  ])('%s', (_, shapes: Record<string, number[]>, text) => {
    const at = adapter(Object.fromEntries(Object.entries(shapes).map(([k, s]) => [k, tensor(...s)])));
    expect(() => merged(at, folder('base', { 'x.weight': tensor(4, 3) }))).toThrow(text);
  });
});

describe('where the base is', () => {
  const config = (name: string | null, more: object = {}) => {
    const at = adapter({}, { base_model_name_or_path: name, ...more });
    return { at, find: (given?: string) => baseOf(at, readAdapterConfig(at), given) };
  };
  const policy = (at: string): string => {
    mkdirSync(at, { recursive: true });
    writeFileSync(join(at, 'config.json'), '{}');
    return at;
  };

  it('beside the adapter, at a path, or named by the caller', () => {
    const base = policy(join(dir, 'base'));
    expect(config('../base').find()).toBe(base);
    expect(config(base).find()).toBe(base);
    expect(config('nobody/knows').find(base)).toBe(base);
    expect(() => config(null).find()).toThrow(/names no base_model_name_or_path.*--base DIR/);
  });

  it('in the Hub’s cache, at the revision that was trained on', () => {
    vi.stubEnv('HF_HUB_CACHE', join(dir, 'hub'));
    const repository = join(dir, 'hub/models--lerobot--act');
    expect(() => config('lerobot/act').find()).toThrow(
      /adapter of "lerobot\/act", which is not here.*tendon check hf:lerobot\/act/,
    );
    const [first, second] = ['aaa', 'bbb'].map((sha) => policy(join(repository, 'snapshots', sha)));
    mkdirSync(join(repository, 'refs'));
    writeFileSync(join(repository, 'refs/main'), 'bbb\n');
    expect(config('lerobot/act').find()).toBe(second);
    expect(config('lerobot/act', { revision: 'aaa' }).find()).toBe(first);
    expect(() => config('lerobot/act', { revision: '../../..' }).find()).toThrow(/not here/);
  });
});

it('a whole policy: its base’s config and processors where the adapter has none, merged once', async () => {
  const base = writeCheckpointOf('act', join(dir, 'base'));
  const { tensors } = openSafetensors(join(base, 'model.safetensors'));
  const [name, ref] = [...tensors].find(([n]) => n === 'model.action_head.weight')!;
  const [outer, inner] = ref.shape as [number, number];
  const module = name.replace('.weight', '');
  const at = adapter({
    [`${module}.lora_A.weight`]: tensor(2, inner),
    [`${module}.lora_B.weight`]: tensor(outer, 2),
  });
  const values = {
    'observation.state': new Float32Array(5),
    'observation.environment_state': new Float32Array(7),
  };
  const acts = async (folder: string): Promise<Float32Array> => {
    const policy = await loadPolicy(folder, { compute: { precision: 'f32' } });
    const { actions } = await policy.infer({ stamp_ns: 0, values });
    policy.close();
    return actions;
  };
  expect(openFamily(at).spec).toEqual(openFamily(base).spec);
  expect(await acts(at)).not.toEqual(await acts(base));
  writeSafetensors(join(at, 'adapter_model.safetensors'), {
    [`base_model.model.${module}.lora_A.weight`]: tensor(2, inner),
    [`base_model.model.${module}.lora_B.weight`]: { shape: [outer, 2], values: new Float32Array(outer * 2) },
  });
  // B of zeros is the base itself; the other merge is not taken for it.
  expect(await acts(at)).toEqual(await acts(base));
  expect(readFileSync(join(base, 'config.json'), 'utf8')).toContain('"act"');
});
