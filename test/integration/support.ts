// What tests on real sockets share: things to close afterwards, and waiting for what is about to happen.

import { afterEach } from 'vitest';

/** Whatever is pushed is called after each test of the file, the newest first. */
export function closedAfterEach(): (() => unknown)[] {
  const closers: (() => unknown)[] = [];
  afterEach(async () => {
    for (const close of closers.splice(0).reverse()) await close();
  });
  return closers;
}

/** This process' monotonic clock. */
export const now_ns = (): number => Math.round(performance.now() * 1e6);

export const wait = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** Returns when `check` holds; throws, saying what it was that never came. */
export async function until(what: string, check: () => boolean, limit_ms = 20_000): Promise<void> {
  const end = performance.now() + limit_ms;
  while (!check()) {
    if (performance.now() > end) throw new Error(`never: ${what}`);
    await wait(2);
  }
}
