// The conditional 1-D UNet of diffusion_policy and LeRobot (modeling_diffusion.py, DiffusionConditionalUnet1d): the
// sample (batch, horizon, action) in channels-last layout, the step embedding and the observation as FiLM.

import { GraphBuilder, type Value } from '../native/index.js';
import { TendonError } from '../types/index.js';
import type { Weights } from './weights.js';

export interface UnetShape {
  readonly prefix: string;
  readonly horizon: number;
  readonly action_dim: number;
  readonly cond_dim: number;
  readonly down_dims: readonly number[];
  readonly kernel_size: number;
  readonly n_groups: number;
  readonly step_embed_dim: number;
  readonly film_scale: boolean;
  /** How the file names what the two projects share; LeRobot's when absent. */
  readonly naming?: 'lerobot' | 'diffusion_policy';
  /** Makes the condition (1, cond_dim) in the graph; an observation input `cond` when absent. */
  readonly condition?: (g: GraphBuilder) => Value;
  /** Rewrites x before anything else sees it. */
  readonly entry?: (g: GraphBuilder, x: Value) => Value;
  /** Condition per position (diffusion_policy only), 0 or absent without one. */
  readonly local_cond_dim?: number;
}

/** Groups of final_conv's norm, whatever n_groups says (Conv1dBlock's default in diffusion_policy and LeRobot). */
const FINAL_GROUPS = 8;

/** Sinusoidal embedding of each timestep, (steps, dim): sines then cosines, frequency exp(−k·ln 1e4/(dim/2 − 1)). */
export function timestepEmbedding(timesteps: readonly number[], dim: number): Float32Array {
  const half = dim / 2;
  const out = new Float32Array(timesteps.length * dim);
  timesteps.forEach((t, row) => {
    for (let k = 0; k < half; k++) {
      const angle = Math.fround(t * Math.fround(Math.exp((-k * Math.log(1e4)) / (half - 1))));
      out[row * dim + k] = Math.sin(angle);
      out[row * dim + half + k] = Math.cos(angle);
    }
  });
  return out;
}

export function unetGraph(shape: UnetShape, weights: Weights, groups: number): GraphBuilder {
  const { prefix, kernel_size, n_groups, down_dims } = shape;
  if (shape.horizon % 2 ** (down_dims.length - 1) !== 0)
    throw new TendonError(
      'config_invalid',
      `horizon: expected a multiple of ${2 ** (down_dims.length - 1)} for ${down_dims.length} down_dims, got ${shape.horizon}`,
    );
  const g = new GraphBuilder();
  const x = g.input('x', [groups, shape.horizon, shape.action_dim], 'step');
  const embedding = g.input('timestep_embedding', [1, shape.step_embed_dim], 'schedule');
  const original = shape.naming === 'diffusion_policy';
  const half = (name: string, i: number): string =>
    original ? `${name}.blocks.${i}` : `${name}.conv${i + 1}`;
  const resample = (name: string): string => (original ? `${name}.2.conv` : `${name}.2`);

  const conv = (
    v: Value,
    name: string,
    out: number,
    kernel: number,
    stride = 1,
    pad = Math.floor(kernel / 2),
  ): Value =>
    g.conv1d(
      v,
      weights.weight(g, `${name}.weight`, [out, v.shape[2]!, kernel]),
      weights.weight(g, `${name}.bias`, [out]),
      { stride, pad },
    );
  const block = (v: Value, name: string, out: number, normGroups = n_groups): Value => {
    const h = conv(v, `${name}.block.0`, out, kernel_size);
    const norm = g.groupNorm(
      h,
      weights.weight(g, `${name}.block.1.weight`, [out]),
      weights.weight(g, `${name}.block.1.bias`, [out]),
      normGroups,
    );
    return g.unary('mish', norm);
  };

  const step = weights.linear(g, embedding, `${prefix}diffusion_step_encoder.1`, 4 * shape.step_embed_dim);
  const encoded = weights.linear(
    g,
    g.unary('mish', step),
    `${prefix}diffusion_step_encoder.3`,
    shape.step_embed_dim,
  );
  const pieces = [encoded];
  if (shape.condition !== undefined) pieces.push(shape.condition(g));
  else if (shape.cond_dim > 0) pieces.push(g.input('cond', [groups, shape.cond_dim], 'observation'));
  const global = g.unary('mish', g.concat(pieces));

  const resblock = (v: Value, name: string, out: number): Value => {
    const film = weights.linear(g, global, `${name}.cond_encoder.1`, shape.film_scale ? 2 * out : out);
    const rows = g.reshape(film, [film.shape[0]!, 1, film.shape[1]!]);
    let h = block(v, half(name, 0), out);
    if (shape.film_scale) {
      const [scale, bias] = g.halves(rows);
      h = g.add(g.mul(h, scale), bias);
    } else {
      h = g.add(h, rows);
    }
    h = block(h, half(name, 1), out);
    return g.add(h, v.shape[2] === out ? v : conv(v, `${name}.residual_conv`, out, 1));
  };

  let local: Value | undefined;
  if (shape.local_cond_dim) {
    const given = g.input('local_cond', [groups, shape.horizon, shape.local_cond_dim], 'observation');
    local = resblock(given, `${prefix}local_cond_encoder.0`, down_dims[0]!);
    // The encoder of the way up is in the file but was never used: its condition tests for one level too many.
    weights.ignore(/(^|\.)local_cond_encoder\.1\./);
  }

  let h = shape.entry === undefined ? x : shape.entry(g, x);
  const skips: Value[] = [];
  down_dims.forEach((dim, level) => {
    const name = `${prefix}down_modules.${level}`;
    h = resblock(h, `${name}.0`, dim);
    if (level === 0 && local !== undefined) h = g.add(h, local);
    h = resblock(h, `${name}.1`, dim);
    skips.push(h);
    if (level + 1 < down_dims.length) h = conv(h, resample(name), dim, 3, 2, 1);
  });
  const deepest = down_dims.at(-1)!;
  h = resblock(resblock(h, `${prefix}mid_modules.0`, deepest), `${prefix}mid_modules.1`, deepest);
  // One level fewer on the way up: the first level's skip is never used, and every level ends with an upsampling.
  for (let level = 0; level + 1 < down_dims.length; level++) {
    const name = `${prefix}up_modules.${level}`;
    const out = down_dims[down_dims.length - 2 - level]!;
    h = g.concat([h, skips.pop()!]);
    h = resblock(resblock(h, `${name}.0`, out), `${name}.1`, out);
    const weight = weights.weight(g, `${resample(name)}.weight`, [out, out, 4]);
    h = g.convTranspose1d(h, weight, weights.weight(g, `${resample(name)}.bias`, [out]), {
      stride: 2,
      pad: 1,
    });
  }
  // Both projects build this block without n_groups, so its norm has their default.
  h = block(h, `${prefix}final_conv.0`, down_dims[0]!, FINAL_GROUPS);
  g.output('F', conv(h, `${prefix}final_conv.1`, shape.action_dim, 1));
  return g;
}
