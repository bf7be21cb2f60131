// What the control loop asks of its machine, where the user has the right: to come first, and to stay in memory.

import { constants, setPriority } from 'node:os';
import { addon } from '../native/index.js';

/**
 * Raises the priority of this thread above inference, whose threads exist already and keep theirs, and locks the
 * process into memory, so that no page of it has to be fetched in the middle of a tick. Names what was refused.
 */
export function preferControl(): string[] {
  const refused: string[] = [];
  try {
    setPriority(constants.priority.PRIORITY_HIGH);
  } catch {
    refused.push('a higher priority (ulimit -e)');
  }
  if (!addon().lockMemory()) refused.push('locked memory (ulimit -l)');
  return refused;
}
