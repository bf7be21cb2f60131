// What the readers of messages share: what a message yields, and the check that its numbers are those the robot file names.

import { type Image, type Nanoseconds, type RobotStream, TendonError } from '../../types/index.js';
import { readNumbers } from '../codec/messages.js';
import type { Message } from '../codec/protocol.js';

export interface Parts {
  readonly values: Readonly<Record<string, Float32Array>>;
  readonly images: Readonly<Record<string, Image>>;
}
/** A message that is right and makes no sample: it holds nothing of ours, or not yet all of it. `why` is for people. */
export interface Withheld {
  readonly withheld: 'foreign' | 'partial';
  why(): string;
}
/** `stamp_ns`: when the message was valid, local time. Throws `input_invalid` for one that is wrong. */
export type Reader = (msg: Message, stamp_ns: Nanoseconds) => Parts | Withheld;
/** Of what is decoded on another thread. */
export type SlowReader = (msg: Message) => Promise<Parts>;

export const NONE = Object.freeze({});

/** Names that a message may list; a robot's joints and frames fit, a list of 80 KB does not. */
const MOST_NAMES = 24;
const LONGEST_NAME = 60;

/** Names for a sentence, cut where there are more than a person would read. */
export function cutList(names: readonly string[]): string {
  const shown = names.slice(0, MOST_NAMES).map((name) => name.slice(0, LONGEST_NAME));
  const more = names.length - shown.length;
  return `${shown.join(', ') || 'none'}${more > 0 ? ` and ${more} more` : ''}`;
}

/** float32 of the expected length, all finite; otherwise `input_invalid`. */
export function checked(
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

/** One array in order, cut into the features as the file lists them. */
export function arrayReader(stream: RobotStream, numbers: (msg: Message) => Float64Array): Reader {
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

/** Named numbers of a vector. */
export const axes = (value: unknown, names: readonly string[], what: string) =>
  names.map((name) => {
    const part = typeof value === 'object' && value !== null ? Reflect.get(value, name) : undefined;
    return readNumbers([part], `${what}.${name}`)[0] as number;
  });
