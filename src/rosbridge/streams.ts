// Observation topics → one Observation. A stream turns messages of one topic into samples with a local stamp; the
// synchroniser joins the newest sample of the first stream with what the others had at that time.

import {
  type Image,
  type Nanoseconds,
  NS_PER_MS,
  type Observation,
  type RobotFile,
  type RobotStream,
  TendonError,
} from '../types/index.js';
import { decodeCompressed, NewestFirst } from './compressed.js';
import type { Message } from './hub.js';
import { AXES, axisOf, readImage, readNumbers, readStrings } from './messages.js';
import { canonicalType } from './protocol.js';

interface Sample {
  readonly stamp_ns: Nanoseconds;
  readonly values: Readonly<Record<string, Float32Array>>;
  readonly images: Readonly<Record<string, Image>>;
}
type Parts = Pick<Sample, 'values' | 'images'>;
type Reader = (msg: Message) => Parts;
/** Of what is decoded on another thread. */
type SlowReader = (msg: Message) => Promise<Parts>;

const HISTORY = 16;
const NONE = Object.freeze({});

/** float32 of the expected length, all finite; otherwise `input_invalid`. */
function checked(
  stream: RobotStream,
  key: string,
  values: ArrayLike<number>,
  expected: number,
): Float32Array {
  if (values.length !== expected) {
    throw new TendonError(
      'input_invalid',
      `${stream.topic}: expected ${expected} values for ${key} (from the robot file), got ${values.length}. Check observation in the file, or the robot.`,
      { topic: stream.topic, key, expected, got: values.length },
    );
  }
  const out = Float32Array.from(values);
  const bad = out.findIndex((value) => !Number.isFinite(value));
  if (bad >= 0) {
    throw new TendonError(
      'input_invalid',
      `${stream.topic}: ${key}[${bad}] is ${values[bad]}, not a number to act on.`,
      {
        topic: stream.topic,
        key,
        index: bad,
      },
    );
  }
  return out;
}

function jointReader(stream: RobotStream, joint_names: readonly string[]): Reader {
  let known: readonly string[] | undefined;
  let order: readonly number[] = [];
  return (msg) => {
    const names = readStrings(msg.name, `${stream.topic}.name`);
    if (
      known === undefined ||
      names.length !== known.length ||
      names.some((name, i) => name !== known?.[i])
    ) {
      order = joint_names.map((name) => {
        const index = names.indexOf(name);
        if (index >= 0) return index;
        throw new TendonError(
          'input_invalid',
          `${stream.topic}: joint ${name} (from joint_names) is not among ${names.join(', ')}.`,
          { topic: stream.topic, joint: name },
        );
      });
      known = names;
    }
    const values: Record<string, Float32Array> = {};
    for (const [key, { length, field }] of Object.entries(stream.features)) {
      const all = readNumbers(msg[field], `${stream.topic}.${field}`);
      values[key] = checked(
        stream,
        key,
        Float64Array.from(order, (index) => all[index] ?? Number.NaN),
        length,
      );
    }
    return { values, images: NONE };
  };
}

/** One array in order, cut into the features as the file lists them. */
function arrayReader(stream: RobotStream, numbers: (msg: Message) => Float64Array): Reader {
  const features = Object.entries(stream.features);
  const total = features.reduce((sum, [, { length }]) => sum + length, 0);
  return (msg) => {
    const data = numbers(msg);
    if (data.length !== total) checked(stream, features.map(([key]) => key).join(' + '), data, total);
    let at = 0;
    const values: Record<string, Float32Array> = {};
    for (const [key, { length }] of features) {
      values[key] = checked(stream, key, data.subarray(at, at + length), length);
      at += length;
    }
    return { values, images: NONE };
  };
}

function namedReader(stream: RobotStream): Reader {
  return (msg) => {
    const names = readStrings(msg.name, `${stream.topic}.name`);
    const lengths = readNumbers(msg.length, `${stream.topic}.length`);
    const data = readNumbers(msg.data, `${stream.topic}.data`);
    const values: Record<string, Float32Array> = {};
    let at = 0;
    names.forEach((name, i) => {
      const length = lengths[i] ?? 0;
      const feature = stream.features[name];
      if (feature !== undefined)
        values[name] = checked(stream, name, data.subarray(at, at + length), feature.length);
      at += length;
    });
    for (const [key, { length }] of Object.entries(stream.features)) {
      if (values[key] === undefined) checked(stream, key, [], length);
    }
    return { values, images: NONE };
  };
}

function imageReader(stream: RobotStream): Reader {
  const [key, shape] = Object.entries(stream.images)[0] ?? ['', [0, 0, 0]];
  return (msg) => {
    const picture = readImage(msg);
    const got = [picture.height, picture.width, picture.channels];
    if (got.some((size, i) => size !== shape[i])) {
      throw new TendonError(
        'input_invalid',
        `${stream.topic}: expected ${key} to be ${shape.join('×')} (from the robot file), got ${got.join('×')}.`,
        { topic: stream.topic, key },
      );
    }
    return { values: NONE, images: { [key]: picture } };
  };
}

function compressedReader(stream: RobotStream): SlowReader {
  const [key, size] = Object.entries(stream.images)[0] ?? ['', [0, 0, 1] as const];
  return async (msg) => {
    try {
      return { values: NONE, images: { [key]: await decodeCompressed(msg, size) } };
    } catch (caught) {
      if (!(caught instanceof TendonError)) throw caught;
      throw new TendonError(caught.code, `${stream.topic}, ${key}: ${caught.message}`, {
        ...caught.fields,
        key,
      });
    }
  };
}

const axes = (value: unknown, names: readonly string[], what: string) =>
  names.map((name) => {
    const part = typeof value === 'object' && value !== null ? Reflect.get(value, name) : undefined;
    return readNumbers([part], `${what}.${name}`)[0] as number;
  });

/** The numbers of a twist that the topic's joints (or joint_names) name, in their order. */
function twistReader(stream: RobotStream, file: RobotFile): (twist: unknown) => Float64Array {
  const places = (stream.joints ?? file.joint_names).map((name) => {
    const axis = axisOf(name);
    if (axis >= 0) return axis;
    throw new TendonError(
      'config_invalid',
      `${stream.topic}: ${name} is no axis of a ${stream.type}; give this topic joints among ${AXES.join(', ')}.`,
      { topic: stream.topic, name },
    );
  });
  return (twist) => {
    const { linear, angular } = (twist ?? {}) as Message;
    const six = [
      ...axes(linear, ['x', 'y', 'z'], `${stream.topic}.linear`),
      ...axes(angular, ['x', 'y', 'z'], `${stream.topic}.angular`),
    ];
    return Float64Array.from(places, (place) => six[place]!);
  };
}

const pose = (stream: RobotStream, value: unknown): number[] => {
  const { position, orientation } = (value ?? {}) as Message;
  return [
    ...axes(position, ['x', 'y', 'z'], `${stream.topic}.pose.position`),
    ...axes(orientation, ['x', 'y', 'z', 'w'], `${stream.topic}.pose.orientation`),
  ];
};

/** The length of x, y and yaw; a feature of any other length is the whole pose. */
const PLANAR = 3;

/** nav_msgs/Odometry: `field: position` is the pose, whole (7) or planar (x y yaw), `velocity` the twist. */
function odometryReader(stream: RobotStream, file: RobotFile): Reader {
  const moving = Object.values(stream.features).some(({ field }) => field === 'velocity');
  const readTwist = moving ? twistReader(stream, file) : undefined;
  return (msg) => {
    const values: Record<string, Float32Array> = {};
    for (const [key, { length, field }] of Object.entries(stream.features)) {
      if (field === 'velocity')
        values[key] = checked(stream, key, readTwist!((msg.twist as Message | undefined)?.twist), length);
      else {
        const whole = pose(stream, (msg.pose as Message | undefined)?.pose);
        const [x = 0, y = 0, , qx = 0, qy = 0, qz = 0, qw = 0] = whole;
        const yaw = Math.atan2(2 * (qw * qz + qx * qy), 1 - 2 * (qy * qy + qz * qz));
        values[key] = checked(stream, key, length === PLANAR ? [x, y, yaw] : whole, length);
      }
    }
    return { values, images: NONE };
  };
}

/** How each message type is read; the key is the canonical type. */
const READERS: Readonly<Record<string, (stream: RobotStream, file: RobotFile) => Reader>> = {
  'sensor_msgs/JointState': (stream, file) => jointReader(stream, stream.joints ?? file.joint_names),
  'std_msgs/Float64MultiArray': (stream) =>
    arrayReader(stream, (msg) => readNumbers(msg.data, `${stream.topic}.data`)),
  'std_msgs/Float32MultiArray': (stream) =>
    arrayReader(stream, (msg) => readNumbers(msg.data, `${stream.topic}.data`)),
  'geometry_msgs/PoseStamped': (stream) =>
    arrayReader(stream, (msg) => Float64Array.from(pose(stream, msg.pose))),
  'geometry_msgs/Twist': (stream, file) => arrayReader(stream, twistReader(stream, file)),
  'geometry_msgs/TwistStamped': (stream, file) => {
    const read = twistReader(stream, file);
    return arrayReader(stream, (msg) => read(msg.twist));
  },
  'nav_msgs/Odometry': odometryReader,
  'tendon_msgs/Observation': namedReader,
  'sensor_msgs/Image': imageReader,
};
const SLOW_READERS: Readonly<Record<string, (stream: RobotStream) => SlowReader>> = {
  'sensor_msgs/CompressedImage': compressedReader,
};

interface Frame {
  readonly msg: Message;
  readonly stamp_ns: Nanoseconds;
  readonly arrived_ns: Nanoseconds;
}

/** One topic's samples, newest last. */
export class Stream {
  heard_ns: Nanoseconds | undefined;
  /** Why the newest message was refused; empty when it was not. */
  refused = '';
  /** `dropped`: frames that came while an older one was being decoded, and were overtaken by a newer one. */
  readonly counters = { samples: 0, refused: 0, stale: 0, out_of_order: 0, dropped: 0 };
  private readonly samples: Sample[] = [];
  private readonly read: Reader | undefined;
  private readonly frames: NewestFirst<Frame> | undefined;
  /** Counts what `forget` was called for: what was being decoded then belongs to the past. */
  private era = 0;

  /** `changed` is called when a picture that was decoded on another thread made a sample or was refused. */
  constructor(
    readonly spec: RobotStream,
    file: RobotFile,
    private readonly changed: () => void = () => {},
  ) {
    const type = canonicalType(spec.type);
    this.read = READERS[type]?.(spec, file);
    const slow = SLOW_READERS[type]?.(spec);
    if (slow !== undefined)
      this.frames = new NewestFirst(
        (frame) => this.decode(frame, slow),
        () => ++this.counters.dropped,
      );
    if (this.read === undefined && slow === undefined) {
      const known = [...Object.keys(READERS), ...Object.keys(SLOW_READERS)].join(', ');
      throw new TendonError(
        'unsupported',
        `${spec.topic}: messages of type ${spec.type} cannot be read as observations; choose from ${known}.`,
        { topic: spec.topic, type: spec.type },
      );
    }
  }

  get newest(): Sample | undefined {
    return this.samples.at(-1);
  }

  forget(): void {
    ++this.era;
    this.frames?.forget();
    this.samples.length = 0;
    this.heard_ns = undefined;
    this.refused = '';
  }

  /** Takes a message valid at `stamp_ns`; true when there is a newer sample than before. */
  add(msg: Message, stamp_ns: Nanoseconds, arrived_ns: Nanoseconds): boolean {
    const age_ms = (arrived_ns - stamp_ns) / NS_PER_MS;
    if (age_ms > this.spec.freshness_ms) {
      ++this.counters.stale;
      return false;
    }
    if (-age_ms > this.spec.freshness_ms) {
      return this.refuse(
        `${this.spec.topic}: a stamp ${(-age_ms).toFixed()} ms in the future; did a clock jump?`,
      );
    }
    if (this.isOld(stamp_ns)) return false;
    const frame = { msg, stamp_ns, arrived_ns };
    if (this.read === undefined) {
      this.frames?.take(frame);
      return false;
    }
    let parts: Parts;
    try {
      parts = this.read(msg);
    } catch (caught) {
      return this.refuse(caught instanceof Error ? caught.message : String(caught));
    }
    return this.keep(frame, parts);
  }

  private async decode(frame: Frame, read: SlowReader): Promise<void> {
    const { era } = this;
    const outcome = await read(frame.msg).catch((caught: Error) => caught);
    if (era !== this.era) return;
    if (outcome instanceof Error) this.refuse(outcome.message);
    else if (!this.isOld(frame.stamp_ns)) this.keep(frame, outcome);
    this.changed();
  }

  private isOld(stamp_ns: Nanoseconds): boolean {
    const old = stamp_ns <= (this.newest?.stamp_ns ?? Number.NEGATIVE_INFINITY);
    if (old) ++this.counters.out_of_order;
    return old;
  }

  private keep({ stamp_ns, arrived_ns }: Frame, parts: Parts): true {
    this.samples.push({ stamp_ns: Math.min(stamp_ns, arrived_ns), ...parts });
    if (this.samples.length > HISTORY) this.samples.shift();
    ++this.counters.samples;
    this.refused = '';
    this.heard_ns = arrived_ns;
    return true;
  }

  private refuse(why: string): false {
    ++this.counters.refused;
    this.refused = why;
    return false;
  }

  /** The sample that belongs to `at_ns`: the latest before it, or the nearest within max_skew_ms. */
  at(at_ns: Nanoseconds): Sample | undefined {
    const { max_skew_ms, freshness_ms } = this.spec;
    let best: Sample | undefined;
    for (const sample of this.samples) {
      const distance = Math.abs(at_ns - sample.stamp_ns);
      if (max_skew_ms === undefined) {
        if (sample.stamp_ns <= at_ns && distance <= freshness_ms * NS_PER_MS) best = sample;
      } else if (distance <= max_skew_ms * NS_PER_MS) {
        if (best === undefined || distance <= Math.abs(at_ns - best.stamp_ns)) best = sample;
      }
    }
    return best;
  }
}

/** Joins streams; the first sets the time. */
export class Synchroniser {
  latest: Observation | undefined;
  private parts: readonly (Sample | undefined)[] = [];

  constructor(
    private readonly streams: readonly Stream[],
    private readonly file: Pick<RobotFile, 'join' | 'units'> = { join: {} },
  ) {}

  forget(): void {
    this.latest = undefined;
    this.parts = [];
    for (const stream of this.streams) stream.forget();
  }

  /** Looks for a newer or fuller observation after a sample came; true when there is one. */
  update(): boolean {
    const at_ns = this.streams[0]?.newest?.stamp_ns;
    if (at_ns === undefined) return false;
    const parts = this.streams.map((stream) => stream.at(at_ns));
    if (parts.includes(undefined) || parts.every((part, i) => part === this.parts[i])) return false;
    this.parts = parts;
    const values: Record<string, Float32Array> = {};
    const images: Record<string, Image> = {};
    for (const part of parts) {
      Object.assign(values, part?.values);
      Object.assign(images, part?.images);
    }
    this.finish(values);
    const pictures = Object.keys(images).length > 0;
    this.latest = pictures ? { stamp_ns: at_ns, values, images } : { stamp_ns: at_ns, values };
    return true;
  }

  /** Adds what is made of several topics, and turns what the policy counts otherwise into its units. */
  private finish(values: Record<string, Float32Array>): void {
    const { join, units } = this.file;
    for (const [key, parts] of Object.entries(join))
      values[key] = Float32Array.from(parts.flatMap((one) => [...(values[one] ?? [])]));
    for (const key of units?.features ?? [])
      values[key] = values[key]!.map((value, i) => (value - units!.offset[i]!) / units!.scale[i]!);
  }
}
