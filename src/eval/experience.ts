// Simulated runs as experience: what `tendon calibrate` and `tendon remember` take where no recordings are named.

import type { LoadOptions } from '../policies/index.js';
import { findTask } from '../sim/tasks.js';
import type { Experience, InferOptions, Observation, Policy } from '../types/index.js';
import { disturbed } from './disturb.js';
import { runEpisode } from './episode.js';
import { openPolicy } from './open-policy.js';

export interface SimulatedRuns {
  readonly policy: string;
  readonly task: string;
  readonly seeds: readonly number[];
  readonly load?: LoadOptions;
  readonly parts?: string | false | undefined;
  readonly disturb?: string | undefined;
}

/** One run for each seed; monitors collect scores and never alarm. */
export async function* simulatedRuns(options: SimulatedRuns): AsyncGenerator<Experience> {
  const task = findTask(options.task);
  const env = disturbed(await task.create(), options.disturb);
  const policy = await openPolicy(options.policy, options.load, {
    parts: options.parts,
    tip: (action) => env.actionPoint(action),
    calibrating: true,
  });
  try {
    for (const seed of options.seeds) {
      const heard = new Listener(policy);
      const { success } = await runEpisode(heard, task, env, seed, policy.spec.n_action_steps);
      yield { success, steps: heard.steps };
    }
  } finally {
    policy.close();
  }
}

/** Keeps what a policy was shown and what it answered. */
class Listener implements Policy {
  readonly spec: Policy['spec'];
  readonly steps: Experience['steps'][number][] = [];

  constructor(private readonly policy: Policy) {
    this.spec = policy.spec;
  }

  reset(seed: number): void {
    this.policy.reset(seed);
  }

  async infer(shown: Observation | readonly Observation[], options?: InferOptions) {
    const chunk = await this.policy.infer(shown, options);
    const observation = Array.isArray(shown)
      ? (shown as readonly Observation[]).at(-1)!
      : (shown as Observation);
    this.steps.push({ observation, chunk });
    return chunk;
  }

  close(): void {}
}
