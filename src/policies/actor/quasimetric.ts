// The quasimetrics of QRL (OGBench utils/networks.py: GCMRNValue, GCIQEValue): distances that obey the triangle inequality
// by construction and need not be symmetric.

import type { GraphBuilder, Value } from '../../native/index.js';
import type { Flax } from '../../networks/index.js';
import { meanOf } from './agent.js';
import { impala } from './impala.js';

const GELU = { activation: 'gelu_tanh' } as const;

/** φ(x), (1, latent_dim) */
export function phi(g: GraphBuilder, value: Flax, x: Value): Value {
  const encoded = value.has('encoder') ? impala(g, value.at('encoder'), x) : x;
  return value.at('phi').mlp(g, encoded, GELU);
}

/** A metric on the first half of φ and the largest step upwards on the second (Liu et al. 2023). */
export function mrn(g: GraphBuilder, value: Flax, s: Value, goal: Value): Value {
  const [symS, asymS] = g.halves(phi(g, value, s));
  const [symG, asymG] = g.halves(phi(g, value, goal));
  const squares = g.reduce('sum', g.unary('square', g.binary('sub', symS, symG)));
  const symmetric = g.unary('sqrt', g.binary('maximum', squares, g.constant([1e-12], [1])));
  return g.add(symmetric, g.unary('relu', g.reduce('max', g.binary('sub', asymS, asymG))));
}

/** Interval quasimetric embeddings (Wang & Isola 2022), 8 numbers a group. */
const GROUP = 8;

export function iqe(g: GraphBuilder, value: Flax, s: Value, goal: Value): Value {
  return iqeOf(g, value, phi(g, value, s), phi(g, value, goal));
}

/**
 * Per group the length of the union of intervals [φ_s, φ_g] where φ_s < φ_g, from the number of intervals that cover each
 * stretch: Σ over sorted ends is written as Σ over all pairs, since the core sorts nothing. d = α·mean + (1 − α)·max.
 */
export function iqeOf(g: GraphBuilder, value: Flax, a: Value, b: Value): Value {
  const groups = a.shape.at(-1)! / GROUP;
  const components = g.concat(
    Array.from({ length: groups }, (_, i) =>
      unionLength(g, g.slice(a, 1, i * GROUP, GROUP), g.slice(b, 1, i * GROUP, GROUP)),
    ),
    1,
  );
  const alpha = 1 / (1 + Math.exp(-value.numbers('alpha/value')[0]!));
  const mean = g.reduce('mean', components);
  const most = g.reduce('max', components);
  return meanOf(g, [g.affine(mean, 2 * alpha, 0), g.affine(most, 2 * (1 - alpha), 0)]);
}

/** Of intervals [x_i, y_i], empty where y_i ≤ x_i; (1, n) both → (1, 1). */
function unionLength(g: GraphBuilder, x: Value, y: Value): Value {
  const n = x.shape[1]!;
  const upper = g.binary('maximum', x, y);
  const ends = g.reshape(g.concat([x, upper], 1), [1, 2 * n, 1]);
  const from = g.reshape(x, [1, 1, n]);
  const to = g.reshape(upper, [1, 1, n]);
  // The stretch behind each end reaches to the next larger end, and counts where an interval covers the end.
  const one = g.constant([1], [1]);
  const positive = (v: Value): Value => g.binary('minimum', g.unary('relu', g.affine(v, 1e30, 0)), one);
  const others = g.reshape(g.concat([x, upper], 1), [1, 1, 2 * n]);
  const gaps = g.binary('sub', others, ends);
  const far = g.constant([1e30], [1]);
  // Ends that are not larger are out of the race.
  const next = g.reduce('min', g.add(gaps, g.mul(g.binary('sub', one, positive(gaps)), far)));
  const covers = g.mul(
    g.binary('sub', one, positive(g.binary('sub', from, ends))),
    positive(g.binary('sub', to, ends)),
  );
  // Equal ends would count their stretch twice: each counts its share.
  const alike = g.binary('sub', one, g.add(positive(gaps), positive(g.affine(gaps, -1, 0))));
  const share = g.unary('reciprocal', g.reduce('sum', alike));
  const covered = g.reduce('max', covers);
  // The largest end has no next one, and nothing covers it.
  const stretches = g.mul(next, g.mul(covered, share));
  return g.reshape(g.reduce('sum', g.reshape(stretches, [1, 2 * n])), [1, 1]);
}
