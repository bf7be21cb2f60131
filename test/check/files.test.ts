// Files that users name are opened in one place, src/base/files.ts, which refuses what is no regular file.

import { readFileSync } from 'node:fs';
import { relative } from 'node:path';
import { expect, test } from 'vitest';
import { root, sourceFiles } from './sources.js';

/** Who may open a file by its name, and why. */
const MAY: Readonly<Record<string, string>> = {
  'src/base/files.ts': 'the one place',
  'src/host/output.ts': 'opens its own terminal anew',
  'src/web/assets.ts': 'reads files of this package',
  'src/record/read.ts': 'goes on with what the one place opened',
  'src/record/mcap-file.ts': 'writes a new file',
  'src/weights/safetensors-write.ts': 'writes a new file',
  'src/hub/download.ts': 'writes a new file, and goes on with one that it left',
};

/** Whether it imports a function that opens a file by its name. */
function opensFiles(file: string): boolean {
  const imports = /import \{([^}]*)\} from 'node:fs(?:\/promises)?'/g;
  return [...readFileSync(file, 'utf8').matchAll(imports)].some(([, names = '']) =>
    /\b(readFileSync|readFile|createReadStream|openSync|open)\b/.test(names),
  );
}

const openers = (): string[] =>
  sourceFiles('src', /\.ts$/)
    .filter(opensFiles)
    .map((file) => relative(root, file));

test('no other file of src/ opens one by its name', () => {
  expect(openers().filter((file) => !(file in MAY))).toEqual([]);
});

test('whoever may still does', () => {
  expect(openers()).toEqual(expect.arrayContaining(Object.keys(MAY)));
});
