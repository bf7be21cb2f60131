// Files that a user names: what is no regular file is refused, wherever it is read, and no error quotes a file.

import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { FILE_KINDS, readUserText } from '../../src/base/files.js';
import { parseJson, readUserJson } from '../../src/base/json.js';
import { parseYaml } from '../../src/base/yaml.js';
import { loadPolicy } from '../../src/policies/index.js';
import { Recording } from '../../src/record/index.js';
import { loadRobotFile } from '../../src/robot/index.js';
import { TendonError } from '../../src/types/index.js';
import { openOnnx, openSafetensors, openTorch } from '../../src/weights/index.js';

const folder = mkdtempSync(join(tmpdir(), 'tendon-files-'));
const at = (name: string): string => join(folder, name);
const socket = createServer();
beforeAll(async () => {
  execFileSync('mkfifo', [at('pipe')]);
  mkdirSync(at('folder'));
  writeFileSync(at('secret'), 'hunter2:x:0:0:root\n');
  symlinkSync(at('secret'), at('link'));
  symlinkSync('loop', at('loop'));
  writeFileSync(
    at('pointer'),
    'version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 412345678\n',
  );
  writeFileSync(at('large'), '');
  truncateSync(at('large'), FILE_KINDS.config.most + 1);
  await new Promise<void>((done) => socket.listen(at('socket'), done));
});
afterAll(() => {
  socket.close();
  rmSync(folder, { recursive: true });
});

/** The error of `read`, which must be one of Tendon's. */
async function errorOf(read: () => unknown): Promise<TendonError> {
  try {
    await read();
  } catch (caught) {
    expect(caught).toBeInstanceOf(TendonError);
    return caught as TendonError;
  }
  return expect.unreachable('it was read');
}

/** A checkpoint folder whose `name` is `target`. */
function checkpoint(name: string, target: string): string {
  const dir = mkdtempSync(at('checkpoint-'));
  if (name !== 'config.json') writeFileSync(join(dir, 'config.json'), '{"type": "diffusion"}');
  symlinkSync(target, join(dir, name));
  return dir;
}

const READERS: readonly [string, (path: string) => unknown][] = [
  ['a robot file', (path) => loadRobotFile(path)],
  ['safetensors', (path) => openSafetensors(path)],
  ['torch', (path) => openTorch(path)],
  ['ONNX', (path) => openOnnx(path)],
  ['a recording', (path) => Recording.open(path)],
  ['config.json', (path) => loadPolicy(checkpoint('config.json', path))],
  ['text', (path) => readUserText(path, 'config')],
];

describe.each(READERS)('%s', (_, read) => {
  test.each([
    ['pipe', /is a pipe; expected .*: a regular file/],
    ['folder', /is a directory; expected/],
    ['socket', /is a socket or device; expected/],
  ])('that is a %s is refused', async (name, message) => {
    const error = await errorOf(() => read(at(name)));
    expect(error.code).toBe('file_unsafe');
    expect(error.message).toMatch(message);
  });

  test('that never ends is refused', async () => {
    expect((await errorOf(() => read('/dev/zero'))).message).toMatch(/is a device; expected/);
  });

  test('that is a git-lfs pointer says so', async () => {
    expect((await errorOf(() => read(at('pointer')))).message).toMatch(
      /is a git-lfs pointer: the file of 412345678 bytes .*git lfs pull/,
    );
  });

  test('that is a link to a secret does not tell it', async () => {
    const error = await errorOf(() => read(at('link'))).catch(() => new TendonError('internal', 'read'));
    expect(`${error.message} ${JSON.stringify(error.fields)}`).not.toMatch(/hunter2|root/);
  });
});

test('a file above the limit of its kind is refused, and one that grows without end too', async () => {
  expect((await errorOf(() => readUserText(at('large'), 'config'))).message).toMatch(
    /has 16777217 bytes; expected a configuration of at most 16777216/,
  );
});

test('what is not there says why and what to try', async () => {
  const error = await errorOf(() => readUserText(at('none'), 'config', 'Look in launch/.'));
  expect(error.message).toBe(
    `${at('none')} cannot be read: no such file or directory (ENOENT). Look in launch/.`,
  );
  expect((await errorOf(() => readUserText(at('loop'), 'config'))).message).toMatch(
    /links go round in a circle/,
  );
});

test('a file of /proc, whose size is said to be 0, is read', () => {
  expect(readUserText('/proc/self/status', 'config')).toContain('Pid:');
});

describe('JSON', () => {
  test('with the numbers that Python writes bare', () => {
    const text = '{"a": NaN, "b": [-Infinity, Infinity], "c": "NaN, \\"Infinity", "d": -1}';
    expect(parseJson(text, 'x')).toEqual({
      a: Number.NaN,
      b: [Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY],
      c: 'NaN, "Infinity',
      d: -1,
    });
  });

  test.each([
    ['{"a": 1,\n "b": }', 2, 7],
    ['{"a": 1,\n}', 2, 1],
    ['', 1, 1],
    ['hunter2', 1, 1],
    ['{"a" 1}', 1, 6],
    ['[1, 2', 1, 6],
    ['[1 2]', 1, 4],
    ['{"a": "b', 1, 7],
    ['{"a": 1} x', 1, 10],
    ['{a: 1}', 1, 2],
    ['{"a": NaNa}', 1, 10],
    ['[}', 1, 2],
  ])('%j is wrong in line %d, column %d', async (text, line, column) => {
    const error = await errorOf(() => parseJson(text, 'x.json'));
    expect(error.message).toBe(`x.json is not JSON: line ${line}, column ${column}`);
  });

  test('of 16 MB that is broken at its end is told in one pass', async () => {
    writeFileSync(at('long.json'), `["a", "${'a'.repeat(15_000_000)}", ${'['.repeat(100_000)}`);
    expect((await errorOf(() => readUserJson(at('long.json'), 'config'))).message).toMatch(
      /line 1, column 15100/,
    );
  });
});

test.each(['root: x: hunter2', '"hunter2', '*hunter2', '{hunter2', '&hunter2 *hunter2 x', '%hunter2'])(
  'YAML %j is refused without a quotation',
  async (text) => {
    const error = await errorOf(() => parseYaml(text, 'x.yaml'));
    expect(error.message).toMatch(/^x\.yaml is not YAML: /);
    expect(error.message).not.toContain('hunter2');
  },
);
