// A program that opens the session which `tendon run` opens, and misbehaves: every listener it has throws, and then, as
// its last argument says, it throws or rejects outside of all of them.
import { LastWill, openLog, RobotSession } from '../../dist/index.js';

const [robot, policy, bridge, record, how] = process.argv.slice(2);
const log = openLog('json');
const session = await RobotSession.open({
  robot,
  policy,
  bridge,
  record,
  log,
  will: new LastWill(),
  page: {},
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
if (how === 'throw') setTimeout(fail, 1500);
if (how === 'reject') setTimeout(() => Promise.reject(new Error('nobody catches this')), 1500);
const { fault } = await session.ended;
await log.close();
process.exitCode = fault === undefined ? 0 : 70;
