// The page in a real browser (Debian's Chromium, drawing in software), driven by mouse, keys and menus against a
// scripted source. Skipped, with the reason counted, only where there is no Chromium.

import { existsSync } from 'node:fs';
import { type Browser, chromium, type Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { OperatorIntent } from '../../src/types/live.js';
import { startWebServer, type WebServer } from '../../src/web/index.js';
import { FakeSource } from './fake-source.js';

const CHROMIUM = '/usr/bin/chromium';
const ARGS = [
  '--no-sandbox',
  '--use-angle=swiftshader',
  '--enable-unsafe-swiftshader',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--no-first-run',
];
/** Software drawing on a busy machine: patience, not timing. */
const SOON = { timeout: 30_000, interval: 100 };
/** Where to leave pictures for people, when asked. */
const SHOTS = process.env.TENDON_SCREENSHOTS;

let browser: Browser;
let source: FakeSource;
let server: WebServer;
let page: Page;
let complaints: string[];

const missing = !existsSync(CHROMIUM);
describe.skipIf(missing)(`the page in Chromium${missing ? ` (skipped: no ${CHROMIUM})` : ''}`, () => {
  beforeAll(async () => {
    browser = await chromium.launch({ executablePath: CHROMIUM, args: ARGS });
  });
  afterAll(async () => browser.close());

  beforeEach(async () => {
    source = new FakeSource();
    server = await startWebServer(source);
    await visit({ width: 1280, height: 800 });
  }, 90_000);

  afterEach(async () => {
    await page.close();
    source.close();
    await server.close();
    expect(complaints).toEqual([]);
  });

  test('draws the scene, the plots and the state without a complaint', { timeout: 90_000 }, async () => {
    await expect.poll(() => page.textContent('#state'), SOON).toBe('RUNNING');
    await expect.poll(() => page.textContent('#success'), SOON).toMatch(/^\d+\/\d+ · \d+ %$/);
    await expect.poll(async () => (await colours('#scene')).orange, SOON).toBeGreaterThan(100);
    expect((await colours('#scene')).distinct).toBeGreaterThan(100);
    for (const plot of ['#plot-joints', '#plot-latency', '#plot-late', '#plot-miss'])
      await expect.poll(async () => (await colours(plot)).distinct, SOON).toBeGreaterThan(4);
    await shot('desktop');
  });

  test('buttons and keys ask, the badge follows, refusals are said', { timeout: 90_000 }, async () => {
    await page.keyboard.press('Space');
    await heard({ kind: 'hold' });
    await expect.poll(() => page.textContent('#state'), SOON).toBe('HOLD');
    expect(await page.textContent('#cause')).toBe('the operator asked to hold');
    await page.click('#resume');
    await heard({ kind: 'resume' });
    await expect.poll(() => page.textContent('#state'), SOON).toBe('RUNNING');
    await page.focus('#sampler');
    await page.keyboard.press('Escape');
    await heard({ kind: 'stop' });
    await expect.poll(() => page.textContent('#state'), SOON).toBe('STOPPED');
    await page.click('#resume');
    await expect.poll(() => page.textContent('#toasts'), SOON).toContain('only reset leaves it');
    await page.fill('#seed', '42');
    await page.click('#reset');
    await heard({ kind: 'reset', seed: 42 });
    await page.click('#pause');
    await heard({ kind: 'pause', paused: true });
    await expect.poll(() => page.textContent('#pause'), SOON).toBe('Continue');
    await page.click('#pause');
    await heard({ kind: 'pause', paused: false });
    await page.click('#hold');
    await page.click('#stop');
    await heard({ kind: 'stop' });
  });

  test('menus choose', { timeout: 90_000 }, async () => {
    await page.selectOption('#sampler', 'ddim');
    await heard({ kind: 'choose', choice: { sampler: 'ddim' } });
    await page.selectOption('#precision', 'int8');
    await heard({ kind: 'choose', choice: { precision: 'int8' } });
    await page.selectOption('#driver', 'world model');
    await heard({ kind: 'driver', driver: 'world model' });
    await page.focus('#steps');
    await page.keyboard.press('ArrowRight');
    await heard({ kind: 'choose', choice: { steps: 4 } });
    await page.focus('#candidates');
    await page.keyboard.press('End');
    await heard({ kind: 'choose', choice: { candidates: 32 } });
    await page.focus('#guidance');
    await page.keyboard.press('ArrowRight');
    await heard({ kind: 'choose', choice: { guidance_scale: 1.1 } });
    await expect.poll(() => page.textContent('#candidates-value'), SOON).toBe('32');
    await page.selectOption('#task', 'fake_arm_two');
    await heard({ kind: 'task', task: 'fake_arm_two' });
    await expect.poll(() => page.textContent('#task-name'), SOON).toBe('fake_arm_two');
  });

  test('a click on the table and a drag of the ghost set the goal', { timeout: 90_000 }, async () => {
    const { table, goal } = await targets();
    const before = source.goal;
    await page.mouse.click(table.x, table.y);
    const clicked = await goalAfter(0);
    expect(clicked).toHaveLength(2);
    expect(Math.abs(clicked[0]! - 0.35)).toBeLessThan(0.45);
    expect(Math.abs(clicked[1]!)).toBeLessThan(0.6);
    expect(clicked).not.toEqual(before);

    // Back under the mouse, then to the right: in this view right is +x and +y.
    const n_clicks = goals().length;
    await page.mouse.click(goal.x, goal.y + 40);
    const from = await goalAfter(n_clicks);
    await expect
      .poll(async () => Math.hypot(from[0]! - source.goal[0]!, from[1]! - source.goal[1]!), SOON)
      .toBe(0);
    const now = (await targets()).goal;
    const n = goals().length;
    await page.mouse.move(now.x, now.y);
    await page.mouse.down();
    await page.mouse.move(now.x + 30, now.y, { steps: 3 });
    await page.mouse.move(now.x + 60, now.y, { steps: 3 });
    await page.mouse.up();
    await expect.poll(() => goals().length, SOON).toBeGreaterThan(n);
    await expect
      .poll(() => (source.goal[0]! - from[0]!) * 0.81 + (source.goal[1]! - from[1]!) * 0.59, SOON)
      .toBeGreaterThan(0.02);
  });

  test('dragging an object pushes it, letting go ends the push', { timeout: 90_000 }, async () => {
    const { block } = await targets();
    await page.mouse.move(block.x, block.y);
    await page.mouse.down();
    await page.mouse.move(block.x + 60, block.y - 10, { steps: 4 });
    await expect.poll(() => pushes().length, SOON).toBeGreaterThan(0);
    await expect.poll(() => page.textContent('#tip'), SOON).toMatch(/^push block \d+\.\d N$/);
    await expect.poll(async () => (await colours('#scene')).pink, SOON).toBeGreaterThan(20);
    await shot('push');
    await page.mouse.up();
    await expect.poll(() => pushes().at(-1)?.force, SOON).toEqual([0, 0, 0]);
    const [x, y, z] = pushes()[0]!.force;
    expect(pushes()[0]!.name).toBe('block');
    expect(Math.hypot(x, y, z)).toBeLessThanOrEqual(8.001);
    expect(x * 0.81 + y * 0.59).toBeGreaterThan(0);
    expect(goals()).toHaveLength(0);
  });

  test('driving by hand sends targets and ends when the connection does', { timeout: 90_000 }, async () => {
    await page.click('#teleop summary');
    await page.click('#engage');
    await expect.poll(() => page.textContent('#teleop-note'), SOON).toBe('engaged');
    await page.focus('#jog label:nth-child(2) input');
    await page.keyboard.press('End');
    const target = () => source.intents.findLast((intent) => intent.kind === 'teleop');
    await expect.poll(() => target()?.values?.[1], SOON).toBeCloseTo(1.7);
    await page.click('#engage');
    await heard({ kind: 'teleop', engaged: false });
    expect(await page.textContent('#teleop-note')).toBe('released');
  });

  test('a lost and a silent controller are shown, and the page recovers', { timeout: 120_000 }, async () => {
    const { port } = server;
    await expect.poll(() => page.isHidden('#lost'), SOON).toBe(true);
    source.silent = true;
    await expect.poll(() => page.textContent('#lost-title'), SOON).toBe('No news from the controller');
    expect(await page.isVisible('#lost')).toBe(true);
    source.silent = false;
    await expect.poll(() => page.isHidden('#lost'), SOON).toBe(true);

    await server.close();
    await expect.poll(() => page.textContent('#lost-title'), SOON).toBe('Connection lost');
    await page.click('#hold');
    await expect.poll(() => page.textContent('#toasts'), SOON).toContain('no connection to the controller');
    await shot('lost');
    server = await startWebServer(source, { port });
    await expect.poll(() => page.isHidden('#lost'), SOON).toBe(true);
    await page.click('#hold');
    await heard({ kind: 'hold' });
    // What the browser itself says about the time without a server.
    complaints = complaints.filter((line) => !/WebSocket connection to .* failed/.test(line));
  });

  test('fits a phone', { timeout: 90_000 }, async () => {
    await page.close();
    await visit({ width: 390, height: 844 });
    await expect.poll(() => page.textContent('#state'), SOON).toBe('RUNNING');
    await expect.poll(async () => (await colours('#scene')).distinct, SOON).toBeGreaterThan(100);
    const width = await page.evaluate(() => document.documentElement.scrollWidth);
    expect(width).toBe(390);
    for (const id of ['hold', 'resume', 'stop', 'pause', 'reset']) {
      const button = await page.evaluate((name) => {
        const element = document.getElementById(name)!;
        const { left, right, top, bottom } = element.getBoundingClientRect();
        return { left, right, top, bottom, clipped: element.scrollWidth > element.clientWidth };
      }, id);
      expect(button.left, id).toBeGreaterThanOrEqual(0);
      expect(button.right, id).toBeLessThanOrEqual(390);
      expect(button.bottom, id).toBeLessThanOrEqual(844);
      expect(button.bottom - button.top, id).toBeGreaterThanOrEqual(44);
      expect(button.clipped, id).toBe(false);
    }
    await shot('phone');
  });

  test('every control has a name', { timeout: 90_000 }, async () => {
    await expect.poll(() => page.textContent('#state'), SOON).toBe('RUNNING');
    const nameless = await page.evaluate(() =>
      [...document.querySelectorAll('button, select, input, canvas[tabindex]')]
        .filter((element) => {
          const label = element.closest('label')?.textContent ?? '';
          return `${element.getAttribute('aria-label') ?? ''}${element.textContent}${label}`.trim() === '';
        })
        .map((element) => element.outerHTML),
    );
    expect(nameless).toEqual([]);
  });
});

async function visit(viewport: { width: number; height: number }): Promise<void> {
  complaints = [];
  page = await browser.newPage({ viewport, colorScheme: 'dark' });
  page.setDefaultTimeout(60_000);
  page.on('console', (message) => {
    // Software drawing warns of its own slowness when pixels are read back.
    const ours = !/GPU stall due to ReadPixels|software WebGL/i.test(message.text());
    if (['error', 'warning'].includes(message.type()) && ours) complaints.push(message.text());
  });
  page.on('pageerror', (error) => complaints.push(String(error.stack)));
  await page.goto(server.url);
  await page.waitForFunction(
    () => document.body.dataset.link === 'open' && document.body.dataset.state !== 'INIT',
  );
}

async function shot(name: string): Promise<void> {
  if (SHOTS !== undefined) await page.screenshot({ path: `${SHOTS}/page-${name}.png` });
}

async function heard(intent: OperatorIntent): Promise<void> {
  await expect.poll(() => source.intents, SOON).toContainEqual(intent);
}

function goals() {
  return source.intents.filter((intent) => intent.kind === 'goal');
}

function pushes() {
  return source.intents.filter((intent) => intent.kind === 'push');
}

/** The goal of the intent after the first `n`. */
async function goalAfter(n: number): Promise<readonly number[]> {
  await expect.poll(() => goals().length, SOON).toBeGreaterThan(n);
  return goals()[n]!.goal;
}

interface Place {
  x: number;
  y: number;
}

/** Where on the screen the block, the ghost and free table are: found as a person does, by what the pointer says. */
async function targets(): Promise<{ block: Place; goal: Place; table: Place }> {
  const look = () =>
    page.evaluate(() => {
      const canvas = document.getElementById('scene')!;
      const tip = document.getElementById('tip')!;
      const box = canvas.getBoundingClientRect();
      const seen: Record<string, Place[]> = { block: [], goal: [] };
      for (let y = box.top + 8; y < box.bottom - 60; y += 6) {
        for (let x = box.left + 8; x < box.right; x += 6) {
          canvas.dispatchEvent(new PointerEvent('pointermove', { clientX: x, clientY: y, bubbles: true }));
          const name = tip.hidden ? '' : /(\w+)$/.exec(tip.textContent!)![1]!;
          seen[name]?.push({ x, y });
        }
      }
      const middle = (places: Place[]) => places[places.length >> 1];
      return { block: middle(seen.block!), goal: middle(seen.goal!) };
    });
  await expect
    .poll(async () => Object.values(await look()).filter((place) => place !== undefined).length, SOON)
    .toBe(2);
  const { block, goal } = await look();
  // Between the two lies nothing but table.
  const table = { x: block!.x + 0.7 * (goal!.x - block!.x), y: block!.y + 0.7 * (goal!.y - block!.y) };
  return { block: block!, goal: goal!, table };
}

/** How many colours an element shows, and how many of its pixels are the arm's orange and the push's pink. */
async function colours(selector: string): Promise<{ distinct: number; orange: number; pink: number }> {
  const image = (await page.locator(selector).screenshot()).toString('base64');
  return page.evaluate(async (png) => {
    const picture = new Image();
    picture.src = `data:image/png;base64,${png}`;
    await picture.decode();
    const canvas = new OffscreenCanvas(picture.width, picture.height);
    const context = canvas.getContext('2d')!;
    context.drawImage(picture, 0, 0);
    const { data } = context.getImageData(0, 0, canvas.width, canvas.height);
    const seen = new Set<number>();
    let orange = 0;
    let pink = 0;
    for (let i = 0; i < data.length; i += 4) {
      const [r, g, b] = [data[i]!, data[i + 1]!, data[i + 2]!];
      seen.add((r << 16) | (g << 8) | b);
      if (r > 120 && r > 1.5 * g && g > 1.3 * b) orange++;
      if (r > 200 && g < 150 && b > g + 10 && b < 170) pink++;
    }
    return { distinct: seen.size, orange, pink };
  }, image);
}
