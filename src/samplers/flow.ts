// Euler for flow-matching networks, whose output is a velocity, in both conventions of time.

import { TendonError } from '../types/index.js';
import { makeTable, row, type SamplerTable } from './table.js';

/**
 * Which end is noise. `noise_at_one` (pi0, SmolVLA): x_t = t·noise + (1 − t)·a, t falls from 1 by 1/N.
 * `noise_at_zero` (rectified flow, the kinetix code): x_t = (1 − t)·noise + t·a, t rises from 0.
 */
export type FlowTime = 'noise_at_one' | 'noise_at_zero';

/** LeRobot's max_guidance_weight. */
const MAX_GUIDANCE = 10;
/** The paper's, of guidance through the derivative. */
const PAPERS_MAX_GUIDANCE = 5;

/**
 * Real-time chunking's guidance of D at time τ of 1 (clean): (1 − τ)·g with g = (1 − τ)/τ · (τ² + (1 − τ)²)/(1 − τ)², at
 * most `most` (Black et al. 2025, eq. 2 and 4; without a derivative of the network, as LeRobot ships it).
 */
export function flowGuidance(tau: number, most = MAX_GUIDANCE): number {
  const left = 1 - tau;
  return left * Math.min(most, (tau * tau + left * left) / (tau * left));
}

/**
 * N steps of the stochastic equation with a flow's marginals (Flow-GRPO, Liu et al. 2025), t from 1 (noise) to 0: σ_t = a·√(t/(1 − t)),
 * x' = x·(1 + σ²/(2t)·dt) + v·(1 + σ²(1 − t)/(2t))·dt + σ√(−dt)·ε. At t = 1 the next level stands in for t below the line; the
 * last step is without noise, so that its result is D.
 */
export function flowSdeTable(time: FlowTime, steps: number, a: number): SamplerTable {
  const { rows, levels, start_scale, gains } = flowTable(time, steps);
  const dt = -1 / steps;
  const drawn = rows.map((plain, i) => {
    if (i === steps - 1) return plain;
    const t = 1 - i / steps;
    const variance = (a * a * t) / (1 - (i === 0 ? 1 - 1 / steps : t));
    // v in the sense of noise at one: x − t·v is D. Guidance of D reaches the step through w_d.
    const w_x = 1 + (variance / (2 * t)) * dt;
    const w_v = (1 + (variance * (1 - t)) / (2 * t)) * dt;
    const { a_x, a_f, guide } = plain;
    return row({
      ...{ a_x, a_f, guide },
      // v = (x − D)/t
      w_x: w_x + w_v / t,
      w_d: -w_v / t,
      w_noise: Math.sqrt(variance * -dt),
    });
  });
  return makeTable(drawn, levels, start_scale, gains);
}

/** N Euler steps; levels are the times the network is told. The step goes through D, so that guidance of D works. */
export function flowTable(time: FlowTime, steps: number, max_guidance = MAX_GUIDANCE): SamplerTable {
  if (!Number.isInteger(steps) || steps < 1 || steps > 1000)
    throw new TendonError('config_invalid', `steps: expected a whole number from 1 to 1000, got ${steps}`, {
      steps,
    });
  if (time !== 'noise_at_one' && time !== 'noise_at_zero')
    throw new TendonError(
      'config_invalid',
      `flow time: expected noise_at_one or noise_at_zero, got "${String(time)}"`,
    );
  const sign = time === 'noise_at_one' ? -1 : 1;
  const levels = Array.from({ length: steps }, (_, i) => (sign < 0 ? 1 - i / steps : i / steps));
  const rows = levels.map((_, i) => {
    const left = 1 - i / steps;
    const share = 1 / (steps - i);
    const guide = flowGuidance(1 - left, max_guidance);
    return row({ a_x: 1, a_f: sign * left, guide, w_x: 1 - share, w_d: share });
  });
  const gains = levels.map((_, i) => flowGuidance(i / steps, PAPERS_MAX_GUIDANCE));
  return makeTable(rows, levels, 1, gains);
}
