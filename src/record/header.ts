// What a session was, for the head of its recording: enough to make the same controller and policy again.

import type { ControllerOptions } from '../control/index.js';
import type { LoadOptions } from '../policies/index.js';
import type { RecorderOptions } from './recorder.js';

export interface SessionFacts {
  readonly robot: string;
  readonly joint_names: readonly string[];
  /** Folder of the policy. */
  readonly policy: string;
  readonly load: LoadOptions;
  readonly isa: string;
  readonly seed: number;
  readonly controller: ControllerOptions;
}

export function headerOf(facts: SessionFacts): RecorderOptions['header'] {
  const { robot, policy, clock: _, goal: __, tap: ___, ...controller } = facts.controller;
  const { pool: ____, ...load } = facts.load;
  return {
    robot: facts.robot,
    joint_names: [...facts.joint_names],
    observation_dims: { ...robot.observation_dims },
    action_dim: robot.action_dim,
    policy: { dir: facts.policy, family: policy.spec.family, n_obs_steps: policy.spec.n_obs_steps },
    load: { ...load },
    isa: facts.isa,
    seed: facts.seed,
    controller: { ...controller },
  };
}
