// launch/*.launch.py: they compile, and on a stand-in for ROS 2's `launch` (test/unit/ros2-launch) they declare and start
// what docs/deploy.md says. What is declared is compared with the options of `tendon run`, which they pass on.

import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, test } from 'vitest';
import { run } from '../../src/cli/run.js';

const DESCRIBE = fileURLToPath(new URL('./ros2-launch/describe.py', import.meta.url));
const FILES = readdirSync('launch').filter((name) => name.endsWith('.launch.py'));
const temporary = mkdtempSync(join(tmpdir(), 'tendon-launch-'));
afterAll(() => rmSync(temporary, { recursive: true }));

interface Argument {
  readonly name: string;
  readonly default: string | null;
  readonly choices: readonly string[] | null;
  readonly description: string | null;
}
type Started = Readonly<Record<string, unknown>> & { readonly command?: readonly string[] };
interface Described {
  readonly error?: string;
  readonly arguments: readonly Argument[];
  readonly started: readonly Started[];
}

const python = (...args: string[]) =>
  spawnSync('python3', args, { encoding: 'utf8', env: { ...process.env, PYTHONPYCACHEPREFIX: temporary } });

function described(file: string, ...args: string[]): Described {
  const { status, stdout, stderr } = python(DESCRIBE, `launch/${file}`, ...args);
  if (status !== 0) throw new Error(`${file}: ${stderr}`);
  return JSON.parse(stdout);
}
const NEEDED = ['policy:=models/mine', 'robot:=launch/ur5e.yaml'];
const tendonOf = ({ started }: Described) => started.find((it) => it.process === 'tendon')?.command ?? [];

const missing = python('--version').status !== 0;
describe.skipIf(missing)(`launch files${missing ? ' (skipped: there is no python3)' : ''}`, () => {
  test.each(FILES)('%s compiles', (name) => {
    const { status, stderr } = python('-m', 'py_compile', `launch/${name}`);
    expect(stderr).toBe('');
    expect(status).toBe(0);
  });

  test.each(FILES)('%s: every argument says what it is', (name) => {
    for (const { name: argument, description, default: value, choices } of described(name, ...NEEDED)
      .arguments) {
      expect(description, argument).toMatch(/\w/);
      if (choices !== null && value !== null) expect(choices, argument).toContain(value);
    }
  });

  test('rosbridge_server on loopback is the default, with rosapi beside it', () => {
    expect(described('bridge.launch.py').started).toEqual([
      {
        package: 'rosbridge_server',
        executable: 'rosbridge_websocket',
        name: 'rosbridge_websocket',
        output: 'screen',
        parameters: [{ port: 9090, address: '127.0.0.1' }],
      },
      { package: 'rosapi', executable: 'rosapi_node', name: 'rosapi', output: 'screen', parameters: [] },
    ]);
    const [node] = described('bridge.launch.py', 'bridge_port:=9191', 'bridge_address:=10.0.0.2').started;
    expect(node?.parameters).toEqual([{ port: 9191, address: '10.0.0.2' }]);
  });

  test('ros2-web-bridge instead, or none', () => {
    const { started } = described('bridge.launch.py', 'bridge:=ros2-web-bridge', 'bridge_port:=9191');
    expect(started.map(({ command, log }) => command ?? log)).toEqual([
      expect.stringContaining('every address'),
      ['rosbridge', '--port', '9191'],
    ]);
    expect(described('bridge.launch.py', 'bridge:=none').started).toEqual([]);
    expect(described('bridge.launch.py', 'bridge:=roslibpy').error).toContain('roslibpy');
  });

  test('all of it: the bridge, the driver and Tendon, dry unless told otherwise', () => {
    const driver = join(temporary, 'driver.launch.py');
    writeFileSync(
      driver,
      `from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
def generate_launch_description():
    return LaunchDescription([
        DeclareLaunchArgument('robot_ip', description='the arm'),
        Node(package='some_driver', executable='driver'),
    ])
`,
    );
    const all = described('tendon.launch.py', ...NEEDED, `driver:=${driver}`, 'robot_ip:=192.168.1.20');
    expect(all.started.map(({ package: from, process }) => from ?? process)).toEqual([
      'rosbridge_server',
      'rosapi',
      'some_driver',
      'tendon',
    ]);
    // The driver's own argument went through.
    expect(described('tendon.launch.py', ...NEEDED, `driver:=${driver}`).error).toContain('robot_ip');
    expect(tendonOf(all)).toEqual([
      'tendon',
      'run',
      '--policy',
      'models/mine',
      '--robot',
      'launch/ur5e.yaml',
      '--bridge',
      'ws://127.0.0.1:9090',
      '--dry-run',
    ]);
    const named = tendonOf(described('tendon.launch.py', ...NEEDED, 'position_key:=speed'));
    expect(named[named.indexOf('--position-key') + 1]).toBe('speed');
  });

  test('without dry_run:=false nothing drops --dry-run; every option given is one of tendon run', () => {
    const moving = tendonOf(
      described('tendon.launch.py', ...NEEDED, 'dry_run:=false', 'tendon_options:=--steps 3 --threads 2'),
    );
    expect(moving).not.toContain('--dry-run');
    expect(described('tendon.launch.py', ...NEEDED, 'dry_run:=no').error).toContain('dry_run');
    for (const part of moving.filter((word) => word.startsWith('--')))
      expect(Object.keys(run.options), part).toContain(part.slice(2));
    expect(moving).toContain('--steps');
  });

  test('what is missing or not there is said', () => {
    expect(described('tendon.launch.py', 'robot:=launch/ur5e.yaml').error).toContain('policy');
    expect(described('tendon.launch.py', ...NEEDED, 'driver:=/none.launch.py').error).toContain(
      '/none.launch.py',
    );
    expect(described('tendon.launch.py', ...NEEDED).started).toContainEqual({
      log: expect.stringContaining('no driver'),
    });
  });
});
