// The main job as users run it, from the built program: simulation in its own process, a real WebSocket, the native
// policy, the controller. `npm test` builds first.

import { spawn, spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, test } from 'vitest';
import type { EpisodeResult } from '../../src/session/sim-session.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
const main = join(root, 'dist/cli/main.js');
const folder = mkdtempSync(join(tmpdir(), 'tendon-main-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const tendon = (...args: string[]) =>
  spawnSync(process.execPath, [main, ...args], { encoding: 'utf8', cwd: folder, timeout: 50_000 });

async function until(condition: () => boolean, ms = 20_000): Promise<void> {
  const end = performance.now() + ms;
  while (!condition()) {
    if (performance.now() > end) throw new Error(`not within ${ms} ms: ${condition}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

describe('the main job', () => {
  test('an episode succeeds; a simulation killed in mid-episode is held for and resumed', async () => {
    const { SimSession } = (await import(
      join(root, 'dist/session/sim-session.js')
    )) as typeof import('../../src/session/sim-session.js');
    const results: EpisodeResult[] = [];
    const notes: string[] = [];
    const session = await SimSession.open({
      task: 'arm',
      load: { sampling: { steps: 3 } },
      onEpisode: (result) => results.push(result),
      onNote: (note) => notes.push(note),
    });
    try {
      session.go();
      // A machine that stands still may fail an episode, not three.
      await until(() => results.some(({ success }) => success) || results.length >= 3);
      expect(results.map(({ success }) => success)).toContain(true);
      await until(() => session.controller.supervisor.state === 'RUNNING' && (session.status?.step ?? 0) > 5);
      const { limits } = session.twin.spec;
      (session as unknown as { sim: { process: { kill(signal: string): void } } }).sim.process.kill(
        'SIGKILL',
      );
      await until(() => session.controller.supervisor.state === 'HOLD');
      const held = session.controller.stats.commands;
      await new Promise((resolve) => setTimeout(resolve, 150));
      expect(session.controller.stats.commands).toBe(held);
      await until(() => session.controller.supervisor.state === 'RUNNING');
      expect(notes.some((n) => n.startsWith('HOLD'))).toBe(true);
      expect(notes).toContain('the simulation ended; starting it again');
      const before = results.length;
      await until(() => results.length > before);
      session.controller.command.forEach((v, i) => {
        expect(v).toBeGreaterThanOrEqual(limits.lower[i]!);
        expect(v).toBeLessThanOrEqual(limits.upper[i]!);
      });
    } finally {
      await session.close();
    }
  });

  test('tendon start --headless prints a table', () => {
    const { stdout, status } = tendon('start', '--headless', '--episodes', '2', '--steps', '3');
    expect(stdout).toMatch(/success\s+2\/2/);
    expect(stdout).toMatch(/deadline misses \d+/);
    expect(stdout).toMatch(/the machine +(stood still \d+ times|not watched: no right to)/);
    expect(status).toBe(0);
  });

  test('tendon eval gives the same result for any number of workers', () => {
    const run = (
      workers: string,
    ): { successes: number; records: { seed: number; steps: number; boundary_jump: number }[] } => {
      const json = join(folder, `eval-${workers}.json`);
      const { status, stderr } = tendon(
        'eval',
        '--episodes',
        '6',
        '--steps',
        '3',
        '--precision',
        'f32',
        '--workers',
        workers,
        '--json',
        json,
        '--html',
        `${json}.html`,
      );
      // A busy machine takes long enough to be told how far it is.
      expect([status, stderr.replace(/^ {2}\d+\/\d+ {2}\d+ successes\n/gm, '')]).toEqual([0, '']);
      expect(readFileSync(`${json}.html`, 'utf8')).not.toMatch(/(src|href)=|https?:\/\//);
      return JSON.parse(readFileSync(json, 'utf8'));
    };
    const [one, two] = [run('1'), run('2')];
    const shape = (e: typeof one): unknown =>
      e.records.map(({ seed, steps, boundary_jump }) => [seed, steps, boundary_jump]);
    expect(shape(two)).toEqual(shape(one));
    expect(one.successes).toBe(6);
  });

  test('policies can be imported by themselves, with the same names as in the whole', () => {
    const script = `const part = await import('tendon/policies'); const whole = await import('tendon');
      console.log(part.DenoisingPolicy === whole.DenoisingPolicy, typeof part.loadPolicy)`;
    const args = ['--input-type=module', '-e', script];
    const { stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8', cwd: root });
    expect([stdout, stderr]).toEqual(['true function\n', '']);
  });

  test('threads start in a program that was given as text', () => {
    const script = `const { evaluatePolicy } = await import('tendon');
      const load = { precision: 'f32', steps: 3 };
      const { records } = await evaluatePolicy({ task: 'arm', policy: 'models/arm', seeds: [0], workers: 1, load });
      console.log(records.length);`;
    const args = ['--input-type=module', '-e', script];
    const { stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8', cwd: root });
    expect([stdout, stderr]).toEqual(['1\n', '']);
  });

  test('tendon inspect shows the stages', () => {
    const { stdout, status } = tendon('inspect', join(root, 'models/arm'));
    expect(status).toBe(0);
    for (const stage of ['schedule', 'observation', 'prepared', 'step']) expect(stdout).toContain(stage);
  });

  test.each([
    [['nonsense'], 'there is no command "nonsense"'],
    [['eval', '--task', 'juggling'], 'there is no task "juggling"'],
    [['eval', '--episodes', 'many'], '--episodes: expected a whole number'],
    [['eval', '--episodes', '1', '--sampler', 'magic'], 'dpm_adaptive, got "magic"\n  [config_invalid'],
    [['eval', '--episodes', '1', '--pin', 'any'], 'pin: an evaluation has a worker per core'],
    [['start', '--headless', '--precision', 'f8'], 'precision: edm has auto, f32, bf16, int8, got "f8"'],
    [['start', '--headless', '--sampler', 'magic'], 'sampler: expected one of'],
    [['inspect', 'nowhere'], 'config.json cannot be read'],
    [['run', '--policy', '.', '--robot', 'nowhere.yaml'], 'nowhere.yaml'],
  ])('a mistake is explained: %j', (args, sentence) => {
    const { stderr, status } = tendon(...args);
    expect(stderr).toContain(sentence);
    expect(stderr).not.toContain('    at ');
    expect(status).toBe(2);
  });

  test('a reader that has heard enough ends nothing', async () => {
    const child = spawn(process.execPath, [main, 'inspect', join(root, 'models/arm')]);
    let complaints = '';
    child.stderr.on('data', (text) => {
      complaints += text;
    });
    child.stdout.once('data', () => child.stdout.destroy());
    const code = await new Promise((resolve) => child.once('close', resolve));
    expect([code, complaints]).toEqual([0, '']);
  });

  test('a damaged checkpoint is refused by name', () => {
    const copy = (name: string): string => {
      const to = join(folder, name);
      cpSync(join(root, 'models/arm'), to, { recursive: true });
      return to;
    };
    const short = copy('short');
    truncateSync(join(short, 'model.safetensors'), 100_000);
    expect(tendon('inspect', short).stderr).toContain('file_corrupt');
    const wrong = copy('wrong');
    const config = JSON.parse(readFileSync(join(wrong, 'config.json'), 'utf8'));
    writeFileSync(join(wrong, 'config.json'), JSON.stringify({ ...config, hidden_dim: 64 }));
    expect(tendon('inspect', wrong).stderr).toContain('weights_mismatch');
  });
});
