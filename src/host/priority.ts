// What the control loop asks of its machine, where the user has the right: to come first. Locking the whole process
// into memory is not among it: V8 gives pages back with madvise(MADV_DONTNEED), which fails on locked memory, and V8
// then aborts the process. The executor's thread (native/drive) locks what is its own.

import { constants, setPriority } from 'node:os';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/** Raises the priority of this thread above inference, whose threads exist already and keep theirs; names what was refused. */
export function preferControl(): string[] {
  try {
    setPriority(constants.priority.PRIORITY_HIGH);
    return [];
  } catch {
    return ['a higher priority (ulimit -e)'];
  }
}

/** What starting up left behind is collected now, at once: the first periods would stop up to 25 ms for it. */
export function collectGarbage(): void {
  setFlagsFromString('--expose-gc');
  (runInNewContext('gc') as () => void)();
}
