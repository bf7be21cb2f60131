// Pages that a person reads: their links lead somewhere, their commands are commands, and the lists are whole.

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { expect, test } from 'vitest';
import { readArguments } from '../../src/cli/arguments.js';
import { COMMANDS } from '../../src/cli/commands.js';
import { FAMILY_NAMES } from '../../src/policies/index.js';

const PAGES = [
  'README.md',
  'CONTRIBUTING.md',
  ...readdirSync('docs')
    .filter((name) => name.endsWith('.md'))
    .map((name) => `docs/${name}`),
];
const text = (page: string): string => readFileSync(page, 'utf8');

test.each(PAGES)('%s: its links lead somewhere', (page) => {
  const links = [...text(page).matchAll(/\]\(([^)#\s]+)[^)]*\)/g)].map(([, link = '']) => link);
  for (const link of links.filter((one) => !/^[a-z]+:/.test(one)))
    expect(existsSync(join(dirname(page), link)), link).toBe(true);
});

test.each(PAGES)('%s: its commands are understood', async (page) => {
  const blocks = [...text(page).matchAll(/```sh\n([\s\S]*?)```/g)].map(([, block = '']) => block);
  for (const line of blocks.flatMap((block) => block.replaceAll('\\\n', ' ').split('\n'))) {
    const [program, name = '', ...words] = line
      .replace(/\s+#.*$/, '')
      .trim()
      .split(/\s+/);
    if (program !== 'tendon' || name.startsWith('-') || name === 'help') continue;
    const command = await COMMANDS[name]?.();
    expect(command, line).toBeDefined();
    const end = words.findIndex((word) => /^[|&>]/.test(word));
    expect(() => readArguments(name, command!, end < 0 ? words : words.slice(0, end)), line).not.toThrow();
  }
});

test('the README has every family once, and the index every page', () => {
  const table = text('README.md').split('\n## What it reads')[1]!.split('\n## ')[0]!;
  const named = table
    .split('\n')
    .filter((line) => line.startsWith('| `'))
    .flatMap((line) => [...line.split('|')[1]!.matchAll(/`(\w+)`/g)].map(([, name]) => name));
  expect(named.sort()).toEqual([...FAMILY_NAMES].sort());
  const index = text('docs/index.md');
  for (const page of PAGES.filter((one) => one.startsWith('docs/') && one !== 'docs/index.md'))
    expect(index).toContain(`](${page.slice('docs/'.length)})`);
});

test('the walk of the architecture page names files that are there', () => {
  const walk = text('docs/architecture.md').split('## One observation')[1]!.split('## Rooms')[0]!;
  const cells = walk.split('\n').filter((line) => /^\| \d+ \|/.test(line));
  expect(cells.length).toBeGreaterThan(12);
  for (const line of cells) {
    let folder = '';
    for (const [, path = ''] of line.split('|')[3]!.matchAll(/`([\w/.-]+)`/g)) {
      const found = [path, `src/${path}`, join(folder, path), join(dirname(folder), path)].find((one) =>
        existsSync(one),
      );
      expect(found, `${line.slice(0, 40)} … ${path}`).toBeDefined();
      folder = path.includes('/') ? dirname(found!) : folder;
    }
  }
});
