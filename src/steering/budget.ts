// How many candidates an inference can afford: they begin few, become twice as many while that would still be in time, and
// fewer before a deadline is missed. What was drawn is recorded, so a replay draws as many.

/** An inference may take this share of its budget; the rest is for what a machine does beside it. */
const SHARE = 0.7;

export class Budget {
  private affordable: number;

  constructor(
    private readonly most: number,
    private readonly least: number,
  ) {
    this.affordable = least;
  }

  /** For the next inference, which has `budget_ms`; all where nobody waits for it. */
  candidates(budget_ms: number | undefined): number {
    return budget_ms === undefined ? this.most : Math.min(this.affordable, this.most);
  }

  /** An inference of `n` candidates took so long. */
  took(n: number, total_ms: number, budget_ms: number | undefined): void {
    if (budget_ms === undefined) return;
    const allowed = SHARE * budget_ms;
    // Twice as many take at most twice as long.
    if (2 * total_ms <= allowed) this.affordable = Math.min(this.most, Math.max(this.affordable, 2 * n));
    else if (total_ms > allowed) this.affordable = Math.max(this.least, Math.floor(n / 2));
  }
}
