// Lines of source per room, at a commit and now: node test/check/lines.mjs [COMMIT]. Counts .ts, .mjs, .cpp, .h, .cu and .cuh
// below src/, native/ and bench/, without tests. A line is a line, also an empty one.

import { execFileSync } from 'node:child_process';

const git = (...args) => execFileSync('git', args, { encoding: 'utf8', maxBuffer: 1 << 30 });
const SOURCE = /^(src|native|bench)\/.*\.(ts|mjs|cpp|h|cu|cuh)$/;
const before = process.argv[2] ?? '8065334';

/** Lines and files per room at `commit`. */
function rooms(commit) {
  const found = new Map();
  for (const path of git('ls-tree', '-r', '--name-only', commit).split('\n')) {
    if (!SOURCE.test(path) || path.startsWith('native/test/')) continue;
    const [top, inner, ...rest] = path.split('/');
    const room = rest.length === 0 ? top : `${top}/${inner}`;
    const lines = git('show', `${commit}:${path}`).split('\n').length - 1;
    const sum = found.get(room) ?? { lines: 0, files: 0 };
    found.set(room, { lines: sum.lines + lines, files: sum.files + 1 });
  }
  return found;
}

const [then, now] = [rooms(before), rooms('HEAD')];
const cell = (one) => (one === undefined ? '–' : `${one.lines} (${one.files})`);
console.log(`| room | lines (files) at ${before} | now |\n|---|---:|---:|`);
const total = (map, top) =>
  [...map].reduce((sum, [room, { lines }]) => sum + (room.split('/')[0] === top ? lines : 0), 0);
for (const room of [...new Set([...then.keys(), ...now.keys()])].sort())
  console.log(`| ${room} | ${cell(then.get(room))} | ${cell(now.get(room))} |`);
for (const top of ['native', 'src']) console.log(`| **${top}** | ${total(then, top)} | ${total(now, top)} |`);
