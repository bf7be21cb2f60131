// One way to be told of things. A listener that throws is counted and reported, and goes no further: an emit happens in
// a control period or in a socket's callback, and whoever listens there must not be able to end either.

export type Listener<T> = (value: T) => void;

/** A listener that threw: of which emitter, and what. */
export interface ListenerFault {
  readonly emitter: string;
  readonly caught: unknown;
}

const reporters = new Set<Listener<ListenerFault>>();

export class Emitter<T> {
  /** Times a listener threw. */
  errors = 0;
  private readonly listeners = new Set<Listener<T>>();

  /** `name` says in a report whose listener failed, such as `supervisor`. */
  constructor(readonly name: string) {}

  get size(): number {
    return this.listeners.size;
  }

  /** Calls `listener` at every emit from now on; returns the way to stop. The same function is called once. */
  on(listener: Listener<T>): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /** Never throws. */
  emit(value: T): void {
    for (const listener of this.listeners) {
      try {
        listener(value);
      } catch (caught) {
        this.errors++;
        reportFault({ emitter: this.name, caught });
      }
    }
  }
}

/** Calls one listener that is not an emitter's own; false when it threw, which is reported and goes no further. */
export function guarded(name: string, call: () => void): boolean {
  try {
    call();
    return true;
  } catch (caught) {
    reportFault({ emitter: name, caught });
    return false;
  }
}

/** Hears of every listener of this process that throws; returns the way to stop. */
export function onListenerFault(listener: Listener<ListenerFault>): () => void {
  reporters.add(listener);
  return () => reporters.delete(listener);
}

function reportFault(fault: ListenerFault): void {
  for (const reporter of reporters) {
    try {
      reporter(fault);
    } catch {
      // A report about a report would have no end.
    }
  }
}
