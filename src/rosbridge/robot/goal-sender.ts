// Trajectories as action goals: control_msgs/FollowJointTrajectory, as joint_trajectory_controller takes them. A newer goal
// takes the place of the one before, which the robot then reports as given up.

import { type Clock, type CommandPart, type RobotFile, TendonError } from '../../types/index.js';
import type { BridgeClient } from '../client/client.js';
import type { GoalHandle } from '../client/options.js';
import { durationOf, header } from '../codec/messages.js';
import { canonicalType } from '../codec/protocol.js';
import { Units } from './units.js';

export const GOAL_TYPE = 'control_msgs/FollowJointTrajectory';
export const isGoal = ({ type }: CommandPart): boolean => canonicalType(type) === GOAL_TYPE;

/** Points at equal steps, the first one step after `made_ns`; to arrive no later than `lead_ns` after it. */
export interface Points {
  readonly made_ns: number;
  readonly lead_ns: number;
  readonly period_ns: number;
  readonly positions: readonly Float64Array[];
  readonly velocities: readonly Float64Array[];
}

/** How long a goal may take beyond its own length before it counts as lost, ms. */
const GRACE_MS = 5000;
/** action_msgs/GoalStatus; by somebody else, where a newer goal of ours has not taken its place. */
const GOAL_CANCELED = 5;
const ZERO = { sec: 0, nanosec: 0 };

export class GoalSender {
  private current: GoalHandle | undefined;
  private readonly units: Units;

  constructor(
    private readonly client: BridgeClient,
    private readonly part: CommandPart,
    private readonly file: Pick<RobotFile, 'joint_names' | 'units'>,
    private readonly clock: Pick<Clock, 'now_ns'>,
  ) {
    this.units = new Units(file.units);
  }

  /**
   * Resolves when the goal was reached or a newer one took its place; rejects when it was refused or failed. Undefined
   * where it cannot leave now, or the robot's clock is not known well enough. Its stamp says from when it counts: one that a network delays is followed from where it
   * should be by then, not from its beginning.
   */
  follow({ made_ns, lead_ns, period_ns, positions, velocities }: Points): Promise<void> | undefined {
    const { part, file, units, client } = this;
    const start = part.stamp === 'zero' ? undefined : client.clock.toServer(made_ns);
    // A stamp that may be off by more would shift the trajectory as a slow network does.
    if (start !== undefined && client.clock.uncertainty(this.clock.now_ns()) > lead_ns / 2) return undefined;
    const order = part.joints.map((joint) => file.joint_names.indexOf(joint));
    const points = positions.map((row, i) => ({
      positions: order.map((from) => units.toRobot(from, row[from]!)),
      velocities: order.map((from) => units.speedToRobot(from, velocities[i]![from]!)),
      time_from_start: durationOf((i + 1) * period_ns),
    }));
    const trajectory = {
      header: header(part.frame_id, start ?? ZERO),
      joint_names: [...part.names],
      points,
    };
    const args = { trajectory, goal_time_tolerance: durationOf(0) };
    const timeout_ms = (positions.length * period_ns) / 1e6 + GRACE_MS;
    const good_for_ms = (made_ns + lead_ns - this.clock.now_ns()) / 1e6;
    const mine = client.sendGoal(part.topic, GOAL_TYPE, args, { timeout_ms, good_for_ms });
    if (!mine.sent) {
      mine.result.catch(() => undefined);
      return undefined;
    }
    this.current = mine;
    return this.outcome(mine);
  }

  private async outcome(mine: GoalHandle): Promise<void> {
    const { part } = this;
    try {
      const { status, values } = await mine.result;
      const { error_code = 0, error_string } = values;
      if (error_code !== 0 || status === GOAL_CANCELED)
        throw new TendonError(
          'bridge_protocol',
          `Action ${part.topic} ended with status ${status} and code ${error_code}: ${error_string || 'it does not say why'}.`,
          { action: part.topic },
        );
    } catch (caught) {
      // One whose place a newer took is reported as given up. One that nothing ever answered is another matter: newer ones
      // would be left unanswered, too.
      const unanswered = caught instanceof TendonError && caught.code === 'bridge_timeout';
      if (this.current === mine || (unanswered && this.current !== undefined)) throw caught;
    }
  }

  cancel(): void {
    const { current } = this;
    this.current = undefined;
    current?.cancel();
  }
}
