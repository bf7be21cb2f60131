// Scorers that hold what is new against rows of recorded numbers: how well the data know it (support.ts).

import { TendonError } from '../../types/index.js';
import { type Row, rowsOf } from '../numbers.js';
import { logDensity, Mahalanobis, nearestDistance } from '../support.js';
import { Inputs } from './inputs.js';
import type { Form, ScorerEntry } from './scorer.js';

type Known = (x: Row) => number;

const dataForm = (summary: string, open: (data: readonly Row[], entry: ScorerEntry) => Known): Form => ({
  summary,
  needs: ['data', 'inputs'],
  open(name, entry, host) {
    const inputs = new Inputs(entry.inputs!, entry.rows, host.spec, `parts.${name}`);
    const tensors = host.tensors(entry.data!);
    const data = tensors.data;
    if (data === undefined || data.shape.length !== 2 || data.shape[0] === 0)
      throw new TendonError(
        'weights_mismatch',
        `${entry.data}: expected a tensor "data" (rows, width) with at least one row; it has ${Object.entries(
          tensors,
        )
          .map(([key, { shape }]) => `${key} (${shape.join(', ')})`)
          .join(', ')}`,
      );
    const [, width] = data.shape as [number, number];
    const scale = scaleOf(tensors.min?.values, tensors.max?.values, width);
    const known = open(rowsOf(scale(data.values), width), entry);
    return {
      ranks: inputs.ranks,
      score(chunks, moment) {
        const given = inputs.gather(chunks, moment);
        if (given.width !== width)
          throw new TendonError(
            'input_invalid',
            `parts.${name}.inputs: ${entry.data} has rows of ${width} numbers, the inputs give ${given.width}; name other inputs, or rows: all, executed, first`,
            { expected: width, got: given.width },
          );
        return { scores: rowsOf(scale(given.values), width).map(known) };
      },
    };
  },
});

/** To ±1 between the file's `min` and `max` (width), where it has them; a column without range is 0. */
function scaleOf(
  min: Float32Array | undefined,
  max: Float32Array | undefined,
  width: number,
): (values: Float32Array) => Float64Array {
  if (min === undefined || max === undefined) return (values) => Float64Array.from(values);
  return (values) =>
    Float64Array.from(values, (v, i) => {
      const [low, high] = [min[i % width]!, max[i % width]!];
      return high > low ? (2 * (v - low)) / (high - low) - 1 : 0;
    });
}

export const dataForms: Readonly<Record<string, Form>> = {
  kde: dataForm(
    'OGSRL: log kernel density of the data',
    (data, { sigma }) =>
      (x) =>
        logDensity(data, x, sigma),
  ),
  knn: dataForm(
    'minus the mean distance to the nearest rows',
    (data, { neighbours }) =>
      (x) =>
        -nearestDistance(data, x, Math.min(neighbours, data.length)),
  ),
  mahalanobis: dataForm('minus the distance by mean and covariance', (data, { ridge }) => {
    const around = new Mahalanobis(data, ridge);
    return (x) => -around.of(x);
  }),
};
