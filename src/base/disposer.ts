// What has to be undone when something ends, newest first: like JavaScript's AsyncDisposableStack, which Node 20 does
// not have. One that fails or hangs does not keep the others from being undone.

export interface Undone {
  readonly name: string;
  readonly caught: unknown;
}

export class Disposer {
  private readonly undos: { readonly name: string; readonly undo: () => unknown }[] = [];
  private disposing: Promise<readonly Undone[]> | undefined;

  /** `limit_ms`: how long one of them may take. */
  constructor(private readonly limit_ms = 3000) {}

  /** Undone when all is; `name` is for people. */
  defer(name: string, undo: () => unknown): void {
    this.undos.push({ name, undo });
  }

  /** Undoes everything, once; resolves with those that failed. */
  dispose(): Promise<readonly Undone[]> {
    this.disposing ??= this.undoAll();
    return this.disposing;
  }

  private async undoAll(): Promise<readonly Undone[]> {
    const failed: Undone[] = [];
    for (let one = this.undos.pop(); one !== undefined; one = this.undos.pop()) {
      const { name, undo } = one;
      let timer: NodeJS.Timeout | undefined;
      const late = new Promise<never>((_, reject) => {
        timer = setTimeout(() => reject(new Error(`not done within ${this.limit_ms} ms`)), this.limit_ms);
      });
      try {
        await Promise.race([undo(), late]);
      } catch (caught) {
        failed.push({ name, caught });
      }
      clearTimeout(timer);
    }
    return failed;
  }
}
