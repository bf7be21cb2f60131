// Maps of a feature, number by number, between the robot's side and the network's.

/** y = x·mul + add per element from the robot's number to the network's, and back: x = y·back_mul + back_add. */
export interface Affine {
  readonly mul: Float64Array;
  readonly add: Float64Array;
  readonly back_mul: Float64Array;
  readonly back_add: Float64Array;
}

export const identity = (length: number): Affine => ({
  mul: new Float64Array(length).fill(1),
  add: new Float64Array(length),
  back_mul: new Float64Array(length).fill(1),
  back_add: new Float64Array(length),
});

/** First one, then the other. */
export const composed = (first: Affine, then: Affine): Affine => ({
  mul: first.mul.map((m, i) => m * then.mul[i]!),
  add: first.add.map((a, i) => a * then.mul[i]! + then.add[i]!),
  back_mul: first.back_mul.map((m, i) => m * then.back_mul[i]!),
  back_add: first.back_add.map((a, i) => then.back_add[i]! * first.back_mul[i]! + a),
});

/** The same map with its sides changed. */
export const inverted = ({ mul, add, back_mul, back_add }: Affine): Affine => ({
  mul: back_mul,
  add: back_add,
  back_mul: mul,
  back_add: add,
});

export function applyForward(a: Affine, x: ArrayLike<number>, out: Float32Array, at = 0): void {
  const n = a.mul.length;
  for (let i = 0; i < n; i++) out[at + i] = x[i]! * a.mul[i]! + a.add[i]!;
}

/** In place over rows of the affine's length. */
export function applyInverse(a: Affine, rows: Float32Array): void {
  const n = a.back_mul.length;
  for (let i = 0; i < rows.length; i++) rows[i] = rows[i]! * a.back_mul[i % n]! + a.back_add[i % n]!;
}
