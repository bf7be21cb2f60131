// The tasks there are, by name.

import { TendonError } from '../types/index.js';
import { armTask } from './arm.js';
import { blockPushTask } from './block-push.js';
import { mazeTask } from './maze.js';
import { pushtTask } from './pusht.js';
import type { Task } from './task.js';

const TASKS: readonly Task[] = [armTask, blockPushTask, mazeTask, pushtTask];

/** The simulated tasks that there are. */
export function taskNames(): string[] {
  return TASKS.map((t) => t.spec.name);
}

/** The task of that name. Throws `config_invalid` with the names that there are. */
export function findTask(name: string): Task {
  const task = TASKS.find((t) => t.spec.name === name);
  if (task === undefined)
    throw new TendonError(
      'config_invalid',
      `there is no task "${name}"; there are ${taskNames().join(', ')}`,
      { name },
    );
  return task;
}
