// The page of `tendon run` in a real browser: a person at it holds, stops, clears and resumes a robot that another process
// moves, and sees the arm drawn by its URDF.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { WebSocket } from 'ws';
import { type SimProcess, spawnSimServer } from '../../src/sim/server-process.js';
import { startTendon, type TendonProcess, until } from '../integration/tendon-process.js';
import { missing, openBrowser } from './chromium.js';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** As long as the arm of the simulation, near enough to draw. */
const URDF = `<robot name="arm">${[
  ['base_yaw', 'base', 'turret', '0 0 0.1', '0 0 1'],
  ['shoulder_pitch', 'turret', 'upper', '0 0 0.05', '0 1 0'],
  ['elbow_pitch', 'upper', 'fore', '0 0 0.36', '0 1 0'],
  ['forearm_roll', 'fore', 'wrist', '0 0 0.1', '0 0 1'],
  ['wrist_pitch', 'wrist', 'palm', '0 0 0.24', '0 1 0'],
  ['wrist_roll', 'palm', 'hand', '0 0 0.1', '0 0 1'],
]
  .map(
    ([name, parent, child, xyz, axis]) =>
      `<joint name="${name}" type="revolute"><parent link="${parent}"/><child link="${child}"/><origin xyz="${xyz}"/><axis xyz="${axis}"/><limit lower="-4" upper="4" velocity="5"/></joint>`,
  )
  .join('')}</robot>`;

describe.skipIf(missing !== '')(`the page of tendon run${missing}`, () => {
  const folder = mkdtempSync(join(tmpdir(), 'tendon-robot-page-'));
  let sim: SimProcess;
  let run: TendonProcess;
  let browser: Browser;
  let page: Page;
  let url = '';
  const errors: string[] = [];

  beforeAll(async () => {
    writeFileSync(join(folder, 'arm.urdf'), URDF);
    const file = join(folder, 'arm.yaml');
    const given = readFileSync(join(root, 'launch/sim-arm.yaml'), 'utf8');
    writeFileSync(
      file,
      `${given}\nworkspace: { urdf: arm.urdf, tip: hand, lower: [-2, -2, -2], upper: [2, 2, 2] }\n`,
    );
    sim = await spawnSimServer({ task: 'arm', seed: 3, port: 0 }, join(root, 'dist/sim/server-main.js'));
    run = startTendon([
      ...['run', '--policy', join(root, 'models/arm'), '--robot', file, '--bridge', sim.url],
      ...['--steps', '3', '--threads', '1', '--page', '0'],
    ]);
    await until(run.output, () => /the page: \S+/.test(run.output()), 60_000);
    url = /the page: (\S+)/.exec(run.output())![1]!;
    browser = await openBrowser();
    page = await browser.newPage({ viewport: { width: 900, height: 600 } });
    page.setDefaultTimeout(150_000);
    page.on('console', (m) => m.type() === 'error' && errors.push(m.text()));
    page.on('pageerror', (e) => errors.push(String(e)));
    await page.goto(url);
  });

  afterAll(async () => {
    await browser?.close();
    await run?.end();
    await sim?.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  // biome-ignore lint/performance/useDomNodeTextContent: hidden texts do not count
  const text = (): Promise<string> => page.evaluate(() => document.body.innerText);
  const state = (): Promise<string | undefined> => page.evaluate(() => document.body.dataset.state);

  test('shows the robot by its URDF, and nothing that only a simulation has', async () => {
    await expect.poll(state).toBe('RUNNING');
    const words = await text();
    expect(words).toContain('sim-arm');
    expect(words).toContain('Clear stop');
    expect(words).not.toMatch(/Pause|EPISODE|Next seed/i);
    await page.waitForTimeout(1500);
    const shot = await page.locator('canvas').first().screenshot();
    expect(shot.length).toBeGreaterThan(6000);
  });

  test('HOLD holds; a stop is latched, cleared by one button and left by another', async () => {
    await page.locator('#hold').click();
    await expect.poll(state).toBe('HOLD');
    await page.locator('#resume').click();
    await expect.poll(state).toBe('RUNNING');
    await page.keyboard.press('Escape');
    await expect.poll(state).toBe('STOPPED');
    await page.locator('#resume').click();
    await expect.poll(text).toContain('stopped: reset first');
    expect(await state()).toBe('STOPPED');
    await page.locator('#reset').click();
    await expect.poll(state).toBe('READY');
    await page.waitForTimeout(500);
    expect(await state()).toBe('READY');
    await page.locator('#resume').click();
    await expect.poll(state).toBe('RUNNING');
    for (const said of ['held by the page', 'stopped by the page']) expect(run.output()).toContain(said);
    expect(errors).toEqual([]);
  });

  test('what a robot cannot do, and a sampler that there is not, are refused with the reason', async () => {
    const socket = new WebSocket(`${url.replace('http', 'ws')}live`);
    const replies = new Map<number, { accepted: boolean; reason: string }>();
    socket.on('message', (data, binary) => {
      if (binary) return;
      const message = JSON.parse(data.toString());
      if (message.kind === 'reply') replies.set(message.id, message);
    });
    await new Promise((open) => socket.once('open', open));
    const intents = [
      { kind: 'choose', choice: { sampler: 'magic' } },
      { kind: 'choose', choice: { steps: 5 } },
      { kind: 'pause', paused: true },
      { kind: 'goal', goal: [0.1, 0.2] },
      { kind: 'teleop', engaged: true, point: [0.1, 0.2, 0.3] },
    ];
    intents.forEach((intent, id) => {
      socket.send(JSON.stringify({ id, intent }));
    });
    await until(run.output, () => replies.size === intents.length);
    socket.close();
    const answers = intents.map((_, id) => replies.get(id)!);
    expect(answers.map(({ accepted }) => accepted)).toEqual([false, true, false, false, false]);
    expect(answers[0]!.reason).toContain('magic');
    expect(answers[2]!.reason).toContain('not a simulation');
    expect(answers[3]!.reason).toContain('topics');
    expect(answers[4]!.reason).toContain('joint targets only');
  });
});
