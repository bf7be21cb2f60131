import { defineConfig } from 'vitest/config';

// Two projects' worth of tests share one runner: files are independent, and those that open sockets or start
// processes bind to port 0, so they may run side by side.
export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    testTimeout: 60_000,
    hookTimeout: 60_000,
    maxWorkers: 2,
    reporters: ['default'],
  },
});
