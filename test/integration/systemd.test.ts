// What systemd hears: on a real unix datagram socket that python3 opens, from a real `tendon run` and from a controller
// whose loop is stalled. And that launch/tendon.service says what the rest of Tendon does.

import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { run } from '../../src/cli/run.js';
import { Controller, MonotonicClock } from '../../src/control/index.js';
import { ServiceManager } from '../../src/host/service.js';
import { header, jointState, observationMessage, RosbridgeServer } from '../../src/rosbridge/index.js';
import type { Clock, Policy, Robot } from '../../src/types/index.js';
import { closedAfterEach, until, wait } from './support.js';

const SOCKET = fileURLToPath(new URL('./notify-socket.py', import.meta.url));
const MAIN = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
const closers = closedAfterEach();

interface Heard {
  readonly text: string;
  readonly pid: number;
}

/** A manager at a path (or in the abstract namespace), and what it has heard so far. */
async function manager(abstract = false) {
  const folder = mkdtempSync(join(tmpdir(), 'tendon-notify-'));
  closers.push(() => rmSync(folder, { recursive: true }));
  const address = abstract ? `@tendon-${process.pid}-${Date.now()}` : join(folder, 'notify');
  const child = spawn('python3', [SOCKET, address], { stdio: ['ignore', 'pipe', 'inherit'] });
  closers.push(() => child.kill('SIGKILL'));
  const heard: Heard[] = [];
  let listening = false;
  createInterface(child.stdout).on('line', (line) => {
    const said = JSON.parse(line);
    if ('listening' in said) listening = true;
    else heard.push(said);
  });
  await until('the socket', () => listening);
  const count = (text: string) => heard.filter((it) => it.text === text).length;
  return { address, heard, count };
}

/** What the policy of the arm needs, at rest, at 100 Hz. */
async function arm(): Promise<string> {
  const server = await RosbridgeServer.start({ port: 0 });
  const position = [0, 0.3, 1, 0, 0.5, 0];
  const names = ['base_yaw', 'shoulder_pitch', 'elbow_pitch', 'forearm_roll', 'wrist_pitch', 'wrist_roll'];
  const observation = server.advertise('/observation', 'tendon_msgs/Observation');
  const joints = server.advertise('/joint_states', 'sensor_msgs/JointState');
  const timer = setInterval(() => {
    const head = header();
    joints(jointState(head, names, position));
    observation(
      observationMessage(head, {
        'observation.state': [...position, 0, 0, 0, 0, 0, 0],
        'observation.environment_state': Array(9).fill(0.1),
        'observation.goal': Array(7).fill(0.1),
        goal: [0.1, 0.1],
      }),
    );
  }, 10);
  closers.push(async () => {
    clearInterval(timer);
    await server.close();
  });
  return server.url;
}

function tendonRun(url: string, env: Record<string, string>): { child: ChildProcess; output: () => string } {
  const args = ['run', '--policy', 'models/arm', '--robot', 'launch/sim-arm.yaml', '--bridge', url];
  const child = spawn(process.execPath, [MAIN, ...args, '--threads', '1', '--dry-run'], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...env },
  });
  let said = '';
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (text) => {
      said += text;
    });
  closers.push(() => child.kill('SIGKILL'));
  return { child, output: () => said };
}

const missing = spawnSync('python3', ['--version']).status !== 0;
describe.skipIf(missing)(`systemd hears${missing ? ' (skipped: there is no python3)' : ''}`, () => {
  test('that tendon run is ready, what it does, that it is alive, that it stops', async () => {
    const { address, heard, count } = await manager();
    const { child, output } = tendonRun(await arm(), { NOTIFY_SOCKET: address, WATCHDOG_USEC: '200000' });
    await until(`five signs of life: ${output()}`, () => count('WATCHDOG=1') >= 5);
    expect(heard[0]?.text).toBe('READY=1');
    expect(heard.map(({ text }) => text)).toContain('STATUS=RUNNING: running');
    child.kill('SIGTERM');
    await until('its end', () => child.exitCode !== null);
    expect(child.exitCode).toBe(0);
    await until('STOPPING=1', () => count('STOPPING=1') === 1);
    // Every one from the main process itself, which is all that NotifyAccess=main lets through.
    expect(new Set(heard.map(({ pid }) => pid))).toEqual(new Set([child.pid]));
    expect(count('READY=1')).toBe(1);
    expect(heard.findLastIndex(({ text }) => text === 'WATCHDOG=1')).toBeLessThan(
      heard.findIndex(({ text }) => text === 'STOPPING=1'),
    );
  });

  test('nothing more once the control loop stands still, though the event loop turns', async () => {
    const { address, count, heard } = await manager(true);
    const clock = new MonotonicClock();
    let stalled = false;
    const stalling: Clock = {
      now_ns: () => clock.now_ns(),
      sleepUntil: (at_ns) => (stalled ? new Promise(() => undefined) : clock.sleepUntil(at_ns)),
    };
    const controller = new Controller({
      robot: FAR_AWAY,
      policy: IDLE,
      clock: stalling,
      limits: { lower: [-1], upper: [1], velocity: [1] },
      rate_hz: 100,
      position_key: 'position',
      freshness_ms: 100,
      inference_ms: 100,
      lifetime_ms: 100,
    });
    const env = { NOTIFY_SOCKET: address, WATCHDOG_USEC: '200000', WATCHDOG_PID: String(process.pid) };
    const service = ServiceManager.of(env)!;
    closers.push(() => service.stopping());
    controller.start();
    service.ready();
    service.watch(() => [controller.stats.ticks]);
    // A robot that is not there is no reason to be killed: the loop turns.
    await until('signs of life', () => count('WATCHDOG=1') >= 3);
    stalled = true;
    const { ticks } = controller.stats;
    await until('the last tick', () => controller.stats.ticks > ticks);
    const [last, last_ticks] = [heard.length, controller.stats.ticks];
    let turns = 0;
    const turning = setInterval(() => turns++, 10);
    await wait(700);
    clearInterval(turning);
    expect(turns).toBeGreaterThan(10);
    expect(controller.stats.ticks).toBe(last_ticks);
    // One under way when the loop stopped and one for its last tick, of the fourteen that 700 ms would have had.
    expect(heard.length).toBeLessThanOrEqual(last + 2);
  });

  test('every count must go up: an executor that stands still is not covered by a loop that turns', async () => {
    const { address, count } = await manager();
    const service = ServiceManager.of({ NOTIFY_SOCKET: address, WATCHDOG_USEC: '40000' })!;
    closers.push(() => service.stopping());
    let looks = 0;
    service.watch(() => {
      looks++;
      return [looks, Math.min(looks, 3)];
    });
    await until('looks', () => looks > 20);
    service.status('the end\nof it');
    await until('the status', () => count('STATUS=the end of it') === 1);
    // Looks 2 and 3 found both further on.
    expect(count('WATCHDOG=1')).toBe(2);
  });
});

describe('without systemd', () => {
  test('nobody is told anything', () => {
    expect(ServiceManager.of({})).toBeUndefined();
    expect(ServiceManager.of({ NOTIFY_SOCKET: '' })).toBeUndefined();
  });

  test('another process is watched, or nonsense is asked for', () => {
    const NOTIFY_SOCKET = '/run/none';
    expect(ServiceManager.of({ NOTIFY_SOCKET })?.watchdog_ms).toBeUndefined();
    const other = { NOTIFY_SOCKET, WATCHDOG_USEC: '2000000', WATCHDOG_PID: '1' };
    expect(ServiceManager.of(other)?.watchdog_ms).toBeUndefined();
    expect(ServiceManager.of({ ...other, WATCHDOG_PID: String(process.pid) })?.watchdog_ms).toBe(2000);
    expect(() =>
      ServiceManager.of({ ...other, WATCHDOG_PID: String(process.pid), WATCHDOG_USEC: '-1' }),
    ).toThrow('WATCHDOG_USEC: expected microseconds, got "-1"');
  });

  test('a manager that is gone is said, and nothing else happens', () => {
    const service = ServiceManager.of({ NOTIFY_SOCKET: '/nowhere/notify' })!;
    service.ready();
    expect(service.refused).toMatch(/\/nowhere\/notify: No such file/);
  });
});

describe('launch/tendon.service', () => {
  const unit = readFileSync('launch/tendon.service', 'utf8');
  const value = (key: string) => new RegExp(`^${key}=(.*)$`, 'm').exec(unit)?.[1];

  test('is watched, waits for READY=1 from the main process, and never starts by itself', () => {
    expect(value('Type')).toBe('notify');
    expect(value('NotifyAccess')).toBe('main');
    expect(Number(value('WatchdogSec'))).toBeGreaterThan(0);
    expect(value('Restart')).toBe('no');
    expect(unit).not.toMatch(/^\[Install\]/m);
    // V8 makes code while it runs.
    expect(unit).not.toMatch(/^MemoryDenyWriteExecute=/m);
  });

  test('sees the GPU, has a place for recordings, and waits for a robot to come to rest', () => {
    expect(unit).not.toMatch(/^PrivateDevices=yes/m);
    expect(value('DevicePolicy')).toBe('closed');
    expect(value('DeviceAllow')).toBe('char-nvidia* rw');
    expect(value('ProtectSystem')).toBe('strict');
    expect(value('StateDirectory')).toBe('tendon');
    // Longer than the bound of the last will.
    expect(Number(value('TimeoutStopSec'))).toBeGreaterThan(10);
  });

  test('starts tendon run with options that it has', () => {
    const words = value('ExecStart')!.split(' ');
    const { bin } = JSON.parse(readFileSync('package.json', 'utf8'));
    expect(words.slice(1, 3)).toEqual([join('/opt/tendon', bin.tendon), 'run']);
    for (const word of words.filter((it) => it.startsWith('--')))
      expect(Object.keys(run.options)).toContain(word.slice(2));
  });

  const verifier = spawnSync('systemd-analyze', ['--version']).status === 0;
  test.skipIf(!verifier)(
    `passes systemd-analyze verify${verifier ? '' : ' (skipped: there is no systemd)'}`,
    () => {
      const { stdout, stderr } = spawnSync('systemd-analyze', ['verify', 'launch/tendon.service'], {
        encoding: 'utf8',
      });
      // Of this unit only; that /opt/tendon or the node of the distribution are not here is no fault of it.
      const complaints = (stdout + stderr)
        .split('\n')
        .filter((line) => line.includes('tendon.service') && !line.includes('is not executable'));
      expect(complaints).toEqual([]);
    },
  );
});

const FAR_AWAY: Robot = {
  observation_dims: { position: 1 },
  action_dim: 1,
  connect: async () => undefined,
  latest: () => undefined,
  send: () => false,
  onStatus: () => () => undefined,
  call: async () => ({}),
  close: async () => undefined,
};
const IDLE: Policy = {
  spec: {
    family: 'idle',
    n_obs_steps: 1,
    horizon: 1,
    n_action_steps: 1,
    action_dim: 1,
    observation_dims: { position: 1 },
    image_shapes: {},
    goal_dims: {},
    rate_hz: 100,
  },
  reset: () => undefined,
  close: () => undefined,
  infer: () => new Promise(() => undefined),
};
