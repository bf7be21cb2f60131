// Robot files: what is refused, in which words, and that the shipped ones agree with the simulated tasks.

import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { parse, stringify } from 'yaml';
import { loadRobotFile, parseRobotFile } from '../../src/robot/robot-file.js';
import { RosbridgeRobot } from '../../src/rosbridge/index.js';
import { checkFit } from '../../src/session/fit.js';
import { findTask, taskNames } from '../../src/sim/tasks.js';
import type { PolicySpec } from '../../src/types/index.js';

const TEXT = readFileSync('launch/sim-arm.yaml', 'utf8');

/** The arm's file with the value at `path` replaced; undefined removes it. */
function changed(path: readonly (string | number)[], value: unknown): string {
  const file = parse(TEXT);
  const parent = path.slice(0, -1).reduce((at, key) => at[key], file);
  const last = path.at(-1) as string;
  if (value === undefined) delete parent[last];
  else parent[last] = value;
  return stringify(file);
}

describe('a robot file', () => {
  const wrongs: [string, (string | number)[], unknown, RegExp][] = [
    ['a NaN limit', ['joints', 'elbow_pitch', 'lower'], Number.NaN, /joints\.elbow_pitch\.lower: .*NaN/],
    [
      'an infinite limit',
      ['joints', 'base_yaw', 'upper'],
      Number.POSITIVE_INFINITY,
      /joints\.base_yaw\.upper/,
    ],
    [
      'inverted limits',
      ['joints', 'shoulder_pitch', 'lower'],
      5,
      /joints\.shoulder_pitch\.lower: .*upper limit of shoulder_pitch, got 5 and 1\.7/,
    ],
    ['a negative speed', ['joints', 'base_yaw', 'velocity'], -1, /joints\.base_yaw\.velocity.*got -1/],
    [
      'a limit left out',
      ['joints', 'base_yaw', 'upper'],
      undefined,
      /joints\.base_yaw\.upper: .* or urdf to take/,
    ],
    [
      'a jerk of one joint',
      ['joints', 'base_yaw', 'jerk'],
      5,
      /joints\.shoulder_pitch\.jerk: expected one here too/,
    ],
    [
      'a jerk without an acceleration',
      ['joints', 'base_yaw', 'jerk'],
      5,
      /jerk: expected an acceleration beside it/,
    ],
    ['no joints', ['joints'], {}, /joints: expected at least one joint/],
    ['no joints at all', ['joints'], undefined, /joints: expected the joints that are commanded/],
    ['limits in both forms', ['limits'], { lower: [0] }, /limits: expected none beside joints/],
    [
      'an interface that its driver lacks',
      ['joints', 'base_yaw', 'state'],
      ['velocity'],
      /joint_position\.field: expected a state interface of base_yaw \(velocity\), got position/,
    ],
    [
      'command interfaces that differ',
      ['joints'],
      {
        base_yaw: { command: 'position', lower: -1, upper: 1, velocity: 1 },
        shoulder_pitch: { command: 'velocity', lower: -1, upper: 1, velocity: 1 },
      },
      /joints\.shoulder_pitch\.command: expected position, as for the rest of the command, got velocity/,
    ],
    [
      'a scale without features',
      ['joints', 'base_yaw', 'scale'],
      2,
      /base_yaw\.scale: expected units\.features beside/,
    ],
    [
      'units without a scale',
      ['units'],
      { features: ['joint_position'] },
      /units: expected a scale or an offset/,
    ],
    [
      'an axis for another robot’s joint',
      ['teleop'],
      { topic: '/joy', type: 'sensor_msgs/Joy', axes: { tail: 'axes.0' } },
      /teleop\.axes\.tail: expected a joint of the robot/,
    ],
    ['no command', ['command'], undefined, /command: .*got nothing/],
    ['a misspelt field', ['rate_khz'], 1, /unknown "rate_khz"/],
    [
      'an address that is none',
      ['bridge', 'url'],
      'http://robot',
      /bridge\.url: expected a WebSocket address such as ws:\/\/127/,
    ],
    ['another dialect', ['bridge', 'dialect'], 'ros3', /bridge\.dialect/],
    ['a rate of nothing', ['rate_hz'], 0, /rate_hz/],
    ['a stop by nothing', ['stop'], {}, /stop: expected a topic, a service or both/],
    ['a stop of another type', ['stop'], { topic: '/estop', type: 'std_msgs/Int8' }, /stop\.type/],
    ['a heartbeat without a topic', ['operator_heartbeat'], { timeout_ms: 5 }, /operator_heartbeat\.topic/],
    ['an executor that tells nobody', ['executor'], { rate_hz: 500 }, /executor: expected a way out/],
    ['an executor that is too fast', ['executor'], { rate_hz: 2000, publish_hz: 50 }, /executor\.rate_hz/],
    ['half of rosauth', ['bridge', 'rosauth'], { secret: 'long enough' }, /bridge\.rosauth\.client/],
    ['a topic without features', ['observation', 0, 'features'], {}, /observation\[0\]: .*at least one/],
    [
      'a feature from two topics',
      ['observation', 1, 'features', 'goal'],
      { length: 6 },
      /observation\[1\]: .*got goal twice/,
    ],
    [
      'fewer positions than joints',
      ['observation', 1, 'features', 'joint_position', 'length'],
      5,
      /joint_position\.length: .*\(6\), got 5/,
    ],
  ];
  const half = { topic: '/a', type: 'std_msgs/Float64MultiArray', joints: ['base_yaw'] };
  wrongs.push(
    ['a command without a topic', ['command'], { type: 'geometry_msgs/Twist' }, /command\.topic: .*or parts/],
    [
      'a command of both kinds',
      ['command'],
      { ...half, joints: undefined, parts: [half] },
      /command\.parts: .*not both/,
    ],
    [
      'joints that nobody commands',
      ['command'],
      { parts: [half] },
      /command: .*once, got shoulder_pitch 0 times/,
    ],
    [
      'a joint commanded twice',
      ['command'],
      { parts: [half, { ...half, topic: '/b' }] },
      /got base_yaw 2 times/,
    ],
    [
      'a part for another robot’s joint',
      ['command'],
      { parts: [{ ...half, joints: ['tail'] }] },
      /parts\[0\]\.joints: .*got tail/,
    ],
    [
      'too few names',
      ['command', 'names'],
      ['a'],
      /command\.names: expected one for each of its 6 joints, got 1/,
    ],
    [
      'a join of what is not there',
      ['join'],
      { all: ['joint_position', 'nothing'] },
      /join\.all: .*got nothing/,
    ],
    [
      'units of a feature of another length',
      ['units'],
      { features: ['goal'] },
      /units\.features: .*got goal of 2/,
    ],
    ['a unit of nothing', ['joints', 'base_yaw', 'scale'], 0, /joints\.base_yaw\.scale/],
    [
      'units in both forms',
      ['units'],
      { scale: [1], features: ['goal'] },
      /units\.scale: expected none beside joints/,
    ],
    ['a join under a taken name', ['join'], { goal: ['goal', 'goal'] }, /join\.goal: expected a new feature/],
  );
  it.each(wrongs)('refuses %s and names the field and the file', (_, path, value, message) => {
    const text = changed(path, value);
    expect(() => parseRobotFile(text, 'launch/wrong.yaml')).toThrow(message);
    expect(() => parseRobotFile(text, 'launch/wrong.yaml')).toThrow(
      /^launch\/wrong\.yaml does not describe a robot/,
    );
  });

  it('refuses an executor that would hold a velocity', () => {
    const file = parse(changed(['executor'], { publish_hz: 50 }));
    expect(() => parseRobotFile(stringify(file), 'x.yaml')).not.toThrow();
    file.command.quantity = 'velocity';
    file.deadlines.no_data_ms = 10_000;
    expect(() => parseRobotFile(stringify(file), 'x.yaml')).toThrow(
      /executor: expected commands that are pos/,
    );
  });

  it('refuses a base that could not brake before it counts as gone', () => {
    const text = readFileSync('launch/diff-drive.yaml', 'utf8').replace(
      'no_data_ms: 1000',
      'no_data_ms: 500',
    );
    expect(() => parseRobotFile(text, 'x.yaml')).toThrow(
      /no_data_ms: expected linear\.x to come to rest \(0\.67 s .* got 0\.3 s/,
    );
  });

  it('shares a command out, and takes a type for what its numbers are', () => {
    const whole = parseRobotFile(TEXT, 'x.yaml');
    expect(whole.command.quantity).toBe('position');
    expect(whole.command.parts).toMatchObject([{ topic: '/command', joints: whole.joint_names }]);
    const base = loadRobotFile('launch/diff-drive.yaml');
    expect(base.command.quantity).toBe('velocity');
    const clock = { now_ns: () => 0 };
    const aloha = new RosbridgeRobot(loadRobotFile('launch/aloha.yaml'), clock);
    const messages = aloha.messages(Float64Array.from({ length: 14 }, (_, i) => i));
    expect(messages['/follower_right/commands/joint_group']).toEqual({
      name: 'arm',
      cmd: [7, 8, 9, 10, 11, 12],
    });
    expect(messages['/follower_left/commands/joint_single']).toEqual({ name: 'gripper', cmd: 6 });
    const sideways = {
      ...base,
      command: { ...base.command, parts: [{ ...base.command.parts[0]!, names: ['x', 'y'] }] },
    };
    expect(() => new RosbridgeRobot(sideways, clock)).toThrow(/\/cmd_vel: x is no axis .*linear\.x/);
  });

  it('lists every problem at once, and says what is not YAML or not there', () => {
    const text = changed(['rate_hz'], -1).replace('topic: /command', 'topic: "no topic"');
    expect(() => parseRobotFile(text, 'x.yaml')).toThrow(/rate_hz.*\n.*command\.topic/);
    expect(() => parseRobotFile('a: [', 'x.yaml')).toThrow('x.yaml is not YAML');
    expect(() => loadRobotFile('launch/none.yaml')).toThrow('launch/none.yaml cannot be read');
  });

  it('names the message types it can read and write', () => {
    const clock = { now_ns: () => 0 };
    const command = parseRobotFile(changed(['command', 'type'], 'std_msgs/String'), 'x.yaml');
    expect(() => new RosbridgeRobot(command, clock)).toThrow(/choose from std_msgs\/Float64MultiArray/);
    const stream = parseRobotFile(changed(['observation', 0, 'type'], 'std_msgs/String'), 'x.yaml');
    expect(() => new RosbridgeRobot(stream, clock)).toThrow(
      /\/observation: .*choose from sensor_msgs\/JointState/,
    );
  });
});

describe('launch/', () => {
  const files = readdirSync('launch').filter((name) => /^sim-.*\.yaml$/.test(name));

  it('has a robot for every task', () => {
    const tasks = files.map((name) => name.replace(/^sim-|\.yaml$/g, ''));
    expect(tasks.sort()).toEqual(taskNames().sort());
  });

  it.each(['so101', 'ur5e', 'diff-drive'])('%s: the other command that its comment offers is one', (name) => {
    const text = readFileSync(`launch/${name}.yaml`, 'utf8');
    const [, offered] = /\n# {3}(command:\n(?:# {5}.*\n)+)/.exec(text)!;
    const other = { ...parse(text), ...parse(offered!.replace(/^# {3}/gm, '')) };
    expect(other.command.topic).not.toBe(parse(text).command.topic);
    const file = parseRobotFile(stringify(other), name);
    const robot = new RosbridgeRobot(file, { now_ns: () => 0 });
    const message = robot.messages(Float64Array.from(file.joint_names, () => 0.1))[other.command.topic];
    expect(JSON.stringify(message)).toContain('0.1');
  });

  it.each(['so101', 'aloha'])(
    '%s: the camera that its comment offers is one, and a policy may need it',
    (name) => {
      const text = readFileSync(`launch/${name}.yaml`, 'utf8');
      const [, offered] = /\n(# {3}- topic:.*\n(?:# {5}.*\n)+)/.exec(text)!;
      const plain = parseRobotFile(text, name);
      const whole = parse(text);
      whole.observation.push(...parse(offered!.replace(/^# {3}/gm, '')));
      const file = parseRobotFile(stringify(whole), name);
      const [[key, shape] = ['', []]] = Object.entries(file.observation.at(-1)!.images);
      expect(shape).toEqual([480, 640, 3]);
      const joints = file.joint_names.length;
      const needs = (height: number): PolicySpec => ({
        family: 'act',
        n_obs_steps: 1,
        horizon: 8,
        n_action_steps: 8,
        action_dim: joints,
        observation_dims: { 'observation.state': joints },
        image_shapes: { [key]: [3, height, 640] },
        goal_dims: {},
        rate_hz: 50,
      });
      expect(() => checkFit(needs(480), file, name, file.measured)).not.toThrow();
      expect(() => checkFit(needs(240), file, name, file.measured)).toThrow(/240×640×3, .* gives 480×640×3/);
      expect(() => checkFit(needs(480), plain, name, plain.measured)).toThrow(`needs the camera ${key}`);
    },
  );

  it('a policy that does not fit is refused before anything is connected', () => {
    const file = loadRobotFile('launch/so101.yaml');
    const spec = {
      observation_dims: { 'observation.state': 6 },
      image_shapes: {},
      action_dim: 6,
      rate_hz: 30,
    } as never;
    const fitting = (changes: object, key = file.measured) =>
      checkFit({ ...(spec as PolicySpec), ...changes }, file, 'so101.yaml', key);
    expect(() => fitting({})).not.toThrow();
    // Without its rate its rows would be played at the robot's.
    expect(() => fitting({ rate_hz: undefined })).toThrow(
      /does not say at which rate .*policy_hz in so101.yaml/,
    );
    expect(() => fitting({ observation_dims: { 'observation.state': 7 } })).toThrow(
      /length 7, so101.yaml gives 6/,
    );
    expect(() => fitting({ observation_dims: { goal: 2 } })).toThrow(
      /goal of length 2, so101.yaml gives none/,
    );
    expect(() => fitting({ action_dim: 7 })).toThrow(/commands 7 joints, so101.yaml names 6/);
    expect(() => fitting({}, 'speed')).toThrow(/speed \("measured", or --position-key\)/);
  });

  it.each(files)('%s agrees with its task', (name) => {
    const { spec } = findTask(name.replace(/^sim-|\.yaml$/g, ''));
    const file = loadRobotFile(`launch/${name}`);
    expect(file.joint_names).toEqual(spec.joint_names);
    for (const key of ['lower', 'upper', 'velocity'] as const) {
      expect(file.limits[key]).toEqual(spec.limits[key].map((limit) => expect.closeTo(limit, 9)));
    }
    const lengths = Object.fromEntries(
      file.observation.flatMap(({ features }) =>
        Object.entries(features).map(([key, { length }]) => [key, length]),
      ),
    );
    expect(lengths).toEqual({
      ...spec.observation_dims,
      joint_position: spec.joint_names.length,
      ...(spec.goal_dim > 0 ? { goal: spec.goal_dim } : {}),
    });
  });
});
