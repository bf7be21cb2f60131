import { readFileSync } from 'node:fs';
import { dirname, join, relative, resolve, sep } from 'node:path';
import { expect, test } from 'vitest';
import { INNER_ROOMS, NATIVE_ROOMS, SOURCE_ROOMS, WITHOUT } from './rooms.js';
import { filesBelow as files, root } from './sources.js';

/** Imports of `from` that its row does not allow, as `file:line imports room`. */
function violations(
  base: string,
  pattern: RegExp,
  rooms: Readonly<Record<string, readonly string[]>>,
  targets: (line: string, file: string) => string | undefined,
): string[] {
  const found: string[] = [];
  for (const file of files(base, pattern)) {
    const [room = '', ...inner] = relative(base, file).split(sep);
    // A file beside the rooms (src/index.ts) is the public door: a table of contents that may name them all.
    if (inner.length === 0) continue;
    const allowed = rooms[room];
    if (allowed === undefined) {
      found.push(`${relative(root, file)}: there is no room "${room}"`);
      continue;
    }
    readFileSync(file, 'utf8')
      .split('\n')
      .forEach((line, i) => {
        const target = targets(line, file);
        if (target !== undefined && target !== room && !allowed.includes(target))
          found.push(`${relative(root, file)}:${i + 1} imports ${target}`);
      });
  }
  return found;
}

test('every include of native/ names a room that its own may include', () => {
  const native = join(root, 'native');
  const check = (line: string): string | undefined => /^\s*#include\s+"([\w]+)\//.exec(line)?.[1];
  expect(violations(native, /\.(h|cpp|cu|cuh)$/, NATIVE_ROOMS, check)).toEqual([]);
});

test('every import of src/ names a room that its own may import', () => {
  const src = join(root, 'src');
  const check = (line: string, file: string): string | undefined => {
    const path = /(?:from|import)\s*\(?\s*'(\.[^']*)'/.exec(line)?.[1];
    if (path === undefined) return undefined;
    const [room] = relative(src, resolve(dirname(file), path)).split(sep);
    return room?.startsWith('..') ? undefined : room;
  };
  expect(violations(src, /\.ts$/, SOURCE_ROOMS, check)).toEqual([]);
});

test('no room imports a package that it must do without', () => {
  const found = Object.entries(WITHOUT).flatMap(([room, forbidden]) =>
    files(join(root, 'src', room), /\.ts$/).flatMap((file) =>
      [...readFileSync(file, 'utf8').matchAll(/(?:from|import)\s*\(?\s*'([^'.][^']*)'/g)]
        .filter(([, name = '']) => forbidden.test(name))
        .map(([, name]) => `${relative(root, file)} imports ${name}`),
    ),
  );
  expect(found).toEqual([]);
});

test('every import between the folders of a room names one that its own may import', () => {
  for (const [room, rows] of Object.entries(INNER_ROOMS)) {
    const base = join(root, 'src', room);
    const check = (line: string, file: string): string | undefined => {
      const path = /(?:from|import)\s*\(?\s*'(\.[^']*)'/.exec(line)?.[1];
      if (path === undefined) return undefined;
      const [folder] = relative(base, resolve(dirname(file), path)).split(sep);
      return folder?.startsWith('..') ? undefined : folder;
    };
    expect(violations(base, /\.ts$/, rows, check)).toEqual([]);
  }
});

test('the check sees a forbidden import', () => {
  const found = violations(
    join(root, 'src'),
    /\.ts$/,
    { ...SOURCE_ROOMS, cli: [] },
    (line) => /from '\.\.\/(\w+)\//.exec(line)?.[1],
  );
  expect(found.length).toBeGreaterThan(0);
});
