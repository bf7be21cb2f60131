// Folders as trainings leave them: names of wrapped modules, shards, float64, tensors of no use, git-lfs pointers, what Python
// writes where JSON has no word, and files that are none.

import { execFileSync } from 'node:child_process';
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { loadPolicy, openFamily } from '../../src/policies/index.js';
import { openSafetensors, openWeights, readTensor, writeSafetensors } from '../../src/weights/index.js';
import { writeCheckpointOf } from './checkpoints.js';

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'tendon-folders-'));
  vi.stubEnv('TENDON_CACHE', join(dir, 'cache'));
});
afterEach(() => {
  rmSync(dir, { recursive: true, force: true });
  vi.unstubAllEnvs();
  vi.restoreAllMocks();
});

const FILE = 'model.safetensors';
type Tensors = Record<string, { shape: readonly number[]; values: Float32Array }>;

/** A LeRobot ACT whose weights `change` renames, drops or adds to. */
function checkpoint(
  change: (tensors: Tensors) => Tensors = (t) => t,
  config: object = {},
  family = 'act',
): string {
  const at = writeCheckpointOf(family, join(dir, `${family}${readdirSync(dir).length}`));
  const tensors: Tensors = {};
  for (const [name, ref] of openSafetensors(join(at, FILE)).tensors)
    tensors[name] = { shape: ref.shape, values: readTensor(ref) };
  rmSync(join(at, FILE));
  writeSafetensors(join(at, FILE), change(tensors));
  const file = join(at, 'config.json');
  writeFileSync(file, JSON.stringify({ ...JSON.parse(readFileSync(file, 'utf8')), ...config }));
  return at;
}
const renamed = (by: (name: string) => string) => (tensors: Tensors) =>
  Object.fromEntries(Object.entries(tensors).map(([name, t]) => [by(name), t]));

const values = {
  'observation.state': new Float32Array(5).fill(0.2),
  'observation.environment_state': new Float32Array(7).fill(-0.1),
};
async function actions(at: string, options = {}): Promise<Float32Array> {
  const policy = await loadPolicy(at, { compute: { precision: 'f32' }, ...options });
  const chunk = await policy.infer({ stamp_ns: 0, values });
  policy.close();
  return chunk.actions;
}
/** A safetensors file whose float32 tensors are written as float64. */
function asDoubles(at: string): void {
  const { tensors } = openSafetensors(join(at, FILE));
  const header: Record<string, unknown> = {};
  const pieces: Buffer[] = [];
  let offset = 0;
  for (const [name, ref] of tensors) {
    const piece = Buffer.from(Float64Array.from(readTensor(ref)).buffer);
    header[name] = { dtype: 'F64', shape: ref.shape, data_offsets: [offset, offset + piece.length] };
    offset += piece.length;
    pieces.push(piece);
  }
  const text = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  rmSync(join(at, FILE));
  writeFileSync(join(at, FILE), Buffer.concat([length, text, ...pieces]));
}

describe('names of wrapped modules', () => {
  it.each([
    ['torch.compile around the policy', (name: string) => `_orig_mod.${name}`],
    ['torch.compile around a network', (name: string) => name.replace(/^model\./, 'model._orig_mod.')],
    ['DistributedDataParallel', (name: string) => `module.${name}`],
    ['both', (name: string) => `module._orig_mod.${name}`],
    ['DataParallel around a network', (name: string) => name.replace(/^model\./, 'model.module.')],
  ])('%s', async (_, by) => {
    expect(await actions(checkpoint(renamed(by)))).toEqual(await actions(checkpoint()));
  });

  it.each([
    'beso',
    'diffusion',
    'tdmpc',
    'tdmpc2',
    'vqbet',
    'diffusion_policy',
    'rssm',
    'scalezero',
    'ensemble',
    'edm',
  ])('of %s are taken off as well', (family) => {
    const plain = openFamily(checkpoint((t) => t, {}, family)).spec;
    expect(
      openFamily(
        checkpoint(
          renamed((n) => `module._orig_mod.${n}`),
          {},
          family,
        ),
      ).spec,
    ).toEqual(plain);
  });

  it('a module called so beside others keeps its name, and two tensors never become one', () => {
    const one = { shape: [1], values: new Float32Array(1) };
    const at = join(dir, 'names');
    mkdirSync(at);
    writeSafetensors(join(at, FILE), {
      'a.module.weight': one,
      'a.other.weight': one,
      'b.module.c.weight': one,
    });
    expect([...openWeights(at).tensors.keys()].sort()).toEqual([
      'a.module.weight',
      'a.other.weight',
      'b.c.weight',
    ]);
    writeSafetensors(join(at, FILE), { 'a._orig_mod.weight': one, 'a.weight': one });
    expect(() => openWeights(at)).toThrow(/a\.weight is there twice/);
  });
});

describe('shards', () => {
  const shard = (names: (all: string[]) => Record<string, string>): string => {
    const at = checkpoint();
    const { tensors } = openSafetensors(join(at, FILE));
    const half = [...tensors.keys()].filter((_, i) => i % 2 === 0);
    const parts = {
      'model-00001-of-00002.safetensors': half,
      'model-00002-of-00002.safetensors': [...tensors.keys()].filter((name) => !half.includes(name)),
    };
    for (const [file, of] of Object.entries(parts))
      writeSafetensors(join(at, file), Object.fromEntries(of.map((name) => [name, tensors.get(name)!])));
    const map = Object.fromEntries(
      Object.entries(parts).flatMap(([file, of]) => of.map((name) => [name, file])),
    );
    rmSync(join(at, FILE));
    writeFileSync(
      join(at, 'model.safetensors.index.json'),
      JSON.stringify({ metadata: {}, weight_map: { ...map, ...names(half) } }),
    );
    return at;
  };
  it('are one model', async () => {
    expect(await actions(shard(() => ({})))).toEqual(await actions(checkpoint()));
  });
  it.each([
    ['outside of the folder', () => ({ x: '../other.safetensors' }), /beside the index/],
    ['that lack a tensor', () => ({ x: 'model-00001-of-00002.safetensors' }), /should have x and does not/],
    ['that are not there', () => ({ x: 'model-3.safetensors' }), /cannot be read/],
    [
      'that share one',
      ([a]: string[]) => ({ [a!]: 'model-00002-of-00002.safetensors' }),
      /should have|does not name/,
    ],
  ])('%s are refused', (_, names, text) => {
    expect(() => openFamily(shard(names as (all: string[]) => Record<string, string>))).toThrow(text);
  });
});

it('float64 weights are rounded once and kept', async () => {
  const [plain, doubled] = [checkpoint(), checkpoint()];
  asDoubles(doubled);
  expect(await actions(doubled)).toEqual(await actions(plain));
  expect(readdirSync(join(dir, 'cache/float32'))).toHaveLength(1);
  expect(await actions(doubled)).toEqual(await actions(plain));
  expect(readdirSync(join(dir, 'cache/float32'))).toHaveLength(1);
  writeFileSync(join(dir, 'file'), '');
  vi.stubEnv('TENDON_CACHE', join(dir, 'file'));
  expect(() => openFamily(doubled)).toThrow(/set TENDON_CACHE to a folder/);
});

it('tensors of no use are refused by name, and left out with allow_unused', async () => {
  const at = checkpoint((tensors) => ({
    ...tensors,
    'aux_head.weight': { shape: [2], values: new Float32Array(2) },
  }));
  expect(() => openFamily(at)).toThrow(/aux_head\.weight; .*--allow-unused/);
  const warned = vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
  expect(await actions(at, { allow_unused: true })).toEqual(await actions(checkpoint()));
  expect(warned.mock.calls.flat().join()).toContain('are left out: aux_head.weight');
});

it('an extra state in TD-MPC’s features is the dataset’s, not the network’s', () => {
  const at = writeCheckpointOf('tdmpc', join(dir, 'tdmpc'));
  const file = join(at, 'config.json');
  const config = JSON.parse(readFileSync(file, 'utf8'));
  config.input_features['observation.velocity'] = { type: 'STATE', shape: [3] };
  writeFileSync(file, JSON.stringify(config));
  expect(Object.keys(openFamily(at).spec.observation_dims)).not.toContain('observation.velocity');
});

describe('n_action_steps beyond the chunk', () => {
  it('is refused where the peer refuses it, and ends with the chunk where the peer takes a slice', () => {
    expect(() => openFamily(checkpoint((t) => t, { n_action_steps: 1000 }))).toThrow(
      /n_action_steps: expected at most/,
    );
    const { horizon, n_action_steps } = openFamily(
      checkpoint((t) => t, { n_action_steps: 1000 }, 'diffusion'),
    ).spec;
    expect(n_action_steps).toBe(horizon);
  });
});

describe('files', () => {
  it('a git-lfs pointer is called one', () => {
    const at = checkpoint();
    writeFileSync(
      join(at, FILE),
      'version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 123456789\n',
    );
    expect(() => openFamily(at)).toThrow(/git-lfs pointer: .*git lfs pull/);
  });

  it('Python’s NaN and Infinity matter only in fields that are read', () => {
    const at = checkpoint();
    const file = join(at, 'config.json');
    const text = readFileSync(file, 'utf8');
    writeFileSync(file, text.replace('{', '{"best_loss": -Infinity, "note": "NaN, Infinity", "kl": NaN,'));
    expect(openFamily(at).spec.family).toBe('act');
    writeFileSync(file, text.replace(/"chunk_size":\s*\d+/, '"chunk_size": Infinity'));
    expect(() => openFamily(at)).toThrow(expect.objectContaining({ code: 'config_invalid' }));
  });

  it('a pipe, a device and somebody else’s file are refused at once, and nothing of them is repeated', () => {
    const at = checkpoint();
    const file = join(at, 'config.json');
    rmSync(file);
    execFileSync('mkfifo', [file]);
    expect(() => openFamily(at)).toThrow(/expected a configuration: a regular file/);
    rmSync(file);
    symlinkSync('/dev/zero', file);
    expect(() => openFamily(at)).toThrow(/expected a configuration: a regular file/);
    rmSync(file);
    writeFileSync(join(dir, 'secret'), 'hunter2: password');
    symlinkSync(join(dir, 'secret'), file);
    expect(() => openFamily(at)).toThrow(
      expect.not.objectContaining({ message: expect.stringContaining('hunter') }),
    );
  });
});
