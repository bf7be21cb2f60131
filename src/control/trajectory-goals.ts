// For robots that take trajectories as action goals (FollowJointTrajectory): what the controller is about to command, sent
// anew several times a second, each goal in place of the one before. A goal ends at rest, so a robot whose goals stop
// coming comes to rest by itself.

import { asTendonError } from '../types/index.js';
import type { Controller } from './controller.js';
import type { PlanAhead } from './plan-ahead.js';

export interface GoalPort {
  /** Resolves when the robot says that it is done; rejects when it refuses or gives up, not when a newer goal came. */
  follow(plan: PlanAhead): Promise<void>;
  /** Stops where it is. */
  cancel(): void;
}

export interface TrajectoryGoalsOptions {
  readonly controller: Controller;
  readonly port: GoalPort;
  readonly interval_ms: number;
  /** How far ahead a goal reaches before it brakes. */
  readonly ahead_ms: number;
}

/** Sends goals as long as somebody drives; returns the way to stop. */
export function followByGoals({
  controller,
  port,
  interval_ms,
  ahead_ms,
}: TrajectoryGoalsOptions): () => void {
  const { supervisor } = controller;
  let newest = 0;
  let resting = true;
  const send = (): void => {
    const { state } = supervisor;
    if (state !== 'RUNNING' && state !== 'TELEOP' && state !== 'HOLD') return;
    // One goal at rest is enough.
    if (resting && !controller.underWay && (state === 'HOLD' || controller.player.current === undefined))
      return;
    resting = state === 'HOLD';
    const mine = ++newest;
    port.follow(controller.planAhead(ahead_ms * 1e6)).catch((caught) => {
      if (mine === newest)
        supervisor.trouble('send_failed', asTendonError(caught, 'a trajectory goal').message);
    });
  };
  const forget = [
    supervisor.onChange(({ to }) => {
      if (to === 'STOPPED') {
        newest++;
        port.cancel();
      } else if (to === 'HOLD') {
        resting = false;
        send();
      }
    }),
    controller.onChunk(send),
  ];
  const timer = setInterval(send, interval_ms);
  return (): void => {
    clearInterval(timer);
    for (const stop of forget) stop();
  };
}
