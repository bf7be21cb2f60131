// LeRobot ≥ 0.4 processor files: policy_preprocessor.json and policy_postprocessor.json, each a list of steps whose
// numbers stand in the safetensors that `state_file` names (the step index in that name is not to be trusted).

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import * as z from 'zod';
import { readUserJson } from '../../base/json.js';
import { TendonError } from '../../types/index.js';
import { openSafetensors, readTensor } from '../../weights/index.js';
import { NormalizationSchema, readConfig } from '../checkpoint.js';
import type { Stats } from './normalize.js';

const Step = z.lazy(() =>
  z.object({
    registry_name: z.string().optional(),
    class: z.string().optional(),
    config: z.record(z.string(), z.unknown()).default({}),
    state_file: z.string().optional(),
  }),
);
const Pipeline = z.lazy(() => z.object({ name: z.string().optional(), steps: z.array(Step) }));
type PipelineStep = z.infer<typeof Step>;

const NormalizerConfig = z.lazy(() =>
  z.object({
    eps: z.number().positive().optional(),
    norm_map: NormalizationSchema.optional(),
    /** Of some features only: no shipped policy asks for it. */
    normalize_observation_keys: z
      .null('null, for all of them: to normalise some is not supported')
      .optional(),
  }),
);
const RenameConfig = z.lazy(() => z.object({ rename_map: z.record(z.string(), z.string()).default({}) }));
/** LeRobot has no other step that renames an action. */
const MotorsConfig = z.lazy(() => z.object({ motor_names: z.array(z.string()).min(1) }));
const AbsoluteConfig = z.lazy(() =>
  z.object({
    enabled: z.boolean().default(true),
    state_key: z.string().default('observation.state'),
  }),
);

export interface Pipelines {
  /** Statistics by feature and name, e.g. observation.state → mean. */
  readonly stats: Readonly<Record<string, Stats>>;
  readonly eps: number;
  /** Mode by feature type (STATE, ACTION, …) when the files say so. */
  readonly norm_map: Readonly<Record<string, string>> | undefined;
  /** New observation key by old, of all steps of the preprocessor that rename. */
  readonly rename: Readonly<Record<string, string>>;
  /** The observation whose first action_dim values are added to every action, when chunks are relative. */
  readonly absolute_state_key: string | undefined;
}

/** Steps that change nothing this runtime has to repeat. */
const NO_WORK = new Set(['to_batch_processor', 'device_processor', 'policy_action_processor']);

export function readPipelines(dir: string): Pipelines | undefined {
  const pre = join(dir, 'policy_preprocessor.json');
  const post = join(dir, 'policy_postprocessor.json');
  if (!existsSync(pre) || !existsSync(post)) return undefined;
  // Keys come from files: there is no prototype for them to reach.
  const stats: Record<string, Record<string, Float32Array>> = Object.create(null);
  const found = {
    eps: 1e-8,
    norm_map: undefined as Record<string, string> | undefined,
    rename: {} as Record<string, string>,
  };
  let absolute: string | undefined;
  for (const file of [pre, post]) {
    // Of what both know only the action is for the postprocessor to undo.
    const known = new Set(Object.keys(stats).filter((feature) => feature !== 'action'));
    for (const step of parse(file).steps) {
      const name = step.registry_name ?? step.class ?? '';
      if (name === 'normalizer_processor' || name === 'unnormalizer_processor') {
        const { eps, norm_map } = checked(NormalizerConfig, step.config, file, name);
        if (eps !== undefined) found.eps = eps;
        if (norm_map !== undefined) found.norm_map = norm_map;
        const nothing =
          norm_map !== undefined && Object.values(norm_map).every((mode) => mode === 'IDENTITY');
        readStats(dir, file, step, stats, known, nothing);
      } else if (name === 'rename_observations_processor') {
        const map = checked(RenameConfig, step.config, file, name).rename_map;
        // A postprocessor sees an action and no observation: there is nothing there for it to rename.
        if (file === pre) {
          found.rename = composed(found.rename, map);
          moveStats(stats, map);
        }
      } else if (name === 'policy_action_to_robot_action_processor') {
        // Gives each number a name and leaves it in its place.
        checkMotors(dir, file, checked(MotorsConfig, step.config, file, name).motor_names);
      } else if (name === 'absolute_actions_processor') {
        const { enabled, state_key } = checked(AbsoluteConfig, step.config, file, name);
        if (enabled) absolute = state_key;
      } else if (!NO_WORK.has(name)) {
        throw new TendonError(
          'unsupported',
          `${file}: the step "${name}" is not known here; expected ${[...NO_WORK].join(', ')}, (un)normalizer_processor, rename_observations_processor, policy_action_to_robot_action_processor or absolute_actions_processor`,
          { file, step: name },
        );
      }
    }
  }
  return { stats, ...found, absolute_state_key: absolute };
}

/** One rename after the other, each of all keys at once (so two may change places). */
function composed(
  first: Readonly<Record<string, string>>,
  then: Readonly<Record<string, string>>,
): Record<string, string> {
  const at = (key: string): string => (Object.hasOwn(then, key) ? then[key]! : key);
  return { ...then, ...Object.fromEntries(Object.entries(first).map(([key, to]) => [key, at(to)])) };
}

/** A key that is renamed after it was normalised: its statistics go with it. */
function moveStats(stats: Record<string, Stats>, map: Readonly<Record<string, string>>): void {
  const moved = Object.entries(map).flatMap(([from, to]) =>
    from in stats ? [[to, stats[from]!] as const] : [],
  );
  for (const from of Object.keys(map)) delete stats[from];
  for (const [to, values] of moved) stats[to] = values;
}

function checkMotors(dir: string, file: string, names: readonly string[]): void {
  const { output_features } = readConfig(dir) as { output_features?: { action?: { shape?: number[] } } };
  const length = output_features?.action?.shape?.[0];
  if (length !== names.length)
    throw new TendonError(
      'config_invalid',
      `${file}: motor_names: expected ${length} names, as the action has numbers in config.json, got ${names.length}: ${names.join(', ')}`,
      { file },
    );
}

function checked<T>(schema: z.ZodType<T>, value: unknown, file: string, step: string): T {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  throw new TendonError('config_invalid', `${file} (${step}): ${z.prettifyError(result.error)}`, { file });
}

function parse(file: string): z.infer<typeof Pipeline> {
  return checked(Pipeline, readUserJson(file, 'config'), file, 'the pipeline');
}

function readStats(
  dir: string,
  file: string,
  step: PipelineStep,
  stats: Record<string, Record<string, Float32Array>>,
  known: ReadonlySet<string>,
  optional: boolean,
): void {
  if (step.state_file === undefined) {
    if (optional) return;
    throw new TendonError(
      'config_invalid',
      `${file}: a step that normalises names no state_file, so its statistics are missing; save the processor with the statistics of its dataset`,
      { file },
    );
  }
  if (!/^[\w.-]+$/.test(step.state_file) || step.state_file.startsWith('.'))
    throw new TendonError(
      'file_unsafe',
      `${file}: state_file must be a file beside it, got "${step.state_file}"`,
      { file },
    );
  for (const [name, ref] of openSafetensors(join(dir, step.state_file)).tensors) {
    const dot = name.lastIndexOf('.');
    const feature = name.slice(0, dot);
    if (known.has(feature)) continue;
    stats[feature] ??= Object.create(null) as Record<string, Float32Array>;
    stats[feature][name.slice(dot + 1)] = readTensor(ref);
  }
}
