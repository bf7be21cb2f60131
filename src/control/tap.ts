// Keeps those who record away from the robot: what they throw is counted and goes no further.

import type { ControlTap } from '../types/index.js';

export function guarded(tap: ControlTap, failed: () => void): ControlTap {
  const guard =
    <Args extends unknown[]>(call: (...args: Args) => void) =>
    (...args: Args): void => {
      try {
        call(...args);
      } catch {
        failed();
      }
    };
  return {
    input: guard((...args) => tap.input(...args)),
    tick: guard((...args) => tap.tick(...args)),
    command: guard((...args) => tap.command(...args)),
    asked: guard((...args) => tap.asked(...args)),
    answered: guard((...args) => tap.answered(...args)),
  };
}
