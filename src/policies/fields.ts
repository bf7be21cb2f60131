// Fields that many families' configs have: features by name, how each kind is normalised, widths and counts.

import * as z from 'zod';

const FeatureType = z.enum(['STATE', 'VISUAL', 'ENV', 'ACTION', 'REWARD', 'LANGUAGE']);
/** Numbers of one feature, beyond any camera there is: what a config may make this process allocate is bounded. */
const MAX_FEATURE = 1 << 26;
export const ShapeSchema = z
  .array(z.number().int().positive())
  .min(1)
  .max(4)
  .refine((shape) => shape.reduce((n, d) => n * d, 1) <= MAX_FEATURE, `at most ${MAX_FEATURE} numbers`);

/** A feature of the config: what kind it is and its shape. */
export const FeatureSchema = z.object({ type: FeatureType, shape: ShapeSchema });
export type Feature = z.infer<typeof FeatureSchema>;
export const FeaturesSchema = z.record(z.string(), FeatureSchema);
/**
 * A width, a number of layers, of heads, of steps: some are used before any tensor says how large it can be, and none there
 * is comes near this.
 */
export const CountSchema = z.number().int().positive().max(32_768);
/** How each kind of feature is normalised; a kind that is not listed is not (LeRobot's NormalizationMode, FeatureType). */
export const NormalizationSchema = z.partialRecord(
  FeatureType,
  z.enum(['IDENTITY', 'MEAN_STD', 'MIN_MAX', 'QUANTILES', 'QUANTILE10']),
);
/** Of a planner: iterations, and sequences it draws or keeps at once, which is memory for every one of them. */
export const PlannedSchema = z.number().int().positive().max(16_384);
