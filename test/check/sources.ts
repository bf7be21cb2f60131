// The files of this repository that checks look at.

import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = fileURLToPath(new URL('../..', import.meta.url));

/** Files below a folder of the repository whose names match. */
export const sourceFiles = (folder: string, pattern: RegExp): string[] =>
  filesBelow(join(root, folder), pattern);

/** Files below `folder`, a path. */
export function filesBelow(folder: string, pattern: RegExp): string[] {
  return readdirSync(folder).flatMap((name) => {
    const path = join(folder, name);
    if (statSync(path).isDirectory()) return filesBelow(path, pattern);
    return pattern.test(name) ? [path] : [];
  });
}
