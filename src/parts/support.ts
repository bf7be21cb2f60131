// How well data know a point: kernel density (OGSRL), k nearest neighbours, Mahalanobis. Higher is better known. A threshold
// is a quantile of what the data score themselves.

import { TendonError } from '../types/index.js';
import { distance, mean, quantile, type Row, smallest, squaredDistance } from './numbers.js';

/**
 * log of mean exp(−½d²/σ²): the density up to its constant 1/(σ√2π). Logs are compared, for the density itself underflows
 * beyond about 38 σ in f64 (14 in f32).
 */
export function logDensity(data: readonly Row[], x: Row, sigma: number): number {
  const logs = data.map((row) => (-0.5 * squaredDistance(row, x)) / (sigma * sigma));
  const most = Math.max(...logs);
  const sum = logs.reduce((s, v) => s + Math.exp(v - most), 0);
  return most + Math.log(sum / data.length);
}

/** The `share` quantile of the data's own log density, each point counted among its own neighbours as OGSRL does. */
export const densityThreshold = (data: readonly Row[], sigma: number, share: number): number =>
  Math.log(
    quantile(
      data.map((row) => Math.exp(logDensity(data, row, sigma))),
      share,
    ),
  );

/** Mean distance to the k nearest. `leave` is an index of the data that is not its own neighbour. */
export function nearestDistance(data: readonly Row[], x: Row, k: number, leave = -1): number {
  const distances = data.map((row, i) => (i === leave ? Number.POSITIVE_INFINITY : distance(row, x)));
  return mean(smallest(distances, k).map((i) => distances[i]!));
}

/** The 1 − `share` quantile of the data's own distances, each left out of its own neighbours. */
export const nearestThreshold = (data: readonly Row[], k: number, share: number): number =>
  quantile(
    data.map((row, i) => nearestDistance(data, row, k, i)),
    1 - share,
  );

/** Distance by the data's mean and covariance (ddof 1) with `ridge` on its diagonal. */
export class Mahalanobis {
  private readonly centre: Float64Array;
  /** Lower triangle of the covariance's Cholesky factor. */
  private readonly factor: Float64Array[];

  constructor(data: readonly Row[], ridge = 1e-4) {
    const n = data[0]!.length;
    this.centre = Float64Array.from({ length: n }, (_, i) => mean(data.map((row) => row[i]!)));
    const covariance = Array.from({ length: n }, (_, i) =>
      Float64Array.from({ length: n }, (_, j) => {
        const sum = data.reduce((s, row) => s + (row[i]! - this.centre[i]!) * (row[j]! - this.centre[j]!), 0);
        return sum / (data.length - 1) + (i === j ? ridge : 0);
      }),
    );
    this.factor = cholesky(covariance);
  }

  of(x: Row): number {
    // ‖L⁻¹(x − centre)‖
    const y = new Float64Array(this.centre.length);
    let squares = 0;
    for (let i = 0; i < y.length; i++) {
      let rest = x[i]! - this.centre[i]!;
      for (let j = 0; j < i; j++) rest -= this.factor[i]![j]! * y[j]!;
      y[i] = rest / this.factor[i]![i]!;
      squares += y[i]! * y[i]!;
    }
    return Math.sqrt(squares);
  }
}

function cholesky(a: readonly Float64Array[]): Float64Array[] {
  const n = a.length;
  const l = a.map(() => new Float64Array(n));
  for (let i = 0; i < n; i++)
    for (let j = 0; j <= i; j++) {
      let sum = a[i]![j]!;
      for (let k = 0; k < j; k++) sum -= l[i]![k]! * l[j]![k]!;
      if (i === j && !(sum > 0))
        throw new TendonError(
          'input_invalid',
          'mahalanobis: the covariance of the data is not positive definite',
        );
      l[i]![j] = i === j ? Math.sqrt(sum) : sum / l[j]![j]!;
    }
  return l;
}
