// The live page in a real browser (Debian's Chromium), on the real main job: simulation, policy and controller behind it.

import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { LiveSession } from '../../src/session/sim-page.js';
import type { WebServer } from '../../src/web/index.js';
import { missing, openBrowser } from './chromium.js';

const root = fileURLToPath(new URL('../..', import.meta.url));

describe.skipIf(missing !== '')(`the live page${missing}`, () => {
  let live: LiveSession;
  let web: WebServer;
  let browser: Browser;
  let page: Page;
  const errors: string[] = [];

  beforeAll(async () => {
    const source = (await import(
      join(root, 'dist/session/sim-page.js')
    )) as typeof import('../../src/session/sim-page.js');
    const server = (await import(join(root, 'dist/web/index.js'))) as typeof import('../../src/web/index.js');
    live = await source.LiveSession.open({ task: 'arm', load: { sampling: { steps: 3, candidates: 4 } } });
    web = await server.startWebServer(live, { port: 0 });
    browser = await openBrowser();
    page = await browser.newPage({ viewport: { width: 900, height: 600 } });
    // Drawing in software takes its time on a busy machine.
    page.setDefaultTimeout(150_000);
    page.on('console', (m) => m.type() === 'error' && errors.push(m.text()));
    page.on('pageerror', (e) => errors.push(String(e)));
    await page.goto(web.url);
  });

  afterAll(async () => {
    await browser?.close();
    await web?.close();
    await live?.close();
  });

  // What a person can read: hidden texts do not count, so not textContent.
  // biome-ignore lint/performance/useDomNodeTextContent: see above
  const badge = (): Promise<string> => page.evaluate(() => document.body.innerText);

  test('shows the robot running, in 3-D', async () => {
    await expect.poll(badge).toContain('RUNNING');
    await page.waitForTimeout(1500);
    // A drawn canvas has many colours; a blank one has one.
    const shot = await page.locator('canvas').first().screenshot();
    expect(shot.length).toBeGreaterThan(8000);
  });

  test('HOLD holds, RESUME resumes, STOP is latched until RESET', async () => {
    await page.locator('#hold').click();
    await expect.poll(() => live.current.controller.supervisor.state).toBe('HOLD');
    await expect.poll(badge).toContain('HOLD');
    await page.locator('#resume').click();
    await expect.poll(() => live.current.controller.supervisor.state).toBe('RUNNING');
    await page.keyboard.press('Escape');
    await expect.poll(() => live.current.controller.supervisor.state).toBe('STOPPED');
    await expect.poll(badge).toContain('STOPPED');
    await page
      .locator('#resume')
      .click({ force: true })
      .catch(() => undefined);
    expect(live.current.controller.supervisor.state).toBe('STOPPED');
    await page.locator('#reset').click();
    await expect.poll(() => live.current.controller.supervisor.state).toBe('RUNNING');
  });

  test('menus choose the sampler of the next inferences', async () => {
    await page.locator('#sampler').selectOption('euler');
    await expect.poll(() => live.current.policy.choice.sampler).toBe('euler');
  });

  test('fits a phone', async () => {
    await page.setViewportSize({ width: 390, height: 844 });
    await page.waitForTimeout(500);
    expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(390);
  });

  test('says so when the connection is lost, and writes nothing to the console before', async () => {
    expect(errors).toEqual([]);
    await web.close();
    await expect
      .poll(async () => (await badge()).toLowerCase())
      .toMatch(/lost|reconnect|disconnect|no connection/);
    // Whoever reaches for Stop now must see it, and must not read that the robot is connected.
    expect(await page.evaluate(() => getComputedStyle(document.querySelector('.command')!).opacity)).toBe(
      '1',
    );
    for (const id of ['#hold', '#stop']) expect(await page.locator(id).isEnabled()).toBe(true);
    expect(await page.locator('#robot').textContent()).toBe('not known');
  });
});
