// Messages of one observation topic → samples with a local stamp, checked, in order, and kept for as long as another topic
// may need them (synchroniser.ts).

import {
  type Nanoseconds,
  NS_PER_MS,
  type RobotFile,
  type RobotStream,
  TendonError,
} from '../../types/index.js';
import { canonicalType, type Message } from '../codec/protocol.js';
import { NewestFirst } from './compressed.js';
import { FrameTree } from './frame-tree.js';
import { MESSAGE_TYPES, typesWith } from './message-types.js';
import { transformOf } from './motion-readers.js';
import type { Parts, Reader, SlowReader, Withheld } from './reader-parts.js';

export interface Sample extends Parts {
  readonly stamp_ns: Nanoseconds;
}

/** What is kept of a topic for one that comes later: as long as a slow camera takes, and of pictures a few. */
const HISTORY_NS = 1e9;
const MOST_SAMPLES = 1024;
const MOST_PICTURES = 16;

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
  /**
   * `dropped`: frames that came while an older one was being decoded, and were overtaken by a newer one. `foreign`: held
   * nothing of ours. `partial`: held a part of it, which a later one completes. `unstamped`: refused for want of a stamp.
   */
  readonly counters = {
    samples: 0,
    refused: 0,
    stale: 0,
    out_of_order: 0,
    dropped: 0,
    foreign: 0,
    partial: 0,
    unstamped: 0,
  };
  /** Messages in a row whose stamps could not be true, or not be known to be. */
  untimely = 0;
  private lacking: (() => string) | undefined;
  /** By how much the newest message was too old, in ms, with what is not known of it; 0 when it was not. */
  private stale_ms = 0;
  private readonly samples: Sample[] = [];
  private readonly read: Reader | undefined;
  /** Whether a message holds other transforms than this stream's. */
  private readonly among: boolean;
  /** Whether messages of several drivers are merged, whose stamps are in no order. */
  private readonly merged: boolean;
  /** Whether its messages say when they were valid; of others their arrival counts. */
  readonly stamped: boolean;
  private readonly frames: NewestFirst<Frame> | undefined;
  /** Counts what `forget` was called for: what was being decoded then belongs to the past. */
  private era = 0;

  /** `changed` is called when a picture that was decoded on another thread made a sample or was refused. */
  constructor(
    readonly spec: RobotStream,
    file: RobotFile,
    private readonly changed: () => void = () => {},
    frames = new FrameTree(file.frames.transforms),
  ) {
    const row = MESSAGE_TYPES[canonicalType(spec.type)] ?? {};
    this.read = row.read?.(spec, file, frames);
    this.among = row.among === true;
    this.merged = row.merged === true;
    this.stamped = row.unstamped !== true && spec.stamps === 'header';
    const slow = row.readSlowly?.(spec);
    if (slow !== undefined)
      this.frames = new NewestFirst(
        (frame) => this.decode(frame, slow),
        () => ++this.counters.dropped,
      );
    if (this.read === undefined && slow === undefined) {
      throw new TendonError(
        'unsupported',
        `${spec.topic}: messages of type ${spec.type} cannot be read as observations; choose from ${typesWith('read', 'readSlowly')}.`,
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
    this.stale_ms = 0;
    this.untimely = 0;
    this.lacking = undefined;
  }

  /** Why nothing of this topic can be used now, for people; `whose` says by which clock it is judged. */
  trouble(whose: string, silent_ms: number): string {
    const { spec, stale_ms, lacking, refused } = this;
    if (refused !== '') return refused;
    if (stale_ms > 0)
      return `${spec.topic}: its messages are stale by ${(stale_ms / 1e3).toFixed(2)} s beyond freshness_ms, ${whose}. Is the clock of whoever stamps them set? With stamps: arrival in the robot file their arrival counts instead`;
    if (lacking !== undefined) return lacking();
    return `no data on ${spec.topic} for ${silent_ms} ms`;
  }

  /** What of a message this stream reads; undefined where that is nothing. */
  pick(msg: Message): Message | undefined {
    return this.among ? transformOf(this.spec, msg) : msg;
  }

  /**
   * Takes a message valid at `stamp_ns`, which may be off by `uncertain_ns`; true when there is a newer sample than
   * before. What may be older than freshness_ms counts as older: what cannot be known to be fresh is not.
   */
  add(msg: Message, stamp_ns: Nanoseconds, arrived_ns: Nanoseconds, uncertain_ns = 0): boolean {
    if (!this.spec.latched && !this.isTimely(arrived_ns - stamp_ns, uncertain_ns)) return false;
    if (!this.merged && this.isOld(stamp_ns)) return false;
    const frame = { msg, stamp_ns, arrived_ns };
    if (this.read === undefined) {
      this.frames?.take(frame);
      return false;
    }
    let parts: Parts | Withheld;
    try {
      parts = this.read(msg, stamp_ns);
    } catch (caught) {
      return this.refuse(caught instanceof Error ? caught.message : String(caught));
    }
    if ('withheld' in parts) {
      ++this.counters[parts.withheld];
      this.lacking = () => parts.why();
      return false;
    }
    if (this.merged && this.isOld(stamp_ns)) return false;
    return this.keep(frame, parts);
  }

  /** A message that says no time, of a type that should. */
  addUnstamped(): false {
    ++this.counters.unstamped;
    return this.refuse(
      `${this.spec.topic}: a message without a time in header.stamp, so its age cannot be known. Stamp it, or say stamps: arrival for this topic in the robot file`,
    );
  }

  private isTimely(age_ns: Nanoseconds, uncertain_ns: Nanoseconds): boolean {
    const { freshness_ms, topic } = this.spec;
    const oldest_ms = (age_ns + uncertain_ns) / NS_PER_MS;
    if (oldest_ms > freshness_ms) {
      ++this.counters.stale;
      ++this.untimely;
      this.stale_ms = oldest_ms - freshness_ms;
      return false;
    }
    this.stale_ms = 0;
    const early_ms = -age_ns / NS_PER_MS;
    if (early_ms > freshness_ms) {
      ++this.untimely;
      return this.refuse(`${topic}: a stamp ${early_ms.toFixed()} ms in the future; did a clock jump?`);
    }
    this.untimely = 0;
    return true;
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
    const most = Object.keys(this.spec.images).length > 0 ? MOST_PICTURES : MOST_SAMPLES;
    const from_ns = this.spec.latched ? Number.NEGATIVE_INFINITY : stamp_ns - HISTORY_NS;
    while (this.samples.length > most || this.samples[0]!.stamp_ns < from_ns) this.samples.shift();
    ++this.counters.samples;
    this.refused = '';
    this.lacking = undefined;
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
    const { max_skew_ms, freshness_ms, latched } = this.spec;
    // What is told once is so from then on, and was before where nothing else is known.
    if (latched) return this.samples[Math.max(0, this.countUpTo(at_ns) - 1)];
    const after = this.countUpTo(at_ns);
    const before = this.samples[after - 1];
    if (max_skew_ms === undefined)
      return before && at_ns - before.stamp_ns <= freshness_ms * NS_PER_MS ? before : undefined;
    const next = this.samples[after];
    const distance = (sample: Sample | undefined): number =>
      sample === undefined ? Number.POSITIVE_INFINITY : Math.abs(at_ns - sample.stamp_ns);
    const best = distance(next) <= distance(before) ? next : before;
    return distance(best) <= max_skew_ms * NS_PER_MS ? best : undefined;
  }

  /** Until when it has something to say: a topic that others are matched with closely, until a little after its newest. */
  get until_ns(): Nanoseconds {
    const { max_skew_ms, latched } = this.spec;
    if (latched || max_skew_ms === undefined) return Number.POSITIVE_INFINITY;
    return (this.newest?.stamp_ns ?? Number.NEGATIVE_INFINITY) + max_skew_ms * NS_PER_MS;
  }

  /** Stamps of its samples up to `at_ns`, newest first. */
  *stampsUpTo(at_ns: Nanoseconds): Iterable<Nanoseconds> {
    for (let i = this.countUpTo(at_ns) - 1; i >= 0; i--) yield this.samples[i]!.stamp_ns;
  }

  /** How many samples are not newer than `at_ns`; they lie in the order of their stamps. */
  private countUpTo(at_ns: Nanoseconds): number {
    let [low, high] = [0, this.samples.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.samples[middle]!.stamp_ns <= at_ns) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
