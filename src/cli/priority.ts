// The control loop comes first on its machine, where the system lets it: the thread that ticks gets a higher priority
// than inference, whose threads exist already and keep theirs.

import { constants, setPriority } from 'node:os';

/** Raises this thread's priority; false where that needs a right the user has not (CAP_SYS_NICE, or ulimit -e). */
export function raisePriority(): boolean {
  try {
    setPriority(constants.priority.PRIORITY_HIGH);
    return true;
  } catch {
    return false;
  }
}
