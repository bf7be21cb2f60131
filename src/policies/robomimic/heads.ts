// What robomimic's policies make of their last feature (models/policy_nets.py): an action through tanh, or a draw from a
// Gaussian or a mixture of Gaussians, whose randomness is an input.

import type { GraphBuilder, Value } from '../../native/index.js';
import { clamp, drawOne } from '../../networks/index.js';
import type { Tensors } from '../tensors.js';
import type { HeadConfig } from './config.js';

/** The standard deviation that low_noise_eval samples a mixture with. */
const LOW_NOISE = 1e-4;
const DECODER = 'policy.nets.decoder.nets.';

/** Normal draws that a head takes beside one for each number of the action. */
export const modeDraws = (head: HeadConfig): number => (head.kind === 'gmm' ? head.num_modes : 0);

/** feature (1, 1, width), noise (1, 1, action_dim), modes (1, 1, modeDraws) → (1, 1, action_dim) */
export function actionOf(
  g: GraphBuilder,
  tensors: Tensors,
  head: HeadConfig,
  feature: Value,
  noise: Value,
  modes: Value | undefined,
): Value {
  const A = noise.shape[2]!;
  const decode = (name: string, out: number): Value => tensors.linear(g, feature, DECODER + name, out);
  const tanh = (v: Value): Value => g.unary('tanh', v);
  if (head.kind === 'deterministic') return tanh(decode('action', A));
  // Of no use where the deviation is given.
  tensors.ignore(/^policy\.nets\.decoder\.nets\.scale\./);
  if (head.kind === 'gaussian') {
    const limited = clamp(g, decode('mean', A), ...head.mean_limits);
    const mean = head.use_tanh ? limited : tanh(limited);
    const drawn = head.low_noise_eval ? mean : g.add(mean, g.mul(noise, gaussianScale(g, head, decode, A)));
    return head.use_tanh ? tanh(drawn) : drawn;
  }
  const M = head.num_modes;
  const chosen = drawOne(g, decode('logits', M), modes!);
  const pick = (v: Value): Value => g.matmul(chosen, g.reshape(v, [1, M, A]));
  const mean = pick(tanh(decode('mean', M * A)));
  if (head.low_noise_eval) return g.add(mean, g.affine(noise, LOW_NOISE, 0));
  const scale = g.affine(g.unary(head.std_activation, decode('scale', M * A)), 1, head.min_std);
  return g.add(mean, g.mul(noise, pick(scale)));
}

function gaussianScale(
  g: GraphBuilder,
  head: Extract<HeadConfig, { kind: 'gaussian' }>,
  decode: (name: string, out: number) => Value,
  A: number,
): Value {
  const raw = head.fixed_std
    ? g.constant(new Float32Array(A).fill(head.init_std), [1, 1, A])
    : decode('scale', A);
  if (head.fixed_std || head.std_activation === null) return clamp(g, raw, ...head.std_limits);
  const positive = g.unary(head.std_activation, raw);
  // Softplus is scaled so that an output of 0 is init_std.
  const scaled =
    head.std_activation === 'softplus' ? g.affine(positive, head.init_std / Math.LN2, 0) : positive;
  return clamp(g, scaled, ...head.std_limits);
}
