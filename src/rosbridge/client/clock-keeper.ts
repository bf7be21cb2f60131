// Keeps the offset of the server's clock fresh: asked for several times after connecting, then every second, and at once
// when messages come with stamps that cannot be. A server without rosapi is told from one that is slow to answer.

import { type Nanoseconds, TendonError } from '../../types/index.js';
import type { Message } from '../codec/protocol.js';
import { readTime } from '../codec/time.js';
import { ClockOffset } from './clock-offset.js';

// The first answer is often slow (both sides are still warming up), and half its round trip is the error of the offset.
const QUICK_MEASURES = 10;
const QUICK_NS = 50e6;
const MEASURE_NS = 1e9;
/** Of a server that refuses: rosapi may be started later. */
const ABSENT_NS = 10e9;
/** Without a clock to ask for: stamps that have been wrong for so long belong to a clock that was set. */
const DOUBT_NS = 1e9;

/** What became of a question: the time's spelling, a refusal (there is no rosapi), or nothing. */
export type Asked = 'secs' | 'sec' | 'refused' | 'silent';

export interface ClockKeeperOptions {
  now_ns(): Nanoseconds;
  /** Calls /rosapi/get_time. */
  ask(): Promise<Message>;
}

export class ClockKeeper {
  readonly offset = new ClockOffset();
  private asked_ns: Nanoseconds = 0;
  private asking = false;
  private quick = 0;
  private absent = false;
  private doubted_ns: Nanoseconds | undefined;

  constructor(private readonly options: ClockKeeperOptions) {}

  /** Another server may be at the other end. */
  restart(): void {
    this.offset.reset();
    this.quick = QUICK_MEASURES;
    this.absent = false;
    this.doubted_ns = undefined;
  }

  async ask(): Promise<Asked> {
    const { now_ns, ask } = this.options;
    const asked_ns = now_ns();
    this.asked_ns = asked_ns;
    this.asking = true;
    try {
      const { time } = await ask();
      const server = readTime(time);
      if (server !== undefined) this.offset.measured(server, asked_ns, now_ns());
      --this.quick;
      this.absent = false;
      return typeof time === 'object' && time !== null && 'secs' in time ? 'secs' : 'sec';
    } catch (caught) {
      this.quick = 0;
      // A refusal is an answer too: rosbridge_suite without rosapi.
      if (!(caught instanceof TendonError && caught.code === 'bridge_protocol')) return 'silent';
      this.absent = true;
      return 'refused';
    } finally {
      this.asking = false;
    }
  }

  /** Asks again when it is time. */
  look(): void {
    const pause_ns = this.absent ? ABSENT_NS : this.quick > 0 ? QUICK_NS : MEASURE_NS;
    if (!this.asking && this.options.now_ns() - this.asked_ns > pause_ns) void this.ask();
  }

  /** Messages come with stamps too old or too new to be true, and none with a good one. `quick_line`: nor are they late. */
  doubt(quick_line: boolean): void {
    const now_ns = this.options.now_ns();
    if (this.offset.source === 'rosapi' && !this.absent) {
      if (!this.asking && now_ns - this.asked_ns > QUICK_NS) void this.ask();
      return;
    }
    this.doubted_ns ??= now_ns;
    if (!quick_line || now_ns - this.doubted_ns < DOUBT_NS) return;
    this.doubted_ns = undefined;
    this.offset.reset();
    ++this.offset.steps;
  }

  /** A message came with a stamp that can be. */
  trust(): void {
    this.doubted_ns = undefined;
  }
}
