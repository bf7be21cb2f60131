// Conditioning by inpainting (diffusion_policy's low-dimensional policies with no obs_as_…): the trajectory has the
// observation's columns after the action's, and before every call of the network the rows that were observed are written
// over them. x's own numbers there go nowhere else, so the writing is the first operation of the network.

import type { GraphBuilder, Value } from '../../native/index.js';

/** x (groups, horizon, action + dim) with its last `dim` columns of rows < n_obs_steps from the input `painted`. */
export function painted(g: GraphBuilder, x: Value, dim: number, n_obs_steps: number): Value {
  const [groups, horizon, width] = x.shape as [number, number, number];
  const kept = new Float32Array(horizon * width).fill(1);
  for (let t = 0; t < n_obs_steps; t++) kept.fill(0, (t + 1) * width - dim, (t + 1) * width);
  const given = g.input('painted', [groups, horizon, width], 'observation');
  return g.add(g.mul(x, g.constant(kept, [1, horizon, width])), given);
}

/** The input `painted`: `seen` (n_obs_steps, dim) in its place among zeros. */
export function paint(seen: Float32Array, horizon: number, action_dim: number, dim: number): Float32Array {
  const width = action_dim + dim;
  const out = new Float32Array(horizon * width);
  for (let t = 0; t * dim < seen.length; t++)
    out.set(seen.subarray(t * dim, (t + 1) * dim), t * width + action_dim);
  return out;
}
