import { readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { expect, test } from 'vitest';
import { root, sourceFiles } from './sources.js';

/** What each file of src imports when it runs; types alone are no dependency. */
function imports(): Map<string, readonly string[]> {
  const src = join(root, 'src');
  return new Map(
    sourceFiles('src', /\.ts$/).map((file) => {
      const text = readFileSync(file, 'utf8');
      const found = [...text.matchAll(/^(?:import|export)\s(?!type\b)[^;]*?from '(\.[^']+)';/gm)]
        // `import { type A, type B }` is types alone as well.
        .filter(([line]) => !/\{\s*(type \w+( as \w+)?,?\s*)+\}/.test(line))
        .map(([, path = '']) => relative(src, join(dirname(file), path.replace(/\.js$/, '.ts'))));
      return [relative(src, file), found];
    }),
  );
}

test('no file of src imports itself by way of others', () => {
  const graph = imports();
  const done = new Set<string>();
  const circles: string[] = [];
  const visit = (file: string, path: readonly string[]): void => {
    const at = path.indexOf(file);
    if (at >= 0) {
      circles.push([...path.slice(at), file].join(' → '));
      return;
    }
    if (done.has(file)) return;
    for (const next of graph.get(file) ?? []) visit(next, [...path, file]);
    done.add(file);
  };
  for (const file of graph.keys()) visit(file, []);
  expect(graph.size).toBeGreaterThan(400);
  expect(circles).toEqual([]);
});
