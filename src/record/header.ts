// What a session was, for the head of its recording: enough to make the same controller and policy again.

import type { ControllerOptions } from '../control/index.js';
import type { LoadOptions } from '../policies/index.js';
import { sessionHeader } from './events.js';
import type { RecorderOptions } from './recorder.js';

export interface SessionFacts {
  readonly robot: string;
  readonly joint_names: readonly string[];
  /** Folder of the policy. */
  readonly policy: string;
  readonly load: LoadOptions;
  /** File of the manifest of parts, where it was not the folder's own; false: none. */
  readonly parts?: string | false | undefined;
  readonly isa: string;
  readonly seed: number;
  readonly controller: ControllerOptions;
}

export function headerOf(facts: SessionFacts): RecorderOptions['header'] {
  const { robot, policy, clock: _, goal: __, tap: ___, ...controller } = facts.controller;
  const { pool: ____, ...compute } = facts.load.compute ?? {};
  const { family, n_obs_steps, n_action_steps, horizon, rate_hz, ensemble } = policy.spec;
  return {
    robot: facts.robot,
    joint_names: [...facts.joint_names],
    observation_dims: { ...robot.observation_dims },
    action_dim: robot.action_dim,
    policy: { dir: facts.policy, family, n_obs_steps, n_action_steps, horizon, rate_hz, ensemble },
    load: { ...facts.load, compute },
    ...(facts.parts === undefined ? {} : { parts: facts.parts }),
    isa: facts.isa,
    seed: facts.seed,
    controller: sessionHeader.unwrap().shape.controller.parse(controller),
  };
}
