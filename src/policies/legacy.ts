// config.json of LeRobot's 2024 releases (≤ 0.1), which names no type and speaks of shapes and modes by key: rewritten
// as the later releases write it, so that families read one form.

import { TendonError } from '../types/index.js';

/** Fields that only one policy's config had. */
const MARKS: readonly (readonly [string, string])[] = [
  ['diffusion', 'noise_scheduler_type'],
  ['act', 'dim_feedforward'],
  ['tdmpc', 'cem_iterations'],
  ['vqbet', 'vqvae_n_embed'],
];

const typeOf = (key: string): string => {
  if (key.startsWith('observation.image')) return 'VISUAL';
  if (key === 'observation.environment_state') return 'ENV';
  return key === 'action' ? 'ACTION' : 'STATE';
};

/** The same config in today's form; one that has a type or is nothing of LeRobot's comes back as it is. */
export function modernConfig(config: Record<string, unknown>): Record<string, unknown> {
  const { input_shapes, output_shapes, input_normalization_modes, output_normalization_modes } = config;
  if (config.type !== undefined || !isRecord(input_shapes) || !isRecord(output_shapes)) return config;
  const family = MARKS.find(([, mark]) => mark in config)?.[0];
  if (family === undefined) return config;
  const modes: Record<string, string> = {};
  for (const [key, mode] of [
    ...Object.entries(isRecord(input_normalization_modes) ? input_normalization_modes : {}),
    ...Object.entries(isRecord(output_normalization_modes) ? output_normalization_modes : {}),
  ]) {
    const type = typeOf(key);
    const name = String(mode).toUpperCase();
    if (modes[type] !== undefined && modes[type] !== name)
      throw new TendonError(
        'unsupported',
        `config.json: ${key} is normalised by ${name} and another ${type} feature by ${modes[type]}; expected one mode for each kind of feature`,
        { key },
      );
    modes[type] = name;
  }
  const features = (shapes: Record<string, unknown>): Record<string, unknown> =>
    Object.fromEntries(Object.entries(shapes).map(([key, shape]) => [key, { type: typeOf(key), shape }]));
  return {
    ...config,
    ...(family === 'act' ? ensembleOf(config) : {}),
    // TD-MPC executed one planned action before it had a field for it.
    ...(family === 'tdmpc' && config.n_action_steps === undefined ? { n_action_steps: 1 } : {}),
    type: family,
    input_features: features(input_shapes),
    output_features: features(output_shapes),
    normalization_mapping: modes,
  };
}

/** ACT's ensemble before mid-2024: the momentum of a running mean, which weighs otherwise than a coefficient. */
function ensembleOf(config: Record<string, unknown>): Record<string, unknown> {
  const { temporal_ensemble_coeff, temporal_ensemble_momentum: momentum } = config;
  if (temporal_ensemble_coeff !== undefined || momentum === undefined) return {};
  if (momentum !== null)
    throw new TendonError(
      'unsupported',
      `config.json: temporal_ensemble_momentum ${String(momentum)} is not supported; put null in its place and temporal_ensemble_coeff (0.01 in the paper) beside it`,
    );
  return { temporal_ensemble_coeff: null };
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
