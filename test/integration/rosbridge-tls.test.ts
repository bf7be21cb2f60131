// wss and rosauth as the robot file gives them: a certificate of our own making is trusted only when the file names
// its authority.

import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createServer } from 'node:tls';
import { afterEach, beforeAll, expect, test } from 'vitest';
import { WebSocketServer } from 'ws';
import { parseRobotFile } from '../../src/robot/robot-file.js';
import { header, jointState, RosbridgeRobot, RosbridgeServer } from '../../src/rosbridge/index.js';

const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});
const now_ns = () => Math.round(performance.now() * 1e6);
const folder = mkdtempSync(join(tmpdir(), 'tendon-tls-'));
const ca_file = join(folder, 'cert.pem');
const key_file = join(folder, 'key.pem');

beforeAll(() => {
  execFileSync(
    'openssl',
    `req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=robot
      -addext subjectAltName=IP:127.0.0.1 -keyout ${key_file} -out ${ca_file}`.split(/\s+/),
    { stdio: 'pipe' },
  );
  return () => rmSync(folder, { recursive: true });
});

/** The embedded server with TLS in front of it, as a reverse proxy would be. */
async function secured(): Promise<string> {
  const server = await RosbridgeServer.start({ port: 0 });
  const publish = server.advertise('/joint_states', 'sensor_msgs/JointState');
  const timer = setInterval(() => publish(jointState(header(), ['a'], [1])), 10);
  const front = createServer({ key: readFileSync(key_file), cert: readFileSync(ca_file) }, (near) => {
    const far = connect(server.port, '127.0.0.1');
    near.pipe(far).pipe(near);
    for (const [end, other] of [
      [near, far],
      [far, near],
    ] as const) {
      end.on('error', () => end.destroy());
      end.on('close', () => other.destroy());
    }
  });
  await new Promise<void>((listening) => front.listen(0, '127.0.0.1', listening));
  closers.push(async () => {
    clearInterval(timer);
    front.close();
    await server.close();
  });
  const address = front.address();
  return `wss://127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}`;
}

function open(url: string, bridge: string): RosbridgeRobot {
  const file = parseRobotFile(
    `
name: one
bridge: { url: '${url}', ${bridge} }
rate_hz: 50
joint_names: [a]
limits: { lower: [-3], upper: [3], velocity: [1] }
observation:
  - { topic: /joint_states, type: sensor_msgs/JointState, features: { joint_position: { length: 1 } } }
command: { topic: /command, type: std_msgs/Float64MultiArray }
deadlines: { connect_ms: 1500 }`,
    'one.yaml',
  );
  const robot = new RosbridgeRobot(file, { now_ns }, { backoff_ms: [5, 20] });
  closers.push(() => robot.close());
  return robot;
}

test('the authority that the file names is trusted, no other; not checking must be asked for', async () => {
  const url = await secured();
  const trusting = open(url, `tls: { ca_file: ${ca_file} }`);
  await trusting.connect();
  expect([...trusting.latest()!.values.joint_position!]).toEqual([1]);
  await trusting.close();
  await expect(open(url, '').connect()).rejects.toThrow(/self-signed certificate/);
  await open(url, 'tls: { verify: false }').connect();
  expect(() => open(url, `tls: { ca_file: ${folder}/none.pem }`)).toThrow(/none\.pem cannot be read/);
});

test('rosauth credentials of the file go first', async () => {
  const server = new WebSocketServer({ port: 0, host: '127.0.0.1' });
  closers.push(() => {
    for (const client of server.clients) client.terminate();
    server.close();
  });
  const first = new Promise<Record<string, unknown>>((resolve) => {
    server.on('connection', (socket) => socket.once('message', (data) => resolve(JSON.parse(String(data)))));
  });
  await new Promise((listening) => server.once('listening', listening));
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  const robot = open(`ws://127.0.0.1:${port}`, 'rosauth: { secret: not to be told, client: me, dest: you }');
  const lost = expect(robot.connect()).rejects.toMatchObject({ code: 'bridge_timeout' });
  const frame = await first;
  expect(frame).toMatchObject({ op: 'auth', client: 'me', dest: 'you' });
  expect(JSON.stringify(frame)).not.toContain('not to be told');
  await lost;
});
