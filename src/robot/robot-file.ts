// Reads launch/NAME.yaml: what a robot's topics, limits and deadlines are. Everything is checked here, once, so that no
// later room meets a NaN, an inverted limit or a joint list of another length.

import { dirname, resolve } from 'node:path';
import type * as z from 'zod';
import { readUserText } from '../base/files.js';
import { parseYaml, plainYaml } from '../base/yaml.js';
import { type RobotFile, TendonError, type Workspace } from '../types/index.js';
import { chainTo } from './chain.js';
import { checkRobot } from './checks.js';
import { wholeCommand } from './command.js';
import { Joints } from './joints.js';
import { wholeLimits } from './limits.js';
import { noticeOf } from './notice.js';
import { type GivenRobot, robotFileSchema } from './schema.js';
import { convertLimits, wholeUnits } from './units.js';
import { readUrdfJoints, readUrdfLimits } from './urdf.js';

export interface RobotFileOptions {
  /** Told how to write now what the file has in an older form. Default: a warning of the process. */
  readonly onNotice?: (sentence: string) => void;
}

/** Reads and checks a robot file. Throws `file_missing`, `file_unsafe`, `file_corrupt` or `config_invalid`. */
export function loadRobotFile(file: string, options: RobotFileOptions = {}): RobotFile {
  const hint = 'Robot files are in launch/; try launch/sim-arm.yaml.';
  return parseRobotFile(readUserText(file, 'robot_file', hint), file, options);
}

/** The robot that `text` (YAML) describes; a URDF is looked for beside `file`. Throws one line per wrong field. */
export function parseRobotFile(text: string, file: string, options: RobotFileOptions = {}): RobotFile {
  const given = fieldsOf(text, file);
  const result = robotFileSchema.safeParse(given);
  if (!result.success)
    throw wrong(
      file,
      result.error.issues.map((issue) => describe(issue, given)),
    );
  const problems: string[] = [];
  checkRobot(result.data, (path, expected) => problems.push(`${joined(path)}: expected ${expected}`));
  if (problems.length > 0) throw wrong(file, problems);
  const notice = noticeOf(result.data, file);
  if (notice !== undefined) (options.onNotice ?? warn)(notice);
  return whole(result.data, file);
}

const warned = new Set<string>();
/** Once for each file: a program may read one many times. */
function warn(sentence: string): void {
  if (warned.has(sentence)) return;
  warned.add(sentence);
  process.emitWarning(sentence, { type: 'Notice' });
}

/** The file as plain fields, with the names of its joints in the order of the text: an object would sort "1" before "a". */
function fieldsOf(text: string, file: string): Record<string, unknown> {
  const given = parseYaml(text, file);
  if (!(given instanceof Map))
    throw new TendonError(
      'config_invalid',
      `${file} does not describe a robot: expected fields such as name, bridge and joints, got ${Array.isArray(given) ? 'a list' : 'no field at all'}. See launch/sim-arm.yaml for a complete example.`,
      { file },
    );
  const fields = plainYaml(given) as Record<string, unknown>;
  const joints = given.get('joints');
  if (!(joints instanceof Map)) return fields;
  if (given.has('joint_names'))
    throw new TendonError(
      'config_invalid',
      `${file}: joint_names: expected none beside joints, whose order is the order of a command`,
      { file },
    );
  return { ...fields, joint_names: [...joints.keys()] };
}

function whole(data: GivenRobot, file: string): RobotFile {
  const { $schema: _, teleop, workspace, joints: map, urdf: own, limits, units: given, ...rest } = data;
  const joints = Joints.of(data);
  const urdf = own ?? limits?.urdf;
  const outer =
    urdf === undefined
      ? undefined
      : readUrdf(file, urdf, (text, path) => readUrdfLimits(text, joints.names, path));
  const units = wholeUnits(joints, given?.features);
  return {
    ...rest,
    joint_names: joints.names,
    command: wholeCommand(data.command, joints),
    units,
    limits: convertLimits(wholeLimits(joints, outer, file, urdf), units),
    ...(workspace === undefined
      ? {}
      : { workspace: wholeWorkspace(workspace, urdf, joints.names, units, file) }),
    ...(teleop === undefined ? {} : { teleop: wholeTeleop(teleop, joints.names) }),
  };
}

function wholeTeleop(
  { scale, axes, ...teleop }: NonNullable<GivenRobot['teleop']>,
  names: readonly string[],
): NonNullable<RobotFile['teleop']> {
  const by = <T>(of: readonly T[] | Readonly<Record<string, T>>, otherwise: T): T[] =>
    Array.isArray(of) ? of : names.map((one) => (of as Readonly<Record<string, T>>)[one] ?? otherwise);
  return {
    ...teleop,
    scale: typeof scale === 'number' ? names.map(() => scale) : by(scale, 1),
    ...(axes === undefined ? {} : { axes: by<string | null>(axes, null) }),
  };
}

/** The chain to the tip, in the units that commands are counted in. */
function wholeWorkspace(
  { urdf, tip, lower, upper }: NonNullable<GivenRobot['workspace']>,
  other: string | undefined,
  joint_names: readonly string[],
  units: RobotFile['units'],
  file: string,
): Workspace {
  const chain = readUrdf(file, (urdf ?? other)!, (text, path) =>
    chainTo(tip, readUrdfJoints(text, path), joint_names, path),
  );
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

function readUrdf<T>(file: string, urdf: string, read: (text: string, path: string) => T): T {
  const path = resolve(dirname(file), urdf);
  return read(readUserText(path, 'urdf', 'The path of a URDF is relative to the robot file.'), path);
}

/** Fields whose values are nobody's to read in a log. */
const SECRET = /^(token|secret)$/;

function wrong(file: string, problems: readonly string[]): TendonError {
  return new TendonError(
    'config_invalid',
    `${file} does not describe a robot:\n  ${problems.join('\n  ')}\nSee launch/sim-arm.yaml for a complete example.`,
    { file, problems },
  );
}

/** A path as it is written: limits.lower[2]. */
const joined = (path: readonly PropertyKey[]): string =>
  path.reduce<string>(
    (text, part) =>
      typeof part === 'number' ? `${text}[${part}]` : text === '' ? String(part) : `${text}.${String(part)}`,
    '',
  );

function describe(issue: z.core.$ZodIssue, given: unknown): string {
  const path = joined(issue.path);
  if (issue.code === 'custom') return `${path}: expected ${issue.message}`;
  if (issue.code === 'unrecognized_keys')
    return `${path || 'top level'}: unknown ${issue.keys.map((key) => `"${key}"`).join(', ')}; remove or respell it`;
  const expected = issue.code === 'invalid_format' ? `expected ${issue.message}` : issue.message;
  if (SECRET.test(String(issue.path.at(-1)))) return `${path}: ${expected}`;
  const value = issue.path.reduce<unknown>(
    (at, part) => (at !== null && typeof at === 'object' ? Reflect.get(at, part) : undefined),
    given,
  );
  const got =
    value === undefined ? 'nothing' : typeof value === 'number' ? String(value) : JSON.stringify(value);
  return `${path || 'top level'}: ${expected}, got ${got?.slice(0, 80)}`;
}
