// The simulation as a process of its own: it says where it listens, ends with its parent, and may be killed.

import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { loadRobotFile } from '../../src/robot/robot-file.js';
import { RosbridgeRobot } from '../../src/rosbridge/index.js';
import { type SimProcess, spawnSimServer } from '../../src/sim/server-process.js';
import type { RobotStatus } from '../../src/types/index.js';
import { closedAfterEach, now_ns, until } from './support.js';

const ENTRY = 'dist/sim/server-main.js';
const closers = closedAfterEach();
async function start(port = 0): Promise<SimProcess> {
  const sim = await spawnSimServer({ task: 'arm', seed: 1, port }, ENTRY);
  closers.push(() => sim.stop());
  return sim;
}

describe('the simulation process', () => {
  it('is built', () => expect(existsSync(ENTRY), `${ENTRY}: run npm run build:ts first`).toBe(true));

  it('killed in the middle: the adapter says so, sends nothing, and goes on when it returns', async () => {
    const first = await start();
    const given = loadRobotFile('launch/sim-arm.yaml');
    const file = { ...given, bridge: { ...given.bridge, url: first.url } };
    const robot = new RosbridgeRobot(file, { now_ns }, { backoff_ms: [10, 50] });
    closers.push(() => robot.close());
    let status: RobotStatus = { connected: false, cause: '' };
    robot.onStatus((now) => {
      status = now;
    });
    await robot.connect();
    const send = () => {
      const stamp_ns = now_ns();
      const values = Float64Array.from(robot.latest()?.values.joint_position ?? new Float64Array(6));
      return robot.send({ stamp_ns, expires_ns: stamp_ns + 50e6, values });
    };
    expect(send()).toBe(true);
    first.process.kill('SIGKILL');
    await until('the loss', () => !status.connected);
    expect(send()).toBe(false);
    expect(robot.latest()).toBeUndefined();
    await start(Number(new URL(first.url).port));
    await until('the return', () => status.connected);
    expect(send()).toBe(true);
  });

  it('a controller held up for 3 s acts on nothing older than its age gate, and is not cut off', async () => {
    const sim = await start();
    const given = loadRobotFile('launch/sim-arm.yaml');
    const file = { ...given, bridge: { ...given.bridge, url: sim.url } };
    const robot = new RosbridgeRobot(file, { now_ns });
    closers.push(() => robot.close());
    await robot.connect();
    const before = robot.latest();
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 3000);
    const resumed_ns = now_ns();
    const ages_ms: number[] = [];
    let seen = before;
    robot.client.subscribe('/observation', 'tendon_msgs/Observation', () => {
      const now = robot.latest();
      if (now !== seen && now !== undefined) ages_ms.push((now_ns() - now.stamp_ns) / 1e6);
      seen = now;
    });
    await until('fresh observations', () => ages_ms.length > 5);
    expect(Math.max(...ages_ms)).toBeLessThanOrEqual(file.deadlines.freshness_ms + 20);
    expect(robot.latest()!.stamp_ns).toBeGreaterThan(resumed_ns - 250e6);
    // What was under way when it stopped reading was seen and dropped; what came later never left the server.
    const { stale } = robot.streamCounters()['/observation']!;
    expect(stale).toBeGreaterThan(0);
    expect(stale).toBeLessThan(40);
    // One connection for what is observed, one for commands, both still the first.
    expect(robot.client.counters().opened).toBe(2);
  });

  it('ends when its parent goes, and by SIGTERM', async () => {
    const sim = await start();
    await sim.stop();
    expect(sim.process.exitCode).toBe(0);
    const other = await start();
    other.process.kill('SIGTERM');
    await until('the end', () => other.process.exitCode !== null);
    expect(other.process.exitCode).toBe(0);
  });

  it('says what is wrong with its options', async () => {
    await expect(spawnSimServer({ task: 'tea' }, ENTRY)).rejects.toMatchObject({ code: 'config_invalid' });
    await expect(spawnSimServer({ task: 'arm', host: '0.0.0.0' }, ENTRY)).rejects.toThrow('without a token');
    const child = spawn(process.execPath, [ENTRY], { stdio: ['pipe', 'ignore', 'inherit'] });
    child.stdin.end('this is not JSON\n');
    const code = await new Promise((resolve) => child.once('close', resolve));
    expect(code).toBe(1);
  });
});
