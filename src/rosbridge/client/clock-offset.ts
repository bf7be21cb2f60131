// A server's stamps and this process' monotonic clock. An answer of /rosapi/get_time was given between question and
// answer, so it bounds the offset from both sides; later answers narrow the bounds, and drift widens them again. One
// that lies outside says that a clock was set: a new epoch begins with it at once. Where the server has no clock to ask
// for, the quickest message so far bounds the offset, to within the time that the line takes.

import type { Nanoseconds } from '../../types/index.js';
import type { RosTime } from '../codec/time.js';

/** By how much two clocks may drift apart; NTP corrects by up to 500 ppm, on either side. */
const DRIFT = 1e-3;

export class ClockOffset {
  source: 'rosapi' | 'arrival' | 'none' = 'none';
  /** How often the server's clock was found to have been set. */
  steps = 0;
  private base_sec: number | undefined;
  /** Local minus server time lies between these, at `at_ns`; both counted from the first server second seen. */
  private low_ns: Nanoseconds = 0;
  private high_ns: Nanoseconds = 0;
  private at_ns: Nanoseconds = 0;

  /** Forgets everything: the next server may be another one. */
  reset(): void {
    this.base_sec = undefined;
    this.source = 'none';
  }

  /** One answer of /rosapi/get_time, asked and answered at local times. */
  measured(server: RosTime, asked_ns: Nanoseconds, answered_ns: Nanoseconds): void {
    const since = this.sinceBase(server);
    const [low, high] = [asked_ns - since, answered_ns - since];
    const drift_ns = this.drift(answered_ns);
    const apart = low > this.high_ns + drift_ns || high < this.low_ns - drift_ns;
    if (this.source === 'rosapi' && !apart) {
      this.low_ns = Math.max(low, this.low_ns - drift_ns);
      this.high_ns = Math.min(high, this.high_ns + drift_ns);
    } else {
      if (this.source === 'rosapi') ++this.steps;
      this.low_ns = low;
      this.high_ns = high;
    }
    this.at_ns = answered_ns;
    this.source = 'rosapi';
  }

  /**
   * Local time of a server stamp, off by at most `uncertainty`. Where no answer was measured, the quickest message so far
   * is taken to have been between nothing and `line_ns` on its way.
   */
  toLocal(server: RosTime, arrived_ns: Nanoseconds, line_ns: Nanoseconds = 0): Nanoseconds {
    const since = this.sinceBase(server);
    if (this.source === 'none' || (this.source === 'arrival' && arrived_ns - since < this.high_ns)) {
      this.high_ns = arrived_ns - since;
      this.low_ns = this.high_ns - line_ns;
      this.at_ns = arrived_ns;
      this.source = 'arrival';
    }
    return Math.round(since + (this.low_ns + this.high_ns) / 2);
  }

  /** How far `toLocal` may be off, either way; without end before anything is known. */
  uncertainty(now_ns: Nanoseconds): Nanoseconds {
    if (this.source === 'none') return Number.POSITIVE_INFINITY;
    return (this.high_ns - this.low_ns) / 2 + (this.source === 'rosapi' ? this.drift(now_ns) : 0);
  }

  /** Server time of a local moment, for stamps we send; undefined before anything is known. */
  toServer(local_ns: Nanoseconds): RosTime | undefined {
    if (this.source === 'none' || this.base_sec === undefined) return undefined;
    const since = Math.round(local_ns - (this.low_ns + this.high_ns) / 2);
    const sec = Math.floor(since / 1e9);
    return { sec: this.base_sec + sec, nanosec: since - sec * 1e9 };
  }

  private drift(now_ns: Nanoseconds): Nanoseconds {
    return DRIFT * Math.max(0, now_ns - this.at_ns);
  }

  private sinceBase(server: RosTime): Nanoseconds {
    this.base_sec ??= server.sec;
    return (server.sec - this.base_sec) * 1e9 + server.nanosec;
  }
}
