// A recorded case's folder laid out as other releases write it: other tensor names, numbers' types, shards, configs, places of the
// tokenizer. The chunk must stay the recorded one.

import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TensorRef } from '../../src/native/index.js';
import type { LoadOptions } from '../../src/policies/index.js';
import { loadPolicy } from '../../src/policies/index.js';
import type { Image, Observation } from '../../src/types/index.js';
import {
  openSafetensors,
  openWeights,
  readTensor,
  type TensorSource,
  writeSafetensors,
} from '../../src/weights/index.js';
import { type Golden, relativeError } from './golden.js';

type Json = Record<string, unknown>;

export interface Layout {
  /** What a tensor is called; undefined leaves it out. */
  readonly names?: (name: string) => string | undefined;
  readonly more?: Readonly<Record<string, TensorSource>>;
  /** The type that a tensor's numbers are written in. */
  readonly dtype?: (name: string) => 'F32' | 'F16' | 'BF16';
  readonly config?: (config: Json) => Json;
  readonly shards?: number;
  /** Folder of the tokenizer beneath the checkpoint; undefined leaves it out, '' is the checkpoint itself. */
  readonly tokenizer?: string | undefined;
  /** Statistics among the weights instead of processor files, with what stands before `buffer_`. */
  readonly statistics?: string;
}

/** Writes the folder and gives its path. */
export function laidOut(io: Golden, layout: Layout): string {
  const dir = mkdtempSync(join(tmpdir(), 'tendon-vla-'));
  const config = JSON.parse(readFileSync(join(io.dir, 'config.json'), 'utf8')) as Json;
  writeFileSync(join(dir, 'config.json'), JSON.stringify(layout.config?.(config) ?? config));
  if (existsSync(join(io.dir, 'vlm_config.json')))
    cpSync(join(io.dir, 'vlm_config.json'), join(dir, 'vlm_config.json'));
  const place = 'tokenizer' in layout ? layout.tokenizer : 'tokenizer';
  if (place !== undefined) cpSync(join(io.dir, 'tokenizer'), join(dir, place), { recursive: true });
  const tensors: Record<string, TensorSource | Halves> = {};
  for (const [name, ref] of openWeights(io.dir).tensors) {
    const called = layout.names === undefined ? name : layout.names(name);
    if (called !== undefined) tensors[called] = inType(ref, layout.dtype?.(name) ?? 'F32');
  }
  Object.assign(tensors, layout.more);
  if (layout.statistics === undefined) copyProcessors(io, dir);
  else Object.assign(tensors, statistics(io, layout.statistics));
  if (layout.shards === undefined) writeMixed(join(dir, 'model.safetensors'), tensors);
  else writeShards(dir, tensors, layout.shards);
  return dir;
}

function copyProcessors(io: Golden, dir: string): void {
  const pre = JSON.parse(readFileSync(join(io.dir, 'policy_preprocessor.json'), 'utf8')) as Json;
  const post = JSON.parse(readFileSync(join(io.dir, 'policy_postprocessor.json'), 'utf8')) as Json;
  writeFileSync(join(dir, 'policy_preprocessor.json'), JSON.stringify(pre));
  writeFileSync(join(dir, 'policy_postprocessor.json'), JSON.stringify(post));
  for (const { state_file } of [...(pre.steps as Json[]), ...(post.steps as Json[])])
    if (typeof state_file === 'string') cpSync(join(io.dir, state_file), join(dir, state_file));
}

/** The postprocessor's statistics as LeRobot ≤ 0.3.3 kept them. */
function statistics(io: Golden, whose: string): Record<string, TensorSource> {
  const post = JSON.parse(readFileSync(join(io.dir, 'policy_postprocessor.json'), 'utf8')) as {
    steps: { state_file?: string }[];
  };
  const file = post.steps.find((step) => step.state_file !== undefined)!.state_file!;
  const out: Record<string, TensorSource> = {};
  for (const [name, ref] of openSafetensors(join(io.dir, file)).tensors) {
    const [, feature, stat] = /^(.+)\.(mean|std)$/.exec(name) ?? [];
    if (feature === undefined) continue;
    const sides = feature === 'action' ? ['normalize_targets', 'unnormalize_outputs'] : ['normalize_inputs'];
    for (const side of sides)
      out[`${side}.${whose}buffer_${feature.replaceAll('.', '_')}.${stat}`] = {
        shape: ref.shape,
        values: readTensor(ref),
      };
  }
  return out;
}

interface Halves {
  readonly shape: readonly number[];
  readonly dtype: 'F16' | 'BF16';
  readonly bytes: Uint16Array;
}

function inType(ref: TensorRef, dtype: 'F32' | 'F16' | 'BF16'): TensorSource | Halves {
  if (dtype === 'F32') return ref;
  const values = readTensor(ref);
  const bits = new Uint32Array(values.buffer);
  const half = dtype === 'BF16' ? (i: number) => roundedTop(bits[i]!) : (i: number) => toHalf(values[i]!);
  return { shape: ref.shape, dtype, bytes: Uint16Array.from(values, (_, i) => half(i)) };
}

/** The upper half of an f32, to the nearest, ties to even. */
const roundedTop = (bits: number): number => ((bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16) & 0xffff;

function toHalf(x: number): number {
  const sign = x < 0 ? 0x8000 : 0;
  const size = Math.abs(x);
  if (size < 2 ** -24) return sign;
  const exponent = Math.max(Math.floor(Math.log2(size)), -14);
  const mantissa = Math.round(size * 2 ** (10 - exponent));
  return sign + (exponent + 14) * 1024 + mantissa;
}

/** writeSafetensors, and tensors of 16 bits. */
function writeMixed(path: string, tensors: Readonly<Record<string, TensorSource | Halves>>): void {
  const halves = Object.entries(tensors).filter(([, t]) => 'bytes' in t) as [string, Halves][];
  if (halves.length === 0) {
    writeSafetensors(path, tensors as Record<string, TensorSource>);
    return;
  }
  const header: Json = {};
  const parts: Buffer[] = [];
  let at = 0;
  for (const [name, tensor] of Object.entries(tensors)) {
    const values = 'bytes' in tensor ? tensor.bytes : 'values' in tensor ? tensor.values : readTensor(tensor);
    const part = Buffer.from(values.buffer, values.byteOffset, values.byteLength);
    const dtype = 'bytes' in tensor ? tensor.dtype : 'F32';
    header[name] = { dtype, shape: tensor.shape, data_offsets: [at, at + part.length] };
    parts.push(part);
    at += part.length;
  }
  const text = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  writeFileSync(path, Buffer.concat([length, text, ...parts]));
}

function writeShards(dir: string, tensors: Readonly<Record<string, TensorSource | Halves>>, n: number): void {
  const weight_map: Record<string, string> = {};
  const names = Object.keys(tensors).sort();
  for (let i = 0; i < n; i++) {
    const file = `model-0000${i + 1}-of-0000${n}.safetensors`;
    const some = names.filter((_, at) => at % n === i);
    for (const name of some) weight_map[name] = file;
    writeMixed(join(dir, file), Object.fromEntries(some.map((name) => [name, tensors[name]!])));
  }
  writeFileSync(join(dir, 'model.safetensors.index.json'), JSON.stringify({ metadata: {}, weight_map }));
}

export const taskOf = (io: Golden): string =>
  (JSON.parse(readFileSync(join(io.dir, 'io.json'), 'utf8')) as { task: string }).task;

/** The recorded pictures and state. */
export function recorded(io: Golden): Observation {
  const names = [...openSafetensors(join(io.dir, 'io.safetensors')).tensors.keys()];
  const images = names
    .filter((name) => name.startsWith('raw.observation.images.'))
    .map((name): [string, Image] => {
      const [height, width, channels] = io.shape(name) as [number, number, 3];
      return [name.slice('raw.'.length), { width, height, channels, data: Uint8Array.from(io.get(name)) }];
    });
  return {
    stamp_ns: 0,
    values: { 'observation.state': io.get('raw.observation.state') },
    images: Object.fromEntries(images),
  };
}

/** Of the chunk that a folder gives for the recorded observation, against the recorded actions. */
export async function chunkError(io: Golden, dir: string, options: LoadOptions = {}): Promise<number> {
  const policy = await loadPolicy(dir, { compute: { precision: 'f32', threads: 1 }, ...options });
  const chunk = await policy.infer(recorded(io), { task: taskOf(io), noise: io.get('noise') });
  policy.close();
  return relativeError(chunk.actions, io.get('actions').subarray(0, chunk.actions.length));
}

export const emptyDir = (): string => {
  const dir = mkdtempSync(join(tmpdir(), 'tendon-vla-'));
  mkdirSync(dir, { recursive: true });
  return dir;
};

/** A recorded π0 or π0.5 as openpi's converter would have left it; `extra` is `openpi` in its config, `more` changes norm_stats. */
export function openpiFolder(io: Golden, extra: Json = {}, more: (stats: Json) => Json = (s) => s): string {
  const dir = laidOut(io, {
    names: (n) => n.replace(/^model\./, ''),
    config: () => ({
      ...{ action_dim: 32, action_horizon: 10, paligemma_variant: 'gemma_2b' },
      ...{ action_expert_variant: 'gemma_300m', precision: 'float32' },
      ...(Object.keys(extra).length === 0 ? {} : { openpi: extra }),
    }),
  });
  rmSync(join(dir, 'policy_preprocessor.json'));
  rmSync(join(dir, 'policy_postprocessor.json'));
  const file = 'policy_postprocessor_step_0_unnormalizer_processor.safetensors';
  const tensors = openSafetensors(join(io.dir, file)).tensors;
  const of = (feature: string) =>
    Object.fromEntries(
      ['mean', 'std', 'q01', 'q99'].flatMap((stat) => {
        const ref = tensors.get(`${feature}.${stat}`);
        return ref === undefined ? [] : [[stat, [...readTensor(ref)]]];
      }),
    );
  const needs = { mean: [], std: [] };
  const norm_stats = more({
    state: { ...needs, ...of('observation.state') },
    actions: { ...needs, ...of('action') },
  });
  mkdirSync(join(dir, 'assets', 'physical', 'robot'), { recursive: true });
  writeFileSync(join(dir, 'assets', 'physical', 'robot', 'norm_stats.json'), JSON.stringify({ norm_stats }));
  return dir;
}
