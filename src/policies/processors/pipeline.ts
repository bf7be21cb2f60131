// LeRobot ≥ 0.4 processor files: policy_preprocessor.json and policy_postprocessor.json, each a list of steps whose
// numbers stand in the safetensors that `state_file` names (the step index in that name is not to be trusted).

import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { TendonError } from '../../types/index.js';
import { openSafetensors, readTensor } from '../../weights/index.js';
import type { Stats } from './normalize.js';

const Step = z.object({
  registry_name: z.string().optional(),
  class: z.string().optional(),
  config: z.record(z.string(), z.unknown()).default({}),
  state_file: z.string().optional(),
});
const Pipeline = z.object({ name: z.string().optional(), steps: z.array(Step) });
type PipelineStep = z.infer<typeof Step>;

export interface Pipelines {
  /** Statistics by feature and name, e.g. observation.state → mean. */
  readonly stats: Readonly<Record<string, Stats>>;
  readonly eps: number;
  /** Mode by feature type (STATE, ACTION, …) when the files say so. */
  readonly norm_map: Readonly<Record<string, string>> | undefined;
  /** New observation key by old. */
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
  const stats: Record<string, Record<string, Float32Array>> = {};
  const found = {
    eps: 1e-8,
    norm_map: undefined as Record<string, string> | undefined,
    rename: {} as Record<string, string>,
  };
  let absolute: string | undefined;
  for (const file of [pre, post]) {
    for (const step of parse(file).steps) {
      const name = step.registry_name ?? step.class ?? '';
      if (name === 'normalizer_processor' || name === 'unnormalizer_processor') {
        readStats(dir, file, step, stats);
        if (typeof step.config.eps === 'number') found.eps = step.config.eps;
        if (isStrings(step.config.norm_map)) found.norm_map = step.config.norm_map;
      } else if (name === 'rename_observations_processor') {
        if (isStrings(step.config.rename_map)) found.rename = step.config.rename_map;
      } else if (name === 'absolute_actions_processor') {
        if (step.config.enabled !== false) absolute = String(step.config.state_key ?? 'observation.state');
      } else if (!NO_WORK.has(name)) {
        throw new TendonError(
          'unsupported',
          `${file}: the step "${name}" is not known here; expected ${[...NO_WORK].join(', ')}, (un)normalizer_processor, rename_observations_processor or absolute_actions_processor`,
          { file, step: name },
        );
      }
    }
  }
  return { stats, ...found, absolute_state_key: absolute };
}

function isStrings(value: unknown): value is Record<string, string> {
  return (
    typeof value === 'object' && value !== null && Object.values(value).every((v) => typeof v === 'string')
  );
}

function parse(file: string): z.infer<typeof Pipeline> {
  let json: unknown;
  try {
    json = JSON.parse(readFileSync(file, 'utf8'));
  } catch (cause) {
    throw new TendonError(
      'file_corrupt',
      `${file} is not JSON: ${(cause as Error).message}`,
      { file },
      { cause },
    );
  }
  const result = Pipeline.safeParse(json);
  if (!result.success)
    throw new TendonError('config_invalid', `${file}: ${z.prettifyError(result.error)}`, { file });
  return result.data;
}

function readStats(
  dir: string,
  file: string,
  step: PipelineStep,
  stats: Record<string, Record<string, Float32Array>>,
): void {
  if (step.state_file === undefined) return;
  if (/[/\\]|^\.\.$/.test(step.state_file))
    throw new TendonError(
      'file_unsafe',
      `${file}: state_file must be a file beside it, got "${step.state_file}"`,
      { file },
    );
  for (const [name, ref] of openSafetensors(join(dir, step.state_file)).tensors) {
    const dot = name.lastIndexOf('.');
    const feature = name.slice(0, dot);
    stats[feature] ??= {};
    stats[feature][name.slice(dot + 1)] = readTensor(ref);
  }
}
