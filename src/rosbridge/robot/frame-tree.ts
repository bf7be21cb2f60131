// Where frames are in one another, as tf tells it: each hangs under one parent, at a place that does not change. From the
// robot file and from /tf_static; frames that move (/tf) are not followed.

import { type FixedFrame, TendonError } from '../../types/index.js';
import type { Message } from '../codec/protocol.js';
import { axes } from './reader-parts.js';

type Triple = readonly [number, number, number];
type Quaternion = readonly [x: number, y: number, z: number, w: number];

/** Takes what is told in a child frame to its parent: turn, then shift (m). */
export interface Rigid {
  readonly translation: Triple;
  readonly quaternion: Quaternion;
}

const HERE: Rigid = { translation: [0, 0, 0], quaternion: [0, 0, 0, 1] };
/** Written with four digits, a unit quaternion is off by less; what is further off is none. */
const UNIT_TOLERANCE = 1e-2;
/** More frames in one line than any robot has. */
const DEEPEST = 64;

const multiply = (a: Quaternion, b: Quaternion): Quaternion => [
  a[3] * b[0] + a[0] * b[3] + a[1] * b[2] - a[2] * b[1],
  a[3] * b[1] - a[0] * b[2] + a[1] * b[3] + a[2] * b[0],
  a[3] * b[2] + a[0] * b[1] - a[1] * b[0] + a[2] * b[3],
  a[3] * b[3] - a[0] * b[0] - a[1] * b[1] - a[2] * b[2],
];

const conjugate = ([x, y, z, w]: Quaternion): Quaternion => [-x, -y, -z, w];

function turn(q: Quaternion, [x, y, z]: Triple): Triple {
  const [rx, ry, rz] = multiply(multiply(q, [x, y, z, 0]), conjugate(q));
  return [rx, ry, rz];
}

/** What `inner` and then `outer` do; of a pose `inner`, the same pose told in the parent of `outer`. */
export function compose(outer: Rigid, inner: Rigid): Rigid {
  const [x, y, z] = turn(outer.quaternion, inner.translation);
  const [tx, ty, tz] = outer.translation;
  return {
    translation: [x + tx, y + ty, z + tz],
    quaternion: multiply(outer.quaternion, inner.quaternion),
  };
}

function invert({ translation, quaternion }: Rigid): Rigid {
  const back = conjugate(quaternion);
  const [x, y, z] = turn(back, translation);
  return { translation: [-x, -y, -z], quaternion: back };
}

/** Metres and a quaternion as a message has them; throws `input_invalid` where they turn nothing. `what` names them. */
export function readRigid(place: unknown, orientation: unknown, what: string): Rigid {
  const [x, y, z] = axes(place, ['x', 'y', 'z'], what) as [number, number, number];
  const q = axes(orientation, ['x', 'y', 'z', 'w'], what) as [number, number, number, number];
  const length = Math.hypot(...q);
  if (!(Math.abs(length - 1) < UNIT_TOLERANCE) || ![x, y, z].every(Number.isFinite))
    throw new TendonError(
      'input_invalid',
      `${what}: expected finite metres and a unit quaternion, got ${[x, y, z]} and ${q}.`,
      { what },
    );
  return {
    translation: [x, y, z],
    quaternion: [q[0] / length, q[1] / length, q[2] / length, q[3] / length],
  };
}

/** ROS 1 wrote some with a slash in front. */
export const frameName = (id: unknown): string => String(id ?? '').replace(/^\//, '');

interface Hanging extends Rigid {
  readonly parent: string;
}

export class FrameTree {
  private readonly given: ReadonlyMap<string, Hanging>;
  private readonly heard = new Map<string, Hanging>();

  constructor(given: readonly FixedFrame[] = []) {
    this.given = new Map(given.map(({ child, ...hanging }) => [child, hanging]));
  }

  /** A tf2_msgs/TFMessage of /tf_static. What the robot file says of a frame stands. Throws `input_invalid`. */
  hear({ transforms }: Message): void {
    for (const one of Array.isArray(transforms) ? (transforms as Message[]) : []) {
      const parent = frameName((one.header as Message | undefined)?.frame_id);
      const child = frameName(one.child_frame_id);
      const { translation, rotation } = (one.transform ?? {}) as Message;
      this.heard.set(child, { parent, ...readRigid(translation, rotation, `/tf_static, ${child}`) });
    }
  }

  /** Another robot may be at the other end. */
  forget(): void {
    this.heard.clear();
  }

  /** Takes what is told in `from` to `to`. Throws `input_invalid` where no fixed frames join them. */
  between(from: string, to: string): Rigid {
    const [up, other] = [this.lineOf(from), this.lineOf(to)];
    for (const [name, toCommon] of up) {
      const down = other.get(name);
      if (down !== undefined) return compose(invert(down), toCommon);
    }
    const known = [...new Set([...this.given.keys(), ...this.heard.keys()])].sort().join(', ') || 'none';
    throw new TendonError(
      'input_invalid',
      `no static transform from frame "${from}" to frame "${to}"; frames known: ${known}. Give one under frames.transforms in the robot file, or set frames.tf_static.`,
      { from, to },
    );
  }

  /** A frame and all above it, nearest first, each with the way there. */
  private lineOf(name: string): ReadonlyMap<string, Rigid> {
    const line = new Map([[name, HERE]]);
    let [at, way] = [name, HERE];
    for (let depth = 0; depth < DEEPEST; depth++) {
      const hanging = this.given.get(at) ?? this.heard.get(at);
      if (hanging === undefined || line.has(hanging.parent)) break;
      way = compose(hanging, way);
      at = hanging.parent;
      line.set(at, way);
    }
    return line;
  }
}
