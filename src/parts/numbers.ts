// Rows of numbers and the few sums over them that parts share. All in f64: what is ranked or held against a threshold
// should not depend on the order of rounding.

/** Numbers of one item: a state, an action, a score for each candidate. */
export type Row = ArrayLike<number>;

/** Rows of `width` of a flat array, as views. */
export function rowsOf(values: Float32Array | Float64Array, width: number): (Float32Array | Float64Array)[] {
  return Array.from({ length: values.length / width }, (_, i) => values.subarray(i * width, (i + 1) * width));
}

export function squaredDistance(a: Row, b: Row, count = a.length): number {
  let sum = 0;
  for (let i = 0; i < count; i++) {
    const d = a[i]! - b[i]!;
    sum += d * d;
  }
  return sum;
}

export const distance = (a: Row, b: Row): number => Math.sqrt(squaredDistance(a, b));

export function dot(a: Row, b: Row): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!;
  return sum;
}

export const norm = (a: Row): number => Math.sqrt(dot(a, a));

export function mean(values: Row): number {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i]!;
  return sum / values.length;
}

/** Softmax of scores, safe for large ones; scores that are not finite get nothing. */
export function softmax(scores: Row, temperature = 1): Float64Array {
  let most = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < scores.length; i++) if (Number.isFinite(scores[i]!)) most = Math.max(most, scores[i]!);
  const out = Float64Array.from({ length: scores.length }, (_, i) =>
    Number.isFinite(scores[i]!) ? Math.exp((scores[i]! - most) / temperature) : 0,
  );
  const sum = out.reduce((a, b) => a + b, 0);
  return sum > 0 ? out.map((v) => v / sum) : out;
}

/** The k smallest by `values`, smallest first; equal ones in order. */
export function smallest(values: Row, k: number): number[] {
  const order = Array.from({ length: values.length }, (_, i) => i);
  return order.sort((a, b) => values[a]! - values[b]! || a - b).slice(0, k);
}

/** numpy.quantile with linear interpolation. */
export function quantile(values: Row, share: number): number {
  const sorted = Float64Array.from(values).sort();
  const at = share * (sorted.length - 1);
  const low = Math.floor(at);
  const high = Math.min(low + 1, sorted.length - 1);
  return sorted[low]! + (sorted[high]! - sorted[low]!) * (at - low);
}
