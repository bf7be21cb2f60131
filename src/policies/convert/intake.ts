// The tensors of a training's file on their way into a folder. Each is taken, or known to be of no use when the policy
// runs, or left over, which is an error: `tendon import` drops nothing without a word.

import type { TensorRef } from '../../native/index.js';
import { TendonError } from '../../types/index.js';
import type { TensorSource, WeightFile } from '../../weights/index.js';

/** Tensors that the peer does not use either when the policy runs, and why. */
export interface Dropped {
  readonly why: string;
  readonly names: readonly string[];
}

export class Intake {
  private readonly left: Map<string, TensorRef>;
  private readonly taken: Record<string, TensorSource> = {};
  private readonly dropped: { why: string; names: string[] }[] = [];

  constructor(
    private readonly file: WeightFile,
    /** What the file was found to be, for errors. */
    private readonly found: string,
  ) {
    this.left = new Map(file.tensors);
  }

  /** Takes every tensor that is left and whose name matches, with the match replaced by `to`. */
  take(from: RegExp, to: string): void {
    for (const [name, ref] of this.left) {
      if (!from.test(name)) continue;
      this.put(name.replace(from, to), ref);
      this.left.delete(name);
    }
  }

  /** Drops every tensor whose name matches: its own where it is left, the new one where it was taken. */
  drop(pattern: RegExp, why: string): void {
    const names = [...this.left.keys(), ...Object.keys(this.taken)].filter((name) => pattern.test(name));
    for (const name of names) {
      this.left.delete(name);
      delete this.taken[name];
    }
    if (names.length > 0) this.dropped.push({ why, names });
  }

  /** Drops what is left of `pattern` and has the very bytes of another tensor in the file: torch saves shared ones twice. */
  dropShared(pattern: RegExp): void {
    const place = ({ offset, dtype, shape }: TensorRef): string => `${offset} ${dtype} ${shape}`;
    const others = new Set(
      [...this.file.tensors].flatMap(([name, ref]) => (pattern.test(name) ? [] : [place(ref)])),
    );
    const names = [...this.left].flatMap(([name, ref]) =>
      pattern.test(name) && others.has(place(ref)) ? [name] : [],
    );
    for (const name of names) this.left.delete(name);
    if (names.length > 0) this.dropped.push({ why: 'second names of the same numbers', names });
  }

  /** Numbers that stand elsewhere than among the tensors, such as statistics. */
  add(name: string, values: Float32Array, shape: readonly number[] = [values.length]): void {
    this.put(name, { shape, values });
  }

  /** A tensor taken so far; undefined when there is none. */
  shape(name: string): readonly number[] | undefined {
    return Object.hasOwn(this.taken, name) ? this.taken[name]!.shape : undefined;
  }

  names(): string[] {
    return Object.keys(this.taken);
  }

  /** Throws `weights_mismatch` that names what was neither taken nor dropped. */
  finish(): { tensors: Readonly<Record<string, TensorSource>>; dropped: readonly Dropped[] } {
    if (this.left.size > 0) {
      const unused = [...this.left.keys()];
      throw new TendonError(
        'weights_mismatch',
        `${this.file.path}: ${unused.length} of its ${this.file.tensors.size} tensors have no place in ${this.found} as it is read here: ${unused.slice(0, 5).join(', ')}${unused.length > 5 ? ', …' : ''}; the network was changed, so an import would compute something else`,
        { path: this.file.path, unused },
      );
    }
    return { tensors: this.taken, dropped: this.dropped };
  }

  private put(name: string, source: TensorSource): void {
    if (Object.hasOwn(this.taken, name))
      throw new TendonError(
        'weights_mismatch',
        `${this.file.path}: two tensors would be ${name} in ${this.found}`,
        { path: this.file.path, name },
      );
    this.taken[name] = source;
  }
}
