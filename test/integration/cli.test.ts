// The command line, as a person meets it: what is not understood is refused, and a folder means the same everywhere.

import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, test } from 'vitest';
import { optionsOf, readArguments } from '../../src/cli/arguments.js';
import { loadOptions } from '../../src/cli/command.js';
import { COMMANDS } from '../../src/cli/commands.js';
import { helpOf } from '../../src/cli/help.js';
import { TendonError } from '../../src/types/index.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
const main = join(root, 'dist/cli/main.js');
const empty = mkdtempSync(join(tmpdir(), 'tendon-cli-'));
afterAll(() => rmSync(empty, { recursive: true }));

function tendon(...args: string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [main, ...args], {
    encoding: 'utf8',
    cwd: root,
    timeout: 100_000,
  });
  return { status, stdout, stderr };
}

const NAMES = Object.keys(COMMANDS);

/** What reading the arguments of a command says of them. */
async function refusal(name: string, ...args: string[]): Promise<string> {
  const command = await COMMANDS[name]!();
  try {
    readArguments(name, command, args);
  } catch (caught) {
    expect(caught).toBeInstanceOf(TendonError);
    return (caught as Error).message;
  }
  return expect.unreachable(`tendon ${name} ${args.join(' ')} was understood`);
}

describe.each(NAMES)('%s', (name) => {
  test('refuses an option that it does not have, and says where to read', async () => {
    expect(await refusal(name, '--polisy', 'x')).toMatch(
      new RegExp(`^${name}: there is no option --polisy.* \`tendon ${name} --help\` says more`),
    );
  });

  test('refuses a word too many', async () => {
    const { takes } = await COMMANDS[name]!();
    const most = takes === 'policy' ? 1 : (takes?.most ?? 0);
    if (most === Number.POSITIVE_INFINITY) return expect(['sessions', 'export']).toContain(name);
    const words = Array.from({ length: most + 1 }, (_, i) => `word${i}`);
    expect(await refusal(name, ...words)).toMatch(new RegExp(`^${name}: expected .*, got "word0"`));
  });

  test('refuses an empty value of every option', async () => {
    for (const [key, { type }] of Object.entries(optionsOf(await COMMANDS[name]!())))
      if (type === 'string')
        expect(await refusal(name, `--${key}=`)).toContain(`--${key}: expected a value, got an empty one`);
  });

  test('has help with examples, whose options it has', async () => {
    const command = await COMMANDS[name]!();
    expect(command.examples?.length).toBeGreaterThan(0);
    for (const example of command.examples ?? []) {
      expect(helpOf(command)).toContain(`  ${example}\n`);
      const words = example.split('|')[0]!.trim().split(' ');
      expect(words.slice(0, 2)).toEqual(['tendon', name]);
      readArguments(name, command, words.slice(2));
    }
  });
});

test('help COMMAND is COMMAND --help', () => {
  const { status, stdout } = tendon('help', 'run');
  expect([status, stdout]).toEqual([0, tendon('run', '--help').stdout]);
  expect(stdout).toContain('tendon run DIR');
});

test('the program refuses with exit code 2 and a sentence, not as a bug', () => {
  for (const words of [
    ['eval', 'models/arm', 'models/pusht'],
    ['sessions', '--polisy'],
    ['bench', 'models/arm'],
  ]) {
    const { status, stdout, stderr } = tendon(...words);
    expect([status, stdout, stderr]).toEqual([
      2,
      '',
      expect.stringMatching(/^tendon: \w+: .*\[config_invalid/s),
    ]);
  }
});

describe('a checkpoint folder', () => {
  const ONES = ['run', 'serve', 'eval', 'check', 'inspect', 'start'];

  test('is DIR or --policy DIR in every command that runs a policy', async () => {
    const takers = [];
    for (const name of NAMES) if ((await COMMANDS[name]!()).takes === 'policy') takers.push(name);
    expect(takers.sort()).toEqual([...ONES].sort());
  });

  test.each(ONES)('%s: that is not there is an error by either name, and never another folder', (name) => {
    const more = name === 'run' ? ['--robot', 'launch/sim-arm.yaml'] : name === 'start' ? ['--headless'] : [];
    for (const words of [['models/none'], ['--policy', 'models/none']]) {
      const { status, stdout, stderr } = tendon(name, ...words, ...more);
      expect([status, stderr]).toEqual([2, expect.stringContaining('models/none')]);
      expect(stderr).toContain('[file_missing');
      expect(stdout).not.toMatch(/%|all right/);
    }
  });

  test('named twice is refused', () => {
    expect(tendon('check', 'models/arm', '--policy', 'models/pusht').stderr).toMatch(
      /check: one checkpoint folder, got "models\/arm" and --policy "models\/pusht"/,
    );
  });
});

describe('numbers', () => {
  test.each([
    ['--steps', '', /--steps: expected a value, got an empty one/],
    ['--steps', '0x1', /--steps: expected a whole number from 1 to \d+, got "0x1"/],
    ['--steps', '1.5', /--steps: expected a whole number/],
    ['--steps', '1e1', /--steps: expected a whole number/],
    ['--threads', '0x1', /--threads: expected a whole number/],
    ['--threads', '0', /--threads: expected a whole number from 1/],
    ['--guidance', '0b1', /--guidance: expected a number, got "0b1"/],
    ['--guidance', '1,5', /--guidance: expected a number, got "1,5"/],
    ['--eta', 'Infinity', /--eta: expected a number, got "Infinity"/],
    ['--eta', ' ', /--eta: expected a number, got " "/],
  ])('%s %j is refused', async (option, value, message) => {
    const command = await COMMANDS.check!();
    expect(() => loadOptions(readArguments('check', command, ['x', option, value]).values)).toThrow(message);
  });
});

test('--version is that of the package', () => {
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  expect(tendon('--version')).toEqual({ status: 0, stdout: `tendon ${version}\n`, stderr: '' });
});

test('a command that is misspelt is guessed', () => {
  expect(tendon('evla').stderr).toMatch(/there is no command "evla"; did you mean eval\?/);
  expect(tendon('help', 'evla').stderr).toMatch(/did you mean eval\?/);
  expect(tendon('check', 'models/arm', '--step', '3').stderr).toMatch(
    /there is no option --step; did you mean --steps\?/,
  );
});

describe('--json', () => {
  test('check: one object with what the text says', () => {
    const { status, stdout } = tendon('check', 'models/arm', '--threads', '1', '--json');
    const report = JSON.parse(stdout);
    expect(status).toBe(0);
    expect(report).toMatchObject({
      dir: 'models/arm',
      threads: 1,
      on_zeros: { finite: true, median_ms: expect.any(Number) },
      stages: expect.arrayContaining([
        expect.objectContaining({ stage: 'step', instructions: expect.any(Number) }),
      ]),
    });
    expect(report.spec.observation_dims['observation.state']).toBe(12);
  });

  test('inspect: stages always, instructions and graph when asked for', () => {
    const report = JSON.parse(
      tendon('inspect', 'models/arm', '--threads', '1', '--json', '--instructions').stdout,
    );
    expect(report).toMatchObject({ dir: 'models/arm', parameters: expect.any(Number) });
    expect(report.instructions.length).toBeGreaterThan(0);
    expect(report.graph).toBeUndefined();
  });

  test('sessions: a list, empty where there is none', () => {
    expect(tendon('sessions', empty, '--json')).toMatchObject({ status: 0, stdout: '[]\n' });
    const { status, stdout } = tendon('sessions', join(empty, 'none.mcap'), '--json');
    expect([status, JSON.parse(stdout)]).toEqual([
      1,
      [{ file: join(empty, 'none.mcap'), error: expect.stringContaining('no such file') }],
    ]);
  });
});

describe('--bridge', () => {
  const run = (address: string) =>
    tendon('run', 'models/arm', '--robot', 'launch/sim-arm.yaml', '--threads', '1', '--bridge', address)
      .stderr;

  test.each([
    'http://127.0.0.1:9090',
    'ws://',
    'ws://a b',
    'localhost',
    'ws://127.0.0.1:99999',
    'localhost:99999',
  ])('%j is refused with an example', (address) => {
    expect(run(address)).toMatch(
      /--bridge: expected a WebSocket address such as ws:\/\/127\.0\.0\.1:9090, got/,
    );
  });

  test('HOST:PORT is a WebSocket address', () => {
    // Nobody listens on port 1.
    expect(run('localhost:1')).toMatch(/ws:\/\/localhost:1\b/);
    expect(run('localhost:1')).not.toContain('a bug in Tendon:');
  });
});
