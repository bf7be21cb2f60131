// A thread of physics rollouts: its own instance of the task; from an observation and sequences of targets, what each
// sequence is worth.

import { parentPort, workerData } from 'node:worker_threads';
import { asTendonError } from '../types/index.js';
import { findTask } from './tasks.js';

export interface RolloutRequest {
  readonly values: Readonly<Record<string, Float32Array>>;
  /** (count, horizon, joints), absolute. */
  readonly targets: Float32Array;
  readonly count: number;
}

export interface RolloutReply {
  /** (count): the sum of the moments' rewards; NaN where the simulation did not survive. */
  readonly returns?: Float32Array;
  readonly error?: string;
}

const port = parentPort!;
const { spec, model, create } = findTask((workerData as { task: string }).task);
const env = await create();

function returnsOf({ values, targets, count }: RolloutRequest): Float32Array {
  const joints = spec.joint_names.length;
  const horizon = targets.length / (count * joints);
  model!.recall(env, values);
  const start = env.save();
  return Float32Array.from({ length: count }, (_, i) => {
    env.restore(start);
    let sum = 0;
    for (let t = 0; t < horizon; t++) {
      const from = (i * horizon + t) * joints;
      env.advance(targets.subarray(from, from + joints), 1 / spec.rate_hz);
      sum += model!.reward(env);
    }
    return sum;
  });
}

port.on('message', (request: RolloutRequest) => {
  let reply: RolloutReply;
  try {
    reply = { returns: returnsOf(request) };
  } catch (caught) {
    reply = { error: asTendonError(caught, 'a physics rollout').message };
  }
  port.postMessage(reply);
});
