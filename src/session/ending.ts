// How a session ends, whoever ends it and why: the robot comes to rest within its limits and is told so while the link
// lives; then everything that was opened is closed, newest first.

import type { Controller } from '../control/index.js';
import type { RunLog } from '../host/log.js';
import type { Robot, RobotStatus } from '../types/index.js';

/** Nobody waits longer than this for a robot to brake. */
const REST_MS = 4000;
const LOOK_MS = 10;

/** Holds, and resolves when the robot is at rest, cannot be told anything, or has had its time. */
export async function bringToRest(controller: Controller, cause: string): Promise<void> {
  controller.hold(cause);
  const limit_ms = performance.now() + REST_MS;
  while (controller.state === 'HOLD' && controller.underWay && performance.now() < limit_ms)
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
}

/** What is known of the way to the robot, and whether it moved when that was lost. */
export class Link {
  status: RobotStatus = { connected: false, cause: 'not connected yet' };
  /** The robot was last told to move, and can be told nothing since. */
  lost_moving = false;

  constructor(robot: Pick<Robot, 'onStatus'>, controller: Controller) {
    const reaches = ({ connected, reachable = connected }: RobotStatus): boolean => reachable;
    robot.onStatus((status) => {
      if (reaches(status)) this.lost_moving = false;
      else if (reaches(this.status)) this.lost_moving = controller.underWay;
      this.status = status;
    });
  }
}

/** Says it where the robot was still moving when nobody could tell it to stop any more. */
export function sayParting({ status, lost_moving }: Link, controller: Controller, log: RunLog): void {
  if (!lost_moving && !controller.underWay) return;
  const { connected, cause } = status;
  const why = connected ? 'it did not come to rest in time' : `the link is gone (${cause})`;
  log.record(
    'ended_moving',
    { connected, cause },
    `the robot was not told to stop: ${why}; it is left to its own watchdog`,
  );
}
