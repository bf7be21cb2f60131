// What the robot is to do, in words: a topic of std_msgs/String over a real socket changes what the policy is told, at the next
// chunk and not before.

import { expect, test } from 'vitest';
import { Controller, MonotonicClock } from '../../src/control/index.js';
import { parseRobotFile } from '../../src/robot/robot-file.js';
import { header, jointState, RosbridgeRobot, RosbridgeServer } from '../../src/rosbridge/index.js';
import { controllerOptions } from '../../src/session/controller-options.js';
import { Words } from '../../src/session/words.js';
import type { ActionChunk, Observation, Policy } from '../../src/types/index.js';
import { closedAfterEach, until } from './support.js';

const closers = closedAfterEach();

test('a topic says the task, and the next chunk is for it', async () => {
  const server = await RosbridgeServer.start({ port: 0 });
  closers.push(() => server.close());
  const publish = server.advertise('/joint_states', 'sensor_msgs/JointState');
  const say = server.advertise('/task', 'std_msgs/String');
  const timer = setInterval(() => publish(jointState(header(), ['a'], [0])), 5);
  closers.push(() => clearInterval(timer));
  const file = parseRobotFile(
    `
name: one
bridge: { url: '${server.url}' }
rate_hz: 100
joint_names: [a]
limits: { lower: [-1], upper: [1], velocity: [1], acceleration: [4] }
observation:
  - { topic: /joint_states, type: sensor_msgs/JointState, features: { joint_position: { length: 1 } } }
command: { topic: /command, type: std_msgs/Float64MultiArray }
task: { text: wait, topic: /task }
`,
    'one.yaml',
  );
  const clock = new MonotonicClock();
  const robot = new RosbridgeRobot(file, clock);
  closers.push(() => robot.close());
  const words = new Words(file.task?.text);
  const heard: string[] = [];
  const refused: string[] = [];
  words.onChange(({ text, who }) => heard.push(`${who}: ${text}`));
  robot.onOperator({
    stop: () => undefined,
    beat: () => undefined,
    task(text, topic) {
      try {
        words.say(text, topic);
      } catch (caught) {
        refused.push((caught as Error).message);
      }
    },
  });
  await robot.connect();
  const told: (string | undefined)[] = [];
  const policy: Policy = {
    spec: {
      ...{ family: 'told', n_obs_steps: 1, horizon: 8, n_action_steps: 1, action_dim: 1, rate_hz: 50 },
      ...{ observation_dims: { joint_position: 1 }, image_shapes: {}, goal_dims: {}, texts: ['task'] },
    },
    reset: () => undefined,
    close: () => undefined,
    async infer(window): Promise<ActionChunk> {
      const { stamp_ns, texts } = (window as readonly Observation[]).at(-1)!;
      told.push(texts?.task);
      return {
        ...{ stamp_ns, period_ns: 20e6, horizon: 8, action_dim: 1, actions: new Float32Array(8) },
        ...{ n_candidates: 1, chosen: 0, timing: { queue_ns: 0, observe_ns: 0, denoise_ns: 0, total_ns: 0 } },
      };
    },
  };
  const controller = new Controller({
    ...controllerOptions(file, { robot, policy, clock }),
    task: () => words.current,
  });
  closers.push(() => controller.stop());
  controller.start();
  await until('three chunks', () => told.length > 2);
  expect(new Set(told)).toEqual(new Set(['wait']));
  say({ data: 'pick up the red block' });
  await until('the new task', () => told.at(-1) === 'pick up the red block');
  // Never anything between: first the one, then the other.
  expect(told.indexOf('pick up the red block')).toBe(told.lastIndexOf('wait') + 1);
  expect(heard).toEqual(['/task: pick up the red block']);
  say({ data: ' ' });
  await until('the refusal', () => refused.length > 0);
  expect(refused[0]).toMatch(/1 to 2000 characters from \/task/);
  expect(words.current).toBe('pick up the red block');
});
