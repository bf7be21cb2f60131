import { defineConfig } from 'vitest/config';

// Two projects' worth of tests share one runner: files are independent, and those that open sockets or start
// processes bind to port 0, so they may run side by side.
export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    // Generous, for machines that do other things too: what is waited for comes, or the test fails then.
    testTimeout: 180_000,
    hookTimeout: 180_000,
    expect: { poll: { timeout: 60_000 } },
    maxWorkers: 2,
    reporters: ['default'],
  },
});
