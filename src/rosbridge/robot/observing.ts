// What is observed of a robot: its topics' messages, each with its time and what is not known of it, become Observations; and
// what is wrong with their flow is said.

import type { Clock, Observation, RobotFile } from '../../types/index.js';
import type { Channel } from '../client/channels.js';
import type { BridgeClient } from '../client/client.js';
import { SAID_ONCE } from '../client/subscriptions.js';
import type { Message } from '../codec/protocol.js';
import { headerTime } from '../codec/time.js';
import { FrameTree } from './frame-tree.js';
import { TF_TYPE } from './message-types.js';
import { Stream } from './streams.js';
import { Synchroniser } from './synchroniser.js';

/** Messages in a row with impossible stamps before the clock is doubted. */
const UNTIMELY = 3;

export class Observing {
  private readonly streams: readonly Stream[];
  private readonly frames: FrameTree;
  private readonly synchroniser: Synchroniser;
  private opened_ns = 0;

  private client: BridgeClient | undefined;

  /**
   * `heard` is called when something came that may change what is to be said of the robot. Throws `unsupported` for a type
   * that cannot be read.
   */
  constructor(
    private readonly file: RobotFile,
    private readonly clock: Pick<Clock, 'now_ns'>,
    private readonly heard: () => void,
  ) {
    this.frames = new FrameTree(file.frames.transforms);
    this.streams = file.observation.map(
      (stream) => new Stream(stream, file, () => this.decoded(), this.frames),
    );
    this.synchroniser = new Synchroniser(this.streams, file);
  }

  listen(client: BridgeClient): void {
    this.client = client;
    const { tf_static } = this.file.frames;
    if (tf_static !== undefined)
      client.subscribe(tf_static, TF_TYPE, (msg) => this.frames.hear(msg), { queue_length: SAID_ONCE });
    for (const stream of this.streams) this.subscribe(client, stream);
  }

  get latest(): Observation | undefined {
    return this.synchroniser.latest;
  }

  /** A connection opened: from now on silence is counted. */
  opened(): void {
    this.opened_ns = this.clock.now_ns();
  }

  /** These went down. What was told once on a connection that stands is still so. */
  forget(channels: readonly Channel[]): void {
    this.synchroniser.forget((stream) => channels.includes(channelOf(stream)));
    if (channels.includes('data')) this.frames.forget();
  }

  /** Of each topic. */
  counters(): Readonly<Record<string, Readonly<Stream['counters']>>> {
    return Object.fromEntries(this.streams.map(({ spec, counters }) => [spec.topic, { ...counters }]));
  }

  /** What is wrong with the flow of observations, for people; empty when nothing is. */
  silence(): string {
    const now_ns = this.clock.now_ns();
    const { no_data_ms } = this.file.deadlines;
    for (const stream of this.streams) {
      const { heard_ns, spec } = stream;
      // What is told once is not lost by silence; before that it is missing.
      if (spec.latched && heard_ns !== undefined) continue;
      const silent_ms = (now_ns - (heard_ns ?? this.opened_ns)) / 1e6;
      if (silent_ms > no_data_ms) return stream.trouble(this.whoseClock(), no_data_ms);
    }
    return '';
  }

  private subscribe(client: BridgeClient, stream: Stream): void {
    const { spec } = stream;
    const channel = channelOf(stream);
    client.subscribe(
      spec.topic,
      spec.type,
      (whole, arrived_ns) => {
        const msg = stream.pick(whole);
        if (msg === undefined) return;
        if (this.take(client, stream, channel, msg, arrived_ns)) this.synchroniser.update();
        this.heard();
      },
      {
        throttle_rate: spec.throttle_rate_ms,
        queue_length: spec.queue_length,
        compression: spec.compression,
        channel,
        ...(spec.latched ? {} : { no_data_ms: this.file.deadlines.no_data_ms }),
        qos: spec.qos === undefined ? undefined : { ...spec.qos },
      },
    );
  }

  /** A picture made a sample, or was refused. */
  private decoded(): void {
    this.synchroniser.update();
    this.heard();
  }

  /** A message with its time and what is not known of it; true when it made a sample. */
  private take(
    client: BridgeClient,
    stream: Stream,
    channel: Channel,
    msg: Message,
    arrived_ns: number,
  ): boolean {
    const { spec } = stream;
    const line_ns = client.line_ns(channel);
    if (!stream.stamped) return stream.add(msg, arrived_ns, arrived_ns, line_ns);
    const time = headerTime(msg);
    if (time === undefined)
      return spec.latched ? stream.add(msg, arrived_ns, arrived_ns) : stream.addUnstamped();
    const stamp_ns = client.clock.toLocal(time, arrived_ns, line_ns);
    const taken = stream.add(msg, stamp_ns, arrived_ns, client.clock.uncertainty(arrived_ns));
    if (stream.untimely === 0) client.trustClock();
    else if (stream.untimely >= UNTIMELY) client.doubtClock(line_ns < (spec.freshness_ms * 1e6) / 2);
    return taken;
  }

  /** By which clock stamps are judged, for people. */
  private whoseClock(): string {
    return this.client?.clock.source === 'rosapi'
      ? "by the clock of the bridge's machine (/rosapi/get_time)"
      : 'by the quickest message so far (the bridge has no rosapi to ask for its time)';
  }
}

const channelOf = ({ spec }: Stream): Channel => (Object.keys(spec.images).length > 0 ? 'images' : 'data');
