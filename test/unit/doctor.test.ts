// What `tendon doctor` says of machines as their files describe them, and of a server that it asks.

import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { examine, type Machine } from '../../src/host/doctor.js';
import { examineBridge, RosbridgeServer } from '../../src/rosbridge/index.js';

let root = '';
const write = (path: string, text: string): void => {
  mkdirSync(dirname(join(root, path)), { recursive: true });
  writeFileSync(join(root, path), text);
};
const machine: Machine = { processors: 8, threads: 8, isa: 'avx2', cuda_library: false, privileged: false };
const states = (changes: Partial<Machine> = {}): Record<string, string> =>
  Object.fromEntries(examine({ ...machine, root, ...changes }).map(({ what, state }) => [what, state]));
const mendOf = (what: string): string | undefined =>
  examine({ ...machine, root }).find((finding) => finding.what === what)?.mend;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'tendon-doctor-'));
  write('proc/version', 'Linux version 6.1.0-rt (x) #1 SMP PREEMPT_RT Debian');
  write('sys/devices/system/cpu/cpu0/cpufreq/scaling_governor', 'performance\n');
  write('sys/devices/system/cpu/isolated', '\n');
  const row = (name: string, value: string): string => `${name.padEnd(26)}${value.padEnd(21)}${value}`;
  write('proc/self/limits', `${row('Max nice priority', '40')}\n${row('Max realtime priority', '99')}\n`);
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

describe('a machine', () => {
  it('on which nothing is to be mended', () => {
    expect(new Set(Object.values(states()))).toEqual(new Set(['good']));
  });

  it('is told what each thing costs, with a command that mends it', () => {
    write('proc/version', 'Linux version 6.1.0 (x) #1 SMP PREEMPT_DYNAMIC Debian');
    write('sys/devices/system/cpu/cpu0/cpufreq/scaling_governor', 'powersave\n');
    write('proc/self/limits', 'Max nice priority         0    0\nMax realtime priority     0    0\n');
    write('dev/nvidia0', '');
    expect(states({ threads: 3, isa: 'reference' })).toMatchObject({
      processors: 'could be better',
      'instruction set': 'could be better',
      kernel: 'could be better',
      'frequency governor': 'could be better',
      'real-time priority': 'could be better',
      nice: 'could be better',
      'NVIDIA GPU': 'could be better',
    });
    expect(mendOf('frequency governor')).toBe('cpupower frequency-set -g performance');
    expect(mendOf('real-time priority')).toContain('"* - rtprio 80"');
    expect(states({ privileged: true })['real-time priority']).toBe('good');
    expect(states({ cuda_library: true })['NVIDIA GPU']).toBe('good');
  });

  it('whose devices cannot be opened has something wrong', () => {
    mkdirSync(join(root, 'dev'));
    // A link to nothing cannot be opened by anybody, root included.
    symlinkSync('nowhere', join(root, 'dev/ttyACM0'));
    write('dev/video0', '');
    expect(states()).toMatchObject({ 'serial ports': 'wrong', cameras: 'good' });
    expect(mendOf('serial ports')).toMatch(/usermod -aG dialout/);
  });

  it('without any of those files is no reason to fail', () => {
    rmSync(root, { recursive: true });
    expect(states()).toMatchObject({ kernel: 'could be better', 'frequency governor': 'good' });
  });
});

describe('a bridge', () => {
  it('is asked for its time', async () => {
    const server = await RosbridgeServer.start({ port: 0 });
    try {
      const found = await examineBridge(server.url);
      expect(found.map(({ what }) => what).slice(0, 2)).toEqual(['bridge', 'round trip']);
      expect(found.every(({ state }) => state !== 'wrong')).toBe(true);
    } finally {
      await server.close();
    }
  });

  it('that is not there is said to be so', async () => {
    expect(await examineBridge('ws://127.0.0.1:9')).toMatchObject([
      { what: 'bridge', state: 'wrong', found: expect.stringMatching(/No rosbridge server answered/) },
    ]);
  });
});
