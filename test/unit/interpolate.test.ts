// Between the rows of a chunk: every way meets the rows, is as smooth as it says, and turns orientations the short way.

import { describe, expect, test } from 'vitest';
import { interpolate } from '../../src/control/index.js';
import { angleBetween, fromQuaternion, slerp, toQuaternion } from '../../src/control/pose.js';
import { Random } from '../../src/sim/random.js';
import type { Interpolation, Rotation } from '../../src/types/index.js';

const ROWS = 7;
const random = new Random(4);
const rows = Float32Array.from({ length: ROWS }, () => random.normal());

function at(position: number, how: Interpolation): number {
  const out = new Float64Array(1);
  interpolate(rows, ROWS, position, how, [], out);
  return out[0]!;
}

/** Jump of the nth derivative at a row, by differences on either side of it. */
function jump(row: number, how: Interpolation, order: 1 | 2): number {
  const h = 1e-4;
  const sides = [-1, 1].map((side) => {
    const f = (k: number) => at(row + side * k * h, how);
    // One-sided, of second order.
    return order === 1
      ? (side * (-3 * f(0) + 4 * f(1) - f(2))) / (2 * h)
      : (2 * f(0) - 5 * f(1) + 4 * f(2) - f(3)) / (h * h);
  });
  return Math.abs(sides[1]! - sides[0]!);
}

test.each(['hold', 'linear', 'cubic', 'quintic'] as const)('%s meets every row', (how) => {
  for (let row = 0; row < ROWS; row++) expect(at(row, how)).toBe(rows[row]);
  expect(at(ROWS - 0.5, how)).toBe(rows[ROWS - 1]);
});

describe('smoothness at the rows within', () => {
  test.each([
    ['linear', false, true],
    ['cubic', true, false],
    ['quintic', true, true],
  ] as const)('%s: speed %s, acceleration %s', (how, speed, acceleration) => {
    for (let row = 2; row < ROWS - 2; row++) {
      // Differences of 1e-4 leave some 1e-3 of a second derivative that is there.
      expect(jump(row, how, 1) < 1e-4).toBe(speed);
      expect(jump(row, how, 2) < 0.05).toBe(acceleration);
    }
  });
});

const unit = (): number[] => {
  const q = Array.from({ length: 4 }, () => random.normal());
  const n = Math.hypot(...q);
  return q.map((v) => v / n);
};

test.each(['quaternion', 'rotation_vector'] as const)('%ss turn steadily, the shorter way', (as) => {
  const size = as === 'quaternion' ? 4 : 3;
  const rotations: Rotation[] = [{ at: 1, as }];
  for (let i = 0; i < 200; i++) {
    const [a, b] = [toQuaternion(unit(), 0, 'quaternion'), toQuaternion(unit(), 0, 'quaternion')];
    const actions = new Float32Array(2 * (size + 1));
    fromQuaternion(a, actions, 1, as);
    fromQuaternion(b, actions, size + 2, as);
    const whole = angleBetween(a, b);
    expect(whole).toBeLessThanOrEqual(Math.PI + 1e-9);
    const out = new Float64Array(size + 1);
    for (const u of [0.1, 0.5, 0.9]) {
      interpolate(actions, 2, u, 'cubic', rotations, out);
      const q = toQuaternion(out, 1, as);
      expect(angleBetween(a, q)).toBeCloseTo(u * whole, 5);
      expect(angleBetween(q, b)).toBeCloseTo((1 - u) * whole, 5);
    }
  }
});

test('the same orientation stays, and one written with the other sign is the same', () => {
  const q = toQuaternion([0.1, 0.2, 0.3, 0.9], 0, 'quaternion');
  const other = toQuaternion([-0.1, -0.2, -0.3, -0.9], 0, 'quaternion');
  expect(angleBetween(q, other)).toBeCloseTo(0, 9);
  expect(angleBetween(slerp(q, other, 0.5), q)).toBeCloseTo(0, 9);
});
