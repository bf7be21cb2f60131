// Disturbances of what a policy sees in a simulated task: nothing of the world changes, so what fails is the policy. For
// evaluations with and without parts on the same seeds.

import type { TaskInstance } from '../sim/task.js';
import { TendonError } from '../types/index.js';

type Seen = Record<string, Float32Array>;

/** By name, what becomes of an observation. */
export const DISTURBANCES: Readonly<Record<string, (seen: Seen) => Seen>> = {
  /** Everything that the policy is told of its goal reads 0. */
  'hide-goal': (seen) => changed(seen, 'observation.goal', (values) => values.fill(0)),
  /** The arm's post is read 20 cm to the side of where it stands. */
  'move-post': (seen) =>
    changed(seen, 'observation.environment_state', (v) => {
      const [px, py] = [v[3]!, v[4]! + 0.2];
      const near = Math.hypot(px, py);
      v.set([px, py, near, px / near, py / near], 3);
    }),
};

function changed(seen: Seen, key: string, change: (values: Float32Array) => void): Seen {
  const values = seen[key]?.slice();
  if (values === undefined)
    throw new TendonError('config_invalid', `--disturb: this task has no ${key}; it is for the arm`);
  change(values);
  return { ...seen, [key]: values };
}

/** The same episode, seen otherwise. Throws `config_invalid` for a name that is not there. */
export function disturbed(env: TaskInstance, name: string | undefined): TaskInstance {
  if (name === undefined) return env;
  const change = Object.hasOwn(DISTURBANCES, name) ? DISTURBANCES[name] : undefined;
  if (change === undefined)
    throw new TendonError(
      'config_invalid',
      `--disturb: expected one of ${Object.keys(DISTURBANCES).join(', ')}, got "${name}"`,
    );
  return Object.assign(Object.create(env) as TaskInstance, { observe: () => change(env.observe()) });
}
