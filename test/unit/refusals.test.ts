// What would run with other numbers than the peer's is refused in words: goals, schedulers, ops, configurations without end.

import { expect, test } from 'vitest';
import { checkGoal } from '../../src/policies/features.js';
import type { PolicySpec } from '../../src/types/index.js';
import { plainOf } from '../../src/weights/python.js';

const spec = {
  family: 'edm',
  goal_dims: { goal: 3 },
  observation_dims: { goal: 3, position: 6 },
} as unknown as PolicySpec;

test.each([
  [{ aim: Float32Array.of(1, 2, 3) }, /expected goal, got aim/],
  [{ goal: Float32Array.of(1, 2) }, /goal goal: expected 3 finite numbers, got 2/],
  [{ goal: Float32Array.of(1, 2, Number.NaN) }, /expected 3 finite numbers, got 1, 2, NaN/],
] as [Record<string, Float32Array>, RegExp][])('the goal %o', (goal, why) => {
  expect(() => checkGoal(goal, spec)).toThrow(why);
});

test('a goal that fits is taken', () => {
  expect(() => checkGoal({ goal: Float32Array.of(1, 2, 3) }, spec)).not.toThrow();
  expect(() => checkGoal(undefined, spec)).not.toThrow();
});

test('a configuration in which one object is named over and over has an end', () => {
  let value: unknown[] = [1];
  for (let i = 0; i < 60; i++) value = [value, value];
  expect(() => plainOf(value as never)).toThrow(/more than 100000 values/);
});
