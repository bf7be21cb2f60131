// A server's stamps and this process' monotonic clock: ClockOffset turns one into the other, from /rosapi/get_time or,
// without it, from arrivals.

import type { Nanoseconds } from '../../types/index.js';
import type { RosTime } from '../codec/time.js';

/** Maps a server's stamps to local monotonic time. */
export class ClockOffset {
  // Local minus server time, both counted from the first server second seen: a double is exact there.
  private base_sec: number | undefined;
  private offset_ns: Nanoseconds | undefined;
  private round_trip_ns = Number.POSITIVE_INFINITY;
  source: 'rosapi' | 'arrival' | 'none' = 'none';

  /** Forgets everything: the next server may be another one. */
  reset(): void {
    this.base_sec = undefined;
    this.offset_ns = undefined;
    this.round_trip_ns = Number.POSITIVE_INFINITY;
    this.source = 'none';
  }

  /** One answer of /rosapi/get_time, asked and answered at local times; the quickest answer counts. */
  measured(server: RosTime, asked_ns: Nanoseconds, answered_ns: Nanoseconds): void {
    // An old measurement loses its worth slowly, so that a drifting clock is followed.
    this.round_trip_ns = Math.min(this.round_trip_ns * 1.1, Number.MAX_VALUE);
    const round_trip_ns = answered_ns - asked_ns;
    if (this.source === 'rosapi' && round_trip_ns > this.round_trip_ns) return;
    this.round_trip_ns = round_trip_ns;
    this.offset_ns = (asked_ns + answered_ns) / 2 - this.sinceBase(server);
    this.source = 'rosapi';
  }

  /** Local time of a server stamp. Before any measurement the quickest message so far counts as instantaneous. */
  toLocal(server: RosTime, arrived_ns: Nanoseconds): Nanoseconds {
    const since = this.sinceBase(server);
    if (this.source !== 'rosapi' && (this.offset_ns === undefined || arrived_ns - since < this.offset_ns)) {
      this.offset_ns = arrived_ns - since;
      this.source = 'arrival';
    }
    return Math.round(since + (this.offset_ns as number));
  }

  /** Server time of a local moment, for stamps we send; undefined before anything is known. */
  toServer(local_ns: Nanoseconds): RosTime | undefined {
    if (this.offset_ns === undefined || this.base_sec === undefined) return undefined;
    const since = Math.round(local_ns - this.offset_ns);
    const sec = Math.floor(since / 1e9);
    return { sec: this.base_sec + sec, nanosec: since - sec * 1e9 };
  }

  private sinceBase(server: RosTime): Nanoseconds {
    this.base_sec ??= server.sec;
    return (server.sec - this.base_sec) * 1e9 + server.nanosec;
  }
}
