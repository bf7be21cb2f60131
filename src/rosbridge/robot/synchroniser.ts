// Observation topics → one Observation: the newest sample of the first stream with what the others had at that time.

import type { Image, Nanoseconds, Observation, RobotFile } from '../../types/index.js';
import type { Sample, Stream } from './streams.js';
import { Units } from './units.js';

/** Times of the first stream that are tried, newest first, before others' samples are waited for. */
const MOST_TRIED = 8;

/** Joins streams; the first sets the time. */
export class Synchroniser {
  latest: Observation | undefined;
  private readonly units: Units;
  private parts: readonly (Sample | undefined)[] = [];

  constructor(
    private readonly streams: readonly Stream[],
    private readonly file: Pick<RobotFile, 'join' | 'units'> = { join: {} },
  ) {
    this.units = new Units(file.units);
  }

  /** Nothing is joined before something new comes; streams that are `lost` forget what they had. */
  forget(lost: (stream: Stream) => boolean = () => true): void {
    this.latest = undefined;
    this.parts = [];
    for (const stream of this.streams) if (lost(stream)) stream.forget();
  }

  /** Looks for a newer or fuller observation after a sample came; true when there is one. */
  update(): boolean {
    const [first, ...others] = this.streams;
    if (first === undefined) return false;
    let tried = 0;
    // Not what is newest of the first, but what is newest of all: a picture may be long on its way.
    for (const at_ns of first.stampsUpTo(Math.min(...others.map((stream) => stream.until_ns)))) {
      if (at_ns < (this.latest?.stamp_ns ?? at_ns) || ++tried > MOST_TRIED) return false;
      const parts = this.streams.map((stream) => stream.at(at_ns));
      if (parts.every((part, i) => part === this.parts[i])) return false;
      if (parts.includes(undefined)) continue;
      this.join(at_ns, parts);
      return true;
    }
    return false;
  }

  private join(at_ns: Nanoseconds, parts: readonly (Sample | undefined)[]): void {
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
  }

  /** Adds what is made of several topics, and turns what the policy counts otherwise into its units. */
  private finish(values: Record<string, Float32Array>): void {
    const { units } = this;
    const { join } = this.file;
    for (const [key, parts] of Object.entries(join))
      values[key] = Float32Array.from(parts.flatMap((one) => [...(values[one] ?? [])]));
    for (const key of units.features)
      values[key] = values[key]!.map((value, joint) => units.toPolicy(joint, value));
  }
}
