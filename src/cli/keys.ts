// The keyboard of `tendon run` on a terminal: one key, one intent, at once. Without a terminal there are no keys.

import type { ReadStream } from 'node:tty';
import type { RunLog } from '../host/log.js';
import type { RobotSession } from '../session/robot-session.js';

export interface KeyActions {
  stop(): void;
  hold(): void;
  resume(): void;
  /** Somebody would clear a stop: asks them whether they mean it. */
  question(): void;
  /** They do. */
  clear(): void;
  /** Ctrl-C, which a terminal in raw mode no longer turns into a signal. */
  quit(): void;
}

export const KEYS_HELP = 'keys: space or s stop, h hold, r resume, c then y clear a stop, Ctrl-C end';

/** Listens until the returned function is called, which gives the terminal back; undefined without a terminal. */
export function listenToKeys(
  input: Pick<ReadStream, 'isTTY' | 'setRawMode' | 'on' | 'off' | 'resume' | 'pause'>,
  actions: KeyActions,
): (() => void) | undefined {
  if (!input.isTTY) return undefined;
  let asked = false;
  const hear = (bytes: Buffer): void => {
    const confirms = asked;
    asked = false;
    const keys = bytes.toString('latin1').toLowerCase();
    // Of what came at once a stop goes first, and nothing undoes it.
    if (/[ s]/.test(keys)) actions.stop();
    else if (keys.includes('h')) actions.hold();
    else if (keys.includes('r')) actions.resume();
    // Two keys, one after the other: neither a paste nor a sleeve on the keyboard clears a stop.
    else if (confirms && keys === 'y') actions.clear();
    else if (keys === 'c') {
      asked = true;
      actions.question();
    }
    if (keys.includes('\u0003')) actions.quit();
  };
  // A terminal that is gone is one without keys.
  const lost = (): void => undefined;
  input.on('error', lost);
  input.setRawMode(true);
  input.on('data', hear);
  input.resume();
  return () => {
    input.off('data', hear);
    input.setRawMode(false);
    input.pause();
  };
}

/** The keyboard, where there is one; returns the way to give it back. */
export function operateByKeys(session: RobotSession, log: RunLog): (() => void) | undefined {
  const { operator, controller } = session;
  const giveBack = listenToKeys(process.stdin, {
    stop: () => operator.stop('a key'),
    hold: () => operator.hold('a key'),
    resume: () => operator.resume(),
    question: () =>
      log.say(
        controller.state === 'STOPPED'
          ? '  clear the stop? y does, any other key leaves it'
          : `  nothing is stopped: ${controller.state}`,
      ),
    clear: () => operator.clear(),
    quit: () => void session.end('Ctrl-C'),
  });
  if (giveBack !== undefined) log.say(`  ${KEYS_HELP}`);
  return giveBack;
}
