// Reads launch/NAME.yaml: what a robot's topics, limits and deadlines are. Everything is checked here, once, so
// that no later room meets a NaN, an inverted limit or a joint list of another length.

import { readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import * as z from 'zod';
import {
  BRIDGE_DIALECTS,
  featureLengths,
  INTERPOLATIONS,
  packageWhenNeeded,
  type RobotFile,
  TendonError,
  type Workspace,
} from '../types/index.js';
import { chainTo } from './chain.js';
import { checkCommand, commandSchema, sendsGoals, wholeCommand } from './command.js';
import { count, messageType, milliseconds, name, positive, qos, topic } from './fields.js';
import { faultOfFrames, framed, framesSchema } from './frames.js';
import { chunkMode, leader, rotation, workspaceBox } from './parts.js';
import { checkUnits, convertLimits, unitsSchema, wholeUnits } from './units.js';
import { readUrdfJoints, readUrdfLimits } from './urdf.js';

const yaml = packageWhenNeeded<typeof import('yaml')>('yaml');

const stream = z.lazy(() =>
  z.strictObject({
    topic,
    type: messageType,
    joints: z.array(name).min(1).optional(),
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
    queue_length: z.number().int().min(1).max(1000).default(1),
    compression: z.enum(['none', 'cbor', 'cbor-raw', 'png']).default('none'),
    stamps: z.enum(['header', 'arrival']).default('header'),
    qos: qos.optional(),
    ...framed,
  }),
);

const schema = z.lazy(() =>
  z
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
        socket_thread: z.union([z.boolean(), z.literal('auto')]).default('auto'),
      }),
      rate_hz: positive.max(1000),
      joint_names: z.array(name).min(1),
      limits: z.strictObject({
        /** Beside the robot file: what is not listed here comes from there, and nothing here may be wider. */
        urdf: z.string().min(1).optional(),
        lower: z.array(z.number()).optional(),
        upper: z.array(z.number()).optional(),
        velocity: z.array(positive).optional(),
        acceleration: z.array(positive).optional(),
        jerk: z.array(positive).optional(),
        step_from_measured: z.array(positive).optional(),
      }),
      observation: z.array(stream).min(1),
      frames: framesSchema.prefault({}),
      units: unitsSchema.optional(),
      measured: name.default('joint_position'),
      join: z.record(name, z.array(name).min(2)).default({}),
      command: commandSchema,
      services: z.record(name, z.strictObject({ name: topic, type: messageType })).default({}),
      executor: z
        .strictObject({
          rate_hz: positive.max(1000).default(1000),
          interpolation: z.enum(['linear', 'cubic', 'quintic']).default('linear'),
          heartbeat_ms: milliseconds.optional(),
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
      chunks: chunkMode.default({ mode: 'receding' }),
      workspace: workspaceBox.optional(),
      interpolation: z.enum(INTERPOLATIONS).default('hold'),
      rotations: z.array(rotation).default([]),
      teleop: leader.optional(),
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
      for (const key of ['lower', 'upper', 'velocity'] as const)
        if (file.limits[key] === undefined && file.limits.urdf === undefined)
          refuse(['limits', key], 'one value per joint, or limits.urdf to take them from');
      for (const [key, values] of Object.entries(file.limits)) {
        if (Array.isArray(values) && values.length !== joints) {
          refuse(['limits', key], `one value per joint in joint_names (${joints}), got ${values.length}`);
        }
      }
      if (file.limits.jerk !== undefined && file.limits.acceleration === undefined)
        refuse(['limits', 'jerk'], 'limits.acceleration beside it');
      for (let joint = 0; joint < joints; ++joint) {
        const lower = file.limits.lower?.[joint];
        const upper = file.limits.upper?.[joint];
        if (lower !== undefined && upper !== undefined && !(lower < upper)) {
          const who = file.joint_names[joint];
          refuse(['limits', 'lower', joint], `less than limits.upper for ${who}, got ${lower} and ${upper}`);
        }
      }
      file.rotations.forEach(({ at, as }, index) => {
        if (at + (as === 'quaternion' ? 4 : 3) > joints)
          refuse(
            ['rotations', index, 'at'],
            `an orientation within the ${joints} commanded values, got ${at}`,
          );
      });
      if (file.workspace !== undefined && file.workspace.urdf === undefined && file.limits.urdf === undefined)
        refuse(['workspace', 'urdf'], 'a URDF beside the robot file, here or in limits');
      if (file.limits.step_from_measured !== undefined && file.executor !== undefined)
        refuse(
          ['limits', 'step_from_measured'],
          'none with an executor, which does not see what is measured',
        );
      if (file.executor !== undefined && sendsGoals(file.command))
        refuse(['executor'], 'none where trajectories are sent as goals: both would drive the robot');
      if (file.workspace !== undefined && file.executor !== undefined)
        refuse(['workspace'], 'none with an executor, which knows joints only');
      if (file.rotations.length > 0 && file.executor !== undefined)
        refuse(['rotations'], 'none with an executor, which interpolates joints');
      for (const key of ['scale', 'axes'] as const) {
        const values = file.teleop?.[key];
        if (Array.isArray(values) && values.length !== joints)
          refuse(['teleop', key], `one for each of joint_names (${joints}), got ${values.length}`);
      }
      const seen = new Set<string>();
      file.observation.forEach((entry, index) => {
        const keys = [...Object.keys(entry.features), ...Object.keys(entry.images)];
        if (keys.length === 0) refuse(['observation', index], 'at least one entry in features or images');
        for (const key of keys) {
          if (seen.has(key)) refuse(['observation', index], `every feature from one topic, got ${key} twice`);
          seen.add(key);
        }
        const wrong = faultOfFrames(entry);
        if (wrong !== undefined) refuse(['observation', index, wrong[0]], wrong[1]);
        for (const [key, feature] of Object.entries(entry.features)) {
          const own = entry.joints?.length ?? joints;
          if (/JointState$/.test(entry.type) && feature.length !== own) {
            refuse(
              ['observation', index, 'features', key, 'length'],
              `the number of ${entry.joints === undefined ? 'joint_names' : 'this topic’s joints'} (${own}), got ${feature.length}`,
            );
          }
        }
      });
      for (const [key, parts] of Object.entries(file.join)) {
        if (seen.has(key)) refuse(['join', key], 'a new feature, got one that a topic already carries');
        for (const one of parts)
          if (!seen.has(one)) refuse(['join', key], `features of the topics above, got ${one}`);
      }
      checkCommand(file.command, file.joint_names, refuse);
      if (file.units !== undefined) {
        checkUnits(file.units, file.joint_names, featureLengths(file), refuse);
        if (file.executor?.udp !== undefined)
          refuse(['executor', 'udp'], 'no units: datagrams carry the policy’s numbers as they are');
      }
      const blind_s = (file.deadlines.no_data_ms - file.deadlines.freshness_ms) / 1000;
      const velocities = wholeCommand(file.command, file.joint_names).quantity === 'velocity';
      if (velocities && file.units?.offset?.some((offset) => offset !== 0))
        refuse(
          ['units', 'offset'],
          'none with commands that are velocities: a commanded zero would be a speed',
        );
      if (velocities)
        file.limits.velocity?.forEach((change, joint) => {
          const top = Math.max(-(file.limits.lower?.[joint] ?? 0), file.limits.upper?.[joint] ?? 0);
          if (change * blind_s < top)
            refuse(
              ['deadlines', 'no_data_ms'],
              `${file.joint_names[joint]} to come to rest (${(top / change).toFixed(2)} s at limits.velocity) between freshness_ms and no_data_ms, got ${blind_s} s`,
            );
        });
      if (file.executor !== undefined && velocities)
        refuse(['executor'], 'commands that are positions: holding a velocity would go on moving');
    }),
);

/** The limits of the file, with those of its URDF where it gives none. Throws `config_invalid` or `file_missing`. */
function wholeLimits(
  data: Pick<z.infer<typeof schema>, 'limits' | 'joint_names'>,
  file: string,
): RobotFile['limits'] {
  const { urdf, ...given } = data.limits;
  const { joint_names } = data;
  const outer =
    urdf === undefined
      ? undefined
      : readUrdf(resolve(dirname(file), urdf), (text) =>
          readUrdfLimits(text, joint_names, resolve(dirname(file), urdf)),
        );
  const pick = (key: 'lower' | 'upper' | 'velocity'): readonly number[] => given[key] ?? outer?.[key] ?? [];
  const limits = { ...given, lower: pick('lower'), upper: pick('upper'), velocity: pick('velocity') };
  const refuse = (key: string, joint: number, why: string): never => {
    throw new TendonError('config_invalid', `${file}: limits.${key}: ${joint_names[joint]} ${why}`, { file });
  };
  joint_names.forEach((_, joint) => {
    for (const key of ['lower', 'upper'] as const)
      if (!Number.isFinite(limits[key][joint]))
        refuse(key, joint, 'turns without end in the URDF; give its range here');
    if (!(limits.lower[joint]! < limits.upper[joint]!))
      refuse('lower', joint, `has ${limits.lower[joint]} not below ${limits.upper[joint]}`);
    if (outer === undefined) return;
    for (const [key, wider] of [
      ['lower', limits.lower[joint]! < outer.lower[joint]!],
      ['upper', limits.upper[joint]! > outer.upper[joint]!],
      ['velocity', limits.velocity[joint]! > outer.velocity[joint]!],
    ] as const)
      if (wider) refuse(key, joint, `has ${limits[key][joint]}, wider than ${outer[key][joint]} in ${urdf}`);
  });
  return limits;
}

/** The chain to the tip, in the units that commands are counted in. */
function wholeWorkspace(
  { urdf, tip, lower, upper }: z.infer<typeof workspaceBox>,
  { limits, joint_names }: Pick<z.infer<typeof schema>, 'limits' | 'joint_names'>,
  units: RobotFile['units'],
  file: string,
): Workspace {
  const path = resolve(dirname(file), (urdf ?? limits.urdf)!);
  const chain = readUrdf(path, (text) => chainTo(tip, readUrdfJoints(text, path), joint_names, path));
  return {
    lower,
    upper,
    chain: chain.map((link) => ({
      ...link,
      scale: link.scale * (units?.scale[link.joint] ?? 1),
      offset: link.offset + link.scale * (units?.offset[link.joint] ?? 0),
    })),
  };
}

function readUrdf<T>(path: string, read: (text: string) => T): T {
  try {
    return read(readFileSync(path, 'utf8'));
  } catch (caught) {
    if (caught instanceof TendonError) throw caught;
    throw new TendonError(
      'file_missing',
      `The URDF ${path} cannot be read. Its path is relative to the robot file.`,
      { path },
      { cause: caught },
    );
  }
}

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
    given = yaml().parse(text);
  } catch (caught) {
    const why = caught instanceof Error ? caught.message : String(caught);
    throw new TendonError('config_invalid', `${file} is not YAML: ${why}`, { file }, { cause: caught });
  }
  const result = schema.safeParse(given);
  if (result.success) {
    const { teleop, workspace, ...data } = result.data;
    const units = wholeUnits(data.units);
    const scale = (of: number | number[]) =>
      data.joint_names.map((_, i) => (Array.isArray(of) ? of[i]! : of));
    return {
      ...data,
      command: wholeCommand(data.command, data.joint_names),
      units,
      limits: convertLimits(wholeLimits(data, file), units),
      ...(workspace === undefined ? {} : { workspace: wholeWorkspace(workspace, data, units, file) }),
      ...(teleop === undefined ? {} : { teleop: { ...teleop, scale: scale(teleop.scale) } }),
    };
  }
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
