// A server's stamps and this process' monotonic clock. An answer of /rosapi/get_time was given between question and
// answer, so it bounds the offset from both sides; later answers narrow the bounds, and drift widens them again. One
// that lies outside says that a clock was set: a new epoch begins with it at once. Where the server has no clock to ask
// for, or one that is slow to answer, the quickest message so far bounds the offset, to within the time of the line.

import type { Nanoseconds } from '../../types/index.js';
import type { RosTime } from '../codec/time.js';

/** By how much two clocks may drift apart; NTP corrects by up to 500 ppm, on either side. */
const DRIFT = 1e-3;
/** Answers that bound the offset as closely as this need no help of messages, whose stamps may be another clock's. */
const CLOSE_NS = 40e6;

/** Local minus server time lies between these, at `at_ns`; both counted from the first server second seen. */
interface Bounds {
  readonly low_ns: Nanoseconds;
  readonly high_ns: Nanoseconds;
  readonly at_ns: Nanoseconds;
}

const widened = ({ low_ns, high_ns, at_ns }: Bounds, now_ns: Nanoseconds): Bounds => {
  const drift_ns = DRIFT * Math.max(0, now_ns - at_ns);
  return { low_ns: low_ns - drift_ns, high_ns: high_ns + drift_ns, at_ns: now_ns };
};

/** What both say; undefined where they contradict each other. */
const both = (a: Bounds, b: Bounds): Bounds | undefined => {
  const low_ns = Math.max(a.low_ns, b.low_ns);
  const high_ns = Math.min(a.high_ns, b.high_ns);
  return low_ns <= high_ns ? { low_ns, high_ns, at_ns: Math.max(a.at_ns, b.at_ns) } : undefined;
};

export class ClockOffset {
  /** How often the server's clock was found to have been set. */
  steps = 0;
  private base_sec: number | undefined;
  /** By answers of get_time. */
  private asked: Bounds | undefined;
  /** By the quickest message, which is taken to have been between nothing and a line's time on its way. */
  private quickest: Bounds | undefined;

  /** Forgets everything: the next server may be another one. */
  reset(): void {
    this.base_sec = undefined;
    this.asked = undefined;
    this.quickest = undefined;
  }

  get source(): 'rosapi' | 'arrival' | 'none' {
    if (this.asked !== undefined) return 'rosapi';
    return this.quickest === undefined ? 'none' : 'arrival';
  }

  /** One answer of /rosapi/get_time, asked and answered at local times. */
  measured(server: RosTime, asked_ns: Nanoseconds, answered_ns: Nanoseconds): void {
    const since = this.sinceBase(server);
    const answer = { low_ns: asked_ns - since, high_ns: answered_ns - since, at_ns: answered_ns };
    const before = this.asked;
    const narrowed = before && both(widened(before, answered_ns), answer);
    this.asked = narrowed ?? answer;
    if (before === undefined || narrowed !== undefined) return;
    ++this.steps;
    this.quickest = undefined;
  }

  /** Local time of a server stamp, off by at most `uncertainty`. The message was at most `line_ns` on the line. */
  toLocal(server: RosTime, arrived_ns: Nanoseconds, line_ns: Nanoseconds = 0): Nanoseconds {
    const since = this.sinceBase(server);
    const high_ns = arrived_ns - since;
    if (this.quickest === undefined || high_ns < widened(this.quickest, arrived_ns).high_ns)
      this.quickest = { low_ns: high_ns - line_ns, high_ns, at_ns: arrived_ns };
    const { low_ns, high_ns: top_ns } = this.bounds(arrived_ns)!;
    return Math.round(since + (low_ns + top_ns) / 2);
  }

  /** How far `toLocal` may be off, either way; without end before anything is known. */
  uncertainty(now_ns: Nanoseconds): Nanoseconds {
    const bounds = this.bounds(now_ns);
    return bounds === undefined ? Number.POSITIVE_INFINITY : (bounds.high_ns - bounds.low_ns) / 2;
  }

  /** Server time of a local moment, for stamps we send; undefined before anything is known. */
  toServer(local_ns: Nanoseconds): RosTime | undefined {
    const bounds = this.bounds(local_ns);
    if (bounds === undefined || this.base_sec === undefined) return undefined;
    const since = Math.round(local_ns - (bounds.low_ns + bounds.high_ns) / 2);
    const sec = Math.floor(since / 1e9);
    return { sec: this.base_sec + sec, nanosec: since - sec * 1e9 };
  }

  private bounds(now_ns: Nanoseconds): Bounds | undefined {
    const { asked, quickest } = this;
    if (asked === undefined) return quickest && widened(quickest, now_ns);
    const wide = widened(asked, now_ns);
    if (quickest === undefined || wide.high_ns - wide.low_ns < CLOSE_NS) return wide;
    return both(wide, widened(quickest, now_ns)) ?? wide;
  }

  private sinceBase(server: RosTime): Nanoseconds {
    this.base_sec ??= server.sec;
    return (server.sec - this.base_sec) * 1e9 + server.nanosec;
  }
}
