// What launch/NAME.yaml says about one robot, after validation. Control reads the limits and deadlines, the
// bridge adapter the topics and services: this is the noun between the two rooms.

import type { LeaderFile } from './teleop.js';

/** Servers that speak rosbridge v2 with differences that matter; `auto` finds out. */
export const BRIDGE_DIALECTS = [
  'auto',
  'embedded',
  'rosbridge_suite_ros1',
  'rosbridge_suite_ros2',
  'ros2-web-bridge',
] as const;
export type BridgeDialect = (typeof BRIDGE_DIALECTS)[number];

/** A QoS profile as rosbridge_suite (2026) takes it; sent only when the file has one. */
export interface RobotQos {
  readonly history?: 'keep_last' | 'keep_all' | undefined;
  readonly depth?: number | undefined;
  readonly reliability?: 'reliable' | 'best_effort' | undefined;
  readonly durability?: 'volatile' | 'transient_local' | undefined;
}

/** One observation topic and the features its messages carry. */
export interface RobotStream {
  readonly topic: string;
  readonly type: string;
  /** What this topic's messages call the joints (or axes) of its features, in order; joint_names when absent. */
  readonly joints?: readonly string[] | undefined;
  /** Feature key → its length, and for JointState and Odometry which part of the message it comes from. */
  readonly features: Readonly<
    Record<string, { readonly length: number; readonly field: 'position' | 'velocity' | 'effort' }>
  >;
  /** Camera feature key → (height, width, channels) that its frames must have. */
  readonly images: Readonly<Record<string, readonly [number, number, 1 | 3]>>;
  /** Oldest sample of this topic that may take part in an observation. */
  readonly freshness_ms: number;
  /** Set: only samples this close to the first topic's stamp join it. Unset: the latest before it. */
  readonly max_skew_ms?: number | undefined;
  /** The server is asked for at most one message per this time. */
  readonly throttle_rate_ms: number;
  /** Messages that wait for this process, at the server and in the socket's thread; 1: only the newest. */
  readonly queue_length: number;
  readonly compression: 'none' | 'cbor' | 'cbor-raw' | 'png';
  /** Whether the message's header stamp or its arrival says when it was valid. */
  readonly stamps: 'header' | 'arrival';
  /** Told once or on change, such as a goal: the newest message stands until another comes, however old it is. */
  readonly latched: boolean;
  readonly qos?: RobotQos | undefined;
  /** Of poses: the frame that the policy counts in. Absent: whichever the messages are in. */
  readonly frame?: string | undefined;
  /** Of tf2_msgs/TFMessage: whose pose it is. */
  readonly child?: string | undefined;
}

/** A frame at rest in another: what is told in the child, turned and then shifted (m), is told in the parent. */
export interface FixedFrame {
  readonly parent: string;
  readonly child: string;
  readonly translation: readonly [number, number, number];
  readonly quaternion: readonly [x: number, y: number, z: number, w: number];
}

/** What a number of a command is: where a joint shall be, or how fast it (or the base) shall go. */
export type CommandQuantity = 'position' | 'velocity';

/** One topic that commands some of the joints. */
export interface CommandPart {
  readonly topic: string;
  readonly type: string;
  /** Which of joint_names it commands, in its order, and what its messages call them. */
  readonly joints: readonly string[];
  readonly names: readonly string[];
  /** interbotix_xs_msgs/JointGroupCommand: the group that the driver knows. */
  readonly group: string;
  readonly frame_id: string;
  /** JointTrajectory: when the point is to be reached, after its stamp; one control period when absent. */
  readonly reach_ms?: number | undefined;
  /** FollowJointTrajectory: how often a goal is sent, and how far ahead it reaches before it brakes. */
  readonly interval_ms: number;
  readonly ahead_ms: number;
  /** Stamped with the moment it is valid for, or with zero, which ros2_control reads as "from now on". */
  readonly stamp: 'valid' | 'zero';
  readonly qos?: RobotQos | undefined;
}

/** How chunks that overlap are joined (control/overlap.ts), each with its numbers. */
export type ChunkMode =
  /** The newer replaces the older. */
  | { readonly mode: 'receding' }
  /** LeRobot's asynchronous inference: mixed in fixed shares. */
  | {
      readonly mode: 'async';
      readonly aggregate: 'weighted_average' | 'latest_only' | 'average' | 'conservative';
    }
  /** ACT's temporal ensemble: weights exp(−coeff·i), i = 0 the oldest; asks at every row. */
  | { readonly mode: 'ensemble'; readonly coeff: number }
  /** Real-time chunking (Black et al. 2025): the new chunk is denoised towards what is left of the one in force. */
  | {
      readonly mode: 'rtc';
      readonly schedule: PrefixSchedule;
      /** Rows the new chunk is drawn towards; absent: all that are left. */
      readonly execution_horizon?: number | undefined;
      /** Guidance through the denoiser's derivative, as in the paper; false: directly, as LeRobot ships it. */
      readonly derivative: boolean;
      /** No guidance: the policy was trained with the beginning of its chunks given (Black et al. 2025b). */
      readonly trained?: boolean | undefined;
      /** Of so many the one nearest to the chunk in force; absent: as many as the policy draws anyway. */
      readonly candidates?: number | undefined;
    }
  /** Bidirectional decoding (Liu et al. 2024), backward coherence: of N candidates the nearest to the chunk in force. */
  | { readonly mode: 'bid'; readonly candidates: number; readonly decay: number };

/** How strongly rows after the inference delay are kept (LeRobot's RTCAttentionSchedule). */
export const PREFIX_SCHEDULES = ['zeros', 'ones', 'linear', 'exp'] as const;
export type PrefixSchedule = (typeof PREFIX_SCHEDULES)[number];

/** Between the rows of a chunk; control/interpolate.ts says what each does. */
export const INTERPOLATIONS = ['hold', 'linear', 'cubic', 'quintic'] as const;
export type Interpolation = (typeof INTERPOLATIONS)[number];

/** Where an orientation begins in a command, and how it is written: 4 values (x, y, z, w) or 3. */
export interface Rotation {
  readonly at: number;
  readonly as: 'quaternion' | 'rotation_vector';
}

/** A box (m, in the frame of the URDF's root) that the tip of a chain of joints must not leave. */
export interface Workspace {
  readonly lower: readonly number[];
  readonly upper: readonly number[];
  /** From the root to the tip. `origin` is (3, 4), the value of a joint `scale` · commanded + `offset`. */
  readonly chain: readonly {
    readonly kind: 'fixed' | 'revolute' | 'prismatic';
    readonly origin: readonly number[];
    readonly axis: readonly number[];
    /** Which of joint_names. */
    readonly joint: number;
    readonly scale: number;
    readonly offset: number;
  }[];
}

/** A robot file after it was read and checked: topics, joints, limits, deadlines (docs/robot-file.md). */
export interface RobotFile {
  readonly name: string;
  readonly bridge: {
    readonly url: string;
    readonly dialect: BridgeDialect;
    readonly token?: string | undefined;
    /** For wss: a certificate authority's file (PEM) besides the system's; `verify: false` accepts anyone. */
    readonly tls?:
      | { readonly ca_file?: string | undefined; readonly verify?: boolean | undefined }
      | undefined;
    /** Of ROS 1's rosauth. */
    readonly rosauth?:
      | { readonly secret: string; readonly client: string; readonly dest: string }
      | undefined;
    /** Images, commands and services each get their own socket, so that none waits behind another. */
    readonly separate_connections: boolean;
    /**
     * The sockets are read by threads of their own, so that the server's queue is drained and pictures are made plain
     * whatever happens here. `auto`: the one that carries raw pictures, where any are observed.
     */
    readonly socket_thread: boolean | 'auto';
  };
  /** Control rate: commands per second. */
  readonly rate_hz: number;
  /** Rate (Hz) of the data that the policy was trained on, for a checkpoint that does not say it. */
  readonly policy_hz?: number | undefined;
  /** Order of a command and of joint features; messages are re-ordered to it by name. */
  readonly joint_names: readonly string[];
  /** Where the policy counts differently: per joint, robot = policy · scale + offset, in commands and these features. */
  readonly units?:
    | {
        readonly scale: readonly number[];
        readonly offset: readonly number[];
        readonly features: readonly string[];
      }
    | undefined;
  /** Per joint (and per s, s²), in the units of the policy; the file itself has the robot's. */
  readonly limits: {
    readonly lower: readonly number[];
    readonly upper: readonly number[];
    readonly velocity: readonly number[];
    readonly acceleration?: readonly number[] | undefined;
    readonly jerk?: readonly number[] | undefined;
    /** How far a target may be from the measured position. */
    readonly step_from_measured?: readonly number[] | undefined;
  };
  /** The first stream sets the pace: each of its messages makes one observation. */
  readonly observation: readonly RobotStream[];
  /** Frames that do not move: known, and those that the robot tells on this topic (a tf2_msgs/TFMessage). */
  readonly frames: { readonly transforms: readonly FixedFrame[]; readonly tf_static?: string | undefined };
  /** The feature that holds the measured values of what is commanded, in the order of joint_names. */
  readonly measured: string;
  /** Features made of others, one after the other: the state of two arms from the topics of each. */
  readonly join: Readonly<Record<string, readonly string[]>>;
  readonly command: {
    readonly quantity: CommandQuantity;
    /** A command older than this is not sent, and tells the robot how long it is good for where its type can. */
    readonly lifetime_ms: number;
    /** Another publisher on a command topic is refused. */
    readonly exclusive: boolean;
    /** Every joint in exactly one. */
    readonly parts: readonly CommandPart[];
  };
  /** Tendon's name of a service (start, stop, reset, set_goal …) → the robot's. */
  readonly services: Readonly<Record<string, { readonly name: string; readonly type: string }>>;
  /** The real-time thread that commands the joints (types/executor.ts); absent: the control loop does. */
  readonly executor?:
    | {
        readonly rate_hz: number;
        readonly interpolation: Exclude<Interpolation, 'hold'>;
        /** Brakes when JavaScript is silent for so long; absent: finishes the chunk first. */
        readonly heartbeat_ms?: number | undefined;
        readonly udp?: { readonly host: string; readonly port: number } | undefined;
        /** Its newest command on the command topic too, at this pace. */
        readonly publish_hz?: number | undefined;
        readonly fifo_priority: number;
        readonly lock_memory: boolean;
      }
    | undefined;
  /** Ways in for an emergency stop: a topic that the robot's side publishes, a Trigger service that Tendon offers. */
  readonly stop?:
    | {
        readonly topic?: string | undefined;
        /** std_msgs/Bool (true stops, false is ignored) or std_msgs/Empty. */
        readonly type: string;
        readonly service?: string | undefined;
        /** Of the topic; absent: as the bridge chooses, which is what its publishers have. */
        readonly qos?: RobotQos | undefined;
      }
    | undefined;
  /** Where the tip may be; the control loop's, like step_from_measured. */
  readonly workspace?: Workspace | undefined;
  /** Of the control loop, which commands more often than a chunk has rows. */
  readonly interpolation: Interpolation;
  readonly rotations: readonly Rotation[];
  /** A person's device beside the policy. */
  readonly teleop?: LeaderFile | undefined;
  /** A topic on which a person's device says that somebody is there; silence holds the robot. */
  readonly operator_heartbeat?:
    | { readonly topic: string; readonly type: string; readonly timeout_ms: number }
    | undefined;
  /** What the robot is to do, in words: at first, and a topic that changes it. */
  readonly task?:
    | { readonly text?: string | undefined; readonly topic?: string | undefined; readonly type: string }
    | undefined;
  /** What is played where chunks overlap. */
  readonly chunks: ChunkMode;
  readonly deadlines: {
    /** Oldest observation that may be acted on. */
    readonly freshness_ms: number;
    /** Longest silence before the robot counts as gone. */
    readonly no_data_ms: number;
    readonly inference_ms: number;
    readonly connect_ms: number;
    readonly call_ms: number;
    /** After a longer outage the robot stays on hold until an operator resumes. */
    readonly resume_within_ms: number;
  };
}

/** The length of every feature, of topics and joined. */
export function featureLengths({
  observation,
  join,
}: {
  readonly observation: readonly {
    readonly features: Readonly<Record<string, { readonly length: number }>>;
  }[];
  readonly join: RobotFile['join'];
}): Record<string, number> {
  const lengths: Record<string, number> = {};
  for (const { features } of observation)
    for (const [key, { length }] of Object.entries(features)) lengths[key] = length;
  for (const [key, parts] of Object.entries(join))
    lengths[key] = parts.reduce((sum, one) => sum + (lengths[one] ?? 0), 0);
  return lengths;
}
