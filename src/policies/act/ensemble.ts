// ACT's temporal ensemble: the action for a moment is the weighted mean of all chunks that spoke of it, the oldest
// weighing 1 and each younger one e^−c times the one before (ACTTemporalEnsembler; Zhao et al. 2023, algorithm 2).

export class TemporalEnsemble {
  private mean: Float64Array = new Float64Array(0);
  /** How many chunks each row of `mean` holds. */
  private counts: number[] = [];

  constructor(
    private readonly coefficient: number,
    private readonly action_dim: number,
  ) {}

  reset(): void {
    this.mean = new Float64Array(0);
    this.counts = [];
  }

  /** Takes a chunk (rows, action_dim) that begins now, one row after the last; gives the merged chunk. */
  update(chunk: ArrayLike<number>): Float64Array {
    const n = this.action_dim;
    const rows = chunk.length / n;
    const merged = Float64Array.from(chunk);
    const counts: number[] = Array(rows).fill(1);
    this.counts.slice(0, rows).forEach((count, row) => {
      const weight = Math.exp(-this.coefficient * count);
      let before = 0;
      for (let i = 0; i < count; i++) before += Math.exp(-this.coefficient * i);
      for (let j = row * n; j < (row + 1) * n; j++)
        merged[j] = (this.mean[j]! * before + chunk[j]! * weight) / (before + weight);
      counts[row] = Math.min(count + 1, rows);
    });
    this.mean = merged.slice(n);
    this.counts = counts.slice(1);
    return merged;
  }
}
