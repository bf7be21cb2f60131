// What a person may ask of `tendon run`, by key or from its page: the same words, the same rules. Only a person sets a
// robot going again that a person held or stopped.

import type { Controller } from '../control/index.js';

/** What a person may do to a running session, from a key, a page or a topic. */
export interface Operator {
  stop(how: string): void;
  /** Before it began, too: then it does not begin by itself. */
  hold(how: string, cause?: string): void;
  resume(): void;
  /** Clears a stop; nothing moves until `resume`. */
  clear(): void;
}

/** `seed` is where a cleared stop starts the policy's noise. */
export function operatorOf(controller: Controller, seed: number, say: (text: string) => void): Operator {
  // Asked to run once; after that only the operator sets it going again.
  const begun = controller.supervisor.onChange(({ to }) => {
    if (to === 'READY') setImmediate(() => waiting && controller.go());
    if (to === 'RUNNING' || to === 'STOPPED') endWaiting();
  });
  let waiting = true;
  const endWaiting = (): void => {
    waiting = false;
    begun();
  };
  return {
    stop: (how) => controller.emergencyStop(`stopped by ${how}`),
    hold(how, cause = `held by ${how}`) {
      endWaiting();
      controller.hold(cause);
      if (controller.state === 'INIT' || controller.state === 'READY')
        say('  held before it began: resume starts it');
    },
    resume() {
      if (controller.state === 'READY') controller.go();
      else controller.resume();
      if (controller.state === 'STOPPED') say('  a stop is latched: clear it first');
    },
    clear() {
      if (controller.state !== 'STOPPED') return;
      controller.reset(seed);
      say('  the stop is cleared and nothing moves: resume starts from where the robot is');
    },
  };
}
