// Where the commands of `tendon run` leave, as the robot file says: straight to the robot, through the real-time thread, as
// trajectories, or nowhere.

import { addon, native } from '../native/index.js';
import type { RosbridgeRobot } from '../rosbridge/index.js';
import {
  DirectSink,
  DrySink,
  type ExecutedCommand,
  ExecutorSink,
  GoalsSink,
  RealTimeExecutor,
} from '../sinks/index.js';
import type { Clock, CommandSink, RobotFile } from '../types/index.js';

/** No chunk lasts as long: without a heartbeat of its own the real-time thread finishes the one that it has. */
const LONGER_THAN_CHUNKS_MS = 600_000;

export interface OpenedSink {
  readonly sink: CommandSink;
  /** Its thread is to be started, and closed at the end. */
  readonly executor?: RealTimeExecutor;
}

/** `onCommand` is told every command of the real-time thread. */
export function openSink(
  file: RobotFile,
  robot: Pick<RosbridgeRobot, 'send' | 'goals'>,
  clock: Clock,
  dry: boolean,
  onCommand: ((command: ExecutedCommand) => void) | undefined,
): OpenedSink {
  const { quantity, lifetime_ms } = file.command;
  const timing = { clock, rate_hz: file.rate_hz };
  if (dry) return { sink: new DrySink(timing) };
  if (robot.goals !== undefined)
    return {
      sink: new GoalsSink(robot.goals, { ...timing, ...file.command.parts[0]!, lifetime_ms, quantity }),
    };
  const { executor: options } = file;
  if (options === undefined) return { sink: new DirectSink(robot, timing) };
  const port = native(
    () =>
      new (addon().Executor)({
        ...options,
        heartbeat_ms: options.heartbeat_ms ?? LONGER_THAN_CHUNKS_MS,
        joints: file.joint_names.length,
        limits: file.limits,
        lifetime_ms,
      }),
  );
  const executor = new RealTimeExecutor(port, clock);
  const sink = new ExecutorSink({
    ...timing,
    executor,
    executor_hz: options.rate_hz,
    robot,
    publish_hz: options.publish_hz,
    sole: options.udp === undefined,
    quantity,
    onCommand,
  });
  return { sink, executor };
}
