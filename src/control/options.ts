// What a controller is made of: its ports, its limits and deadlines, and how chunks become commands.

import type {
  ChunkMode,
  Clock,
  CommandQuantity,
  CommandSink,
  ControlTap,
  Goal,
  Interpolation,
  Policy,
  Robot,
  Rotation,
  TeleopShare,
  Workspace,
} from '../types/index.js';
import type { Limits } from './limiter.js';

/** What a Controller is made of. Everything that depends on a robot file comes from `controllerOptions(file)`. */
export interface ControllerOptions {
  readonly robot: Robot;
  readonly policy: Policy;
  readonly clock: Clock;
  readonly limits: Limits;
  /** Commands per second. */
  readonly rate_hz: number;
  /** Observation whose first action_dim values are the measured joint positions. */
  readonly position_key: string;
  /** Oldest observation that may be acted on. */
  readonly freshness_ms: number;
  /** Longest an inference may take. */
  readonly inference_ms: number;
  /** How long a command is good for. */
  readonly lifetime_ms: number;
  /** Rows of a chunk to play before the next takes over; what the checkpoint and the mode say when absent. */
  readonly execute?: number | undefined;
  /** Between the rows of a chunk; hold when absent. */
  readonly interpolation?: Interpolation | undefined;
  /** Orientations in a command, which turn instead. */
  readonly rotations?: readonly Rotation[] | undefined;
  /** What is played where chunks overlap; receding when absent. */
  readonly chunks?: ChunkMode | undefined;
  /** Where the tip of the arm may be; anywhere when absent. */
  readonly workspace?: Workspace | undefined;
  /** How a person who drives shares the robot with the policy; take_over when absent. */
  readonly teleop?: TeleopShare | undefined;
  /** Holds when `operatorBeat` was not called for this long; without it nobody needs to be there. */
  readonly operator_timeout_ms?: number | undefined;
  /** What the numbers of a command are; positions when absent. Who holds a velocity commands zero. */
  readonly quantity?: CommandQuantity | undefined;
  /** Where commands leave; straight to the robot when absent. */
  readonly sink?: CommandSink | undefined;
  /** After an outage longer than this going on is an operator's (1000). */
  readonly resume_within_ms?: number | undefined;
  /**
   * A topic can stop the robot: after the link was down nothing goes on by itself before `stopState`, `operatorBeat` or
   * an operator's `resume`, for a stop may have been told meanwhile.
   */
  readonly stop_topic?: boolean | undefined;
  readonly goal?: () => Goal | undefined;
  /** What to do, in words, for a policy that is told so; asked at every inference. */
  readonly task?: (() => string | undefined) | undefined;
  /** Told everything that comes in and goes out. */
  readonly tap?: ControlTap | undefined;
}
