// Writes far more than any pipe or terminal holds, and says on standard error how many lines were dropped.
import { writeSync } from 'node:fs';
import { Output } from '../../dist/host/output.js';

const output = new Output(process.stdout);
for (let i = 0; i < 40_000; i++) {
  output.line(`line ${i} ${'x'.repeat(50)}`);
  if (i % 100 === 99) await new Promise((resolve) => setTimeout(resolve, 1));
}
await output.flush(100);
output.close();
writeSync(2, JSON.stringify({ dropped: output.dropped }));
process.exit(0);
