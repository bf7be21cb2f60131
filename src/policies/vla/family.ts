// What SmolVLA, π0 and π0.5 have in common as families: cameras of which some may be missing, a task in words, states and actions
// padded to fixed widths, Euler steps from t = 1.

import type { GraphBuilder } from '../../native/index.js';
import { type Observation, TendonError } from '../../types/index.js';
import type { Checkpoint, FeatureConfig } from '../checkpoint.js';
import { definePolicy } from '../define.js';
import type { DenoiserFamily } from '../denoiser-family.js';
import { type ActionCodec, actionCodec, actionMap, lowDimFeatures, rowsOf } from '../features.js';
import { drawnOrGiven } from '../joining.js';
import type { Processing } from '../processors/processing.js';
import { flow } from '../sampling.js';
import type { Tensors } from '../tensors.js';
import type { BodyMap } from './aloha.js';
import { type Padding, sizedLikePil, writePicture } from './pictures.js';
import { flowTimes, timeEmbedding } from './prefix.js';
import { taskOf } from './text.js';

export interface VlaParts {
  readonly family: string;
  readonly config: FeatureConfig & {
    readonly chunk_size: number;
    readonly n_action_steps: number;
    readonly max_state_dim: number;
    readonly max_action_dim: number;
    readonly num_steps: number;
    readonly min_period: number;
    readonly max_period: number;
    readonly fps?: number | undefined;
  };
  /** Cameras that the config declares and no robot has. */
  readonly never_delivered: RegExp;
  /** Side of the square pictures, pixels. */
  readonly image: number;
  readonly padding: Padding;
  readonly expert_width: number;
  graph(cameras: number, groups: number): GraphBuilder;
  /** Inputs that depend on which cameras are there, on the task and on the normalised state (unpadded). */
  prefix(cameras: readonly boolean[], task: string, state: Float32Array): Record<string, Float32Array>;
  /** Whether the state is an input of the network beside the text. */
  readonly takes_state: boolean;
  /** Pictures are sized as PIL does it, over all pixels that fall into one, and rounded to bytes. */
  readonly antialiased?: boolean;
  /** Features that make up the state, one after the other; observation.state when absent. */
  readonly states?: readonly string[];
  /** Where no file of LeRobot's says it. */
  readonly processing?: Processing;
  /** Rows of a chunk that the network was trained with given, at most. */
  readonly given_rows?: number;
  /** What a padding pixel is, in [−1, 1] or as a release had it. */
  readonly pad?: number;
  /** Between the robot's numbers and the policy's, before normalisation or after it. */
  body?(state_dim: number, action_dim: number): { readonly map: BodyMap; readonly raw: boolean };
}

const STATE = 'observation.state';

export function vlaFamily(checkpoint: Checkpoint, tensors: Tensors, parts: VlaParts): DenoiserFamily {
  const { config, family, image } = parts;
  const { states = [STATE] } = parts;
  const processing = parts.processing ?? checkpoint.processing(config, tensors);
  const features = lowDimFeatures(config.input_features, processing, states);
  const action = actionMap(config.output_features, processing);
  const cameras = Object.entries(config.input_features).flatMap(([key, { type, shape }]) =>
    type === 'VISUAL' && !parts.never_delivered.test(key) ? [{ key, shape }] : [],
  );
  const fits = (what: string, dim: number, most: number): void => {
    if (dim > most)
      throw new TendonError('config_invalid', `${what}: ${family} has room for ${most} numbers, got ${dim}`);
  };
  fits(STATE, features.width, config.max_state_dim);
  fits('action', action.dim, config.max_action_dim);
  if (cameras.length === 0)
    throw new TendonError('config_invalid', `input_features: ${family} needs at least one camera`);
  const body = parts.body?.(features.width, action.dim);

  return definePolicy({
    family,
    rate_hz: config.fps,
    action_dim: action.dim,
    observes: {
      observation_dims: features.dims,
      image_shapes: Object.fromEntries(
        cameras.map(({ key, shape }) => [key, shape as unknown as readonly [number, number, number]]),
      ),
      // A camera that is not delivered is masked, as in training.
      optional_images: cameras.map(({ key }) => key),
      any_image_size: true,
      texts: ['task'],
    },
    network: {
      rows: config.chunk_size,
      columns: config.max_action_dim,
      build: (groups) => parts.graph(cameras.length, groups),
      finish: () => tensors.finish(),
      schedule(levels) {
        const { min_period, max_period } = config;
        const embed = (t: number) => [...timeEmbedding(t, parts.expert_width, min_period, max_period)];
        return { time: Float32Array.from(flowTimes(levels.length).flatMap(embed)) };
      },
      condition,
    },
    sampling: flow(family, 'noise_at_one', config.num_steps, 100),
    codec: body === undefined ? actionCodec(action) : aroundCodec(actionCodec(action), states[0]!, body),
    window: { n_action_steps: config.n_action_steps, rename: processing.rename },
    ...(parts.given_rows === undefined ? {} : { joining: drawnOrGiven(parts.given_rows) }),
  });

  function condition(history: readonly Observation[]): Record<string, Float32Array> {
    const newest = adapted(history.at(-1)!, states[0]!, body?.raw === true ? body.map : undefined);
    const state = Float32Array.from(states.flatMap((key) => [...rowsOf(features, key, [newest])]));
    if (body?.raw === false) body.map.state(state);
    const present = cameras.map(({ key }) => newest.images?.[key] !== undefined);
    const task = taskOf(newest, family);
    if (!present.includes(true))
      throw new TendonError(
        'input_invalid',
        `${family}: expected at least one of ${cameras.map(({ key }) => key).join(', ')}, got none`,
      );
    const images = new Float32Array(cameras.length * image * image * 3).fill(-1);
    cameras.forEach(({ key }, i) => {
      const picture = newest.images?.[key];
      if (picture !== undefined)
        writePicture(
          parts.antialiased === true ? sizedLikePil(picture, image) : picture,
          image,
          parts.padding,
          images,
          i * image * image * 3,
          parts.pad,
        );
    });
    const padded = new Float32Array(config.max_state_dim);
    padded.set(state);
    return {
      images,
      ...parts.prefix(present, task, state),
      ...(parts.takes_state ? { state: padded } : {}),
    };
  }
}

/** The observation in the policy's own joints. */
function adapted(observation: Observation, key: string, body: BodyMap | undefined): Observation {
  if (body === undefined) return observation;
  const state = Float32Array.from(observation.values[key]!);
  body.state(state);
  return { ...observation, values: { ...observation.values, [key]: state } };
}

/** Actions leave through the normalisation and the robot's joints, in the order in which training came in. */
function aroundCodec(
  codec: ActionCodec,
  state: string,
  { map, raw }: { readonly map: BodyMap; readonly raw: boolean },
): ActionCodec {
  if (!raw)
    return {
      decode(rows, newest) {
        map.decode(rows);
        codec.decode(rows, newest);
      },
      encode(rows, newest) {
        codec.encode(rows, newest);
        map.encode(rows);
      },
    };
  return {
    decode(rows, newest) {
      codec.decode(rows, adapted(newest, state, map));
      map.decode(rows);
    },
    encode(rows, newest) {
      map.encode(rows);
      codec.encode(rows, adapted(newest, state, map));
    },
  };
}
