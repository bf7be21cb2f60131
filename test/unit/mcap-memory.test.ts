// What a recording keeps in memory must not grow with its length: 72,000 chunks an hour were 100 MB of index.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { queryObjects } from 'node:v8';
import { afterAll, expect, test } from 'vitest';
import { McapFile } from '../../src/record/mcap-file.js';

const folder = mkdtempSync(join(tmpdir(), 'tendon-mcap-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test('a file keeps no object for a chunk that is written', () => {
  const mcap = new McapFile(join(folder, 'long.mcap'));
  const channel = mcap.channel('/a', 'a', { type: 'object' });
  const chunks = (from: number, to: number): void => {
    for (let i = from; i < to; i++) {
      mcap.message(channel, i, BigInt(i), BigInt(i), { i });
      mcap.flush();
    }
  };
  chunks(0, 200);
  const maps = Number(queryObjects(Map));
  chunks(200, 2200);
  expect(Number(queryObjects(Map)) - maps).toBeLessThan(100);
  mcap.close();
});
