// Joins what `tsc` compiles file by file into a few files: an import of hundreds of them would be most of the time to a
// policy's first action. Entries keep their places in dist; what they share lies in dist/chunks, as far below the package
// as they do (src/types/package.ts).

import { readFileSync, rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const root = fileURLToPath(new URL('..', import.meta.url));
const { dependencies } = JSON.parse(readFileSync(`${root}/package.json`, 'utf8'));
/** Bundled: of its hundred files, sixty of them languages, a tenth is used. */
const inside = new Set(['zod']);

rmSync(`${root}/dist/chunks`, { recursive: true, force: true });
await build({
  absWorkingDir: root,
  entryPoints: [
    'src/index.ts',
    'src/cli/main.ts',
    'src/policies/index.ts',
    'src/parts/index.ts',
    'src/eval/worker.ts',
    'src/record/worker.ts',
    'src/rosbridge/client/socket-worker.ts',
    'src/sim/rollout-worker.ts',
    'src/sim/server-main.ts',
    // Beside the package: `files` in package.json leaves it out.
    'bench/index.ts',
  ].map((path) => ({ in: path, out: path.replace(/^src\//, '').replace(/\.ts$/, '') })),
  outdir: 'dist',
  chunkNames: 'chunks/[name]-[hash]',
  external: Object.keys(dependencies).filter((name) => !inside.has(name)),
  bundle: true,
  splitting: true,
  sourcemap: true,
  // A tenth of an import is reading comments and indents; short lines, for Node shows one when a program ends by an error.
  minifyWhitespace: true,
  lineLimit: 160,
  format: 'esm',
  platform: 'node',
  target: 'node20',
  logLevel: 'warning',
});
