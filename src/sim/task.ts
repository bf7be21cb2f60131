// What a simulated task is: MJCF text, an observation, an action, a success test and experts. Runners, the
// rosbridge robot, demonstrations and evaluation know only this.

/** A drawable body, for the page: a primitive with a size and colour; its pose is streamed. */
export interface Shape {
  readonly name: string;
  readonly kind: 'box' | 'sphere' | 'cylinder' | 'capsule' | 'plane';
  /** MuJoCo half sizes, metres. */
  readonly size: readonly [number, number, number];
  /** 0…1 red, green, blue, alpha */
  readonly rgba: readonly [number, number, number, number];
  /** `goal` may be dragged by the operator, `object` may be pushed, `robot` and `scene` are only drawn. */
  readonly role: 'robot' | 'object' | 'goal' | 'scene';
}

export interface TaskSpec {
  readonly name: string;
  /** One sentence for help texts and reports. */
  readonly summary: string;
  /** Rate of actions in demonstrations and evaluation. */
  readonly rate_hz: number;
  readonly max_steps: number;
  /** Names of the commanded joints or axes, in order: the layout of an action and of `joint_position`. */
  readonly joint_names: readonly string[];
  /** What is commanded; positions unless it says so. Of velocities the robot holds by 0. */
  readonly quantity?: 'velocity';
  /** Per joint, physical units; commands outside are refused by the supervisor. */
  readonly limits: {
    readonly lower: readonly number[];
    readonly upper: readonly number[];
    /** units per second */
    readonly velocity: readonly number[];
  };
  /** Length of the observation features by key (`observation.state`, `observation.environment_state`). */
  readonly observation_dims: Readonly<Record<string, number>>;
  /** Length of the goal vector that set_goal takes (world units), 0 when the goal is fixed. */
  readonly goal_dim: number;
  /** The ways of solving an episode that the experts know, for per-mode counts. */
  readonly modes: readonly string[];
}

/** One live episode. All methods are synchronous and deterministic; two instances share nothing. */
export interface TaskInstance {
  readonly spec: TaskSpec;
  readonly shapes: readonly Shape[];
  /** Starts the episode that `seed` names: start state, goal, randomised physics. */
  reset(seed: number): void;
  /** Observation features by key, in the units the checkpoint was trained on. Fresh arrays. */
  observe(): Record<string, Float32Array>;
  /** Positions of the commanded joints or axes, or their velocities where these are commanded, (joint_names.length). */
  jointPosition(): Float64Array;
  /** Current goal, (goal_dim). */
  goal(): Float64Array;
  setGoal(goal: ArrayLike<number>): void;
  /** Holds `target` (absolute positions, or velocities; joint_names.length) for `seconds` of simulated time. */
  advance(target: ArrayLike<number>, seconds: number): void;
  /** Pushes the object `name` with a force in newtons during the next advance. */
  push(name: string, force: readonly [number, number, number]): void;
  /** Poses of `shapes`: (n, 7) x y z qw qx qy qz, world frame, metres. */
  poses(out: Float32Array): void;
  /** Puts the instance where an observation has the robot, where points and actions depend on that; for drawing only. */
  seen?(values: Readonly<Record<string, ArrayLike<number>>>): void;
  /** Position in the workspace that action `target` leads to, for drawing chunks: (3). */
  actionPoint(target: ArrayLike<number>): readonly [number, number, number];
  /** The action that leads to `point`, or as near as the robot gets: (joint_names.length). */
  pointAction(point: ArrayLike<number>): Float64Array;
  /** Where a recorded `observation.state` has the robot, for drawing goals and routes: (3). Absent: a state shows no place. */
  statePoint?(state: ArrayLike<number>): readonly [number, number, number];
  /** True once the task's published success criterion has been met. */
  success(): boolean;
  /** True when the episode can no longer succeed (a forbidden touch, say). */
  failed(): boolean;
  /** Which of spec.modes the episode has shown so far, or undefined. */
  mode(): string | undefined;
  /** Complete state, restores bit-exactly. */
  save(): Uint8Array;
  restore(state: Uint8Array): void;
  dispose(): void;
}

/** A feedback policy that solves the task from any state it can reach; carries nothing but its mode. */
export interface Expert {
  /** Absolute target for the coming period, (joint_names.length). */
  act(instance: TaskInstance): Float64Array;
}

/** What planning with the simulation as the model needs of a task; all of one instance of that task. */
export interface TaskModel {
  /** How far a planned action of ±1 puts the target from the position, by joint. */
  readonly reach: readonly number[];
  /** Share of that distance that the servos cover in one period. */
  readonly travel: number;
  /** Periods that are planned ahead. */
  readonly horizon: number;
  /** What the moment is worth; the task beside which it stands says in what. */
  reward(instance: TaskInstance): number;
  /** Puts the instance where an observation has it, (by key as in observe()); what is not seen there is nominal. */
  recall(instance: TaskInstance, values: Readonly<Record<string, Float32Array>>): void;
}

export interface Task {
  readonly spec: TaskSpec;
  /** Absent: nobody has written down what the task's moments are worth. */
  readonly model?: TaskModel;
  create(): Promise<TaskInstance>;
  /** An expert committed to `mode` (by default the one the instance's state or the seed suggests). */
  expert(seed: number, mode?: string): Expert;
}
