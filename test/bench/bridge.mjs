// Bridge, without and with a thread for its socket, against roslib on the same embedded server, which runs in a process
// of its own: round trips of a JointState at 100 Hz, JointStates per second with 32 under way, 640×480 rgb8 images over
// CBOR. Who begins changes with the round; medians are printed. Run: npm run build:ts && node test/bench/bridge.mjs [rounds] [roundTrips|throughput|images]

import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { BridgeClient, header, image, jointState, RosbridgeServer } from '../../dist/rosbridge/index.js';

const JOINTS = ['base_yaw', 'shoulder_pitch', 'elbow_pitch', 'forearm_roll', 'wrist_pitch', 'wrist_roll'];
const joints = (frame_id = 'world') =>
  jointState(
    header(frame_id),
    JOINTS,
    [0.1234, -0.5678, 1.2345, 0.0123, 1.5708, -0.4321],
    [0, 0, 0, 0, 0, 0],
    [],
  );
const IN_FLIGHT = 32;
/** Round trips that are not counted: whoever came first would pay for the server's first compilation. */
const WARM_UP = 50;
const TARGETS = { rtt_p50_ms: 0.6, rtt_p99_ms: 3, messages_per_s: 40_000, images_per_s: 450 };

/** The server's process: routes /echo, and publishes /image faster than a client takes it, at some 2000 per second. */
async function serve() {
  const server = await RosbridgeServer.start();
  const publish = server.advertise('/image', 'sensor_msgs/Image');
  const data = new Uint8Array(640 * 480 * 3).map((_, i) => i * 31);
  let running = false;
  const next = () => {
    if (!running) return;
    for (let i = 0; i < 2; ++i)
      publish(image(header('camera'), { width: 640, height: 480, channels: 3, data }));
    setTimeout(next, 1);
  };
  server.service('/images', 'std_srvs/SetBool', ({ data: on }) => {
    const was = running;
    running = on === true;
    if (running && !was) next();
    return { success: true };
  });
  process.once('disconnect', () => process.exit());
  process.send(server.url);
}

/** The clients behind one small door: subscribe, publish, close. */
async function ours(url, socket_thread = false) {
  const client = new BridgeClient({ url, now_ns: () => performance.now() * 1e6, socket_thread });
  await client.connect();
  return {
    subscribe: (topic, type, compression, listener) =>
      client.subscribe(topic, type, listener, { compression }),
    publisher: (topic, type) => client.advertise(topic, type).publish,
    close: () => client.close(),
  };
}
const threaded = (url) => ours(url, true);
async function roslib(url) {
  const { Ros, Topic } = await import('roslib');
  const ros = new Ros({ url });
  await new Promise((resolve) => ros.on('connection', resolve));
  const topic = (name, messageType, compression) => new Topic({ ros, name, messageType, compression });
  return {
    subscribe: (name, type, compression, listener) => topic(name, type, compression).subscribe(listener),
    publisher: (name, type) => {
      const out = topic(name, type, 'none');
      out.advertise();
      return (msg) => out.publish(msg);
    },
    close: () => ros.close(),
  };
}

const quantile = (values, q) =>
  [...values].sort((a, b) => a - b)[Math.min(values.length - 1, Math.floor(q * values.length))];
const median = (values) => quantile(values, 0.5);
const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

async function roundTrips(client, seconds) {
  const sent = [];
  const times = [];
  // Whose round trip it was is in the message: on a busy machine a newer one may take the place of another.
  client.subscribe('/echo', 'sensor_msgs/JointState', 'none', (msg) => {
    const i = Number(msg.header.frame_id);
    if (i >= WARM_UP) times.push(performance.now() - sent[i]);
  });
  const publish = client.publisher('/echo', 'sensor_msgs/JointState');
  await wait(200);
  const start = performance.now();
  for (let i = 0; i < seconds * 100 + WARM_UP; ++i) {
    await wait(Math.max(0, start + i * 10 - performance.now()));
    sent.push(performance.now());
    publish(joints(String(i)));
  }
  await wait(200);
  return { rtt_p50_ms: quantile(times, 0.5), rtt_p99_ms: quantile(times, 0.99) };
}

async function throughput(client, seconds) {
  let received = 0;
  const publish = client.publisher('/flood', 'sensor_msgs/JointState');
  const msg = joints();
  client.subscribe('/flood', 'sensor_msgs/JointState', 'none', () => {
    ++received;
    publish(msg);
  });
  await wait(200);
  for (let i = 0; i < IN_FLIGHT; ++i) publish(msg);
  await wait(500);
  const before = received;
  const start = performance.now();
  await wait(seconds * 1000);
  return { messages_per_s: ((received - before) * 1000) / (performance.now() - start) };
}

async function images(client, seconds, control) {
  let received = 0;
  let bytes = 0;
  client.subscribe('/image', 'sensor_msgs/Image', 'cbor', (msg) => {
    ++received;
    bytes += msg.data.length;
  });
  await wait(100);
  await control.call('/images', 'std_srvs/SetBool', { data: true });
  await wait(500);
  const before = received;
  const start = performance.now();
  await wait(seconds * 1000);
  const images_per_s = ((received - before) * 1000) / (performance.now() - start);
  await control.call('/images', 'std_srvs/SetBool', { data: false }, 30_000);
  if (received > 0 && bytes / received !== 640 * 480 * 3)
    throw new Error('an image arrived with missing bytes');
  return { images_per_s };
}

/** Runs everything, or `only` one of the measures; resolves to medians by client and measure. */
export async function benchBridge({ rounds = 5, seconds = 2, only = undefined } = {}) {
  const child = fork(fileURLToPath(import.meta.url), ['serve']);
  const url = await new Promise((resolve) => child.once('message', resolve));
  const control = new BridgeClient({ url, now_ns: () => performance.now() * 1e6 });
  await control.connect();
  const clients = { ours, threaded, roslib };
  const results = { ours: {}, threaded: {}, roslib: {} };
  const keep = (who, measured) => {
    for (const [key, value] of Object.entries(measured)) {
      results[who][key] ??= [];
      results[who][key].push(value);
    }
  };
  for (let round = 0; round < rounds; ++round) {
    for (const measure of [roundTrips, throughput, images]) {
      if (only !== undefined && measure.name !== only) continue;
      const order = Object.keys(clients).map((_, i, names) => names[(i + round) % names.length]);
      for (const who of order) {
        const client = await clients[who](url);
        keep(who, await measure(client, seconds, control));
        await client.close();
        await wait(100);
      }
    }
  }
  await control.close();
  child.disconnect();
  const medians = (who) =>
    Object.fromEntries(Object.entries(results[who]).map(([key, all]) => [key, median(all)]));
  return {
    rounds,
    seconds,
    targets: TARGETS,
    ours: medians('ours'),
    threaded: medians('threaded'),
    roslib: medians('roslib'),
  };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  if (process.argv[2] === 'serve') await serve();
  else {
    const {
      targets,
      ours: mine,
      threaded: other,
      roslib: theirs,
      rounds,
    } = await benchBridge({ rounds: Number(process.argv[2] ?? 5), only: process.argv[3] });
    console.log(`measure          ours      threaded  roslib    target   (medians of ${rounds} rounds)`);
    for (const [key, target] of Object.entries(targets)) {
      if (mine[key] === undefined) continue;
      const cell = (value) => (value >= 100 ? value.toFixed(0) : value.toFixed(3)).padEnd(10);
      console.log(
        `${key.padEnd(16)} ${cell(mine[key])}${cell(other[key])}${cell(theirs[key])}${key.startsWith('rtt') ? '≤' : '≥'} ${target}`,
      );
    }
  }
}
