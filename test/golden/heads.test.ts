// Noise actors, flow decoders, live conditions, mixtures, residuals, sinks and terms against recorded vectors (test/golden,
// section Steering), the networks compiled by the core.

import { describe, expect, it } from 'vitest';
import { GraphBuilder, type Value } from '../../src/native/index.js';
import {
  angles,
  decoderVelocity,
  episodesBegun,
  filmPolicy,
  mixtureOfExperts,
  powersOfTwo,
  residualActor,
  sinkAttention,
  sinkMask,
  squashed,
  squashedActor,
  type Weights,
} from '../../src/networks/index.js';
import * as parts from '../../src/parts/index.js';
import { Checkpoint } from '../../src/policies/checkpoint.js';
import { type Golden, golden, relativeError, runGraph } from './golden.js';

const BAR = 1e-5;
const weightsOf = (io: Golden): Weights => new Checkpoint(io.dir, {}).tensors('head');
const graphOf = (describe: (g: GraphBuilder) => Readonly<Record<string, Value>>): GraphBuilder => {
  const g = new GraphBuilder();
  for (const [name, value] of Object.entries(describe(g))) g.output(name, g.affine(value, 1, 0));
  return g;
};
const input = (g: GraphBuilder, name: string, width: number): Value => g.input(name, [1, width], 'step');

describe('noise_policy', () => {
  const io = golden('noise_policy');
  const { obs_dim, horizon, action_dim, noise_rows, action_magnitude, timestep_embed_dim, flow_steps } =
    io.config as Record<string, number>;
  const n = io.shape('obs')[0]!;
  const noise_width = noise_rows! * action_dim!;
  it('the actor’s mean and deviation, its mode and what it draws', async () => {
    const weights = weightsOf(io);
    const g = graphOf((g) => {
      const head = squashedActor(g, weights, input(g, 'obs', obs_dim!));
      const eps = input(g, 'eps', noise_width);
      return {
        ...head,
        mode: squashed(g, head, action_magnitude!),
        drawn: squashed(g, head, action_magnitude!, eps),
      };
    });
    const out = await runGraph(g, n, { obs: io.get('obs'), eps: io.get('eps') });
    expect(relativeError(out.mean!, io.get('mu'))).toBeLessThan(BAR);
    expect(relativeError(out.log_std!, io.get('log_std'))).toBeLessThan(BAR);
    for (const kind of ['mode', 'drawn']) {
      const rows = Float32Array.from(
        { length: n * horizon! * action_dim! },
        (_, i) => out[kind]![Math.floor(i / (horizon! * action_dim!)) * noise_width + (i % noise_width)]!,
      );
      expect(relativeError(rows, io.get(`${kind}.noise`))).toBeLessThan(BAR);
    }
  });
  it.each(['mode', 'drawn'])('the flow’s decoder from its %s', async (kind) => {
    const weights = weightsOf(io);
    const g = graphOf((g) => ({
      v: decoderVelocity(
        g,
        weights,
        input(g, 'o', obs_dim!),
        input(g, 'x', action_dim!),
        input(g, 't', timestep_embed_dim!),
      ),
    }));
    const rows = n * horizon!;
    const repeat = (row: (i: number) => ArrayLike<number>, width: number): Float32Array => {
      const all = new Float32Array(rows * width);
      for (let i = 0; i < rows; i++) all.set(row(i), i * width);
      return all;
    };
    const o = repeat(
      (i) =>
        io
          .get('obs')
          .subarray(Math.floor(i / horizon!) * obs_dim!)
          .subarray(0, obs_dim!),
      obs_dim!,
    );
    const x = io.get(`${kind}.noise`).slice();
    for (let step = 0; step < flow_steps!; step++) {
      const t = repeat(() => powersOfTwo(1 - step / flow_steps!, timestep_embed_dim!), timestep_embed_dim!);
      const { v } = await runGraph(g, rows, { o, x, t });
      for (let i = 0; i < x.length; i++) x[i] = x[i]! - v![i]! / flow_steps!;
    }
    expect(relativeError(x, io.get(`${kind}.chunk`))).toBeLessThan(BAR);
  });
});

describe('film_policy', () => {
  const io = golden('film_policy');
  const { obs_dim, film_after, conditions } = io.config as {
    obs_dim: number;
    film_after: number[];
    conditions: { min: number; max: number }[];
  };
  const n = io.shape('asked')[0]!;
  it('conditions are clamped to what was trained and scaled to ±1', () => {
    const scaled = Float32Array.from(io.get('asked'), (v, i) => {
      const { min, max } = conditions[i % conditions.length]!;
      return (2 * (parts.clamp(v, [min, max]) - min)) / (max - min) - 1;
    });
    expect(relativeError(scaled, io.get('condition'))).toBeLessThan(BAR);
  });
  it.each(['scale', 'one_plus_scale'] as const)('modulates by %s', async (convention) => {
    const weights = weightsOf(io);
    const g = graphOf((g) => ({
      action: filmPolicy(g, weights, input(g, 'obs', obs_dim), input(g, 'c', conditions.length), {
        film_after,
        convention,
      }),
    }));
    const obs = Float32Array.from({ length: n * obs_dim }, (_, i) => io.get('obs')[i % obs_dim]!);
    const { action } = await runGraph(g, n, { obs, c: io.get('condition') });
    expect(relativeError(action!, io.get(`${convention}.action`))).toBeLessThan(BAR);
  });
});

describe('policy_heads', () => {
  const io = golden('policy_heads');
  const { obs_dim, action_dim, experts, action_range, res_scale, horizon, batch } = io.config as Record<
    string,
    number
  >;
  it('a mixture of tanh experts: shares, the drawn expert, its mode and what it draws', async () => {
    const weights = weightsOf(io);
    const g = graphOf((g) => ({ ...mixtureOfExperts(g, weights, input(g, 'obs', obs_dim!)) }));
    const { shares, mean, log_std } = await runGraph(g, batch!, { obs: io.get('obs') });
    expect(relativeError(shares!, io.get('mixing'))).toBeLessThan(BAR);
    const [u, z] = [io.get('u'), io.get('z')];
    const chosen = [...u].map(
      (draw, b) => parts.multinomial(shares!.subarray(b * experts!, (b + 1) * experts!), [draw])[0]!,
    );
    expect(chosen).toEqual([...io.get('expert')]);
    const action = (noisy: number): Float32Array =>
      Float32Array.from({ length: batch! * action_dim! }, (_, i) => {
        const b = Math.floor(i / action_dim!);
        const at = (b * experts! + chosen[b]!) * action_dim! + (i % action_dim!);
        return action_range! * Math.tanh(mean![at]! + noisy * Math.exp(log_std![at]!) * z[at]!);
      });
    expect(relativeError(action(0), io.get('mixture.mode'))).toBeLessThan(BAR);
    expect(relativeError(action(1), io.get('mixture.drawn'))).toBeLessThan(BAR);
  });
  it('a bounded residual on a base chunk', async () => {
    const weights = weightsOf(io);
    const width = horizon! * action_dim!;
    const both = io.config.actor_input !== 'obs';
    const base = io.get('residual.base');
    const obs = io.get('obs');
    const wide = obs_dim! + (both ? width : 0);
    const x = new Float32Array(batch! * wide);
    for (let b = 0; b < batch!; b++) {
      x.set(obs.subarray(b * obs_dim!, (b + 1) * obs_dim!), b * wide);
      if (both) x.set(base.subarray(b * width, (b + 1) * width), b * wide + obs_dim!);
    }
    const g = graphOf((g) => ({ r: residualActor(g, weights, input(g, 'x', wide)) }));
    const { r } = await runGraph(g, batch!, { x });
    const action = r!.map((v, i) => base[i]! + res_scale! * v);
    expect(relativeError(action, io.get('residual.action'))).toBeLessThan(BAR);
  });
});

describe('sink_attention', () => {
  const io = golden('sink_attention');
  const { length, num_heads, num_key_value_heads, head_dim, rope_theta, window } = io.config as Record<
    string,
    number
  >;
  it.each([
    ['out', undefined],
    ['out_window', window],
  ])('%s', async (name, within) => {
    const positions = episodesBegun(io.get('episode_begins'));
    expect(positions).toEqual([...io.get('positions')]);
    const weights = weightsOf(io);
    const width = io.shape('x')[1]!;
    const g = graphOf((g) => {
      const x = g.input('x', [1, length!, width], 'step');
      const turn = angles(positions, head_dim!, rope_theta);
      const shape = [1, length!, 1, head_dim! / 2];
      const mask = g.constant(sinkMask(length!, within), [length!, length! + 1]);
      const rotation = { cos: g.constant(turn.cos, shape), sin: g.constant(turn.sin, shape) };
      const heads = { heads: num_heads!, kv_heads: num_key_value_heads!, head_dim: head_dim! };
      return { out: sinkAttention(g, weights, x, 'self_attn', heads, rotation, mask) };
    });
    const { out } = await runGraph(g, 1, { x: io.get('x') });
    expect(relativeError(out!, io.get(name))).toBeLessThan(BAR);
  });
});

describe('velocity_terms', () => {
  const io = golden('velocity_terms');
  const c = io.config as Record<string, number> & { mixture: { weights: number[]; std: number } };
  const { candidates, horizon, action_dim, steps } = c as Record<string, number>;
  const size = horizon! * action_dim!;
  const rowsOf = (name: string): Float32Array[] =>
    Array.from({ length: io.get(name).length / size }, (_, i) =>
      io.get(name).slice(i * size, (i + 1) * size),
    );
  /** The mean of what x may have come from: x = a·D + b·noise, D one of a mixture of Gaussians. */
  const denoised = (
    x: ArrayLike<number>,
    means: readonly Float32Array[],
    std: number,
    a: number,
    b: number,
  ) => {
    const variance = a * a * std * std + b * b;
    const logs = means.map((m, k) => {
      let sum = 0;
      for (let i = 0; i < size; i++) sum += (x[i]! - a * m[i]!) ** 2;
      return Math.log(c.mixture.weights[k]!) - sum / (2 * variance);
    });
    const share = parts.softmax(logs);
    return Float64Array.from({ length: size }, (_, i) =>
      means.reduce(
        (sum, m, k) => sum + share[k]! * (m[i]! + ((a * std * std) / variance) * (x[i]! - a * m[i]!)),
        0,
      ),
    );
  };
  const [own, other] = [rowsOf('mixture.means'), rowsOf('other.means')];
  const velocity = (x: ArrayLike<number>, t: number, means: readonly Float32Array[], std: number) =>
    denoised(x, means, std, 1 - t, t).map((d, i) => (x[i]! - d) / t);
  type Field = (x: Float64Array, t: number) => Float64Array;
  const own_v: Field = (x, t) => velocity(x, t, own, c.mixture.std);
  const other_v: Field = (x, t) => velocity(x, t, other, c.other_std!);
  const euler = (field: Field): number[] =>
    rowsOf('start').flatMap((start) => {
      let x = Float64Array.from(start);
      for (let step = 0; step < steps!; step++) {
        const v = field(x, 1 - step / steps!);
        x = x.map((value, i) => value - v[i]! / steps!);
      }
      return [...x];
    });
  const guide = io.get('guide');

  it.each<[string, Field]>([
    ['plain', own_v],
    ['contrast', (x, t) => parts.contrasted(own_v(x, t), other_v(x, t), c.scale!)],
    ['composed', (x, t) => parts.composed(own_v(x, t), other_v(x, t), c.share!)],
    [
      'control',
      (x, t) => {
        const v = own_v(x, t);
        const gain = c.lambda! * parts.controlGain(t, c.epsilon);
        return parts.pathGradient(x, guide, action_dim!).map((d, i) => v[i]! + gain * d);
      },
    ],
  ])('%s', (name, field) => {
    expect(relativeError(euler(field), io.get(name))).toBeLessThan(BAR);
  });

  it.each(['guided', 'repeated'])('DDIM, %s by a drawn path', (name) => {
    const T = c.train_steps!;
    const bar = (t: number): number => Math.cos(((t + 0.008) / 1.008) * (Math.PI / 2)) ** 2;
    let product = 1;
    const alpha_bar = Array.from({ length: T }, (_, i) => {
      product *= 1 - Math.min(1 - bar((i + 1) / T) / bar(i / T), 0.999);
      return product;
    });
    const levels = [...io.get('ddim.timesteps')];
    const repeats = name === 'guided' ? 1 : c.repeats!;
    const ratio = name === 'guided' ? c.guide_ratio! : c.repeat_ratio!;
    const noise = io.get(`${name}.noise`);
    const draws = noise.length / (levels.length * candidates! * size);
    const ended = rowsOf('start').flatMap((start, k) => {
      let x: Float64Array = Float64Array.from(start);
      levels.forEach((level, i) => {
        const a = alpha_bar[level]!;
        const next = i + 1 < levels.length ? alpha_bar[levels[i + 1]!]! : 1;
        for (let r = 0; r < repeats; r++) {
          const d = denoised(x, own, c.mixture.std, Math.sqrt(a), Math.sqrt(1 - a));
          const epsilon = d.map((v, j) => (x[j]! - Math.sqrt(a) * v) / Math.sqrt(1 - a));
          const term = parts.pathGradient(x, guide, action_dim!);
          const steered = level === 0 ? epsilon : epsilon.map((v, j) => v + ratio * term[j]!);
          const step = parts.ddimStep(x, steered, a, next, 1);
          const at = ((i * draws + r) * candidates! + k) * size;
          x =
            r + 1 < repeats ? parts.noisedAgain(step.denoised, noise.subarray(at, at + size), a) : step.next;
        }
      });
      return [...x];
    });
    expect(relativeError(ended, io.get(name))).toBeLessThan(BAR);
  });

  it('towards good outcomes and away from bad ones', () => {
    const map = io.get('outcome.map');
    const n = c.outcome_dim!;
    const outcomes = (name: string): Float32Array[] =>
      Array.from({ length: io.shape(name)[0]! }, (_, i) => io.get(name).slice(i * n, (i + 1) * n));
    const [good, bad] = [outcomes('outcome.good'), outcomes('outcome.bad')];
    const found = rowsOf('start').flatMap((x) => {
      const e = Float64Array.from({ length: n }, (_, o) =>
        x.reduce((sum, v, i) => sum + map[o * size + i]! * v, 0),
      );
      const up = parts.outcomeGradient(e, good, bad, c.alpha!);
      return Array.from({ length: size }, (_, i) =>
        up.reduce((sum, v, o) => sum + v * map[o * size + i]!, 0),
      );
    });
    expect(relativeError(found, io.get('outcome.gradient'))).toBeLessThan(BAR);
  });
});
