// `frames` of a robot file: where frames that do not move are in one another, and that nothing hangs in two places or round
// in a circle. The bridge tells poses in the frame that the policy counts in (rosbridge/robot/frame-tree.ts).

import * as z from 'zod';
import type { FixedFrame } from '../types/index.js';
import { name, topic } from './fields.js';

const frame = z.string().regex(/^[^/\s]\S*$/, 'a frame such as base_link, without a slash in front');
const triple = z.tuple([z.number(), z.number(), z.number()]);
/** Written with four digits, a unit quaternion is off by less. */
const UNIT_TOLERANCE = 1e-3;

const fixed = z.lazy(() =>
  z
    .strictObject({
      parent: frame,
      child: frame,
      /** m */
      translation: triple.default([0, 0, 0]),
      /** x y z w */
      quaternion: z
        .tuple([z.number(), z.number(), z.number(), z.number()])
        .refine((q) => Math.abs(Math.hypot(...q) - 1) < UNIT_TOLERANCE, 'a unit quaternion x y z w')
        .optional(),
      /** rad, about the fixed x, then y, then z of the parent, as a URDF has it. */
      rpy: triple.optional(),
    })
    .refine(
      ({ quaternion, rpy }) => quaternion === undefined || rpy === undefined,
      'quaternion or rpy, not both',
    )
    .transform(
      ({ quaternion, rpy, ...rest }): FixedFrame => ({
        ...rest,
        quaternion: unit(quaternion ?? fromRpy(rpy)),
      }),
    ),
);

/** Whether something hangs round in a circle, and where. */
function circle(transforms: readonly FixedFrame[]): string | undefined {
  const parents = new Map(transforms.map(({ parent, child }) => [child, parent]));
  return [...parents.keys()].find((start) => {
    let at = parents.get(start);
    for (let steps = 0; at !== undefined && steps <= parents.size; steps++) {
      if (at === start) return true;
      at = parents.get(at);
    }
    return false;
  });
}

export const framesSchema = z.lazy(() =>
  z
    .strictObject({
      transforms: z.array(fixed).default([]),
      tf_static: z.union([z.boolean().transform((on) => (on ? '/tf_static' : undefined)), topic]).optional(),
    })
    .superRefine(({ transforms }, context) => {
      const refuse = (index: number, message: string) =>
        context.addIssue({ code: 'custom', path: ['transforms', index, 'child'], message });
      transforms.forEach(({ child }, i) => {
        if (transforms.findIndex((one) => one.child === child) !== i)
          refuse(i, `each frame under one parent, got ${child} twice`);
      });
      const looped = circle(transforms);
      if (looped !== undefined)
        refuse(
          transforms.findIndex(({ child }) => child === looped),
          `a tree, got ${looped} under itself`,
        );
    }),
);

/** What a stream says of frames. */
export const framed = { frame: frame.optional(), child: name.optional() };

/** Types of messages whose poses are told in the frame of their header. */
const POSES = /\/(PoseStamped|TransformStamped|TFMessage|Odometry)$/;

/** What is wrong with a stream's frames, by field. */
export function faultOfFrames(stream: {
  readonly type: string;
  readonly frame?: string | undefined;
  readonly child?: string | undefined;
}): readonly [field: string, expected: string] | undefined {
  const transforms = stream.type.endsWith('/TFMessage');
  if (stream.frame !== undefined && !POSES.test(stream.type))
    return ['frame', `none for ${stream.type}, which is no pose in a frame`];
  if (transforms && stream.child === undefined)
    return ['child', 'the frame whose pose it is, of the many in a TFMessage'];
  if (!transforms && stream.child !== undefined) return ['child', `none for ${stream.type}`];
  return undefined;
}

function unit(q: FixedFrame['quaternion']): FixedFrame['quaternion'] {
  const length = Math.hypot(...q);
  return [q[0] / length, q[1] / length, q[2] / length, q[3] / length];
}

function fromRpy(
  [roll, pitch, yaw]: readonly [number, number, number] = [0, 0, 0],
): FixedFrame['quaternion'] {
  const [sr, cr] = [Math.sin(roll / 2), Math.cos(roll / 2)];
  const [sp, cp] = [Math.sin(pitch / 2), Math.cos(pitch / 2)];
  const [sy, cy] = [Math.sin(yaw / 2), Math.cos(yaw / 2)];
  return [
    sr * cp * cy - cr * sp * sy,
    cr * sp * cy + sr * cp * sy,
    cr * cp * sy - sr * sp * cy,
    cr * cp * cy + sr * sp * sy,
  ];
}
