// Joints of a robot file: the map, the arrays of older files, and what an error may say.

import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { parse, stringify } from 'yaml';
import { robotFileJsonSchema, robotFilePage } from '../../src/robot/json-schema.js';
import { parseRobotFile } from '../../src/robot/robot-file.js';

const BODY = `
name: r
bridge: { url: ws://127.0.0.1:9 }
rate_hz: 50
observation:
  - { topic: /j, type: sensor_msgs/JointState, features: { joint_position: { length: 2 } } }
command: { topic: /c, type: std_msgs/Float64MultiArray }
`;
const read = (text: string, onNotice: (sentence: string) => void = () => {}) =>
  parseRobotFile(BODY + text, 'r.yaml', { onNotice });

describe('joints as a map', () => {
  test('order of the text, also where names are numbers', () => {
    const { joint_names, limits } = read(
      'joints: { b: { lower: 0, upper: 1, velocity: 1 }, "1": { lower: 2, upper: 3, velocity: 4 } }',
    );
    expect(joint_names).toEqual(['b', '1']);
    expect(limits.lower).toEqual([0, 2]);
    expect(
      read('joints: { 2: { lower: 0, upper: 1, velocity: 1 }, 1: { lower: 2, upper: 3, velocity: 4 } }'),
    ).toMatchObject({ joint_names: ['2', '1'], limits: { lower: [0, 2], upper: [1, 3], velocity: [1, 4] } });
  });

  test('a joint twice is a fault of the file', () => {
    expect(() => read('joints:\n  a: { lower: 0 }\n  a: { lower: 0 }\n')).toThrow(
      /r\.yaml is not YAML: line 10, column 3 \(duplicate key\)/,
    );
  });

  test('its unit is applied once, to limits', () => {
    const file = read(
      'joints: { a: { lower: 0, upper: 90, velocity: 10, scale: -2, offset: 10 }, b: { lower: 0, upper: 1, velocity: 1 } }\nunits: { features: [joint_position] }',
    );
    expect(file.units).toEqual({ scale: [-2, 1], offset: [10, 0], features: ['joint_position'] });
    expect(file.limits).toEqual({ lower: [-40, 0], upper: [5, 1], velocity: [5, 1] });
  });

  test('its command interface says what a command is', () => {
    const velocity = '{ command: velocity, lower: -0.1, upper: 0.1, velocity: 1 }';
    expect(read(`joints: { a: ${velocity}, b: ${velocity} }`).command.quantity).toBe('velocity');
  });

  test('a leader names the joints that its axes move', () => {
    const joints =
      'joints: { a: { lower: 0, upper: 1, velocity: 1 }, b: { lower: 0, upper: 1, velocity: 1 } }';
    const file = read(
      `${joints}\nteleop: { topic: /joy, type: sensor_msgs/Joy, axes: { b: -axes.3 }, scale: { b: 0.2 } }`,
    );
    expect(file.teleop).toMatchObject({ axes: [null, '-axes.3'], scale: [1, 0.2] });
  });
});

describe('joints as arrays', () => {
  const OLD = `
joint_names: [a, b]
limits: { lower: [0, 1], upper: [2, 3], velocity: [4, 5], acceleration: [6, 7] }
units: { scale: [1, 2], offset: [0, 1], features: [joint_position] }
`;

  test('are read with a notice whose lines read the same', () => {
    const notices: string[] = [];
    const old = read(OLD, (notice) => notices.push(notice));
    expect(notices).toHaveLength(1);
    const [first, ...lines] = notices[0]!.split('\n');
    expect(first).toMatch(/^r\.yaml lists its joints in arrays \(joint_names, limits, units\)/);
    const now = read(lines.join('\n'), () => expect.unreachable('the new form has no notice'));
    expect(now).toEqual(old);
  });

  test.each([
    ['too few', 'lower: [0, 1]', 'lower: [0]', /limits\.lower: expected one value per joint .*\(2\), got 1/],
    [
      'inverted',
      'lower: [0, 1]',
      'lower: [0, 9]',
      /limits\.lower\[1\]: expected less than the upper limit of b, got 9 and 3/,
    ],
    ['a name twice', 'joint_names: [a, b]', 'joint_names: [a, a]', /joint_names: expected every joint once/],
    ['a scale too few', 'scale: [1, 2]', 'scale: [1]', /units\.scale: .*\(2\), got 1/],
    [
      'both forms',
      'joint_names',
      'joints: { a: {} }\njoint_names',
      /joint_names: expected none beside joints/,
    ],
  ])('with %s are refused by field', (_, from, to, message) => {
    expect(() => read(OLD.replace(from, to))).toThrow(message);
  });
});

test('where the tip is cannot be kept by commands that are velocities', () => {
  const velocity = '{ command: velocity, lower: -0.1, upper: 0.1, velocity: 1 }';
  expect(() =>
    read(
      `joints: { a: ${velocity}, b: ${velocity} }\nworkspace: { urdf: a.urdf, tip: t, lower: [0, 0, 0], upper: [1, 1, 1] }`,
    ),
  ).toThrow(/workspace: expected commands that are positions/);
});

describe('what an error says', () => {
  test('no secret, and nothing of a file that is no robot file', () => {
    const error = (text: string): string => {
      try {
        parseRobotFile(text, 'r.yaml');
      } catch (caught) {
        return (caught as Error).message;
      }
      return expect.unreachable('a wrong file was read');
    };
    expect(error(BODY.replace('9 }', '9, token: hunter2 }'))).toMatch(/bridge\.token: /);
    expect(error(BODY.replace('9 }', '9, token: hunter2 }'))).not.toContain('hunter2');
    for (const text of [
      'root:x:0:0:root',
      '- hunter2\n',
      '"hunter2',
      'a: b: hunter2',
      '*hunter2',
      '{hunter2',
      '[[hunter2',
    ])
      expect(error(text)).not.toMatch(/hunter2|root:x/);
    expect(error('['.repeat(50_000))).toMatch(/r\.yaml is not YAML/);
  });
});

describe('launch/', () => {
  test('the schema and the page say what the code says (npm run schema)', () => {
    const written = JSON.parse(readFileSync('launch/robot.schema.json', 'utf8'));
    expect(written).toEqual(JSON.parse(JSON.stringify(robotFileJsonSchema())));
    expect(readFileSync('docs/robot-file.md', 'utf8')).toBe(robotFilePage());
  });

  test.each(readdirSync('launch').filter((name) => name.endsWith('.yaml')))(
    '%s names the schema, has its joints as a map and is read without a notice',
    (name) => {
      const text = readFileSync(`launch/${name}`, 'utf8');
      expect(text).toMatch(/^# yaml-language-server: \$schema=\.\/robot\.schema\.json\n/);
      const notices: string[] = [];
      parseRobotFile(text, `launch/${name}`, { onNotice: (notice) => notices.push(notice) });
      expect(notices).toEqual([]);
      expect(parse(text).joints).toBeTypeOf('object');
    },
  );

  test('so101.yaml: the units that its comment offers are units', () => {
    const text = readFileSync('launch/so101.yaml', 'utf8');
    const [, offered] = /\n# {3}(units: .*)\n/.exec(text)!;
    const file = { ...parse(text), ...parse(offered!) };
    for (const joint of Object.values<Record<string, number>>(file.joints)) joint.scale = 0.0174533;
    Object.assign(file.joints.gripper, { scale: 0.01919863, offset: -0.174533 });
    expect(parseRobotFile(stringify(file), 'so101').units?.offset).toEqual([0, 0, 0, 0, 0, -0.174533]);
  });
});
