// Reads launch/NAME.yaml: what a robot's topics, limits and deadlines are. Everything is checked here, once, so
// that no later room meets a NaN, an inverted limit or a joint list of another length.

import { readFileSync } from 'node:fs';
import { parse } from 'yaml';
import { z } from 'zod';
import { BRIDGE_DIALECTS, type RobotFile, TendonError } from '../types/index.js';

const name = z.string().min(1);
const topic = z.string().regex(/^\/?[A-Za-z_~][\w/~]*$/, 'a ROS name such as /joint_states');
const messageType = z
  .string()
  .regex(/^\w+\/((msg|srv|action)\/)?\w+$/, 'a type such as sensor_msgs/JointState');
const positive = z.number().positive();
const milliseconds = z.number().positive().max(600_000);
const count = z.number().int().positive().max(65_536);

const qos = z.strictObject({
  history: z.enum(['keep_last', 'keep_all']).optional(),
  depth: z.number().int().positive().optional(),
  reliability: z.enum(['reliable', 'best_effort']).optional(),
  durability: z.enum(['volatile', 'transient_local']).optional(),
});

const stream = z.strictObject({
  topic,
  type: messageType,
  features: z
    .record(
      name,
      z.strictObject({
        length: count,
        field: z.enum(['position', 'velocity', 'effort']).default('position'),
      }),
    )
    .default({}),
  images: z.record(name, z.tuple([count, count, z.union([z.literal(1), z.literal(3)])])).default({}),
  freshness_ms: milliseconds.default(200),
  max_skew_ms: milliseconds.optional(),
  throttle_rate_ms: z.number().min(0).max(60_000).default(0),
  compression: z.enum(['none', 'cbor', 'cbor-raw', 'png']).default('none'),
  stamps: z.enum(['header', 'arrival']).default('header'),
  qos: qos.optional(),
});

const schema = z
  .strictObject({
    name,
    bridge: z.strictObject({
      url: z.string().regex(/^wss?:\/\/[^\s]+$/, 'a WebSocket address such as ws://127.0.0.1:9090'),
      dialect: z.enum(BRIDGE_DIALECTS).default('auto'),
      token: z.string().min(8).optional(),
      tls: z
        .strictObject({ ca_file: z.string().min(1).optional(), verify: z.boolean().optional() })
        .optional(),
      rosauth: z.strictObject({ secret: z.string().min(8), client: name, dest: name }).optional(),
      separate_connections: z.boolean().default(false),
    }),
    rate_hz: positive.max(1000),
    joint_names: z.array(name).min(1),
    limits: z.strictObject({
      lower: z.array(z.number()),
      upper: z.array(z.number()),
      velocity: z.array(positive),
      acceleration: z.array(positive).optional(),
    }),
    observation: z.array(stream).min(1),
    command: z.strictObject({
      topic,
      type: messageType,
      lifetime_ms: milliseconds.default(100),
      frame_id: z.string().default(''),
      qos: qos.optional(),
    }),
    services: z.record(name, z.strictObject({ name: topic, type: messageType })).default({}),
    executor: z
      .strictObject({
        rate_hz: positive.max(1000).default(1000),
        interpolation: z.enum(['linear', 'cubic']).default('linear'),
        heartbeat_ms: milliseconds.default(100),
        udp: z
          .strictObject({ host: z.string().min(1), port: z.number().int().min(1).max(65_535) })
          .optional(),
        publish_hz: positive.max(200).optional(),
        fifo_priority: z.number().int().min(0).max(99).default(0),
        lock_memory: z.boolean().default(false),
      })
      .refine(
        ({ udp, publish_hz }) => udp !== undefined || publish_hz !== undefined,
        'a way out for its commands: udp, publish_hz or both',
      )
      .optional(),
    stop: z
      .strictObject({
        topic: topic.optional(),
        type: z
          .enum(['std_msgs/Bool', 'std_msgs/Empty', 'std_msgs/msg/Bool', 'std_msgs/msg/Empty'])
          .default('std_msgs/Bool'),
        service: topic.optional(),
      })
      .refine(
        ({ topic, service }) => topic !== undefined || service !== undefined,
        'a topic, a service or both',
      )
      .optional(),
    operator_heartbeat: z
      .strictObject({
        topic,
        type: messageType.default('std_msgs/Empty'),
        timeout_ms: milliseconds.default(500),
      })
      .optional(),
    deadlines: z
      .strictObject({
        freshness_ms: milliseconds.default(200),
        no_data_ms: milliseconds.default(1000),
        inference_ms: milliseconds.default(500),
        connect_ms: milliseconds.default(5000),
        call_ms: milliseconds.default(2000),
      })
      .prefault({}),
  })
  .superRefine((file, context) => {
    const refuse = (path: (string | number)[], message: string) =>
      context.addIssue({ code: 'custom', path, message });
    const joints = file.joint_names.length;
    if (new Set(file.joint_names).size !== joints)
      refuse(['joint_names'], 'every joint once, got a name twice');
    for (const [key, values] of Object.entries(file.limits)) {
      if (values !== undefined && values.length !== joints) {
        refuse(['limits', key], `one value per joint in joint_names (${joints}), got ${values.length}`);
      }
    }
    for (let joint = 0; joint < joints; ++joint) {
      const lower = file.limits.lower[joint];
      const upper = file.limits.upper[joint];
      if (lower !== undefined && upper !== undefined && !(lower < upper)) {
        const who = file.joint_names[joint];
        refuse(['limits', 'lower', joint], `less than limits.upper for ${who}, got ${lower} and ${upper}`);
      }
    }
    const seen = new Set<string>();
    file.observation.forEach((entry, index) => {
      const keys = [...Object.keys(entry.features), ...Object.keys(entry.images)];
      if (keys.length === 0) refuse(['observation', index], 'at least one entry in features or images');
      for (const key of keys) {
        if (seen.has(key)) refuse(['observation', index], `every feature from one topic, got ${key} twice`);
        seen.add(key);
      }
      for (const [key, feature] of Object.entries(entry.features)) {
        if (/JointState$/.test(entry.type) && feature.length !== joints) {
          refuse(
            ['observation', index, 'features', key, 'length'],
            `the number of joint_names (${joints}), got ${feature.length}`,
          );
        }
      }
    });
  });

function describe(issue: z.core.$ZodIssue, given: unknown): string {
  let value: unknown = given;
  let path = '';
  for (const part of issue.path) {
    path += typeof part === 'number' ? `[${part}]` : `${path === '' ? '' : '.'}${String(part)}`;
    value = value !== null && typeof value === 'object' ? Reflect.get(value, part) : undefined;
  }
  const got =
    value === undefined ? 'nothing' : typeof value === 'number' ? String(value) : JSON.stringify(value);
  if (issue.code === 'custom') return `${path}: expected ${issue.message}`;
  if (issue.code === 'unrecognized_keys') {
    return `${path || 'top level'}: unknown ${issue.keys.map((key) => `"${key}"`).join(', ')}; remove or respell it`;
  }
  const wanted = issue.code === 'invalid_format' ? `expected ${issue.message}` : issue.message;
  return `${path || 'top level'}: ${wanted}, got ${got?.slice(0, 80)}`;
}

/**
 * The robot that `text` (YAML) describes; `file` is only for messages. Throws `config_invalid` with one line per
 * wrong field.
 */
export function parseRobotFile(text: string, file: string): RobotFile {
  let given: unknown;
  try {
    given = parse(text);
  } catch (caught) {
    const why = caught instanceof Error ? caught.message : String(caught);
    throw new TendonError('config_invalid', `${file} is not YAML: ${why}`, { file }, { cause: caught });
  }
  const result = schema.safeParse(given);
  if (result.success) return result.data;
  const problems = result.error.issues.map((issue) => describe(issue, given));
  throw new TendonError(
    'config_invalid',
    `${file} does not describe a robot:\n  ${problems.join('\n  ')}\nSee launch/sim-arm.yaml for a complete example.`,
    { file, problems },
  );
}

/** Reads and checks a robot file. Throws `file_missing` or `config_invalid`. */
export function loadRobotFile(file: string): RobotFile {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (caught) {
    throw new TendonError(
      'file_missing',
      `The robot file ${file} cannot be read. Robot files are in launch/; try launch/sim-arm.yaml.`,
      { file },
      { cause: caught },
    );
  }
  return parseRobotFile(text, file);
}
