// A controller whose process stands still for 15 s while the bridge goes on with pictures: the bridge, a process of its
// own, keeps its memory, and afterwards no inference begins with a picture older than the age gate. Each picture says in its
// own pixels when it was taken, so that no stamp is believed.

import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { Controller, MonotonicClock } from '../../src/control/index.js';
import { parseRobotFile } from '../../src/robot/robot-file.js';
import { RosbridgeRobot } from '../../src/rosbridge/index.js';
import type { ActionChunk, Observation, Policy } from '../../src/types/index.js';
import { closedAfterEach, until } from './support.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
const closers = closedAfterEach();
const clock = new MonotonicClock();
const STALL_MS = 15_000;
const FRESHNESS_MS = 300;
/** Error of the server's clock as it is known here, which pictures may hold up. */
const OFFSET_MS = 150;

/** 640×480 at 50 Hz and joints at 100 Hz; looks at its own memory twice a second and says all of it when asked. */
const BRIDGE = `
import { header, image, jointState, RosbridgeServer } from './dist/rosbridge/index.js';
const server = await RosbridgeServer.start({ port: 0 });
const show = server.advertise('/camera', 'sensor_msgs/Image');
const tell = server.advertise('/joint_states', 'sensor_msgs/JointState');
const count = { commands: 0, published: 0 };
server.subscribe('/command', () => count.commands++);
setInterval(() => {
  const data = new Uint8Array(640 * 480 * 3);
  new DataView(data.buffer).setFloat64(0, performance.timeOrigin + performance.now());
  show(image(header('camera'), { width: 640, height: 480, channels: 3, data }));
  count.published++;
}, 20);
setInterval(() => tell(jointState(header(), ['a'], [0])), 10);
const memory = [];
setInterval(() => memory.push({ at_ms: performance.timeOrigin + performance.now(), rss: process.memoryUsage().rss, ...count, ...server.stats() }), 500);
process.stdin.on('data', () => console.log(JSON.stringify(memory)));
console.log(JSON.stringify(server.url));
`;

interface Sample {
  readonly at_ms: number;
  readonly rss: number;
  readonly published: number;
  readonly commands: number;
  readonly dropped: number;
  readonly unconfirmed_bytes: number;
}

const epoch_ms = () => performance.timeOrigin + performance.now();

test('stalled for 15 s: the bridge’s memory stays flat, and nothing old is acted on afterwards', async () => {
  const child = spawn(process.execPath, ['--input-type=module', '-e', BRIDGE], {
    cwd: root,
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  closers.push(() => child.kill('SIGKILL'));
  const lines = createInterface(child.stdout);
  const line = () => new Promise<unknown>((said) => lines.once('line', (text) => said(JSON.parse(text))));
  const url = (await line()) as string;
  const memory = async () => {
    const answer = line();
    child.stdin.write('?');
    return (await answer) as Sample[];
  };

  const file = parseRobotFile(
    `
name: one
# Without the thread, which would have read everything meanwhile: the bridge must bear it by itself.
bridge: { url: '${url}', socket_thread: false }
rate_hz: 50
joint_names: [a]
limits: { lower: [-1], upper: [1], velocity: [1] }
observation:
  - { topic: /camera, type: sensor_msgs/Image, images: { camera: [480, 640, 3] }, compression: cbor }
  - { topic: /joint_states, type: sensor_msgs/JointState, features: { joint_position: { length: 1 } } }
command: { topic: /command, type: std_msgs/Float64MultiArray }
deadlines: { no_data_ms: 1000, freshness_ms: ${FRESHNESS_MS}, connect_ms: 20000 }`,
    'one.yaml',
  );
  const robot = new RosbridgeRobot(file, clock);
  closers.push(() => robot.close());
  /** When an inference began and how old the picture was that it began with. */
  const acted: { at_ms: number; age_ms: number }[] = [];
  const policy: Policy = {
    spec: {
      family: 'looking',
      n_obs_steps: 1,
      horizon: 8,
      n_action_steps: 1,
      action_dim: 1,
      observation_dims: { joint_position: 1 },
      image_shapes: { camera: [3, 480, 640] },
      goal_dims: {},
      rate_hz: 50,
    },
    reset: () => undefined,
    close: () => undefined,
    async infer(window): Promise<ActionChunk> {
      const newest = (window as readonly Observation[]).at(-1)!;
      const { data } = newest.images!.camera!;
      const at_ms = epoch_ms();
      const taken_ms = new DataView(data.buffer, data.byteOffset).getFloat64(0);
      acted.push({ at_ms, age_ms: at_ms - taken_ms });
      return {
        stamp_ns: newest.stamp_ns,
        period_ns: 20e6,
        horizon: 8,
        action_dim: 1,
        actions: Float32Array.from({ length: 8 }, () => Math.sin(at_ms / 1000)),
        n_candidates: 1,
        chosen: 0,
        timing: { queue_ns: 0, observe_ns: 0, denoise_ns: 0, total_ns: 0 },
      };
    },
  };
  const controller = new Controller({
    robot,
    policy,
    clock,
    limits: file.limits,
    rate_hz: file.rate_hz,
    position_key: 'joint_position',
    freshness_ms: FRESHNESS_MS,
    inference_ms: 2000,
    lifetime_ms: 100,
    // A busy machine alone does not ask for an operator.
    resume_within_ms: STALL_MS / 2,
  });
  closers.push(() => controller.stop());
  const { supervisor } = controller;
  await robot.connect();
  controller.start();
  await until('READY', () => supervisor.state === 'READY');
  controller.go();
  await until('RUNNING', () => supervisor.state === 'RUNNING' && acted.length > 50);

  const stale = robot.streamCounters()['/camera']!.stale;
  const stalled_ms = epoch_ms();
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, STALL_MS);
  const resumed_ms = epoch_ms();
  const later = () => acted.filter(({ at_ms }) => at_ms >= resumed_ms);
  // Nobody watched the robot meanwhile: a person has to.
  await until('HOLD', () => supervisor.heldByOperator);
  expect(supervisor.state).toBe('HOLD');
  controller.resume();
  await until('pictures are acted on again', () => supervisor.state === 'RUNNING' && later().length > 30);
  const samples = await memory();

  // The tick that begins an inference is the one that found the picture fresh.
  const oldest_ms = Math.max(...acted.map(({ age_ms }) => age_ms));
  expect(oldest_ms).toBeLessThanOrEqual(FRESHNESS_MS + OFFSET_MS);
  // There was old to act on: what lay in the sockets was read first, and refused.
  expect(robot.streamCounters()['/camera']!.stale).toBeGreaterThan(stale);
  expect(supervisor.counts.clock_jump + supervisor.counts.observation_stale).toBeGreaterThan(0);

  const before = samples.filter(({ at_ms }) => at_ms < stalled_ms).at(-1)!;
  const during = samples.filter(({ at_ms }) => at_ms >= stalled_ms && at_ms < resumed_ms);
  const [first, last] = [during[0]!, during.at(-1)!];
  expect(during.length).toBeGreaterThan(10);
  expect(last.published - first.published).toBeGreaterThan(200);
  expect(last.dropped - first.dropped).toBeGreaterThan(100);
  expect(Math.max(...during.map(({ rss }) => rss)) - before.rss).toBeLessThan(64e6);
  expect(Math.max(...during.map(({ unconfirmed_bytes }) => unconfirmed_bytes))).toBeLessThan(8e6);
  expect(samples.at(-1)!.commands).toBeGreaterThan(last.commands);
});
