// An emergency stop by topic, by service and from the page, pressed at any moment of a control period on real sockets: from
// where the message is handled no command leaves, and the next tick is STOPPED.

import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { WebSocket } from 'ws';
import { Controller, MonotonicClock } from '../../src/control/index.js';
import { parseRobotFile } from '../../src/robot/robot-file.js';
import {
  BridgeClient,
  header,
  jointState,
  RosbridgeRobot,
  RosbridgeServer,
} from '../../src/rosbridge/index.js';
import { Random } from '../../src/sim/random.js';
import type { Command, Observation } from '../../src/types/index.js';
import { restless } from './chaos-parts.js';
import { closedAfterEach, until, wait } from './support.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
const closers = closedAfterEach();
const PRESSES = 20;

/** What the controller does from the moment that a stop is handled; to be called before anybody acts on it. */
function witness(
  controller: Pick<Controller, 'supervisor' | 'stats'>,
  robot: { send(command: Command): boolean; latest(): Observation | undefined },
) {
  const { supervisor, stats } = controller;
  const seen = {
    sent: 0,
    /** Stops that came while the policy drove; a machine that stands still may hold the robot now and then. */
    driving: 0,
    handled: undefined as { tick: number; at_next: string | undefined; sent: number } | undefined,
  };
  const [send, latest] = [robot.send.bind(robot), robot.latest.bind(robot)];
  robot.send = (command) => {
    if (seen.handled !== undefined) seen.handled.sent++;
    const sent = send(command);
    if (sent) seen.sent++;
    return sent;
  };
  // Every tick begins with it.
  robot.latest = () => {
    const { handled } = seen;
    if (handled !== undefined && stats.ticks > handled.tick) handled.at_next ??= supervisor.state;
    return latest();
  };
  const handle = (): void => {
    if (supervisor.state === 'RUNNING') seen.driving++;
    seen.handled = { tick: stats.ticks, at_next: undefined, sent: 0 };
  };
  /** Waits for some ticks more, and says what came of it. */
  const outcome = async () => {
    await until('the stop', () => seen.handled !== undefined);
    const { handled } = seen;
    await until('ten ticks more', () => stats.ticks > handled!.tick + 10);
    seen.handled = undefined;
    return { at_next: handled!.at_next, sent: handled!.sent, state: supervisor.state };
  };
  return { seen, handle, outcome };
}

const STOPPED = { at_next: 'STOPPED', sent: 0, state: 'STOPPED' };

describe('at any moment', () => {
  const clock = new MonotonicClock();

  /** Two joints that go where they are told, behind a bridge. */
  async function running() {
    const random = new Random(5);
    const server = await RosbridgeServer.start({ port: 0 });
    const state = { position: [0, 0], arrived: 0 };
    server.subscribe('/command', (msg) => {
      state.arrived++;
      state.position = msg.data as number[];
    });
    const publish = server.advertise('/joint_states', 'sensor_msgs/JointState');
    const timer = setInterval(() => publish(jointState(header(), ['a', 'b'], state.position)), 5);
    const file = parseRobotFile(
      `
name: two
bridge: { url: '${server.url}' }
rate_hz: 100
joint_names: [a, b]
limits: { lower: [-3, -3], upper: [3, 3], velocity: [1, 1], acceleration: [10, 10] }
observation:
  - { topic: /joint_states, type: sensor_msgs/JointState, features: { joint_position: { length: 2 } } }
command: { topic: /command, type: std_msgs/Float64MultiArray }
stop: { topic: /estop, type: std_msgs/Bool, service: /tendon/stop }
deadlines: { no_data_ms: 1000, freshness_ms: 500 }`,
      'two.yaml',
    );
    const robot = new RosbridgeRobot(file, clock);
    const controller = new Controller({
      robot,
      policy: restless(random, 2),
      clock,
      limits: file.limits,
      rate_hz: file.rate_hz,
      position_key: 'joint_position',
      freshness_ms: file.deadlines.freshness_ms,
      inference_ms: 1000,
      lifetime_ms: 100,
    });
    const { supervisor } = controller;
    const watch = witness(controller, robot);
    robot.onOperator({
      stop: (cause) => {
        watch.handle();
        controller.emergencyStop(cause);
      },
      beat: () => undefined,
    });
    closers.push(async () => {
      clearInterval(timer);
      await controller.stop();
      await robot.close();
      await server.close();
    });
    await robot.connect();
    controller.start();
    /** Runs and commands, then for some part of a period more. */
    const driving = async (): Promise<void> => {
      if (supervisor.state === 'STOPPED') controller.reset(1);
      await until('READY', () => supervisor.state === 'READY');
      controller.go();
      const { sent } = watch.seen;
      await until('commands', () => supervisor.state === 'RUNNING' && watch.seen.sent > sent + 5);
      const end = performance.now() + random.uniform(0, 10);
      while (performance.now() < end) await new Promise((go) => setImmediate(go));
    };
    return { server, supervisor, state, driving, ...watch };
  }

  test('by topic', async () => {
    const { server, supervisor, seen, state, driving, outcome } = await running();
    const press = server.advertise('/estop', 'std_msgs/Bool');
    for (let i = 0; i < PRESSES; i++) {
      await driving();
      press({ data: true });
      expect(await outcome()).toEqual(STOPPED);
      expect(supervisor.cause).toBe('stopped by /estop');
    }
    // On the other side too: all that arrived are those that left before a stop.
    await until('the last', () => state.arrived >= seen.sent);
    await wait(100);
    expect(state.arrived).toBe(seen.sent);
    expect(seen.sent).toBeGreaterThan(5 * PRESSES);
    expect(seen.driving).toBeGreaterThan(PRESSES / 2);
  });

  test('by service, whose answer comes when it is in force', async () => {
    const { server, supervisor, seen, state, driving, outcome } = await running();
    const other = new BridgeClient({ url: server.url, now_ns: () => clock.now_ns() });
    closers.push(() => other.close());
    await other.connect();
    for (let i = 0; i < PRESSES; i++) {
      await driving();
      const answer = await other.call('/tendon/stop', 'std_srvs/Trigger');
      expect([answer.success, supervisor.state]).toEqual([true, 'STOPPED']);
      expect(await outcome()).toEqual(STOPPED);
      expect(supervisor.cause).toBe('stopped by a call of /tendon/stop');
    }
    await until('the last', () => state.arrived >= seen.sent);
    await wait(100);
    expect(state.arrived).toBe(seen.sent);
    expect(seen.sent).toBeGreaterThan(5 * PRESSES);
    expect(seen.driving).toBeGreaterThan(PRESSES / 2);
  });

  test('from the page, through its server and the live session', async () => {
    const load = async <T>(path: string) => (await import(join(root, 'dist', path))) as T;
    const { LiveSession } = await load<typeof import('../../src/session/sim-page.js')>('session/sim-page.js');
    const { startWebServer } = await load<typeof import('../../src/web/index.js')>('web/index.js');
    const live = await LiveSession.open({
      task: 'arm',
      load: { compute: { threads: 1 }, sampling: { steps: 2 } },
    });
    closers.push(() => live.close());
    const { controller, robot } = live.current;
    const { supervisor } = controller;
    const { seen, handle, outcome } = witness(controller, robot);
    const request = live.request.bind(live);
    live.request = (intent) => {
      if (intent.kind === 'stop') handle();
      return request(intent);
    };
    const web = await startWebServer(live);
    closers.push(() => web.close());
    const page = new WebSocket(`ws://127.0.0.1:${web.port}/live`);
    closers.push(() => page.terminate());
    await new Promise((resolve, reject) => page.once('open', resolve).once('error', reject));
    const say = (id: number, intent: object) => page.send(JSON.stringify({ id, intent }));
    for (let i = 0; i < 5; i++) {
      say(2 * i + 1, { kind: 'reset', seed: 100 * i });
      const { sent } = seen;
      // Who clears the stop begins an episode, this one and not the next.
      const begun = () => supervisor.state === 'RUNNING' && live.current.status?.seed === 100 * i;
      await until(`episode ${100 * i}`, () => begun() && seen.sent > sent + 20);
      await wait(7 * i);
      say(2 * i + 2, { kind: 'stop' });
      expect(await outcome()).toEqual(STOPPED);
      expect(supervisor.cause).toBe('stopped by the operator');
    }
    expect(seen.driving).toBeGreaterThan(0);
  });
});
