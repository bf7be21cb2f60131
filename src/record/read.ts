// Reads a recording from the front, to its end or to the last whole chunk of one that was cut off; every message is
// checked against the channel's schema before anybody sees it.

import { createReadStream } from 'node:fs';
import { crc32 } from 'node:zlib';
import type { McapTypes } from '@mcap/core';
import type * as z from 'zod';
import { openUserFile } from '../base/files.js';
import { type Image, type Observation, packageWhenNeeded, TendonError } from '../types/index.js';
import {
  CHANNELS,
  type ChannelName,
  cameraFrame,
  cameraTopic,
  type RecordedEvent,
  readNumbers,
  type SessionHeader,
  type SessionSummary,
  sessionHeader,
  sessionSummary,
  topicOf,
} from './events.js';

const mcap = packageWhenNeeded<typeof import('@mcap/core')>('@mcap/core');

const NAMES = new Map(
  Object.keys(CHANNELS).map((name) => [topicOf(name as ChannelName), name as ChannelName]),
);
const CAMERA = cameraTopic('');
const GAP = topicOf('gap');

/** An event and, with an observation, its cameras' frames. */
export type ReadEvent<Name extends ChannelName = ChannelName> = Extract<RecordedEvent, { channel: Name }> & {
  readonly images?: Readonly<Record<string, Image>>;
};

/** Iterate to the end before asking for `summary` and `whole`. */
export class Recording {
  /** Undefined where the recorder did not get to its end. */
  summary: SessionSummary | undefined;
  /** Whether the file ends as it should; if not, what follows the last whole chunk was left out. */
  whole = false;

  private constructor(
    readonly file: string,
    readonly header: SessionHeader,
    private readonly records: AsyncGenerator<McapTypes.TypedMcapRecord, boolean>,
  ) {}

  /** Throws `file_missing`, or `file_corrupt` when it is no recording of Tendon's. */
  static async open(file: string): Promise<Recording> {
    const records = recordsOf(file);
    for (;;) {
      const { value, done } = await records.next();
      if (done)
        throw new TendonError('file_corrupt', `${file}: not a recording that \`--record\` has begun`, {
          file,
        });
      if (value.type === 'Metadata' && value.name === 'tendon.session')
        return new Recording(file, checked(file, sessionHeader, signed(file, value)), records);
    }
  }

  async *events(): AsyncGenerator<ReadEvent> {
    const topics = new Map<number, string>();
    const images: Record<string, Image> = {};
    let next = 0;
    for (;;) {
      const { value, done } = await this.records.next();
      if (done) {
        this.whole = value;
        return;
      }
      if (value.type === 'Channel') topics.set(value.id, value.topic);
      else if (value.type === 'Metadata' && value.name === 'tendon.summary')
        this.summary = checked(this.file, sessionSummary, signed(this.file, value));
      if (value.type !== 'Message') continue;
      const topic = topics.get(value.channelId) ?? '';
      // A damaged chunk may look like a record to be left out; what follows a hole is not a prefix any more.
      if (value.sequence > next && topic !== GAP) return;
      next = value.sequence + 1;
      if (topic.startsWith(CAMERA)) {
        images[topic.slice(CAMERA.length)] = imageOf(checked(this.file, cameraFrame, value.data));
        continue;
      }
      const name = NAMES.get(topic);
      // Channels of a later version: nothing that this one could act on.
      if (name === undefined) continue;
      const event = { channel: name, body: checked(this.file, CHANNELS[name], value.data) } as RecordedEvent;
      yield event.channel === 'observation' ? { ...event, images: pick(images, event.body.images) } : event;
    }
  }
}

/** Duration and counts of a session; from its summary, or by counting where there is none. */
export async function summarise(recording: Recording): Promise<SessionSummary> {
  const found = { duration_s: 0, episodes: 0, successes: 0, takeovers: 0, interventions: 0 };
  let first_ns: number | undefined;
  for await (const { channel, body } of recording.events()) {
    if (channel === 'tick') {
      first_ns ??= body.now_ns;
      found.duration_s = (body.now_ns - first_ns) / 1e9;
    } else if (channel === 'episode') {
      found.episodes++;
      if (body.success) found.successes++;
    } else if (channel === 'state' && body.to === 'TELEOP') found.takeovers++;
    else if (channel === 'interventions')
      found.interventions = Object.values(body.counts).reduce((sum, n) => sum + n, 0);
  }
  return recording.summary ?? found;
}

/** What the controller was given. */
export function observationOf(event: ReadEvent<'observation'>): Observation {
  const { stamp_ns, values } = event.body;
  return {
    stamp_ns,
    values: Object.fromEntries(
      Object.entries(values).map(([key, v]) => [key, Float32Array.from(readNumbers(v))]),
    ),
    ...(event.body.images.length === 0 ? {} : { images: event.images ?? {} }),
  };
}

/** Records in order; returns whether the file ended with its footer. */
async function* recordsOf(file: string): AsyncGenerator<McapTypes.TypedMcapRecord, boolean> {
  const { fd } = openUserFile(file, 'recording');
  const reader = new (mcap().McapStreamReader)();
  try {
    for await (const piece of createReadStream(file, { fd, highWaterMark: 1 << 20 })) {
      reader.append(piece as Buffer);
      for (;;) {
        let record: McapTypes.TypedMcapRecord | undefined;
        try {
          record = reader.nextRecord();
        } catch {
          // A torn tail: what came before it is whole, by its checksums.
          return false;
        }
        if (record === undefined) break;
        yield record;
      }
    }
  } catch (cause) {
    throw new TendonError(
      'file_missing',
      `${file} cannot be read: ${(cause as Error).message}`,
      { file },
      { cause },
    );
  }
  return reader.done();
}

function checked<Schema extends z.ZodType>(
  file: string,
  schema: Schema,
  data: string | Uint8Array | undefined,
): z.infer<Schema> {
  try {
    return schema.parse(JSON.parse(typeof data === 'string' ? data : Buffer.from(data ?? []).toString()));
  } catch (cause) {
    const sentence = `${file}: a record is not what this version writes: ${(cause as Error).message}`;
    throw new TendonError('file_corrupt', sentence, { file }, { cause });
  }
}

/** Metadata has no checksum in MCAP, so ours brings its own. */
function signed(file: string, { name, metadata }: McapTypes.Metadata): string {
  const json = metadata.get('json') ?? '';
  if (metadata.get('crc32') === String(crc32(json))) return json;
  throw new TendonError('file_corrupt', `${file}: ${name} does not have its checksum: it was damaged`, {
    file,
  });
}

function imageOf({ width, height, encoding, data }: z.infer<typeof cameraFrame>): Image {
  return { width, height, channels: encoding === 'rgb8' ? 3 : 1, data: Buffer.from(data, 'base64') };
}

function pick(images: Readonly<Record<string, Image>>, keys: readonly string[]): Record<string, Image> {
  return Object.fromEntries(keys.flatMap((key) => (images[key] === undefined ? [] : [[key, images[key]]])));
}
