// What is still done when the process is told to end, or breaks: a robot that moves must not be left to it. Signals and
// errors that nobody caught all lead to one act, which has a limit on its time.

/** A closed terminal or a dropped ssh session is SIGHUP. */
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
const FAULTS = ['uncaughtException', 'unhandledRejection'] as const;
const DEFAULT_BOUND_MS = 10_000;
/** What is left to do after the act, such as writing the last lines of a log. */
const LEAVE_MS = 1000;
/** sysexits.h: EX_SOFTWARE. */
export const EXIT_FAULT = 70;

export interface LastWords {
  /** For people: `SIGTERM`, or `a fault in Tendon: …`. */
  readonly cause: string;
  /** Set when an error that nobody caught is the cause. */
  readonly fault?: unknown;
}

/** What is done before the process ends by a signal or an uncaught fault: the robot is stopped, the recording closed. */
export class LastWill {
  private acting = false;
  private armed: (() => void) | undefined;

  /** `bound_ms`: the process ends after it, whatever is still to be done. */
  constructor(
    private readonly bound_ms = DEFAULT_BOUND_MS,
    private readonly exit: (code: number) => void = (code) => process.exit(code),
  ) {}

  /**
   * From now on a signal or a fault calls `act`, once, instead of ending the process; the process ends when `act` is
   * done. The returned function gives signals and faults back their usual meaning.
   */
  arm(act: (words: LastWords) => Promise<unknown>): () => void {
    const onSignal = (signal: string): void => this.act(act, { cause: signal }, 0);
    const onFault = (caught: unknown): void =>
      this.act(act, { cause: `a fault in Tendon: ${messageOf(caught)}`, fault: caught }, EXIT_FAULT);
    for (const signal of SIGNALS) process.on(signal, onSignal);
    for (const fault of FAULTS) process.on(fault, onFault);
    this.armed = () => {
      for (const signal of SIGNALS) process.off(signal, onSignal);
      for (const fault of FAULTS) process.off(fault, onFault);
    };
    return this.armed;
  }

  private act(act: (words: LastWords) => Promise<unknown>, words: LastWords, code: number): void {
    // A second Ctrl-C does not make a robot brake faster, and a fault on the way out changes nothing.
    if (this.acting) return;
    this.acting = true;
    process.exitCode = code;
    const bound = setTimeout(() => this.exit(code === 0 ? 1 : code), this.bound_ms);
    const leave = (): void => {
      clearTimeout(bound);
      setTimeout(() => this.exit(code), LEAVE_MS).unref();
    };
    act(words).then(leave, () => {
      code = EXIT_FAULT;
      process.exitCode = code;
      leave();
    });
  }
}

const messageOf = (caught: unknown): string => (caught instanceof Error ? caught.message : String(caught));
