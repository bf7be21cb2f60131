// What a session says never blocks it: a terminal, a pipe or a socket that nobody reads takes what it can hold, and the
// rest is dropped and counted. Real ones, in another process.

import { spawn, spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

const PROGRAM = fileURLToPath(new URL('output-program.mjs', import.meta.url));

/** Runs argv with its standard output on something that is held open and never read; prints its exit code last. */
const UNREAD = `
import os, pty, socket, subprocess, sys
kind, argv = sys.argv[1], sys.argv[2:]
if kind == 'terminal': reader, writer = pty.openpty()
elif kind == 'pipe': reader, writer = os.pipe()
else:
    pair = socket.socketpair()
    reader, writer = pair[0].fileno(), pair[1].fileno()
try: code = subprocess.run(argv, stdout=writer, timeout=60).returncode
except subprocess.TimeoutExpired: code = 'never ended'
print(code)
`;

test.each(['terminal', 'pipe', 'socket'])('a %s that nobody reads holds nothing up', (kind) => {
  const { stdout, stderr } = spawnSync('python3', ['-c', UNREAD, kind, process.execPath, PROGRAM], {
    encoding: 'utf8',
  });
  expect(stdout.trim()).toBe('0');
  // A write that waits for its reader would never have ended.
  expect(JSON.parse(stderr).dropped).toBeGreaterThan(30_000);
});

test('whoever reads gets every line in order, or is told how many are missing', async () => {
  const child = spawn(process.execPath, [PROGRAM], { stdio: ['ignore', 'pipe', 'pipe'] });
  let said = '';
  let report = '';
  child.stderr.on('data', (text) => {
    report += text;
  });
  child.stdout.on('data', (text) => {
    said += text;
  });
  await new Promise((resolve) => child.once('close', resolve));
  const lines = said.trimEnd().split('\n');
  let next = 0;
  let missing = 0;
  for (const line of lines) {
    const told = /^… (\d+) lines were dropped here/.exec(line);
    if (told !== null) {
      missing += Number(told[1]);
      next += Number(told[1]);
    } else expect(line.startsWith(`line ${next++} `), `${line.slice(0, 20)} at ${next}`).toBe(true);
  }
  expect(missing).toBeLessThanOrEqual(JSON.parse(report).dropped);
  expect(next).toBeGreaterThan(30_000);
});
