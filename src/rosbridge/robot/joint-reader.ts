// sensor_msgs/JointState → features, by name. Several drivers may publish on one topic, each its own joints: messages
// without any of ours are somebody else's, and those that together hold ours are merged, each joint with its own age.
// The messages that hold the most of them set the pace: each of those makes a sample, the others only fill it up.

import { type Nanoseconds, NS_PER_MS, type RobotStream, TendonError } from '../../types/index.js';
import { readNumbers, readStrings } from '../codec/messages.js';
import type { Message } from '../codec/protocol.js';
import { cutList, NONE, type Parts, type Reader, type Withheld } from './reader-parts.js';

/** Lists of names that are remembered, so that a message of a known one costs no search. */
const MOST_LAYOUTS = 16;

/** Messages of one driver: what they call their joints, and where ours are among them. */
interface Layout {
  readonly names: readonly string[];
  /** By joint of ours its place in the message, or -1. */
  readonly places: readonly number[];
  readonly held: number;
  newest_ns: Nanoseconds;
}

class JointMerger {
  private readonly layouts: Layout[] = [];
  private pace: Layout | undefined;
  private readonly stamps: Float64Array;
  /** By field the newest value of each joint. */
  private readonly values: ReadonlyMap<string, Float64Array>;

  constructor(
    private readonly stream: RobotStream,
    private readonly joints: readonly string[],
  ) {
    this.stamps = new Float64Array(joints.length).fill(Number.NEGATIVE_INFINITY);
    const fields = new Set(Object.values(stream.features).map(({ field }) => field));
    this.values = new Map([...fields].map((field) => [field, new Float64Array(joints.length)]));
  }

  read(msg: Message, stamp_ns: Nanoseconds): Parts | Withheld {
    const { stream, joints, stamps } = this;
    const layout = this.layoutOf(readStrings(msg.name, `${stream.topic}.name`));
    layout.newest_ns = Math.max(layout.newest_ns, stamp_ns);
    if (layout.held === 0) return { withheld: 'foreign', why: () => this.lacking(stamp_ns, layout) };
    this.take(msg, layout, stamp_ns);
    const { pace } = this;
    const silent = pace !== undefined && stamp_ns - pace.newest_ns > stream.freshness_ms * NS_PER_MS;
    if (pace === undefined || silent || layout.held > pace.held) this.pace = layout;
    const whole = joints.every((_, i) => stamp_ns - stamps[i]! <= stream.freshness_ms * NS_PER_MS);
    if (layout !== this.pace || !whole)
      return { withheld: 'partial', why: () => this.lacking(stamp_ns, layout) };
    const values: Record<string, Float32Array> = {};
    for (const [key, { field }] of Object.entries(stream.features))
      values[key] = Float32Array.from(this.values.get(field)!);
    return { values, images: NONE };
  }

  /** All of a message or, where a number is missing, none of it. */
  private take(msg: Message, layout: Layout, stamp_ns: Nanoseconds): void {
    const { stream, joints, stamps } = this;
    const all = [...this.values.keys()].map((field) => {
      const numbers = readNumbers(msg[field], `${stream.topic}.${field}`);
      const [key] = Object.entries(stream.features).find(([, one]) => one.field === field)!;
      layout.places.forEach((place, i) => {
        const value = place < 0 ? 0 : (numbers[place] ?? Number.NaN);
        if (!Number.isFinite(value))
          throw new TendonError(
            'input_invalid',
            `${stream.topic}: ${key}[${i}] is ${value}, not a number to act on: ${field} of joint ${joints[i]}, in a message with ${numbers.length} of ${layout.names.length}.`,
            { topic: stream.topic, joint: joints[i] },
          );
      });
      return [field, numbers] as const;
    });
    layout.places.forEach((place, i) => {
      if (place < 0 || stamp_ns <= stamps[i]!) return;
      stamps[i] = stamp_ns;
      for (const [field, numbers] of all) this.values.get(field)![i] = numbers[place]!;
    });
  }

  private layoutOf(names: readonly string[]): Layout {
    const known = this.layouts.find(
      (one) => one.names.length === names.length && one.names.every((name, i) => name === names[i]),
    );
    if (known !== undefined) return known;
    const places = this.joints.map((joint) => names.indexOf(joint));
    const held = places.filter((place) => place >= 0).length;
    const layout = { names, places, held, newest_ns: Number.NEGATIVE_INFINITY };
    this.layouts.push(layout);
    if (this.layouts.length > MOST_LAYOUTS)
      this.layouts.splice(
        this.layouts.findIndex((one) => one !== this.pace && one !== layout),
        1,
      );
    return layout;
  }

  /** Which joints are missing, and which names came since they were told. */
  private lacking(now_ns: Nanoseconds, newest: Layout): string {
    const { stream, joints, stamps, layouts } = this;
    const old = joints.filter((_, i) => !(now_ns - stamps[i]! <= stream.freshness_ms * NS_PER_MS));
    const missing = old.length > 0 ? old : joints.filter((joint) => !newest.names.includes(joint));
    const since_ns = Math.max(...missing.map((joint) => stamps[joints.indexOf(joint)]!));
    const heard = new Set(
      layouts.filter(({ newest_ns }) => newest_ns > since_ns).flatMap(({ names }) => names),
    );
    return `${stream.topic}: joint ${cutList(missing)} (from the robot file) is not among ${cutList([...heard])}`;
  }
}

export function jointReader(stream: RobotStream, joints: readonly string[]): Reader {
  for (const [key, { length }] of Object.entries(stream.features))
    if (length !== joints.length)
      throw new TendonError(
        'config_invalid',
        `${stream.topic}: expected ${key} to have the length of its ${joints.length} joints (${cutList(joints)}), got ${length}.`,
        { topic: stream.topic, key },
      );
  const merger = new JointMerger(stream, joints);
  return (msg, stamp_ns) => merger.read(msg, stamp_ns);
}
