// What only some programs need, loaded when first asked for: a policy's first action should not wait for the packages
// of bridges, recordings and simulators.

import { createRequire } from 'node:module';

/** `make()` at the first call, and its result from then on. */
export function lazily<T>(make: () => T): () => T {
  let made: { readonly value: T } | undefined;
  return () => {
    made ??= { value: make() };
    return made.value;
  };
}

const require = createRequire(import.meta.url);

/** A package at the first call; `Package` is its type, as in packageWhenNeeded<typeof import('ws')>('ws'). */
export const packageWhenNeeded = <Package>(name: string): (() => Package) =>
  lazily(() => require(name) as Package);
