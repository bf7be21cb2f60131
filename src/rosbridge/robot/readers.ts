// Messages → the features they carry, checked: readers of arrays by name and of pictures. message-types.ts has the list.

import { type RobotStream, TendonError } from '../../types/index.js';
import { readImage } from '../codec/images.js';
import { readNumbers, readStrings } from '../codec/messages.js';
import { decodeCompressed } from './compressed.js';
import { checked, NONE, type Reader, type SlowReader } from './reader-parts.js';

export function namedReader(stream: RobotStream): Reader {
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

export function imageReader(stream: RobotStream): Reader {
  const [key, shape] = Object.entries(stream.images)[0] ?? ['', [0, 0, 0]];
  return (msg) => {
    const picture = named(stream, key, () => readImage(msg));
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

export function compressedReader(stream: RobotStream): SlowReader {
  const [key, size] = Object.entries(stream.images)[0] ?? ['', [0, 0, 1] as const];
  return async (msg) => {
    try {
      return { values: NONE, images: { [key]: await decodeCompressed(msg, size) } };
    } catch (caught) {
      throw withTopic(stream, key, caught);
    }
  };
}

/** The same fault, told with the topic and the camera it came from. */
function withTopic({ topic }: RobotStream, key: string, caught: unknown): unknown {
  if (!(caught instanceof TendonError)) return caught;
  return new TendonError(caught.code, `${topic}, ${key}: ${caught.message}`, {
    ...caught.fields,
    topic,
    key,
  });
}

function named<T>(stream: RobotStream, key: string, read: () => T): T {
  try {
    return read();
  } catch (caught) {
    throw withTopic(stream, key, caught);
  }
}
