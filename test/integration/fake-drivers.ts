// Stand-ins for the drivers that the robot files of launch/ are written for: their topics, their names and orders, and
// what they refuse, written down from those drivers and not from the files. They obey at once.

import {
  header,
  jointState,
  type Message,
  odometry,
  type RosbridgeServer,
} from '../../src/rosbridge/index.js';

export interface FakeDriver {
  /** Topics on which it listens, with their types. */
  readonly commands: Readonly<Record<string, string>>;
  /** The measured values of what is commanded, in the order of the robot file. */
  measured(): number[];
  /** Every command taken so far, in that order, and what was refused of them. */
  readonly taken: number[][];
  readonly refused: string[];
  /** Says nothing more about itself. */
  silence(): void;
  close(): void;
}

type Make = (server: RosbridgeServer) => FakeDriver;

const PERIOD_MS = 10;

/** A driver of joints: `states` publishes, each of `inputs` changes positions or says why not. */
function jointed(
  server: RosbridgeServer,
  start: readonly number[],
  states: readonly { topic: string; names: readonly string[]; from: readonly (number | undefined)[] }[],
  inputs: Readonly<
    Record<string, { type: string; take: (msg: Message, position: number[]) => string | undefined }>
  >,
): FakeDriver {
  const position = [...start];
  const taken: number[][] = [];
  const refused: string[] = [];
  const publishers = states.map((state) => ({
    ...state,
    publish: server.advertise(state.topic, 'sensor_msgs/JointState'),
  }));
  const stops = Object.entries(inputs).map(([topic, { take }]) =>
    server.subscribe(topic, (msg) => {
      const why = take(msg, position);
      if (why === undefined) taken.push([...position]);
      else refused.push(`${topic}: ${why}`);
    }),
  );
  const timer = setInterval(() => {
    for (const { publish, names, from } of publishers)
      publish(
        jointState(
          header(),
          names,
          from.map((i) => (i === undefined ? 0.02 : position[i]!)),
        ),
      );
  }, PERIOD_MS);
  return {
    commands: Object.fromEntries(Object.entries(inputs).map(([topic, { type }]) => [topic, type])),
    measured: () => [...position],
    taken,
    refused,
    silence: () => clearInterval(timer),
    close: () => {
      clearInterval(timer);
      for (const stop of stops) stop();
    },
  };
}

const numbersOf = (value: unknown): number[] => Array.from(value as ArrayLike<number>);

const so101: Make = (server) =>
  jointed(
    server,
    [0, -1.2, 1.2, 0.6, 0, 0.1],
    [
      {
        topic: '/follower/joint_states',
        names: ['gripper', 'wrist_roll', 'wrist_flex', 'elbow_flex', 'shoulder_lift', 'shoulder_pan'],
        from: [5, 4, 3, 2, 1, 0],
      },
    ],
    {
      '/follower/forward_controller/commands': {
        type: 'std_msgs/Float64MultiArray',
        take: (msg, position) => {
          const data = numbersOf(msg.data);
          // forward_command_controller: "command size does not match number of interfaces".
          if (data.length !== 6) return `${data.length} values for 6 interfaces`;
          position.splice(0, 6, ...data);
          return undefined;
        },
      },
    },
  );

const UR_ORDER = [1, 2, 3, 4, 5, 0];
const UR_JOINTS = [
  'shoulder_pan_joint',
  'shoulder_lift_joint',
  'elbow_joint',
  'wrist_1_joint',
  'wrist_2_joint',
  'wrist_3_joint',
];
const ur5e: Make = (server) =>
  jointed(
    server,
    [0, -1.57, 1.57, -1.57, -1.57, 0],
    [{ topic: '/joint_states', names: UR_ORDER.map((i) => UR_JOINTS[i]!), from: UR_ORDER }],
    {
      '/scaled_joint_trajectory_controller/joint_trajectory': {
        type: 'trajectory_msgs/JointTrajectory',
        take: (msg, position) => {
          const { stamp } = msg.header as { stamp: { sec: number; nanosec: number } };
          const names = msg.joint_names as string[];
          const points = msg.points as Record<string, unknown>[];
          // joint_trajectory_controller: validate_trajectory_msg.
          if (names.length !== 6 || names.some((name) => !UR_JOINTS.includes(name))) return 'joints';
          if (points.length !== 1) return 'points';
          const [point] = points;
          const { sec, nanosec } = point!.time_from_start as { sec: number; nanosec: number };
          const after_ms = sec * 1000 + nanosec / 1e6;
          const starts_ms = stamp.sec * 1000 + stamp.nanosec / 1e6;
          if (starts_ms !== 0 && starts_ms + after_ms < Date.now()) return 'ends in the past';
          if (!(after_ms > 0)) return 'no time to get there';
          const positions = numbersOf(point!.positions);
          if (positions.length !== names.length) return 'positions';
          names.forEach((name, i) => {
            position[UR_JOINTS.indexOf(name)] = positions[i]!;
          });
          return undefined;
        },
      },
    },
  );

const VX300S = ['waist', 'shoulder', 'elbow', 'forearm_roll', 'wrist_angle', 'wrist_rotate', 'gripper'];
const aloha: Make = (server) => {
  const home = [0, -0.96, 1.16, 0, -0.3, 0, 1.0];
  const sides = ['follower_left', 'follower_right'];
  return jointed(
    server,
    [...home, ...home],
    sides.map((side, at) => ({
      topic: `/${side}/joint_states`,
      names: [...VX300S, 'left_finger', 'right_finger'],
      from: [...VX300S.map((_, i) => 7 * at + i), undefined, undefined],
    })),
    Object.fromEntries(
      sides.flatMap((side, at) => [
        [
          `/${side}/commands/joint_group`,
          {
            type: 'interbotix_xs_msgs/JointGroupCommand',
            take: ({ name, cmd }: Message, position: number[]) => {
              const values = numbersOf(cmd);
              if (name !== 'arm' || values.length !== 6) return `group ${name} of ${values.length}`;
              position.splice(7 * at, 6, ...values);
              return undefined;
            },
          },
        ],
        [
          `/${side}/commands/joint_single`,
          {
            type: 'interbotix_xs_msgs/JointSingleCommand',
            take: ({ name, cmd }: Message, position: number[]) => {
              if (name !== 'gripper' || typeof cmd !== 'number') return `joint ${name}`;
              position[7 * at + 6] = cmd;
              return undefined;
            },
          },
        ],
      ]),
    ),
  );
};

const diffDrive: Make = (server) => {
  let [speed, turn, x, y, yaw] = [0, 0, 0, 0, 0];
  const taken: number[][] = [];
  const refused: string[] = [];
  const publish = server.advertise('/odom', 'nav_msgs/Odometry');
  const stop = server.subscribe('/cmd_vel', ({ linear, angular }) => {
    const [l, a] = [linear, angular] as Record<string, number>[];
    if (l!.y !== 0 || l!.z !== 0 || a!.x !== 0 || a!.y !== 0) refused.push('sideways');
    [speed, turn] = [l!.x!, a!.z!];
    taken.push([speed, turn]);
  });
  const timer = setInterval(() => {
    const dt = PERIOD_MS / 1000;
    [x, y, yaw] = [x + speed * Math.cos(yaw) * dt, y + speed * Math.sin(yaw) * dt, yaw + turn * dt];
    const facing = [0, 0, Math.sin(yaw / 2), Math.cos(yaw / 2)] as const;
    publish(odometry(header('odom'), 'base_link', [x, y, 0], facing, [speed, 0, 0, 0, 0, turn]));
  }, PERIOD_MS);
  return {
    commands: { '/cmd_vel': 'geometry_msgs/Twist' },
    measured: () => [speed, turn],
    taken,
    refused,
    silence: () => clearInterval(timer),
    close: () => {
      clearInterval(timer);
      stop();
    },
  };
};

export const FAKE_DRIVERS: Readonly<Record<string, Make>> = { so101, ur5e, aloha, 'diff-drive': diffDrive };
