// A worker of evaluation: its own policy and task instance, seeds by message, one record per seed back.

import { parentPort, workerData } from 'node:worker_threads';
import { withOptions } from '../policies/index.js';
import { findTask } from '../sim/tasks.js';
import { asTendonError } from '../types/index.js';
import { disturbed } from './disturb.js';
import { runEpisode } from './episode.js';
import type { EvaluateOptions } from './evaluate.js';
import { openPolicy } from './open-policy.js';

const { policy: dir, task: name, load, parts, disturb, execute } = workerData as EvaluateOptions;
const port = parentPort!;
const fail = (caught: unknown, during: string): void => {
  const { code, message } = asTendonError(caught, during);
  port.postMessage({ error: { code, message } });
};

try {
  const task = findTask(name);
  const env = disturbed(await task.create(), disturb);
  const tip = (action: ArrayLike<number>) => env.actionPoint(action);
  const policy = await openPolicy(dir, withOptions(load ?? {}, { compute: { threads: 1 } }), { parts, tip });
  port.on('message', (seed: number) => {
    runEpisode(policy, task, env, seed, execute ?? policy.spec.n_action_steps).then(
      (record) => port.postMessage({ record }),
      (caught) => fail(caught, `seed ${seed}`),
    );
  });
  port.postMessage({ ready: true });
} catch (caught) {
  fail(caught, 'evaluation');
}
