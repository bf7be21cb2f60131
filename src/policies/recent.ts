// What is expensive to make, by what was asked for: made once, kept while it is among the last few, and made again after a failure.

export class Recent<T> {
  private readonly kept = new Map<string, Promise<T>>();

  /** Keeps at most `most`; the oldest goes first. */
  constructor(private readonly most = Number.POSITIVE_INFINITY) {}

  /** The value of `key`, made by `make` when there is none. A failure is not kept: memory that is short now may be free later. */
  get(key: string, make: () => Promise<T>): Promise<T> {
    const found = this.kept.get(key);
    if (found !== undefined) return found;
    const made = make();
    this.kept.set(key, made);
    made.catch(() => this.kept.delete(key));
    if (this.kept.size > this.most) this.kept.delete(this.kept.keys().next().value!);
    return made;
  }

  values(): Iterable<Promise<T>> {
    return this.kept.values();
  }

  clear(): void {
    this.kept.clear();
  }
}
