import { expect, test } from 'vitest';
import { DOORS, exportsOf } from './public-exports.js';

test.each(DOORS)('every export of %s says what it is', (door) => {
  const all = [...exportsOf(door).values()];
  expect(all.length).toBeGreaterThan(10);
  const silent = all.filter(({ doc }) => doc === undefined || doc.length < 12);
  expect(silent.map(({ name, at }) => `${name} (${at})`)).toEqual([]);
});
