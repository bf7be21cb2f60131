// The table of message types: what each row promises holds for every row.

import { describe, expect, test } from 'vitest';
import { parseRobotFile } from '../../src/robot/robot-file.js';
import { commandWriter } from '../../src/rosbridge/robot/command-writer.js';
import { MESSAGE_TYPES, typesWith } from '../../src/rosbridge/robot/message-types.js';
import { Stream } from '../../src/rosbridge/robot/streams.js';
import { Units } from '../../src/rosbridge/robot/units.js';

const fileWith = (command: string, observation = '', joints = 'a: { lower: -3, upper: 3, velocity: 1 }') =>
  parseRobotFile(
    `
name: one
bridge: { url: 'ws://127.0.0.1:9090' }
rate_hz: 50
joints: { ${joints} }
observation:
  - { topic: /joint_states, type: sensor_msgs/JointState, features: { joint_position: { length: 1 } } }
${observation}
command: { topic: /command, ${command} }
`,
    'one.yaml',
  );

test('every type can be read or written, and says what it can when it cannot', () => {
  for (const [type, row] of Object.entries(MESSAGE_TYPES)) {
    expect(row.read ?? row.readSlowly ?? row.write, type).toBeDefined();
    expect(type).toMatch(/^\w+\/\w+$/);
  }
  const file = fileWith('type: std_msgs/Float64MultiArray');
  expect(() => new Stream({ ...file.observation[0]!, type: 'demo/Unknown' }, file)).toThrow(
    typesWith('read', 'readSlowly'),
  );
  const part = { ...file.command.parts[0]!, type: 'sensor_msgs/JointState' };
  expect(() => commandWriter(part, file, new Units(undefined))).toThrow(typesWith('write'));
});

test('types without a header count by arrival, all others by their stamp', () => {
  const file = fileWith('type: std_msgs/Float64MultiArray');
  const stamped = (type: string) => new Stream({ ...file.observation[0]!, type }, file).stamped;
  expect(stamped('std_msgs/Float64MultiArray')).toBe(false);
  expect(stamped('sensor_msgs/msg/JointState')).toBe(true);
  expect(new Stream({ ...file.observation[0]!, stamps: 'arrival' }, file).stamped).toBe(false);
});

describe('units', () => {
  const units = new Units({ scale: [2, -0.5], offset: [1, 3], features: ['joint_position'] });

  test('robot = policy · scale + offset, back again, and speeds without the offset', () => {
    for (const joint of [0, 1])
      for (const value of [-2, 0, 0.25, 7]) {
        expect(units.toPolicy(joint, units.toRobot(joint, value))).toBeCloseTo(value, 12);
        expect(units.speedToPolicy(joint, units.speedToRobot(joint, value))).toBeCloseTo(value, 12);
      }
    expect(units.toRobot(0, 4)).toBe(9);
    expect(units.toRobot(1, 4)).toBe(1);
    expect(units.speedToRobot(1, 4)).toBe(-2);
    const same = new Units(undefined);
    expect([same.toRobot(0, 4), same.toPolicy(0, 4), same.same]).toEqual([4, 4, true]);
  });
});

test('a force-torque sensor: six numbers, or a sentence', () => {
  const { observation } = fileWith('type: std_msgs/Float64MultiArray');
  const file = fileWith('type: std_msgs/Float64MultiArray');
  const features = { wrench: { length: 6, field: 'position' } } as const;
  const stream = new Stream({ ...observation[0]!, type: 'geometry_msgs/WrenchStamped', features }, file);
  const wrench = { force: { x: 1, y: 2, z: 3 }, torque: { x: 4, y: 5, z: 6 } };
  expect(stream.add({ wrench }, 10, 10)).toBe(true);
  expect([...stream.newest!.values.wrench!]).toEqual([1, 2, 3, 4, 5, 6]);
  expect(stream.add({ wrench: { force: wrench.force } }, 20, 20)).toBe(false);
  expect(stream.refused).toContain('wrench.torque.x');
});
