// The fields of a robot file, each with what it means: editors show it by the JSON Schema that is made of this, and
// docs/robot-file.md lists it. What one field asks of another is in checks.ts.

import * as z from 'zod';
import { BRIDGE_DIALECTS, INTERPOLATIONS } from '../types/index.js';
import { isBridgeAddress } from './address.js';
import { commandSchema } from './command.js';
import { count, messageType, milliseconds, name, positive, qos, topic } from './fields.js';
import { framed, framesSchema } from './frames.js';
import { joint, limitArrays, unitsSchema } from './joints.js';
import { chunkMode, leader, rotation, workspaceBox } from './parts.js';

const stream = z.lazy(() =>
  z.strictObject({
    topic: topic.describe('The topic that is subscribed.'),
    type: messageType.describe('Its message type.'),
    joints: z
      .array(name)
      .min(1)
      .optional()
      .describe(
        'What its messages call the joints (or axes) of its features, in order. Default: those of the robot.',
      ),
    features: z
      .record(
        name,
        z.strictObject({
          length: count.describe('How many numbers.'),
          field: z
            .enum(['position', 'velocity', 'effort'])
            .default('position')
            .describe('Of JointState and Odometry: which part of the message.'),
        }),
      )
      .default({})
      .describe('Feature key of the policy: what of the message it is.'),
    images: z
      .record(name, z.tuple([count, count, z.union([z.literal(1), z.literal(3)])]))
      .default({})
      .describe('Camera key of the policy: [height, width, channels] of its frames.'),
    freshness_ms: milliseconds.default(200).describe('Oldest message that may take part in an observation.'),
    max_skew_ms: milliseconds
      .optional()
      .describe(
        'Only messages this close to the stamp of the first topic join it. Absent: the latest before it.',
      ),
    throttle_rate_ms: z
      .number()
      .min(0)
      .max(60_000)
      .default(0)
      .describe('The server sends at most one message per this time.'),
    queue_length: z
      .number()
      .int()
      .min(1)
      .max(1000)
      .default(1)
      .describe('Messages that may wait; 1: only the newest.'),
    compression: z.enum(['none', 'cbor', 'cbor-raw', 'png']).default('none').describe('Asked of the bridge.'),
    stamps: z
      .enum(['header', 'arrival'])
      .default('header')
      .describe('What says when a message was valid: the stamp in its header, or its arrival.'),
    latched: z
      .boolean()
      .default(false)
      .describe('Told once or on change, such as a goal: the newest message stands, however old it is.'),
    qos: qos.optional().describe('Quality of service, for bridges that take it.'),
    ...framed,
  }),
);

const bridge = z.lazy(() =>
  z.strictObject({
    url: z
      .string()
      .refine(isBridgeAddress, 'a WebSocket address such as ws://127.0.0.1:9090')
      .describe('Address of the rosbridge server.'),
    dialect: z.enum(BRIDGE_DIALECTS).default('auto').describe('Which server it is. auto: it is asked.'),
    token: z.string().min(8).optional().describe('Of a server that asks for one.'),
    tls: z
      .strictObject({
        ca_file: z
          .string()
          .min(1)
          .optional()
          .describe('A certificate authority (PEM) besides those of the system.'),
        verify: z.boolean().optional().describe('false accepts any certificate.'),
      })
      .optional()
      .describe('For wss addresses.'),
    rosauth: z
      .strictObject({ secret: z.string().min(8), client: name, dest: name })
      .optional()
      .describe('For ROS 1 servers that use rosauth.'),
    separate_connections: z
      .boolean()
      .default(false)
      .describe('Images, commands and services each get a socket of their own.'),
    socket_thread: z
      .union([z.boolean(), z.literal('auto')])
      .default('auto')
      .describe('Sockets are read by threads of their own. auto: the one that carries raw pictures.'),
  }),
);

const executor = z.lazy(() =>
  z
    .strictObject({
      rate_hz: positive.max(1000).default(1000).describe('Commands per second.'),
      interpolation: z
        .enum(['linear', 'cubic', 'quintic'])
        .default('linear')
        .describe('Between the rows of a chunk.'),
      heartbeat_ms: milliseconds
        .optional()
        .describe('It brakes when JavaScript is silent for so long. Absent: at the end of the chunk.'),
      udp: z
        .strictObject({ host: z.string().min(1), port: z.number().int().min(1).max(65_535) })
        .optional()
        .describe('Where its datagrams go.'),
      publish_hz: positive.max(200).optional().describe('Its newest command on the command topic, so often.'),
      fifo_priority: z
        .number()
        .int()
        .min(0)
        .max(99)
        .default(0)
        .describe('Priority under SCHED_FIFO; 0: not asked for.'),
      lock_memory: z.boolean().default(false).describe('Keeps its memory out of the swap.'),
    })
    .refine(
      ({ udp, publish_hz }) => udp !== undefined || publish_hz !== undefined,
      'a way out for its commands: udp, publish_hz or both',
    ),
);

const stop = z.lazy(() =>
  z
    .strictObject({
      topic: topic.optional().describe('A topic on which the robot side publishes stops.'),
      type: z
        .enum(['std_msgs/Bool', 'std_msgs/Empty', 'std_msgs/msg/Bool', 'std_msgs/msg/Empty'])
        .default('std_msgs/Bool')
        .describe('Bool: true stops. Empty: any message does.'),
      service: topic.optional().describe('A Trigger service that Tendon offers; a call stops.'),
      qos: qos
        .optional()
        .describe('Of the topic. Default: as the bridge chooses, which is what its publishers have.'),
    })
    .refine(
      ({ topic, service }) => topic !== undefined || service !== undefined,
      'a topic, a service or both',
    ),
);

const deadlines = z.lazy(() =>
  z.strictObject({
    freshness_ms: milliseconds.default(200).describe('Oldest observation that may be acted on.'),
    no_data_ms: milliseconds.default(1000).describe('Longest silence before the robot counts as gone.'),
    inference_ms: milliseconds.default(500).describe('Longest inference.'),
    connect_ms: milliseconds.default(5000).describe('Longest wait for the bridge.'),
    call_ms: milliseconds.default(2000).describe('Longest wait for the answer to a service call.'),
    resume_within_ms: z
      .number()
      .min(0)
      .max(600_000)
      .default(1000)
      .describe('After a longer outage the robot stays on hold until an operator resumes.'),
  }),
);

/** The file as it is written. */
export const robotFileSchema = z.lazy(() =>
  z.strictObject({
    $schema: z.string().optional().describe('For editors.'),
    name: name.describe('What the robot is called in logs and recordings.'),
    bridge: bridge.describe('The rosbridge server that the robot is behind.'),
    rate_hz: positive.max(1000).describe('Control rate: commands per second.'),
    policy_hz: positive
      .max(1000)
      .optional()
      .describe('Rate of the data that the policy was trained on, for a checkpoint that does not say it.'),
    urdf: z
      .string()
      .min(1)
      .optional()
      .describe(
        'A URDF, relative to this file. Limits that a joint leaves open come from it, and no joint may have wider ones.',
      ),
    joints: z
      .record(name, joint)
      .refine((joints) => Object.keys(joints).length > 0, 'at least one joint')
      .optional()
      .describe(
        'The joints that are commanded, in the order of a command. Messages are re-ordered to it by name.',
      ),
    joint_names: z.array(name).min(1).optional().describe('Older form of joints: the names. Use joints.'),
    limits: limitArrays
      .optional()
      .describe('Older form of joints: one array per limit. Use joints and urdf.'),
    units: unitsSchema
      .optional()
      .describe('Where the policy counts otherwise than the robot; each joint says how (scale, offset).'),
    observation: z
      .array(stream)
      .min(1)
      .describe('Topics and the features they carry. Each message of the first makes one observation.'),
    frames: framesSchema.prefault({}).describe('Frames that do not move, for poses.'),
    measured: name
      .default('joint_position')
      .describe('The feature that holds the measured values of what is commanded.'),
    join: z
      .record(name, z.array(name).min(2))
      .default({})
      .describe(
        'Features made of others, one after the other: the state of two arms from the topics of each.',
      ),
    command: commandSchema.describe('Where commands go.'),
    services: z
      .record(name, z.strictObject({ name: topic, type: messageType }))
      .default({})
      .describe('Name of a service for Tendon (start, stop, reset, set_goal): the one of the robot.'),
    executor: executor
      .optional()
      .describe('A real-time thread that commands the joints. Absent: the control loop does.'),
    stop: stop.optional().describe('Ways in for an emergency stop.'),
    operator_heartbeat: z
      .strictObject({
        topic,
        type: messageType.default('std_msgs/Empty'),
        timeout_ms: milliseconds.default(500),
      })
      .optional()
      .describe(
        'A topic on which the device of a person says that somebody is there. Silence holds the robot.',
      ),
    task: z
      .strictObject({
        text: z.string().min(1).max(2000).optional().describe('The task at first.'),
        topic: topic.optional().describe('A topic whose messages change it.'),
        type: z.enum(['std_msgs/String', 'std_msgs/msg/String']).default('std_msgs/String'),
      })
      .refine(({ text, topic }) => text !== undefined || topic !== undefined, 'a text, a topic or both')
      .optional()
      .describe('What the robot is to do, in words, for a policy that is told so (SmolVLA, π0, π0.5).'),
    chunks: chunkMode
      .default({ mode: 'receding' })
      .describe('How chunks that overlap are joined (docs/chunks.md).'),
    workspace: workspaceBox.optional().describe('A box that the tip of an arm must not leave.'),
    interpolation: z
      .enum(INTERPOLATIONS)
      .default('hold')
      .describe('Between the rows of a chunk, in the control loop.'),
    rotations: z.array(rotation).default([]).describe('Orientations among the commanded values.'),
    teleop: leader.optional().describe('The device of a person beside the policy (docs/teleop.md).'),
    deadlines: deadlines.prefault({}).describe('How old and how late things may be.'),
  }),
);
export type GivenRobot = z.infer<typeof robotFileSchema>;
