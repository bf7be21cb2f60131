// `joints` of a robot file: one entry per joint with its limits, its interfaces and its unit, as ros2_control has it. The
// parallel arrays of older files (joint_names, limits, units) become the same here.

import * as z from 'zod';
import { name, positive } from './fields.js';

const INTERFACES = ['position', 'velocity', 'effort'] as const;
/** Limits of a joint that a URDF may give too. */
export const RANGE = ['lower', 'upper', 'velocity'] as const;
/** Limits that all joints have, or none. */
export const DYNAMICS = ['acceleration', 'jerk', 'step_from_measured'] as const;
export type LimitKey = (typeof RANGE)[number] | (typeof DYNAMICS)[number];

export const joint = z.lazy(() =>
  z.strictObject({
    lower: z
      .number()
      .optional()
      .describe('Least value of what is commanded (rad, m, or their rate). Absent: from the URDF.'),
    upper: z.number().optional().describe('Greatest value. Absent: from the URDF.'),
    velocity: positive.optional().describe('Most change per second. Absent: from the URDF.'),
    acceleration: positive
      .optional()
      .describe('Most change of the velocity per second. For all joints or none.'),
    jerk: positive
      .optional()
      .describe('Most change of the acceleration per second. For all joints or none; needs acceleration.'),
    step_from_measured: positive
      .optional()
      .describe('How far a command may be from the measured position. For all joints or none.'),
    command: z
      .enum(['position', 'velocity'])
      .optional()
      .describe('The command interface: what a number of the command is.'),
    state: z
      .array(z.enum(INTERFACES))
      .min(1)
      .optional()
      .describe('The state interfaces that its driver publishes; features may ask for no others.'),
    scale: z
      .number()
      .refine((scale) => scale !== 0, 'a number other than 0')
      .optional()
      .describe('Where the policy counts otherwise: robot = policy · scale + offset. Default 1.'),
    offset: z.number().optional().describe('See scale. Default 0.'),
  }),
);
export type Joint = z.infer<typeof joint>;

/** Arrays in the order of joint_names, as older files have them. */
export const limitArrays = z.lazy(() =>
  z.strictObject({
    urdf: z.string().min(1).optional().describe('Now the field urdf of the file.'),
    lower: z.array(z.number()).optional(),
    upper: z.array(z.number()).optional(),
    velocity: z.array(positive).optional(),
    acceleration: z.array(positive).optional(),
    jerk: z.array(positive).optional(),
    step_from_measured: z.array(positive).optional(),
  }),
);

export const unitsSchema = z.lazy(() =>
  z.strictObject({
    features: z.array(name).min(1).describe('Features that count in the units of the policy, like commands.'),
    scale: z
      .array(z.number().refine((scale) => scale !== 0, 'a number other than 0'))
      .optional()
      .describe('Now the field scale of each joint.'),
    offset: z.array(z.number()).optional().describe('Now the field offset of each joint.'),
  }),
);

/** What a file says of its joints, in either form. */
export interface GivenJoints {
  readonly joints?: Readonly<Record<string, Joint>> | undefined;
  readonly joint_names?: readonly string[] | undefined;
  readonly limits?: z.infer<typeof limitArrays> | undefined;
  readonly units?: z.infer<typeof unitsSchema> | undefined;
}

/** Joints in the order of a command, and where in the file a value of one stands. */
export class Joints {
  private constructor(
    readonly names: readonly string[],
    private readonly entries: readonly Joint[],
    private readonly mapped: boolean,
  ) {}

  /** `joint_names` is the order of the map's keys where the file has a map. */
  static of({ joints, joint_names = [], limits, units }: GivenJoints): Joints {
    if (joints !== undefined)
      return new Joints(
        joint_names,
        joint_names.map((one) => joints[one] ?? {}),
        true,
      );
    const entries = joint_names.map((_, i): Joint => {
      const pairs = [
        ...[...RANGE, ...DYNAMICS].map((key) => [key, limits?.[key]?.[i]] as const),
        ...(['scale', 'offset'] as const).map((key) => [key, units?.[key]?.[i]] as const),
      ];
      return Object.fromEntries(pairs.filter(([, value]) => value !== undefined));
    });
    return new Joints(joint_names, entries, false);
  }

  get count(): number {
    return this.names.length;
  }

  at(index: number): Joint {
    return this.entries[index] ?? {};
  }

  /** One value per joint; undefined where a joint has none. */
  all<Key extends keyof Joint>(key: Key): Joint[Key][] {
    return this.entries.map((entry) => entry[key]);
  }

  /** Whether any joint says it. */
  say(key: keyof Joint): boolean {
    return this.entries.some((entry) => entry[key] !== undefined);
  }

  /** Where `key` of a joint stands. */
  path(key: keyof Joint, index: number): (string | number)[] {
    if (this.mapped) return ['joints', this.names[index]!, key];
    return key === 'scale' || key === 'offset' ? ['units', key, index] : ['limits', key, index];
  }

  /** The map as it is written in a file. */
  text(): string {
    const line = (entry: Joint): string =>
      Object.entries(entry)
        .map(([key, value]) => `${key}: ${Array.isArray(value) ? `[${value.join(', ')}]` : value}`)
        .join(', ');
    const key = (one: string): string => (/^[A-Za-z][\w./-]*$/.test(one) ? one : JSON.stringify(one));
    return this.names.map((one, i) => `  ${key(one)}: { ${line(this.entries[i]!)} }`).join('\n');
  }
}
