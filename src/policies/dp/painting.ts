// Conditioning by inpainting (diffusion_policy's low-dimensional policies with no obs_as_…): the trajectory has the
// observation's columns after the action's, and before every call of the network the rows that were observed are written
// over them. x's own numbers there go nowhere else, so the writing is the first operation of the network.

import type { GraphBuilder, Value } from '../../native/index.js';

/**
 * x (groups, horizon, action + dim) with its last `dim` columns of rows < n_obs_steps from `given` of the same shape, or from
 * the input `painted`.
 */
export function painted(
  g: GraphBuilder,
  x: Value,
  dim: number,
  n_obs_steps: number,
  given = g.input('painted', x.shape, 'observation'),
): Value {
  const [, horizon, width] = x.shape as [number, number, number];
  const kept = new Float32Array(horizon * width).fill(1);
  for (let t = 0; t < n_obs_steps; t++) kept.fill(0, (t + 1) * width - dim, (t + 1) * width);
  return g.add(g.mul(x, g.constant(kept, [1, horizon, width])), given);
}

/** Features (n_obs_steps, dim) in their place among zeros, (1, horizon, action_dim + dim). */
export function placed(g: GraphBuilder, features: Value, horizon: number, action_dim: number): Value {
  const [rows, dim] = features.shape as [number, number];
  const zeros = (...shape: number[]): Value =>
    g.constant(new Float32Array(shape.reduce((n, d) => n * d, 1)), shape);
  const beside = g.concat([zeros(1, rows, action_dim), g.reshape(features, [1, rows, dim])]);
  return rows === horizon ? beside : g.concat([beside, zeros(1, horizon - rows, action_dim + dim)], 1);
}

/** The input `painted`: `seen` (n_obs_steps, dim) in its place among zeros. */
export function paint(seen: Float32Array, horizon: number, action_dim: number, dim: number): Float32Array {
  const width = action_dim + dim;
  const out = new Float32Array(horizon * width);
  for (let t = 0; t * dim < seen.length; t++)
    out.set(seen.subarray(t * dim, (t + 1) * dim), t * width + action_dim);
  return out;
}
