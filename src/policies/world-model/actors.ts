// The three ways from a latent to actions: the native search over sequences, the native tree, the policy prior alone.

import {
  type CancelToken,
  type FoundPlan,
  type FoundTree,
  type InstructionReport,
  type NativeModel,
  native,
  type PlannerTable,
  type PlanTape,
  type TreeTable,
} from '../../native/index.js';

export interface ActRequest {
  readonly latent: Float32Array;
  readonly cancel: CancelToken;
  readonly tape?: PlanTape;
  readonly explore?: boolean;
  /** (horizon, action_dim) in [−1, 1] that a search starts around. */
  readonly centre?: Float32Array;
  readonly root_noise?: Float32Array;
}

export interface Acted {
  readonly status: 'ok' | 'cancelled' | 'not_finite';
  /** (steps, action_dim) in [−1, 1] */
  readonly actions: Float32Array;
  readonly plan?: FoundPlan;
  readonly tree?: FoundTree;
}

export interface Actor {
  /** What there is none of when it fails, for the error. */
  readonly what: string;
  reset(seed: number): Promise<void>;
  act(request: ActRequest): Promise<Acted>;
  /** Every instruction of its programs, timed; a tree times none. */
  profile?(rounds: number): Promise<InstructionReport[]>;
}

export async function searchActor(model: NativeModel, table: PlannerTable): Promise<Actor> {
  const planner = await native(() => model.openPlanner(table));
  return {
    what: 'every rollout',
    reset: (seed) => planner.reset(seed),
    profile: (rounds) => native(() => planner.profile(rounds)),
    async act({ latent, cancel, tape, explore, centre }) {
      const plan = await native(() =>
        planner.plan({
          inputs: { latent },
          cancel,
          ...(tape === undefined ? {} : { tape }),
          ...(explore === undefined ? {} : { explore }),
          ...(centre === undefined ? {} : { centre }),
        }),
      );
      return { status: plan.status, actions: plan.actions, plan };
    },
  };
}

export async function treeActor(model: NativeModel, table: TreeTable): Promise<Actor> {
  const planner = await native(() => model.openTree(table));
  return {
    what: 'every leaf of the tree',
    reset: (seed) => planner.reset(seed),
    async act({ latent, cancel, root_noise }) {
      const tree = await native(() =>
        planner.plan({
          inputs: { latent },
          cancel,
          ...(root_noise === undefined ? {} : { noise: root_noise }),
        }),
      );
      return { status: tree.status, actions: tree.actions, tree };
    },
  };
}

export async function priorActor(model: NativeModel): Promise<Actor> {
  const session = await native(() => model.openSession({ batch: 1, outputs: ['greedy_action'] }));
  return {
    what: 'the policy prior',
    reset: () => Promise.resolve(),
    profile: (rounds) => native(() => session.profile(rounds)),
    async act({ latent }) {
      const { status, outputs } = await native(() => session.run({ latent }));
      return { status, actions: outputs.greedy_action! };
    },
  };
}
