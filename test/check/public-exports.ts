// Every name that a door of the package exports, with the file and line that declare it: found by following the doors, as text.

import { readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { root } from './sources.js';

export interface PublicExport {
  readonly name: string;
  /** `src/…:line` of its declaration. */
  readonly at: string;
  /** The comment that stands directly before it, without its marks. */
  readonly doc: string | undefined;
}

/** The doors of package.json's `exports`. */
export const DOORS = ['src/index.ts', 'src/policies/index.ts', 'src/parts/index.ts'];

const DECLARATION =
  /^export (?:declare |abstract |async )*(?:class|interface|type|const|let|function\*?|enum) (\w+)/;

/** All of a file's exports by name, those of others that it passes on among them. */
export function exportsOf(file: string, seen = new Set<string>()): Map<string, PublicExport> {
  const found = new Map<string, PublicExport>();
  if (seen.has(file)) return found;
  seen.add(file);
  const text = readFileSync(join(root, file), 'utf8');
  const from = (path: string): string =>
    relative(root, join(root, dirname(file), path.replace(/\.js$/, '.ts')));
  for (const [, path = ''] of text.matchAll(/^export \* from '(\.[^']+)';/gm))
    for (const [name, entry] of exportsOf(from(path), seen)) found.set(name, entry);
  for (const [, list = '', path = ''] of text.matchAll(/^export (?:type )?\{([^}]*)\} from '(\.[^']+)';/gm)) {
    const there = exportsOf(from(path));
    for (const item of list.split(',')) {
      const [name, as = name] = item
        .trim()
        .replace(/^type /, '')
        .split(' as ');
      const entry = name === undefined ? undefined : there.get(name);
      if (entry !== undefined) found.set(as!, { ...entry, name: as! });
    }
  }
  const lines = text.split('\n');
  const docOf = (at: number): string | undefined => {
    const own = docBefore(lines, at);
    // A type that is read off a constant says what the constant says.
    const of = /^export type \w+ = .*\btypeof (\w+)/.exec(lines[at]!)?.[1];
    return own ?? (of === undefined ? undefined : found.get(of)?.doc);
  };
  lines.forEach((line, i) => {
    const name = DECLARATION.exec(line)?.[1];
    // Of several overloads the first carries the comment.
    if (name !== undefined && !found.has(name))
      found.set(name, { name, at: `${file}:${i + 1}`, doc: docOf(i) });
  });
  return found;
}

function docBefore(lines: readonly string[], at: number): string | undefined {
  let end = at - 1;
  // Remarks to the linter may stand between.
  while (/^\s*\/\/ biome-ignore/.test(lines[end] ?? '')) end--;
  if (!/\*\/\s*$/.test(lines[end] ?? '')) return undefined;
  let begin = end;
  while (begin > 0 && !/^\s*\/\*\*/.test(lines[begin]!)) begin--;
  return lines
    .slice(begin, end + 1)
    .map((line) => line.replace(/^\s*\/?\*+\/?\s?|\*\/\s*$/g, '').trim())
    .join(' ')
    .trim();
}
