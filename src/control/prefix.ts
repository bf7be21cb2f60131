// Real-time chunking's soft mask: how much of each row of the chunk in force a new chunk must keep (Black et al. 2025,
// section 4.2; LeRobot modeling_rtc.py, get_prefix_weights).

import type { PrefixSchedule } from '../types/index.js';

/**
 * (total) weights: 1 for rows before `start`, which will have been executed when the new chunk arrives; falling from
 * `start` to `end`, as far as the old chunk reaches; 0 after.
 */
export function prefixWeights(
  schedule: PrefixSchedule,
  start: number,
  end: number,
  total: number,
): Float32Array {
  const first = Math.min(start, end);
  const falling = end - first;
  return Float32Array.from({ length: total }, (_, row) => {
    if (row < first) return 1;
    if (row >= end || schedule === 'zeros') return 0;
    if (schedule === 'ones') return 1;
    const line = 1 - (row - first + 1) / (falling + 1);
    return schedule === 'linear' ? line : (line * Math.expm1(line)) / (Math.E - 1);
  });
}
