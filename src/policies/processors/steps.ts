// LeRobot ≥ 0.4 processor files (processor/pipeline.py): a list of steps by registered name or by class, whose numbers stand
// in the safetensors that `state_file` names (the step index in that name is not to be trusted).

import { join } from 'node:path';
import * as z from 'zod';
import { readUserJson } from '../../base/json.js';
import { TendonError } from '../../types/index.js';
import { openSafetensors, readTensor } from '../../weights/index.js';
import { FeaturesSchema, NormalizationSchema } from '../fields.js';
import type { Stats } from './normalize.js';

/** One step, as far as it changes numbers or names. */
export type Step =
  | NormalizeStep
  | { readonly kind: 'rename'; readonly map: Readonly<Record<string, string>> }
  | { readonly kind: 'relative'; readonly enabled: boolean; share(dim: number): Float64Array }
  | { readonly kind: 'absolute'; readonly enabled: boolean }
  | { readonly kind: 'motors'; readonly names: readonly string[] }
  | PictureStep;

export interface NormalizeStep {
  readonly kind: 'normalize';
  /** unnormalizer_processor: from the network's numbers to the robot's. */
  readonly inverse: boolean;
  /** The file and the step, for messages. */
  readonly where: string;
  /** Where the statistics were looked for; absent when the step names no file. */
  readonly state_path: string | undefined;
  readonly stats: Readonly<Record<string, Stats>>;
  readonly eps: number;
  readonly features: Readonly<Record<string, { readonly type: string }>> | undefined;
  readonly norm_map: Readonly<Record<string, string>> | undefined;
  /** Observations that are normalised, when not all are. */
  readonly keys: readonly string[] | undefined;
}

/** image_crop_resize_processor: (top, left, height, width) by key, and the size that every picture is brought to. */
export interface PictureStep {
  readonly kind: 'pictures';
  readonly where: string;
  readonly crop: Readonly<Record<string, readonly [number, number, number, number]>>;
  readonly resize: readonly [number, number] | undefined;
}

const StepJson = z.lazy(() =>
  z.object({
    registry_name: z.string().optional(),
    class: z.string().optional(),
    config: z.record(z.string(), z.unknown()).default({}),
    state_file: z.string().optional(),
  }),
);
const PipelineJson = z.lazy(() =>
  z.object({ name: z.string().optional(), steps: z.array(StepJson).max(256) }),
);
type StepJson = z.infer<typeof StepJson>;

const NormalizerConfig = z.lazy(() =>
  z.object({
    eps: z.number().positive().default(1e-8),
    norm_map: NormalizationSchema.optional(),
    features: FeaturesSchema.optional(),
    normalize_observation_keys: z.array(z.string()).nullish(),
  }),
);
const RenameConfig = z.lazy(() => z.object({ rename_map: z.record(z.string(), z.string()).default({}) }));
const MotorsConfig = z.lazy(() => z.object({ motor_names: z.array(z.string()).min(1) }));
const RelativeConfig = z.lazy(() =>
  z.object({
    enabled: z.boolean().default(false),
    exclude_joints: z.array(z.string()).default([]),
    action_names: z.array(z.string()).nullish(),
  }),
);
const AbsoluteConfig = z.lazy(() => z.object({ enabled: z.boolean().default(false) }));
const pixels = z.number().int().min(0).max(65_536);
const PictureConfig = z.lazy(() =>
  z.object({
    crop_params_dict: z.record(z.string(), z.tuple([pixels, pixels, pixels, pixels])).nullish(),
    resize_size: z.tuple([pixels, pixels]).nullish(),
  }),
);

/** What gymnasium calls it, by LeRobot's name (observation_processor). */
const GYMNASIUM = {
  pixels: 'observation.image',
  agent_pos: 'observation.state',
  environment_state: 'observation.environment_state',
};

/** Steps that change nothing this runtime has to repeat: batches, devices, and the text that these policies do not read. */
const NO_WORK = [
  'to_batch_processor',
  'to_batch_processor_action',
  'to_batch_processor_observation',
  'to_batch_processor_complementary_data',
  'device_processor',
  'policy_action_processor',
  'identity_processor',
  'smolvla_new_line_processor',
  'pi0_new_line_processor',
  'pi05_prepare_state_tokenizer_processor_step',
  'tokenizer_processor',
  'torch2numpy_action_processor',
  'numpy2torch_action_processor',
];

type Read = (config: unknown, at: Place) => Step | undefined;
interface Place {
  readonly dir: string;
  readonly file: string;
  readonly where: string;
  readonly state_file: string | undefined;
}

const normalize =
  (inverse: boolean): Read =>
  (config, at) => {
    const { eps, norm_map, features, normalize_observation_keys } = checked(
      NormalizerConfig,
      config,
      at.where,
    );
    const state_path = at.state_file === undefined ? undefined : stateFile(at);
    return {
      kind: 'normalize',
      inverse,
      where: at.where,
      state_path,
      stats: state_path === undefined ? {} : readStats(state_path),
      eps,
      features,
      norm_map,
      keys: normalize_observation_keys ?? undefined,
    };
  };

const STEPS: Readonly<Record<string, Read>> = {
  ...Object.fromEntries(NO_WORK.map((name) => [name, () => undefined])),
  normalizer_processor: normalize(false),
  unnormalizer_processor: normalize(true),
  rename_observations_processor: (config, { where }) => ({
    kind: 'rename',
    map: checked(RenameConfig, config, where).rename_map,
  }),
  observation_processor: () => ({ kind: 'rename', map: GYMNASIUM }),
  relative_actions_processor: (config, { where }) => {
    const { enabled, exclude_joints, action_names } = checked(RelativeConfig, config, where);
    return { kind: 'relative', enabled, share: (dim) => shareOf(dim, exclude_joints, action_names) };
  },
  absolute_actions_processor: (config, { where }) => ({
    kind: 'absolute',
    enabled: checked(AbsoluteConfig, config, where).enabled,
  }),
  policy_action_to_robot_action_processor: (config, { where }) => ({
    kind: 'motors',
    names: checked(MotorsConfig, config, where).motor_names,
  }),
  image_crop_resize_processor: (config, { where }) => {
    const { crop_params_dict, resize_size } = checked(PictureConfig, config, where);
    return { kind: 'pictures', where, crop: crop_params_dict ?? {}, resize: resize_size ?? undefined };
  },
};

/** Steps that were saved by their class, because it is not registered or a release did not. */
const CLASSES: Readonly<Record<string, string>> = {
  IdentityProcessorStep: 'identity_processor',
  NormalizerProcessorStep: 'normalizer_processor',
  UnnormalizerProcessorStep: 'unnormalizer_processor',
  RenameObservationsProcessorStep: 'rename_observations_processor',
  AddBatchDimensionProcessorStep: 'to_batch_processor',
  DeviceProcessorStep: 'device_processor',
  NewLineTaskProcessorStep: 'smolvla_new_line_processor',
  TokenizerProcessorStep: 'tokenizer_processor',
  VanillaObservationProcessorStep: 'observation_processor',
  RelativeActionsProcessorStep: 'relative_actions_processor',
  AbsoluteActionsProcessorStep: 'absolute_actions_processor',
  ImageCropResizeProcessorStep: 'image_crop_resize_processor',
};

/** The steps of a processor file, in order; each is checked, and one that is not known is refused by name. */
export function readSteps(dir: string, name: string): Step[] {
  const file = join(dir, name);
  const { steps } = checked(PipelineJson, readUserJson(file, 'config'), `${file} (the pipeline)`);
  return steps.flatMap((step: StepJson, i) => {
    const called = nameOf(step);
    const read = Object.hasOwn(STEPS, called) ? STEPS[called] : undefined;
    if (read === undefined)
      throw new TendonError(
        'unsupported',
        `${file}: the step "${called}" is not known here; expected one of ${Object.keys(STEPS).join(', ')}`,
        { file, step: called },
      );
    const where = `${file}, step ${i} (${called})`;
    return read(step.config, { dir, file, where, state_file: step.state_file }) ?? [];
  });
}

function nameOf({ registry_name, class: path }: StepJson): string {
  if (registry_name !== undefined) return registry_name;
  const last = (path ?? '').split('.').at(-1)!;
  return Object.hasOwn(CLASSES, last) ? CLASSES[last]! : (path ?? '');
}

/** Of each action dim, how much of the state is in it: 1, or 0 where its name holds that of an excluded joint. */
function shareOf(
  dim: number,
  excluded: readonly string[],
  names: readonly string[] | null | undefined,
): Float64Array {
  const tokens = excluded.filter((token) => token !== '').map((token) => token.toLowerCase());
  const keeps = (name: string | undefined): boolean =>
    name === undefined || !tokens.some((token) => name.toLowerCase().includes(token));
  return Float64Array.from({ length: dim }, (_, i) => (keeps(names?.[i]) ? 1 : 0));
}

function checked<T>(schema: z.ZodType<T>, value: unknown, where: string): T {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  throw new TendonError('config_invalid', `${where}: ${z.prettifyError(result.error)}`, { where });
}

function stateFile({ dir, where, state_file }: Place): string {
  if (!/^[\w.-]+$/.test(state_file!) || state_file!.startsWith('.'))
    throw new TendonError(
      'file_unsafe',
      `${where}: state_file must be a file beside it, got "${state_file}"`,
      {
        where,
      },
    );
  return join(dir, state_file!);
}

/** Statistics by feature and name: `<feature>.<stat>`. Keys come from files: there is no prototype for them to reach. */
function readStats(path: string): Record<string, Stats> {
  const stats: Record<string, Record<string, Float32Array>> = Object.create(null);
  for (const [name, ref] of openSafetensors(path).tensors) {
    const dot = name.lastIndexOf('.');
    const feature = name.slice(0, dot);
    stats[feature] ??= Object.create(null) as Record<string, Float32Array>;
    stats[feature][name.slice(dot + 1)] = readTensor(ref);
  }
  return stats;
}
