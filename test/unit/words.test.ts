// The task in words: who said it last is followed, and what a robot file lacks is said before anything is opened.

import { expect, test } from 'vitest';
import { parseRobotFile } from '../../src/robot/robot-file.js';
import { checkFit } from '../../src/session/fit.js';
import { Words } from '../../src/session/words.js';
import type { PolicySpec } from '../../src/types/index.js';
import { readIntent } from '../../src/web/intents.js';

const file = (more: string) =>
  parseRobotFile(
    `
name: one
bridge: { url: ws://127.0.0.1:9090 }
rate_hz: 50
joint_names: [a]
limits: { lower: [-1], upper: [1], velocity: [1], acceleration: [4] }
observation:
  - { topic: /s, type: sensor_msgs/JointState, features: { joint_position: { length: 1 } } }
  - { topic: /c, type: sensor_msgs/Image, images: { top: [90, 120, 3] } }
command: { topic: /command, type: std_msgs/Float64MultiArray }
${more}`,
    'one.yaml',
  );
const spec: PolicySpec = {
  ...{ family: 'smolvla', n_obs_steps: 1, horizon: 50, n_action_steps: 50, action_dim: 1, rate_hz: 50 },
  ...{ observation_dims: { joint_position: 1 }, goal_dims: {}, texts: ['task'] },
  ...{ image_shapes: { top: [3, 256, 256], wrist: [3, 256, 256] }, optional_images: ['top', 'wrist'] },
  any_image_size: true,
};
const fitted = (more: string, other: Partial<PolicySpec> = {}) =>
  checkFit({ ...spec, ...other }, file(more), 'one.yaml', 'joint_position');

test('a policy that is told in words needs somebody who says it', () => {
  expect(() => fitted('')).toThrow(/told what to do in words.*task: \{ text: .*task: \{ topic: \/task \}/s);
  fitted('task: { text: pick up the red block }');
  fitted('task: { topic: /task }');
  expect(() => fitted('task: {}')).toThrow(/a text, a topic or both/);
});

test('cameras that a policy does without may be missing, all of them not, and sizes are its own affair', () => {
  expect(() =>
    fitted('task: { text: go }', { image_shapes: { other: [3, 9, 9] }, optional_images: ['other'] }),
  ).toThrow(/at least one of its cameras \(other\)/);
  expect(() => fitted('task: { text: go }', { any_image_size: false })).toThrow(
    /needs the camera top of 256×256×3/,
  );
});

test('whoever spoke last is followed, and each change is told once', () => {
  const words = new Words(undefined);
  const heard: string[] = [];
  const off = words.onChange(({ text, who }) => heard.push(`${who}: ${text}`));
  words.say('a', 'the page');
  words.say('a', '/task');
  words.say('b', '/task');
  off();
  words.say('c', 'the program');
  expect([words.current, heard]).toEqual(['c', ['the page: a', '/task: b']]);
  for (const bad of ['', ' \n', 'x'.repeat(2001)]) expect(() => words.say(bad, 'x')).toThrow(/1 to 2000/);
  expect(words.current).toBe('c');
});

test('a page may say it, within bounds', () => {
  const read = (text: unknown) => readIntent(JSON.stringify({ id: 1, intent: { kind: 'words', text } })).ok;
  expect([read('pick'), read(''), read('x'.repeat(2001)), read(7)]).toEqual([true, false, false, false]);
});
