// Standard output that never blocks: a terminal or pipe that nobody reads must not stop the control loop. What cannot be
// written now waits in a bounded queue; beyond that lines are dropped and counted, and the reader is told how many.

import { closeSync, constants, openSync, writeSync } from 'node:fs';
import { isatty } from 'node:tty';

const MOST_WAITING = 256 * 1024;
const RETRY_MS = 50;

export class Output {
  /** Lines that nobody took in time. */
  dropped = 0;
  private untold = 0;
  private waiting: Buffer[] = [];
  private waiting_bytes = 0;
  private timer: NodeJS.Timeout | undefined;
  private readonly fd: number | undefined;
  private broken = false;

  /** `stream` is process.stdout or process.stderr. */
  constructor(private readonly stream: NodeJS.WriteStream & { readonly fd: number }) {
    // Node writes to pipes and sockets beside the event loop, but to terminals within it.
    this.fd = isatty(stream.fd) ? openNonBlocking(stream.fd) : undefined;
    // A terminal that is gone must not take the robot's controller with it.
    stream.on('error', () => {
      this.broken = true;
    });
  }

  /** Writes `text` and a line end, now, soon or not at all. */
  line(text: string): void {
    if (this.broken) return;
    const bytes = Buffer.from(`${text}\n`);
    if (this.backlog + bytes.length > MOST_WAITING) {
      this.dropped++;
      this.untold++;
      return;
    }
    if (this.untold > 0 && this.backlog < MOST_WAITING / 2) {
      const lost = this.untold;
      this.untold = 0;
      this.put(Buffer.from(`… ${lost} lines were dropped here: nobody read them\n`));
    }
    this.put(bytes);
  }

  /** Resolves when everything is written, or after `limit_ms`. */
  async flush(limit_ms = 500): Promise<void> {
    const until_ms = performance.now() + limit_ms;
    while (this.backlog > 0 && !this.broken && performance.now() < until_ms)
      await new Promise((resolve) => setTimeout(resolve, 5));
  }

  close(): void {
    clearTimeout(this.timer);
    if (this.fd !== undefined) closeSync(this.fd);
  }

  private get backlog(): number {
    return this.fd === undefined ? this.stream.writableLength : this.waiting_bytes;
  }

  private put(bytes: Buffer): void {
    if (this.fd === undefined) {
      this.stream.write(bytes);
      return;
    }
    this.waiting.push(bytes);
    this.waiting_bytes += bytes.length;
    if (this.timer === undefined) this.drain(this.fd);
  }

  private drain(fd: number): void {
    this.timer = undefined;
    while (this.waiting.length > 0) {
      const next = this.waiting[0]!;
      try {
        const written = writeSync(fd, next);
        this.waiting_bytes -= written;
        if (written === next.length) this.waiting.shift();
        else this.waiting[0] = next.subarray(written);
      } catch (caught) {
        if ((caught as NodeJS.ErrnoException).code === 'EAGAIN') {
          this.timer = setTimeout(() => this.drain(fd), RETRY_MS);
          this.timer.unref();
          return;
        }
        this.broken = true;
        return;
      }
    }
  }
}

/** The same terminal, opened anew: only so do its other users keep their blocking one. */
function openNonBlocking(fd: number): number | undefined {
  try {
    return openSync(`/proc/self/fd/${fd}`, constants.O_WRONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
  } catch {
    return undefined;
  }
}
