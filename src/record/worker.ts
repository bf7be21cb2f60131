// The recorder's thread: takes batches of what happened, writes each as one MCAP chunk and waits for the disk, which may
// take as long as it likes without the control loop noticing.

import { parentPort, workerData } from 'node:worker_threads';
import * as z from 'zod';
import { COMMAND_FATES, type Image } from '../types/index.js';
import { CHANNELS, type ChannelName, cameraFrame, cameraTopic, topicOf, writeNumbers } from './events.js';
import { McapFile } from './mcap-file.js';

export interface WorkerData {
  readonly file: string;
  readonly header: string;
  readonly epoch_ns: bigint;
  readonly action_dim: number;
}

/** `order` is the event's place among all; typed arrays in `body` are written as numbers. */
export interface PostedEvent {
  readonly order: number;
  readonly now_ns: number;
  readonly stamp_ns?: number;
  readonly channel: ChannelName | { readonly camera: string };
  readonly body: object;
}

export type ToWorker =
  | {
      readonly kind: 'batch';
      /** Rows of TICK columns and action_dim values. */
      readonly ticks: Float64Array;
      readonly events: readonly PostedEvent[];
    }
  | { readonly kind: 'close'; readonly summary: string };

export type FromWorker =
  | { readonly kind: 'opened' | 'written' | 'closed' }
  | { kind: 'failed'; cause: string };

/** Columns of a tick's row; the command's values follow. */
export const TICK = { order: 0, now_ns: 1, late_ns: 2, observation: 3, fate: 4, expires_ns: 5 } as const;
export const TICK_COLUMNS = 6;

class Writer {
  private readonly channels = new Map<string, number>();
  private readonly mcap: McapFile;

  constructor(private readonly data: WorkerData) {
    this.mcap = new McapFile(data.file);
    this.mcap.metadata('tendon.session', data.header);
    for (const [name, schema] of Object.entries(CHANNELS))
      this.open(topicOf(name as ChannelName), `tendon.${name}`, z.toJSONSchema(schema));
  }

  batch(ticks: Float64Array, events: readonly PostedEvent[]): void {
    const width = TICK_COLUMNS + this.data.action_dim;
    let next = 0;
    for (let row = 0; row < ticks.length; row += width) {
      const order = ticks[row + TICK.order]!;
      // An observation comes before the tick that first saw it, everything else where it happened.
      while (next < events.length && events[next]!.order < order) this.event(events[next++]!);
      this.tick(ticks.subarray(row, row + width));
    }
    while (next < events.length) this.event(events[next++]!);
    this.mcap.flush();
  }

  close(summary: string): void {
    this.mcap.flush();
    this.mcap.metadata('tendon.summary', summary);
    this.mcap.close();
  }

  private tick(row: Float64Array): void {
    const now_ns = row[TICK.now_ns]!;
    const order = row[TICK.order]!;
    const fate = COMMAND_FATES[row[TICK.fate]!]!;
    const observation = row[TICK.observation]!;
    this.write(topicOf('tick'), order, now_ns, now_ns, { now_ns, late_ns: row[TICK.late_ns]!, observation });
    if (fate === 'none') return;
    const values = writeNumbers(row.subarray(TICK_COLUMNS));
    const body = { stamp_ns: now_ns, expires_ns: row[TICK.expires_ns]!, fate, values };
    this.write(topicOf('command'), order, now_ns, now_ns, body);
  }

  private event({ channel, order, now_ns, stamp_ns = now_ns, body }: PostedEvent): void {
    if (typeof channel === 'string') {
      this.write(topicOf(channel), order, now_ns, stamp_ns, plain(body) as object);
      return;
    }
    const topic = cameraTopic(channel.camera);
    if (!this.channels.has(topic)) this.open(topic, 'foxglove.RawImage', z.toJSONSchema(cameraFrame));
    this.write(topic, order, now_ns, stamp_ns, this.frame(channel.camera, body as Image, stamp_ns));
  }

  private frame(key: string, image: Image, stamp_ns: number): z.infer<typeof cameraFrame> {
    const at = this.wall(stamp_ns);
    return {
      timestamp: { sec: Number(at / 1_000_000_000n), nsec: Number(at % 1_000_000_000n) },
      frame_id: key,
      width: image.width,
      height: image.height,
      encoding: image.channels === 3 ? 'rgb8' : 'mono8',
      step: image.width * image.channels,
      data: Buffer.from(image.data).toString('base64'),
    };
  }

  private open(topic: string, name: string, schema: object): void {
    this.channels.set(topic, this.mcap.channel(topic, name, schema));
  }

  private write(topic: string, order: number, now_ns: number, stamp_ns: number, body: object): void {
    this.mcap.message(this.channels.get(topic)!, order, this.wall(now_ns), this.wall(stamp_ns), body);
  }

  private wall(ns: number): bigint {
    return this.data.epoch_ns + BigInt(Math.round(ns));
  }
}

/** As JSON takes it. */
function plain(value: unknown): unknown {
  if (value instanceof Float32Array || value instanceof Float64Array) return writeNumbers(value);
  if (value === null || typeof value !== 'object' || Array.isArray(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, plain(inner)]));
}

function serve(port: NonNullable<typeof parentPort>): void {
  const say = (message: FromWorker): void => port.postMessage(message);
  const guard = (work: () => void): void => {
    try {
      work();
    } catch (caught) {
      say({ kind: 'failed', cause: (caught as Error).message });
      port.close();
    }
  };
  guard(() => {
    const writer = new Writer(workerData as WorkerData);
    say({ kind: 'opened' });
    port.on('message', (message: ToWorker) =>
      guard(() => {
        if (message.kind === 'batch') {
          writer.batch(message.ticks, message.events);
          say({ kind: 'written' });
          return;
        }
        writer.close(message.summary);
        say({ kind: 'closed' });
        port.close();
      }),
    );
  });
}

if (parentPort !== null) serve(parentPort);
