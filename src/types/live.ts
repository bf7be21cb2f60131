// What the live page is told and what it may ask for. Control publishes LiveFrames to listeners that can never
// block it; the page answers with OperatorIntents, which are requests: the supervisor decides.

import type { PartStatus } from './steering.js';
import type { Nanoseconds } from './values.js';

/** Supervisor states; the transition table is in src/control/supervisor.ts. */
export const CONTROL_STATES = ['INIT', 'READY', 'RUNNING', 'TELEOP', 'HOLD', 'STOPPED'] as const;
export type ControlState = (typeof CONTROL_STATES)[number];

/** Choices of the sampler that may change between two inferences. */
export interface SamplerChoice {
  readonly sampler: string;
  readonly steps: number;
  readonly candidates: number;
  readonly precision: string;
  readonly guidance_scale: number;
}

/** What can be chosen with the loaded policy; the page builds its menus from this. */
export interface SamplerMenu {
  readonly samplers: readonly string[];
  readonly precisions: readonly string[];
  readonly max_steps: number;
  readonly max_candidates: number;
  /** Planners or policies that can drive, e.g. `diffusion`, `world model`. */
  readonly drivers: readonly string[];
}

/** The scene: sent once and on every change of task. */
export interface LiveScene {
  readonly kind: 'scene';
  /** Whether there are episodes, a pause and a choice of tasks: a robot has none of them. */
  readonly simulated: boolean;
  readonly task: string;
  readonly summary: string;
  readonly joint_names: readonly string[];
  readonly limits: { readonly lower: readonly number[]; readonly upper: readonly number[] };
  readonly shapes: readonly {
    readonly name: string;
    readonly kind: string;
    readonly size: readonly [number, number, number];
    readonly rgba: readonly [number, number, number, number];
    readonly role: string;
  }[];
  readonly goal_dim: number;
  /** The policy is told what to do in words. */
  readonly words?: boolean;
  readonly menu: SamplerMenu;
  readonly tasks: readonly string[];
}

/** Poses of the shapes, at display rate. */
export interface LivePoses {
  readonly kind: 'poses';
  readonly stamp_ns: Nanoseconds;
  /** (n_shapes, 7): x y z qw qx qy qz */
  readonly poses: Float32Array;
}

/** One inference, with the paths its candidates would take through the workspace. */
export interface LiveChunk {
  readonly kind: 'chunk';
  readonly stamp_ns: Nanoseconds;
  readonly chosen: number;
  readonly n_candidates: number;
  readonly horizon: number;
  /** (n_candidates, horizon, 3), metres */
  readonly paths: Float32Array;
  /** Predicted return per candidate, when a world model or critic scored them. */
  readonly scores?: Float32Array;
  readonly infer_ms: number;
}

/** How a policy that has a goal is getting on, as the parts beside it say (docs/goals.md). */
export interface LiveProgress {
  /** on the way, reached, stalled, off the route. */
  readonly state: string;
  readonly steps_left?: number | undefined;
  readonly seconds_left?: number | undefined;
  /** Which place of a route is gone to, from 1, and how many there are. */
  readonly place?: number | undefined;
  readonly places?: number | undefined;
  /** Where it means to be next, and after that, m. */
  readonly ahead: readonly (readonly [number, number, number])[];
}

/** Counters and plots, at 10 Hz. */
export interface LiveStatus {
  readonly kind: 'status';
  readonly stamp_ns: Nanoseconds;
  readonly state: ControlState;
  /** Why the supervisor is in this state, for people. */
  readonly cause: string;
  readonly paused: boolean;
  readonly connected: boolean;
  readonly episode: number;
  readonly successes: number;
  readonly episodes_done: number;
  readonly mode: string;
  /** Last command and measured position, (joints). */
  readonly command: readonly number[];
  readonly position: readonly number[];
  readonly goal: readonly number[];
  /** Of a policy with a goal and parts that watch it. */
  readonly progress?: LiveProgress | undefined;
  /** The task in words, of a scene with words. */
  readonly words?: string;
  /** Where the measured position has the hand, metres, (3). */
  readonly hand: readonly number[];
  /** Since the last status. */
  readonly infer_ms: readonly number[];
  readonly late_us: readonly number[];
  readonly ticks: number;
  readonly deadline_misses: number;
  readonly interventions: number;
  readonly drops: number;
  readonly choice: SamplerChoice;
  /** Of a policy with parts; absent of others. */
  readonly parts?: readonly PartStatus[];
  readonly driver: string;
}

/** Everything that a page is told. */
export type LiveFrame = LiveScene | LivePoses | LiveChunk | LiveStatus;

/** What a person asks for; the supervisor decides. */
export type OperatorIntent =
  /** `cause` is for people, where no person asked. */
  | { readonly kind: 'hold'; readonly cause?: string }
  | { readonly kind: 'resume' }
  /** Latched: only `reset` leaves it. */
  | { readonly kind: 'stop' }
  | { readonly kind: 'reset'; readonly seed?: number }
  | { readonly kind: 'pause'; readonly paused: boolean }
  | { readonly kind: 'goal'; readonly goal: readonly number[] }
  | { readonly kind: 'push'; readonly name: string; readonly force: readonly [number, number, number] }
  | { readonly kind: 'choose'; readonly choice: Partial<SamplerChoice> }
  /** Switches a part of the policy, or sets a condition. */
  | { readonly kind: 'part'; readonly name: string; readonly on: boolean }
  | { readonly kind: 'condition'; readonly name: string; readonly value: number }
  | { readonly kind: 'driver'; readonly driver: string }
  | { readonly kind: 'task'; readonly task: string }
  /** What the robot is to do from the next chunk on, in words. */
  | { readonly kind: 'words'; readonly text: string }
  /** A person drives: joint targets, or a point for the hand (metres), or neither yet. */
  | {
      readonly kind: 'teleop';
      readonly engaged: boolean;
      readonly values?: readonly number[];
      readonly point?: readonly [number, number, number];
      /** Goes on driving; refused when a hold, a stop or a fault has ended it, which only a person may undo. */
      readonly repeat?: boolean;
    };

/** What became of an intent. */
export interface IntentAnswer {
  readonly accepted: boolean;
  /** Why not; else empty. */
  readonly reason: string;
  /** Accepted, but only this says whether it came about: resolves with why not, or empty. */
  readonly outcome?: Promise<string>;
}

/** Where LiveFrames come from and OperatorIntents go; the web room knows nothing else. */
export interface LiveSource {
  scene(): LiveScene;
  subscribe(listener: (frame: LiveFrame) => void): () => void;
  request(intent: OperatorIntent): IntentAnswer;
}
