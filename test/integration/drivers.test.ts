// Another driver for a running task: the page chooses among those there are, a new session takes over, and what it imagines
// comes with its returns.

import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { LiveSession } from '../../src/session/sim-page.js';
import type { LiveChunk, LiveScene, LiveStatus, OperatorIntent } from '../../src/types/index.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
let live: LiveSession;
let chunk: LiveChunk | undefined;
let status: LiveStatus | undefined;
const scenes: LiveScene[] = [];

beforeAll(async () => {
  const source = (await import(
    join(root, 'dist/session/sim-page.js')
  )) as typeof import('../../src/session/sim-page.js');
  live = await source.LiveSession.open({
    task: 'arm',
    load: { compute: { threads: 1 }, sampling: { steps: 3 } },
  });
  live.subscribe((frame) => {
    if (frame.kind === 'chunk') chunk = frame;
    if (frame.kind === 'status') status = frame;
    if (frame.kind === 'scene') scenes.push(frame);
  });
});
afterAll(() => live?.close());

/** While the session before is still being closed, the answer is no. */
const asked = (intent: OperatorIntent) =>
  expect.poll(() => live.request(intent).accepted, { timeout: 40_000 }).toBe(true);

test('physics and the learned model take over from diffusion, which gets the arm back', async () => {
  expect(live.scene().menu.drivers).toEqual(['diffusion', 'world model', 'physics']);
  await expect.poll(() => status?.driver, { timeout: 20_000 }).toBe('diffusion');
  await expect.poll(() => chunk?.n_candidates, { timeout: 20_000 }).toBe(1);
  expect(chunk!.scores).toBeUndefined();

  expect(live.request({ kind: 'driver', driver: 'a person' })).toEqual({
    accepted: false,
    reason: 'there is no driver a person for the task arm',
  });
  expect(live.request({ kind: 'driver', driver: 'physics' })).toMatchObject({ accepted: true });
  await expect.poll(() => status?.driver, { timeout: 40_000 }).toBe('physics');
  expect(scenes.at(-1)!.menu.samplers).toContain('information-theoretic-mppi');
  expect(status!.choice).toMatchObject({ sampler: 'mppi', steps: 1, candidates: 32 });
  await expect.poll(() => chunk?.scores?.length, { timeout: 40_000 }).toBeGreaterThan(4);
  expect(chunk!.scores).toHaveLength(chunk!.n_candidates);
  expect(chunk!.paths).toHaveLength(chunk!.n_candidates * chunk!.horizon * 3);
  expect([...chunk!.scores!.subarray(1)]).toEqual([...chunk!.scores!.subarray(1)].sort((a, b) => b - a));

  await asked({ kind: 'driver', driver: 'world model' });
  await expect.poll(() => status?.driver, { timeout: 40_000 }).toBe('world model');
  await expect.poll(() => chunk?.scores?.length, { timeout: 40_000 }).toBe(16);
  // As its own card has it.
  expect(status!.choice).toMatchObject({ sampler: 'mppi', steps: 4, candidates: 192 });

  await asked({ kind: 'driver', driver: 'diffusion' });
  await expect.poll(() => status?.driver, { timeout: 40_000 }).toBe('diffusion');
  // As asked for when it all began.
  expect(status!.choice.steps).toBe(3);
}, 240_000);

test('a task without a reward has no such driver', async () => {
  await asked({ kind: 'task', task: 'pusht' });
  await expect.poll(() => scenes.at(-1)?.task, { timeout: 40_000 }).toBe('pusht');
  expect(scenes.at(-1)!.menu.drivers).not.toContain('physics');
}, 60_000);
