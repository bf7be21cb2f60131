// docs/deploy.md says what is there: every tendon command in it has the options it is given and files that exist, every
// ros2 launch argument is declared, and every refusal, cause and metric is in its tables, none more.

import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { Controller, INTERVENTIONS, MonotonicClock } from '../../src/control/index.js';
import { LoopMetrics } from '../../src/metrics/index.js';
import { addon } from '../../src/native/index.js';
import { loadRobotFile } from '../../src/robot/index.js';
import { RosbridgeRobot } from '../../src/rosbridge/index.js';
import { ERROR_CODES } from '../../src/types/index.js';

const TEXT = readFileSync('docs/deploy.md', 'utf8');
const SHELL = [...TEXT.matchAll(/```sh\n([\s\S]*?)```/g)].flatMap(([, block]) =>
  block!.trimEnd().split('\n'),
);
const TENDON = SHELL.filter((line) => line.startsWith('tendon '));
/** What the reader puts in place. */
const THEIRS = ['models/mine', 'launch/mine.yaml', 'first.mcap', 'trained.ckpt'];

/** Options of a command, by its own help. */
const known = new Map<string, string>();
function helpOf(command: string): string {
  const args = command === '--help' ? ['--help'] : [command, '--help'];
  if (!known.has(command))
    known.set(command, execFileSync(process.execPath, ['dist/cli/main.js', ...args], { encoding: 'utf8' }));
  return known.get(command)!;
}

/** The first column of the table under `heading` (a piece of a line above it). */
function rowsUnder(heading: string): string[] {
  const table = TEXT.slice(TEXT.indexOf(heading)).trimEnd().split('\n\n')[1]!;
  return table
    .split('\n')
    .slice(2)
    .map((row) => /^\| `([^`]+)`/.exec(row)?.[1] ?? row);
}

describe('its commands', () => {
  test('there are some, in the order of the page', () => {
    const order = [
      '--help',
      'doctor',
      'start',
      'check',
      'check',
      'import',
      'run',
      'run',
      'replay',
      'run',
      'bench',
    ];
    expect(TENDON.map((line) => line.split(' ')[1])).toEqual(order);
    // Nothing before the first motion publishes.
    const runs = TENDON.filter((line) => line.startsWith('tendon run'));
    expect(runs.map((line) => line.includes('--dry-run'))).toEqual([true, false, true]);
  });

  test.each(TENDON)('%s', (line) => {
    const [, command = '', ...words] = line.split(/\s+/);
    const help = helpOf(command);
    for (const option of words.filter((word) => word.startsWith('--')))
      expect(help).toMatch(new RegExp(`^ {2}${option}\\s`, 'm'));
    for (const path of words.filter((word) => /[/.]/.test(word) && !word.startsWith('--')))
      expect(THEIRS.includes(path) || existsSync(path), path).toBe(true);
  });

  test('files of /opt/tendon and arguments of launch files exist', () => {
    for (const [, path] of TEXT.matchAll(/\/opt\/tendon\/((?:launch|docs)\/[\w.-]+)/g))
      expect(THEIRS.includes(path!) || existsSync(path!), path).toBe(true);
    for (const [, path] of TEXT.matchAll(/`(launch\/[\w.-]+)`/g)) expect(existsSync(path!), path).toBe(true);
    for (const [, path] of TEXT.matchAll(/\]\(([\w.-]+\.md)\)/g))
      expect(existsSync(`docs/${path}`)).toBe(true);
    const declared = ['launch/tendon.launch.py', 'launch/bridge.launch.py']
      .map((path) => readFileSync(path, 'utf8'))
      .join();
    for (const [, argument] of TEXT.matchAll(/(\w+):=/g)) expect(declared).toContain(`'${argument}'`);
  });

  test('the environment of the service is what its unit reads', () => {
    const unit = readFileSync('launch/tendon.service', 'utf8');
    const variables = ['TENDON_POLICY', 'TENDON_ROBOT', 'TENDON_OPTIONS', 'TENDON_TOKEN'];
    for (const variable of variables) expect(TEXT).toContain(variable);
    for (const variable of variables) expect(unit).toContain(variable);
    const options = /TENDON_OPTIONS=([^\\]+)/.exec(TEXT)![1]!;
    for (const option of options.split(' ').filter((word) => word.startsWith('--')))
      expect(helpOf('run')).toMatch(new RegExp(`^ {2}${option}\\s`, 'm'));
  });
});

describe('its tables', () => {
  test('every intervention, every drop', () => {
    expect(rowsUnder('the supervisor steps in').sort()).toEqual(Object.keys(INTERVENTIONS).sort());
    const robot = new RosbridgeRobot(loadRobotFile('launch/so101.yaml'), new MonotonicClock());
    expect(rowsUnder('Commands that were not sent')).toEqual(Object.keys(robot.drops));
  });

  test('every code that tendon run can end with', () => {
    // Not a user's: networks are described by our own code, and nobody cancels a start.
    const others = ['graph_invalid', 'cancelled', 'internal'];
    expect([...rowsUnder('At the start'), ...others].sort()).toEqual(Object.keys(ERROR_CODES).sort());
  });

  test('its metrics are served', async () => {
    const robot = new RosbridgeRobot(loadRobotFile('launch/so101.yaml'), new MonotonicClock());
    const controller = new Controller({
      robot,
      policy: { spec: { n_obs_steps: 1 } } as never,
      clock: new MonotonicClock(),
      limits: loadRobotFile('launch/so101.yaml').limits,
      rate_hz: 50,
      position_key: 'joint_position',
      freshness_ms: 1,
      inference_ms: 1,
      lifetime_ms: 1,
    });
    const { limits } = loadRobotFile('launch/so101.yaml');
    const executor = new (addon().Executor)({ joints: limits.lower.length, rate_hz: 100, limits });
    const metrics = new LoopMetrics({
      controller,
      robot,
      clock: new MonotonicClock(),
      rate_hz: 50,
      executor: () => executor.stats(),
    });
    const served = await metrics.text();
    metrics.close();
    executor.close();
    const named = new Set(TEXT.match(/tendon_[a-z]\w+/g));
    for (const name of named) expect(served).toContain(`# TYPE ${name} `);
    expect(named.size).toBeGreaterThan(5);
  });
});
