// A policy on a robot for a while, without moving it: what `tendon run --dry-run` does.
// `node examples/robot.mjs ROBOT.yaml FOLDER [BRIDGE] [SECONDS]`
import { openLog, RobotSession } from 'tendon';

const [robot = 'launch/sim-arm.yaml', policy = 'models/arm', bridge, seconds = '10'] = process.argv.slice(2);
const session = await RobotSession.open({ robot, policy, bridge, dry_run: true, log: openLog('pretty') });

session.controller.supervisor.onChange(({ to, cause }) => console.log(`now ${to}: ${cause}`));
session.start();
setTimeout(() => session.end('the example is over'), 1000 * Number(seconds));
const { cause } = await session.ended;
console.log(`ended: ${cause}`);
