// A policy by its name: a checkpoint's folder, or `physics:TASK`, which plans over the task's own simulation.

import { actionCodec, type LoadOptions, ModelPredictivePolicy } from '../policies/index.js';
import { PhysicsRollouts } from '../sim/rollouts.js';
import { loadSteered, type SteerablePolicy, type SteeringOptions } from '../steering/index.js';

const PHYSICS = 'physics:';

/** A policy whose sampler or planner can be chosen while it is loaded. */
export type OpenedPolicy = SteerablePolicy | ModelPredictivePolicy;

/** Whether the name is that of a folder. */
export const isFolder = (name: string): boolean => !name.startsWith(PHYSICS);

/**
 * A checkpoint folder with its parts, or `physics:TASK`: the simulation itself as a planner's model. Throws as `loadPolicy`.
 */
export async function openPolicy(
  name: string,
  options: LoadOptions = {},
  steering: SteeringOptions = {},
): Promise<OpenedPolicy> {
  if (isFolder(name)) return loadSteered(name, options, steering);
  return physicsPolicy(name.slice(PHYSICS.length), options);
}

/** The task's simulation as the model; it sees what any policy sees, and takes masses and gains to be nominal. */
export function physicsPolicy(task: string, options: LoadOptions = {}): ModelPredictivePolicy {
  const rollouts = PhysicsRollouts.open(task, options.compute?.threads ?? 1);
  const { spec, model } = rollouts;
  const action_dim = spec.joint_names.length;
  const scale = {
    mul: Float64Array.from(model.reach, (r) => 1 / r),
    add: new Float64Array(action_dim),
    back_mul: Float64Array.from(model.reach),
    back_add: new Float64Array(action_dim),
  };
  return new ModelPredictivePolicy(
    {
      spec: {
        family: 'physics',
        n_obs_steps: 1,
        horizon: model.horizon,
        n_action_steps: 3,
        action_dim,
        observation_dims: spec.observation_dims,
        image_shapes: {},
        goal_dims: {},
        rate_hz: spec.rate_hz,
      },
      table: {
        horizon: model.horizon,
        action_dim,
        samples: 48,
        iterations: 3,
        elites: 8,
        initial_std: 0.5,
        min_std: 0.05,
        temperature: 3,
        pick: 'mean',
      },
      returns: (values, actions, count) => rollouts.returns(values, actions, count),
      close: () => rollouts.close(),
      ...actionCodec({ affine: scale, relative: { key: 'observation.state' } }, model.travel),
    },
    options,
  );
}
