// What a family brings so that a policy can denoise with its network, and how a policy is loaded.

import type { GraphBuilder, NativePool, NativeSession, NetworkInputs, Precision } from '../native/index.js';
import type { AdaptiveRange, Churn, Follow, SamplerTable, Stochastic } from '../samplers/index.js';
import type { Goal, Observation, PolicySpec, SamplerChoice } from '../types/index.js';
import type { OpenOptions } from './checkpoint.js';

export interface LoadOptions extends OpenOptions {
  /** `auto` picks by hardware and a comparison with f32 at load. */
  readonly precision?: Precision;
  readonly sampler?: string;
  readonly steps?: number;
  readonly candidates?: number;
  /** λ of classifier-free guidance; 1 is the conditional network alone. */
  readonly guidance_scale?: number;
  /** Solves all steps together, to within this much of a normalised action; 0, the default: one after the other. */
  readonly parallel_tolerance?: number;
  /** Noise that the sampler adds beyond its own, where it takes any: DDIM's η, churn of euler and heun. */
  readonly eta?: number;
  readonly churn?: Churn;
  /** Of dpm_adaptive: the error that a step may make, relative (0.05) and at least (0.0078), as k-diffusion has them. */
  readonly rtol?: number;
  readonly atol?: number;
  /** Compiles guidance through the derivative as well, for prefixes that ask for it; else at the first of them. */
  readonly prefix_derivative?: boolean;
  /** How chunks will be joined: drawn towards a prefix, chosen among candidates. Refused at load where they cannot be. */
  readonly joins?: { readonly prefix?: boolean; readonly candidates?: boolean };
  readonly threads?: number;
  /** Binds each thread to a core of its own: of these, or of the first that this process may use. */
  readonly pin?: boolean | readonly number[];
  readonly pool?: NativePool;
  /** Lowers the instruction set, as TENDON_ISA. */
  readonly isa?: string;
  /** Where the network runs: `cpu` or `cuda:0`, `cuda:1`, …; as TENDON_DEVICE. */
  readonly device?: string;
}

/** What a family brings to DenoisingPolicy. */
export interface DenoiserFamily {
  readonly spec: PolicySpec;
  /** Rows of the network's chunk; row `first_row` is the first that is executed. */
  readonly model_horizon: number;
  readonly first_row: number;
  readonly defaults: SamplerChoice;
  readonly samplers: readonly string[];
  readonly max_steps: number;
  /** Whether an unconditional half exists for guidance. */
  readonly guidable: boolean;
  /** The policy's observation key by another that is accepted for it (LeRobot's rename_map). */
  readonly rename?: Readonly<Record<string, string>>;
  /** Coefficient of ACT's temporal ensemble over the chunks of successive steps. */
  readonly ensemble?: number;
  /**
   * Rows of x before the one that is executed hold the actions that were given last, instead of noise. Until there are
   * n_obs_steps observations the window is as long as there are, and the newest is its last: row t − 1 of x.
   */
  readonly keeps_actions?: boolean;
  /** A network that is given what it made of the last observation (an RNN): more inputs by it, and the next from x. */
  readonly recurrent?: {
    inputs(state: unknown): NetworkInputs;
    next(x: Float32Array, state: unknown): unknown;
  };
  /** The network was trained with the beginning of its chunk given: inputs prefix and prefix_weights (0 or 1). */
  readonly conditioned?: boolean;
  /** Columns of x after the actions, which the network denoises with them (diffusion_policy's painted observations). */
  readonly columns_beside?: number;
  /** Columns of x after the actions that mean nothing and are denoised with them (VLAs' fixed action width). */
  readonly padding_columns?: number;
  /** Normalised bounds of each action, (action_dim): what is sampled beyond is brought back to them. */
  readonly bounds?: { readonly low: Float32Array; readonly high: Float32Array };
  /** The network for `groups` guidance groups: step input `x`, output first. */
  graph(groups: number): GraphBuilder;
  table(sampler: string, steps: number, noise?: Stochastic): SamplerTable;
  /** Where dpm_adaptive begins and ends; absent where the network does not denoise at any σ between. */
  adaptive?(steps: number): AdaptiveRange & { readonly start_scale: number };
  /** Each schedule input for every call. */
  schedule(table: Pick<SamplerTable, 'levels'>): Record<string, Float32Array>;
  /** Observation inputs, normalised, and the cameras' frames, for `groups` groups (conditional first). */
  condition(history: readonly Observation[], goal: Goal | undefined, groups: number): NetworkInputs;
  /** Runs the network elsewhere, where the core cannot compile it: a session for `batch` candidates on `threads`. */
  foreign?(follow: Follow, batch: number, threads: number): Promise<NativeSession>;
  /** Normalised rows (rows, action_dim) to physical units, in place. */
  decode(rows: Float32Array, newest: Observation): void;
  /** And back, in place; absent where a chunk cannot be drawn towards anything. */
  encode?(rows: Float32Array, newest: Observation): void;
}
