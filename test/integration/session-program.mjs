// A program that opens the session which `tendon run` opens, and misbehaves: every listener it has throws, and when it
// hears SIGUSR2 it throws or rejects outside of all of them, as its fifth argument says.
import { LastWill, openLog, RobotSession } from '../../dist/index.js';

const [robot, policy, bridge, record, how, sink] = process.argv.slice(2);
const log = openLog('json');
const session = await RobotSession.open({
  robot,
  policy,
  bridge,
  record,
  log,
  will: new LastWill(),
  page: {},
  dry_run: sink === 'dry',
});
const fail = () => {
  throw new Error('a listener of the program');
};
session.controller.supervisor.onChange(fail);
session.controller.onChunk(fail);
session.robot.onStatus(fail);
session.robot.onOperator({ stop: fail, beat: fail, leader: fail, clutch: fail });
session.robot.client.onStatus(fail);
session.robot.client.onRoundTrip(fail);
session.robot.client.subscribe('/odom', 'nav_msgs/Odometry', fail);
session.robot.client.subscribe('/joint_states', 'sensor_msgs/JointState', fail);
session.start();
process.on('SIGUSR2', () => {
  if (how === 'throw') setImmediate(fail);
  if (how === 'reject') void Promise.reject(new Error('nobody catches this'));
});
const { fault } = await session.ended;
await log.close();
process.exitCode = fault === undefined ? 0 : 70;
