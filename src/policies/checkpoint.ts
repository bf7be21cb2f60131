// What every family reads alike: a folder with config.json and model.safetensors, tensors handed out by name and
// counted, so that one left unused or missing is an error and not a silent difference.

import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import * as z from 'zod';
import { readUserJson } from '../base/json.js';
import type { GraphBuilder, TensorRef, Value } from '../native/index.js';
import { TendonError } from '../types/index.js';
import { ELEMENT_BYTES, openSafetensors, openTorch, type WeightFile } from '../weights/index.js';

// A config is read once: to compile its check would take longer than the check does.
z.config({ jitless: true });

const FeatureType = z.enum(['STATE', 'VISUAL', 'ENV', 'ACTION', 'REWARD', 'LANGUAGE']);
/** Numbers of one feature, beyond any camera there is: what a config may make this process allocate is bounded. */
const MAX_FEATURE = 1 << 26;
export const ShapeSchema = z
  .array(z.number().int().positive())
  .min(1)
  .max(4)
  .refine((shape) => shape.reduce((n, d) => n * d, 1) <= MAX_FEATURE, `at most ${MAX_FEATURE} numbers`);

/** A feature of the config: what kind it is and its shape. */
export const FeatureSchema = z.object({ type: FeatureType, shape: ShapeSchema });
export type Feature = z.infer<typeof FeatureSchema>;
export const FeaturesSchema = z.record(z.string(), FeatureSchema);
/**
 * A width, a number of layers, of heads, of steps: some are used before any tensor says how large it can be, and none there
 * is comes near this.
 */
export const CountSchema = z.number().int().positive().max(32_768);
/** How each kind of feature is normalised; a kind that is not listed is not (LeRobot's NormalizationMode, FeatureType). */
export const NormalizationSchema = z.partialRecord(
  FeatureType,
  z.enum(['IDENTITY', 'MEAN_STD', 'MIN_MAX', 'QUANTILES', 'QUANTILE10']),
);
/** Of a planner: iterations, and sequences it draws or keeps at once, which is memory for every one of them. */
export const PlannedSchema = z.number().int().positive().max(16_384);

export function readConfig(dir: string): Record<string, unknown> {
  const path = join(dir, 'config.json');
  const hint = 'A checkpoint is a folder with config.json and model.safetensors.';
  const json = readUserJson(path, 'config', hint);
  if (typeof json === 'object' && json !== null && !Array.isArray(json))
    return json as Record<string, unknown>;
  throw new TendonError('config_invalid', `${path}: expected an object`, { path });
}

/** Checks a config against a family's schema; the error names each wrong field. */
export function parseConfig<T>(
  schema: z.ZodType<T>,
  config: Record<string, unknown>,
  dir: string,
  family: string,
): T {
  const result = schema.safeParse(config);
  if (result.success) return result.data;
  throw new TendonError(
    'config_invalid',
    `${join(dir, 'config.json')} (${family}): ${z.prettifyError(result.error)}`,
    {
      family,
      issues: result.error.issues,
    },
  );
}

/** The torch file of a folder without model.safetensors; undefined when there is none. */
function torchFileOf(dir: string): string | undefined {
  const found = existsSync(dir) ? readdirSync(dir).filter((name) => /\.(pt|pth|ckpt)$/.test(name)) : [];
  // BESO keeps the averaged weights beside the others.
  if (found.includes('model_state_dict.pth')) return 'model_state_dict.pth';
  if (found.length > 1)
    throw new TendonError(
      'config_invalid',
      `${dir}: there is no model.safetensors and more than one torch file (${found.join(', ')}); leave the one to be run`,
      { dir },
    );
  return found[0];
}

/** Tensors of a checkpoint, handed to a graph by name. */
export class Tensors {
  private readonly used = new Set<string>();

  constructor(
    private readonly file: WeightFile,
    private readonly family: string,
  ) {}

  /**
   * model.safetensors, or the one torch file (.pt, .pth, .ckpt) of the folder, read without running anything in it;
   * `within`: the dict of a torch file that holds the weights, whose name is taken off theirs.
   */
  static open(dir: string, family: string, within?: string): Tensors {
    const safe = join(dir, 'model.safetensors');
    const torch = existsSync(safe) ? undefined : torchFileOf(dir);
    if (torch === undefined) return new Tensors(openSafetensors(safe), family);
    const file = openTorch(join(dir, torch));
    const prefix = `${within}.`;
    const inside = [...file.tensors].filter(([name]) => within !== undefined && name.startsWith(prefix));
    // What lies beside that dict is no weight: optimisers, schedules.
    if (inside.length === 0) return new Tensors(file, family);
    const named = inside.map(([name, ref]) => [name.slice(prefix.length), ref] as const);
    return new Tensors({ ...file, tensors: new Map(named) }, family);
  }

  has(name: string): boolean {
    return this.file.tensors.has(name);
  }

  names(): string[] {
    return [...this.file.tensors.keys()];
  }

  /** The tensor, whose shape must be `shape` (−1: any). */
  ref(name: string, shape: readonly number[]): TensorRef {
    const ref = this.file.tensors.get(name);
    if (ref === undefined)
      throw new TendonError(
        'weights_mismatch',
        `${this.family}: ${this.file.path} has no tensor ${name} (expected ${text(shape)} from config.json)`,
        { name },
      );
    const fits = ref.shape.length === shape.length && shape.every((d, i) => d === -1 || d === ref.shape[i]);
    if (!fits)
      throw new TendonError(
        'weights_mismatch',
        `${this.family}: tensor ${name} should be ${text(shape)} by config.json, but is ${text(ref.shape)} in ${this.file.path}; config and weights belong to different trainings`,
        { name, expected: shape, got: ref.shape },
      );
    this.used.add(name);
    return ref;
  }

  /** The tensor whatever its shape, counted as used. */
  anyShape(name: string): TensorRef {
    const ref = this.file.tensors.get(name);
    return this.ref(name, ref?.shape ?? []);
  }

  weight(g: GraphBuilder, name: string, shape: readonly number[]): Value {
    return g.weight(this.ref(name, shape));
  }

  /** Rows start … start + count − 1 of a tensor of `shape`, where they lie in the file. */
  rows(g: GraphBuilder, name: string, shape: readonly number[], start: number, count: number): Value {
    const ref = this.ref(name, shape);
    const row = shape.slice(1).reduce((n, d) => n * d, ELEMENT_BYTES[ref.dtype]!);
    return g.weight({
      ...ref,
      name: `${name}[${start}:${start + count}]`,
      shape: [count, ...shape.slice(1)],
      offset: ref.offset + start * row,
    });
  }

  /** Linear layer `name`.{weight, bias} from `x`'s last dim to `out`. */
  linear(g: GraphBuilder, x: Value, name: string, out: number, bias = true): Value {
    const w = this.weight(g, `${name}.weight`, [out, x.shape.at(-1)!]);
    return g.linear(x, w, bias ? this.weight(g, `${name}.bias`, [out]) : undefined);
  }

  layerNorm(g: GraphBuilder, x: Value, name: string, eps = 1e-5): Value {
    const n = x.shape.at(-1)!;
    return g.layerNorm(x, this.weight(g, `${name}.weight`, [n]), this.weight(g, `${name}.bias`, [n]), eps);
  }

  /** Marks tensors that a family knows of and does not need at run time. */
  ignore(pattern: RegExp): void {
    for (const name of this.file.tensors.keys()) if (pattern.test(name)) this.used.add(name);
  }

  /** Every tensor must have been used or ignored. */
  finish(): void {
    const left = this.names().filter((n) => !this.used.has(n));
    if (left.length > 0)
      throw new TendonError(
        'weights_mismatch',
        `${this.family}: ${left.length} tensors of ${this.file.path} belong to nothing in the network that config.json describes, e.g. ${left.slice(0, 3).join(', ')}`,
        { unused: left },
      );
  }
}

const text = (shape: readonly number[]): string => `(${shape.map((d) => (d === -1 ? 'any' : d)).join(', ')})`;
