// What the client and the robot adapter do when the other side misbehaves: dies, stalls, lies, falls silent.

import { createHash } from 'node:crypto';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { describe, expect, it } from 'vitest';
import { WebSocketServer } from 'ws';
import { parseRobotFile } from '../../src/robot/robot-file.js';
import {
  BridgeClient,
  epochStamp,
  float64MultiArray,
  header,
  jointState,
  type Message,
  RosbridgeRobot,
  RosbridgeServer,
} from '../../src/rosbridge/index.js';
import { Random } from '../../src/sim/random.js';
import type { RobotStatus } from '../../src/types/index.js';
import { network } from './chaos-network.js';
import { closedAfterEach, now_ns, until, wait } from './support.js';

const closers = closedAfterEach();

/** A robot of two joints: publishes what `joints` says at 100 Hz and keeps the commands it gets. */
async function twoJoints(port = 0) {
  const server = await RosbridgeServer.start({ port });
  const publish = server.advertise('/joint_states', 'sensor_msgs/JointState');
  const commands: Message[] = [];
  server.subscribe('/command', (msg) => commands.push(msg));
  const state: { joints: () => Message | undefined } = {
    joints: () => jointState(header(), ['b', 'a'], [2, 1]),
  };
  const timer = setInterval(() => {
    const msg = state.joints();
    if (msg !== undefined) publish(msg);
  }, 10);
  const close = async () => {
    clearInterval(timer);
    await server.close();
  };
  closers.push(close);
  return { server, commands, state, close };
}

function robotFile(url: string, more = '') {
  return parseRobotFile(
    `
name: two
bridge: { url: '${url}' }
rate_hz: 50
joint_names: [a, b]
limits: { lower: [-3, -3], upper: [3, 3], velocity: [1, 1] }
observation:
  - { topic: /joint_states, type: sensor_msgs/msg/JointState, features: { joint_position: { length: 2 } } }
command: { topic: /command, type: std_msgs/Float64MultiArray }
deadlines: { no_data_ms: 150, freshness_ms: 100, connect_ms: 3000 }
${more}`,
    'two.yaml',
  );
}

async function connected(url: string) {
  const robot = new RosbridgeRobot(robotFile(url), { now_ns }, { backoff_ms: [5, 20] });
  closers.push(() => robot.close());
  const statuses: RobotStatus[] = [];
  robot.onStatus((status) => statuses.push(status));
  await robot.connect();
  return { robot, statuses, status: () => statuses.at(-1) as RobotStatus };
}
const command = (...values: number[]) => {
  const stamp_ns = now_ns();
  return { stamp_ns, expires_ns: stamp_ns + 50e6, values: Float64Array.from(values) };
};

describe('a robot whose connections are not lost together', () => {
  it('can be braked while only what it is observed by is lost, and not once its commands are', async () => {
    const { server, commands } = await twoJoints();
    const line = await network({ port: () => server.port, random: new Random(1), closers });
    const robot = new RosbridgeRobot(robotFile(line.url), { now_ns }, { backoff_ms: [2000, 2000] });
    closers.push(() => robot.close());
    let status: RobotStatus | undefined;
    robot.onStatus((one) => {
      status = one;
    });
    await robot.connect();
    const send = (): boolean => {
      const stamp_ns = now_ns();
      return robot.send({ stamp_ns, expires_ns: stamp_ns + 100e6, values: Float64Array.of(1, 2) });
    };
    await until('a command', () => send() && commands.length > 0);
    // The first line that a client opens is the one that is shared by all but commands and stops.
    line.cut(0);
    await until('the loss', () => status?.connected === false);
    expect(status).toMatchObject({ connected: false, reachable: true });
    const { length } = commands;
    expect(send()).toBe(true);
    await until('it to arrive', () => commands.length > length);
    // Gone for longer than no_data_ms: nobody knows what a command would do.
    await wait(200);
    expect(send()).toBe(false);
    line.cut();
    await until('the rest', () => status?.reachable === false);
    expect(send()).toBe(false);
  });
});

describe('the adapter', () => {
  it('re-orders joints by name and sends what control asks', async () => {
    const two = await twoJoints();
    const { robot } = await connected(two.server.url);
    expect(Array.from(robot.latest()!.values.joint_position!)).toEqual([1, 2]);
    expect(robot.send(command(0.5, -0.5))).toBe(true);
    await until('the command', () => two.commands.length === 1);
    expect(two.commands[0]).toEqual(float64MultiArray([0.5, -0.5]));
  });

  it('works over separate connections for images, commands and services', async () => {
    const two = await twoJoints();
    const robot = new RosbridgeRobot(robotFile(two.server.url), { now_ns }, { separate_connections: true });
    closers.push(() => robot.close());
    await robot.connect();
    expect(two.server.stats().clients).toBe(4);
    expect(robot.send(command(1, 2))).toBe(true);
    await until('the command', () => two.commands.length === 1);
    expect((await robot.client.call('/rosapi/topics', 'rosapi/Topics')).topics).toContain('/joint_states');
  });

  it('sends neither NaN, nor wrong lengths, nor what has expired', async () => {
    const two = await twoJoints();
    const { robot } = await connected(two.server.url);
    expect(robot.send(command(Number.NaN, 0))).toBe(false);
    expect(robot.send(command(1, 2, 3))).toBe(false);
    expect(robot.send({ ...command(1, 2), expires_ns: now_ns() - 1 })).toBe(false);
    expect(robot.drops).toMatchObject({ invalid: 2, expired: 1 });
    await wait(50);
    expect(two.commands).toEqual([]);
  });

  const lies: [string, () => Message, RegExp][] = [
    ['NaN', () => jointState(header(), ['a', 'b'], [Number.NaN, 1]), /joint_position\[0\] is NaN/],
    ['a missing joint', () => jointState(header(), ['a', 'x'], [1, 1]), /joint b .* is not among a, x/],
    ['too few positions', () => jointState(header(), ['a', 'b'], [1]), /joint_position\[1\] is NaN/],
    ['no positions', () => ({ header: header(), name: ['a', 'b'] }), /position: expected a list of numbers/],
    [
      'a stamp from the future',
      () => jointState(header('', { ...epochStamp(), sec: epochStamp().sec + 60 }), ['a', 'b'], [1, 1]),
      /in the future/,
    ],
  ];
  it.each(lies)('%s: says so at once, can be braked, and goes on when it is over', async (_, lie, cause) => {
    const two = await twoJoints();
    const { robot, status } = await connected(two.server.url);
    const truth = two.state.joints;
    two.state.joints = lie;
    await until('the complaint', () => !status().connected);
    expect(status().cause).toMatch(cause);
    // Control is told, and the link is still there to brake by; once the robot counts as gone nothing is sent any more.
    expect(status().reachable).toBe(true);
    await until('nothing sent', () => !robot.send(command(0, 0)));
    two.state.joints = truth;
    await until('recovery', () => status().connected);
    expect(robot.send(command(0, 0))).toBe(true);
  });

  it('reports silence, old stamps, repeats and disorder', async () => {
    const two = await twoJoints();
    const { robot, status } = await connected(two.server.url);
    two.state.joints = () => undefined;
    await until('the report', () => !status().connected);
    expect(status().cause).toBe('no data on /joint_states for 150 ms');
    const old = jointState(header(), ['a', 'b'], [9, 9]);
    await wait(250);
    two.state.joints = () => old;
    await until('old samples counted', () => robot.streamCounters()['/joint_states']!.stale > 3);
    expect(robot.latest()!.values.joint_position![0]).toBe(1);
    expect(status().connected).toBe(false);
    const fresh = jointState(header(), ['a', 'b'], [5, 5]);
    two.state.joints = () => fresh;
    await until('repeats counted', () => robot.streamCounters()['/joint_states']!.out_of_order > 3);
    expect(robot.latest()!.values.joint_position![0]).toBe(5);
  });

  it('says which topic never came', async () => {
    const server = await RosbridgeServer.start();
    closers.push(() => server.close());
    const given = robotFile(server.url);
    const robot = new RosbridgeRobot(
      { ...given, deadlines: { ...given.deadlines, connect_ms: 300 } },
      { now_ns },
    );
    closers.push(() => robot.close());
    await expect(robot.connect()).rejects.toThrow('no data on /joint_states');
  });
});

describe('a robot that dies and returns', () => {
  it('20 times: commands stop at once, none is replayed, all is subscribed and advertised again', async () => {
    let two = await twoJoints();
    const { port, url } = two.server;
    const { robot, status } = await connected(url);
    for (let round = 1; round <= 20; ++round) {
      await two.close();
      // All of these belong to the past when the robot returns.
      await until('the loss', () => status().reachable === false);
      for (let i = 0; i < 50; ++i) expect(robot.send(command(round, 99))).toBe(false);
      two = await twoJoints(port);
      await until('the return', () => status().connected);
      expect(two.commands).toEqual([]);
      expect(robot.send(command(round, 1))).toBe(true);
      await until('the first command', () => two.commands.length > 0);
      expect(two.commands).toEqual([float64MultiArray([round, 1])]);
    }
    expect(robot.drops.offline).toBe(1000);
    // One socket for what is observed, one for commands.
    expect(robot.client.counters().opened).toBe(42);
  });

  it('100 times cut, torn and fed garbage by the network: each command arrives whole, young and once', async () => {
    const two = await twoJoints();
    const arrivals: { sent_ms: number; age_ms: number }[] = [];
    two.server.subscribe('/command', (msg) => {
      const [sent_ms = Number.NaN] = msg.data as number[];
      arrivals.push({ sent_ms, age_ms: performance.now() - sent_ms });
    });
    // Between the two stands a network that ends connections in three ways.
    const links = new Set<{ near: Socket; far: Socket }>();
    const network = createServer((near) => {
      const far = connect(two.server.port, '127.0.0.1');
      const link = { near, far };
      links.add(link);
      near.pipe(far);
      far.pipe(near);
      for (const end of [near, far]) {
        end.on('error', () => end.destroy());
        end.on('close', () => {
          near.destroy();
          far.destroy();
          links.delete(link);
        });
      }
    });
    await new Promise<void>((resolve) => network.listen(0, '127.0.0.1', resolve));
    closers.push(() => {
      for (const { near } of links) near.destroy();
      network.close();
    });
    const { port } = network.address() as AddressInfo;
    const { robot, status } = await connected(`ws://127.0.0.1:${port}`);
    const sent = new Set<number>();
    const driving = setInterval(() => {
      const now_ms = performance.now();
      if (robot.send(command(now_ms, 0))) sent.add(now_ms);
    }, 2);
    closers.push(() => clearInterval(driving));
    const damage: ((link: { near: Socket; far: Socket }) => void)[] = [
      ({ near }) => near.resetAndDestroy(),
      ({ near }) => near.write(Buffer.from([0x81, 0x7e, 0x00, 0x05, 0x7b])) && near.end(),
      ({ near }) => near.write(Buffer.from([0xff, 0x00, 0x13, 0x37])),
      ({ far }) => far.write(Buffer.from([0xff, 0xff, 0x13, 0x37])),
    ];
    for (let round = 0; round < 100; ++round) {
      const had = arrivals.length;
      await until('commands flow', () => status().connected && links.size > 0 && arrivals.length > had + 2);
      for (const link of links) damage[round % damage.length]?.(link);
      await until('the loss', () => !status().connected);
    }
    await until('recovery', () => status().connected);
    clearInterval(driving);
    await wait(50);
    expect(arrivals.length).toBeGreaterThan(300);
    expect(arrivals.every(({ sent_ms }) => sent.delete(sent_ms))).toBe(true);
    expect(Math.max(...arrivals.map(({ age_ms }) => age_ms))).toBeLessThan(1000);
  });

  it('a service call under way fails with the connection, and one nobody answers with its timeout', async () => {
    const two = await twoJoints();
    two.server.service('/slow', 'demo/Slow', () => new Promise(() => undefined));
    const client = new BridgeClient({ url: two.server.url, now_ns });
    closers.push(() => client.close());
    await client.connect();
    await expect(client.call('/slow', 'demo/Slow', {}, 50)).rejects.toMatchObject({ code: 'bridge_timeout' });
    const lost = client.call('/slow', 'demo/Slow', {}, 5000);
    setTimeout(() => void two.close(), 20);
    await expect(lost).rejects.toMatchObject({ code: 'bridge_unreachable' });
  });

  it('nobody there: an error with the address and what to try', async () => {
    const client = new BridgeClient({ url: 'ws://127.0.0.1:9', now_ns, connect_timeout_ms: 200 });
    closers.push(() => client.close());
    await expect(client.connect()).rejects.toThrow(
      /127\.0\.0\.1:9 within 200 ms \(.*ECONNREFUSED.*bridge\.url/,
    );
  });
});

describe('other servers', () => {
  type Say = (op: unknown) => void;
  /** A server that answers with canned frames of another dialect; `heard` is what it got. */
  async function canned(answer: (op: Message, say: Say) => void) {
    const server = new WebSocketServer({ port: 0, host: '127.0.0.1' });
    closers.push(() => {
      for (const peer of server.clients) peer.terminate();
      server.close();
    });
    const heard: Message[] = [];
    server.on('connection', (socket) =>
      socket.on('message', (data) => {
        const op = JSON.parse(String(data));
        heard.push(op);
        answer(op, (frame) => socket.send(typeof frame === 'string' ? frame : JSON.stringify(frame)));
      }),
    );
    await new Promise((resolve) => server.once('listening', resolve));
    const { port } = server.address() as { port: number };
    const client = new BridgeClient({ url: `ws://127.0.0.1:${port}`, now_ns });
    closers.push(() => client.close());
    return { heard, client };
  }
  const time = (value: object) => (op: Message, say: Say) => {
    if (op.service === '/rosapi/get_time') {
      say({ op: 'service_response', id: op.id, service: op.service, values: { time: value }, result: true });
    }
  };

  it('knows ROS 1 by its time, writes secs/nsecs, and asks it no CBOR for messages with names', async () => {
    const { heard, client } = await canned(time({ secs: 100, nsecs: 5 }));
    await client.connect();
    expect(client.dialect?.name).toBe('rosbridge_suite_ros1');
    client.subscribe('/joint_states', 'sensor_msgs/msg/JointState', () => undefined, { compression: 'cbor' });
    client.subscribe('/image', 'sensor_msgs/msg/Image', () => undefined, { compression: 'cbor' });
    const publisher = client.advertise('/goal', 'geometry_msgs/msg/PoseStamped');
    publisher.publish({ header: header('', { sec: 1, nanosec: 2 }) });
    await until('four ops', () => heard.length === 5);
    expect(heard[1]).toMatchObject({ op: 'subscribe', type: 'sensor_msgs/JointState', compression: 'none' });
    expect(heard[2]).toMatchObject({ op: 'subscribe', type: 'sensor_msgs/Image', compression: 'cbor' });
    expect(heard[4]).toMatchObject({ msg: { header: { stamp: { secs: 1, nsecs: 2 } } } });
  });

  it('knows ROS 2 by its time, and takes a server that never answers for ros2-web-bridge', async () => {
    const ros2 = await canned(time({ sec: 100, nanosec: 5 }));
    await ros2.client.connect();
    expect(ros2.client.dialect?.name).toBe('rosbridge_suite_ros2');
    const silent = await canned(() => undefined);
    await silent.client.connect();
    expect(silent.client.dialect?.name).toBe('ros2-web-bridge');
    expect(silent.heard[0]).toMatchObject({
      op: 'call_service',
      type: expect.any(String),
      id: expect.any(String),
    });
  });

  it('shows rosauth credentials first', async () => {
    const server = new WebSocketServer({ port: 0, host: '127.0.0.1' });
    closers.push(() => {
      for (const peer of server.clients) peer.terminate();
      server.close();
    });
    const heard: Message[] = [];
    server.on('connection', (socket) => socket.on('message', (data) => heard.push(JSON.parse(String(data)))));
    await new Promise((resolve) => server.once('listening', resolve));
    const client = new BridgeClient({
      url: `ws://127.0.0.1:${(server.address() as { port: number }).port}`,
      auth: { secret: 'abcdefghijklmnop', client: 'me', dest: 'robot' },
      now_ns,
    });
    closers.push(() => client.close());
    await client.connect();
    const { op, mac, rand, t, level, end } = heard[0] as Record<string, string>;
    expect(op).toBe('auth');
    const expected = createHash('sha512')
      .update(`abcdefghijklmnopmerobot${rand}${t}${level}${end}`)
      .digest('hex');
    expect(mac).toBe(expected);
  });

  it('falls back to JSON when CBOR yields nothing', async () => {
    const { client } = await canned((op, say) => {
      time({ sec: 1, nanosec: 1 })(op, say);
      if (op.op === 'subscribe' && op.compression === 'none')
        say('{"op":"publish","topic":"/t","msg":{"data":[NaN,1]}}');
    });
    await client.connect();
    const got: Message[] = [];
    client.subscribe('/t', 'demo/Names', (msg) => got.push(msg), { compression: 'cbor', no_data_ms: 50 });
    await until('a message', () => got.length === 1);
    expect(got[0]).toEqual({ data: [Number.NaN, 1] });
    expect(client.cbor_fallbacks).toBe(1);
  });

  it('survives garbage and fractional fragments', async () => {
    const text = '{"op":"publish","topic":"/t","msg":{"data":42}}';
    const { client } = await canned((op, say) => {
      time({ sec: 1, nanosec: 1 })(op, say);
      if (op.op !== 'subscribe') return;
      say('{"op":');
      say('null');
      const size = Math.ceil(text.length / 2.5);
      for (let num = 0; num < 3; ++num) {
        say({ op: 'fragment', id: 0, num, total: 2.5, data: text.slice(num * size, (num + 1) * size) });
      }
    });
    await client.connect();
    const got: Message[] = [];
    client.subscribe('/t', 'std_msgs/Int32', (msg) => got.push(msg));
    await until('the message', () => got.length === 1);
    expect(got[0]).toEqual({ data: 42 });
    expect(client.counters().malformed).toBe(2);
  });
});
