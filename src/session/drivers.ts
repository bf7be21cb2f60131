// Who can drive a simulated task, for the page to choose from: its trained policies, its learned world model, and the
// simulation itself as the model where the task says what its moments are worth.

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { LoadOptions } from '../policies/index.js';
import { findTask } from '../sim/tasks.js';
import { packageFile } from '../types/package.js';

export const PACKAGE_ROOT = packageFile('');

export interface Driver {
  readonly name: string;
  /** As openPolicy takes it. */
  readonly policy: string;
  /** What lets it keep up with the robot, where its own defaults do not. */
  readonly load: LoadOptions;
}

/** Tasks that are not driven by a diffusion policy of their own name: names on the page, and folders under models/. */
const OTHERS: Readonly<Record<string, readonly (readonly [name: string, folder: string])[]>> = {
  maze: [
    ['hierarchical', 'maze-hiql'],
    ['flat', 'maze-flat'],
  ],
};

const folderOf = (model: string): string => join(PACKAGE_ROOT, 'models', model);

/** The model that drives a task unless another is asked for. */
export const modelFolder = (task: string): string => folderOf(OTHERS[task]?.[0]?.[1] ?? task);

/** The first is the one that a session begins with. */
export function driversOf(task: string): readonly Driver[] {
  const learned = folderOf(`${task}-world`);
  const own = OTHERS[task] ?? [['diffusion', task]];
  return [
    ...own.map(([name, folder]) => ({ name: name!, policy: folderOf(folder!), load: {} })),
    ...(existsSync(learned) ? [{ name: 'world model', policy: learned, load: {} }] : []),
    // 32 rollouts of half a second take one thread some 60 ms.
    ...(findTask(task).model === undefined
      ? []
      : [{ name: 'physics', policy: `physics:${task}`, load: { sampling: { steps: 1, candidates: 32 } } }]),
  ];
}
