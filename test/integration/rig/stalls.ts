// How long this process itself stood still lately: on a busy machine a robot that is played by a test reads late, which is
// nobody's fault but the machine's.

const LOOK_MS = 2;
/** A look that comes later than this is a stall, ms. */
const LATE_MS = 6;
const KEPT_MS = 3000;

export class Stalls {
  private looked_ms = performance.now();
  private readonly stalls: { readonly until_ms: number; readonly ms: number }[] = [];
  private readonly timer = setInterval(() => this.look(), LOOK_MS);

  /** Of the last `window_ms`, ms. */
  within(window_ms: number): number {
    const now_ms = performance.now();
    const from_ms = now_ms - window_ms;
    const past = this.stalls.filter(({ until_ms }) => until_ms >= from_ms);
    return past.reduce((sum, { ms }) => sum + ms, Math.max(0, now_ms - this.looked_ms - LATE_MS));
  }

  close(): void {
    clearInterval(this.timer);
  }

  private look(): void {
    const now_ms = performance.now();
    const ms = now_ms - this.looked_ms;
    this.looked_ms = now_ms;
    if (ms > LATE_MS) this.stalls.push({ until_ms: now_ms, ms });
    while (this.stalls.length > 0 && this.stalls[0]!.until_ms < now_ms - KEPT_MS) this.stalls.shift();
  }
}
