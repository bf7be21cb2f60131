// What systemd hears of `tendon run` (sd_notify(3), launch/tendon.service): that it is ready, that its control loop
// turns, that it ends. Without $NOTIFY_SOCKET nobody asked and nothing is said.

import { addon } from '../native/index.js';
import { TendonError } from '../types/index.js';

/** Fed so many times per watchdog interval; systemd advises two or more. */
const FEEDS = 4;

export class ServiceManager {
  /** Interval after which systemd ends a silent process, ms; undefined when it does not watch this one. */
  readonly watchdog_ms: number | undefined;
  /** Why the last message was not sent; empty when it was. */
  refused = '';
  private timer: NodeJS.Timeout | undefined;

  private constructor(
    private readonly address: string,
    env: NodeJS.ProcessEnv,
  ) {
    const { WATCHDOG_USEC: usec, WATCHDOG_PID: pid } = env;
    if (usec === undefined || (pid !== undefined && Number(pid) !== process.pid)) return;
    if (!/^[1-9]\d*$/.test(usec))
      throw new TendonError('config_invalid', `WATCHDOG_USEC: expected microseconds, got "${usec}"`);
    this.watchdog_ms = Number(usec) / 1000;
  }

  /** The manager that `env` names, if any. Throws `config_invalid`. */
  static of(env: NodeJS.ProcessEnv): ServiceManager | undefined {
    const address = env.NOTIFY_SOCKET;
    return address === undefined || address === '' ? undefined : new ServiceManager(address, env);
  }

  ready(): void {
    this.tell('READY=1');
  }

  /** One line for people, shown by `systemctl status`. */
  status(text: string): void {
    this.tell(`STATUS=${text.replaceAll('\n', ' ')}`);
  }

  /**
   * Feeds the watchdog as long as every count that `progress` gives goes up from one look to the next. A timer alone
   * would prove that the event loop turns; the counts prove that the robot is being looked after.
   */
  watch(progress: () => readonly number[]): void {
    if (this.watchdog_ms === undefined) return;
    let before = progress();
    this.timer = setInterval(() => {
      const now = progress();
      if (now.every((count, i) => count > (before[i] ?? Number.NEGATIVE_INFINITY))) this.tell('WATCHDOG=1');
      before = now;
    }, this.watchdog_ms / FEEDS);
  }

  stopping(): void {
    clearInterval(this.timer);
    this.tell('STOPPING=1');
  }

  private tell(text: string): void {
    this.refused = addon().notifyManager(this.address, text);
  }
}
