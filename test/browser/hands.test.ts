// The page's other hands, in a real browser against a scripted source: the goal dragged and clicked, an object pushed,
// pause, sliders and seed, and plots that draw what they are told.

import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { OperatorIntent } from '../../src/types/live.js';
import type { WebServer } from '../../src/web/index.js';
import { missing, openBrowser } from './chromium.js';
import { FakeSource } from './fake-source.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
type Spot = { readonly x: number; readonly y: number };

describe.skipIf(missing !== '')(`hands on the page${missing}`, () => {
  let source: FakeSource;
  let web: WebServer;
  let browser: Browser;
  let page: Page;
  const errors: string[] = [];

  beforeAll(async () => {
    const server = (await import(join(root, 'dist/web/index.js'))) as typeof import('../../src/web/index.js');
    // Where no arm swings by.
    source = new FakeSource([0.5, -0.35, 0.04]);
    web = await server.startWebServer(source, { port: 0 });
    browser = await openBrowser();
    page = await browser.newPage({ viewport: { width: 1000, height: 700 } });
    page.setDefaultTimeout(150_000);
    page.on('pageerror', (error) => errors.push(String(error)));
    await page.goto(web.url);
  });
  afterAll(async () => {
    await browser?.close();
    await web?.close();
    source?.close();
    expect(errors).toEqual([]);
  });

  /** Where on the page a pointer is told `text`: the middle of all such places. */
  const spot = (text: string): Promise<Spot | undefined> =>
    page.evaluate((wanted) => {
      const canvas = document.getElementById('scene')!;
      const tip = document.getElementById('tip')!;
      const box = canvas.getBoundingClientRect();
      const found: Spot[] = [];
      for (let y = box.top + 4; y < box.bottom; y += 6)
        for (let x = box.left + 4; x < box.right; x += 6) {
          canvas.dispatchEvent(new PointerEvent('pointermove', { clientX: x, clientY: y, bubbles: true }));
          if (!tip.hidden && tip.textContent === wanted) found.push({ x, y });
        }
      canvas.dispatchEvent(new PointerEvent('pointerleave'));
      if (found.length === 0) return undefined;
      // One that was found, next to the mean: a shape may have a hole.
      const mean = (key: 'x' | 'y') => found.reduce((sum, at) => sum + at[key], 0) / found.length;
      const [x, y] = [mean('x'), mean('y')];
      return found.sort((a, b) => Math.hypot(a.x - x, a.y - y) - Math.hypot(b.x - x, b.y - y))[0];
    }, text);
  const of = <K extends OperatorIntent['kind']>(kind: K) =>
    source.intents.filter((intent): intent is OperatorIntent & { kind: K } => intent.kind === kind);
  async function drag(from: Spot, by: Spot): Promise<Spot> {
    const to = { x: from.x + by.x, y: from.y + by.y };
    await page.mouse.move(from.x, from.y);
    await page.mouse.down();
    for (let i = 1; i <= 5; i++) {
      await page.mouse.move(from.x + (by.x * i) / 5, from.y + (by.y * i) / 5);
      await page.waitForTimeout(80);
    }
    return to;
  }
  const near = async (text: string, at: Spot): Promise<number> => {
    const found = await spot(text);
    return found === undefined ? Number.POSITIVE_INFINITY : Math.hypot(found.x - at.x, found.y - at.y);
  };

  test('the goal goes where its ghost is dragged, and stays there', async () => {
    await expect.poll(() => page.locator('#state').textContent()).toBe('RUNNING');
    await expect.poll(() => spot('drag to move goal')).toBeDefined();
    const before = [...source.goal];
    const to = await drag((await spot('drag to move goal'))!, { x: -70, y: 25 });
    await expect.poll(() => of('goal').length).toBeGreaterThan(0);
    await page.mouse.up();
    await expect.poll(() => near('drag to move goal', to)).toBeLessThan(16);
    expect(Math.hypot(source.goal[0]! - before[0]!, source.goal[1]! - before[1]!)).toBeGreaterThan(0.05);
    // The robot's answer is what is drawn from here on.
    await page.waitForTimeout(1000);
    expect(await near('drag to move goal', to)).toBeLessThan(16);
    expect(of('goal').at(-1)!.goal).toEqual(source.goal);
  });

  test('a click on the table brings it there', async () => {
    const from = (await spot('drag to move goal'))!;
    const { length } = of('goal');
    const to = { x: from.x + 60, y: from.y };
    await page.mouse.click(to.x, to.y);
    await expect.poll(() => of('goal').length).toBe(length + 1);
    await expect.poll(() => near('drag to move goal', to)).toBeLessThan(16);
  });

  test('an object is pushed harder the further it is dragged, never too hard, and let go with the button', async () => {
    const from = (await spot('drag to push block'))!;
    await drag(from, { x: 40, y: 0 });
    await expect.poll(() => page.locator('#tip').textContent()).toMatch(/push block \d\.\d N/);
    const newtons = ({ force }: { force: readonly number[] }) => Math.hypot(...force);
    await expect.poll(() => of('push').length).toBeGreaterThan(1);
    const [first, last] = [of('push')[0]!, of('push').at(-1)!];
    expect(last.name).toBe('block');
    expect(newtons(last)).toBeGreaterThan(newtons(first));
    await page.mouse.move(from.x + 400, from.y);
    await page.waitForTimeout(150);
    await page.mouse.move(from.x + 401, from.y);
    await expect.poll(() => newtons(of('push').at(-1)!)).toBeCloseTo(8, 5);
    await page.mouse.up();
    await expect.poll(() => of('push').at(-1)!.force).toEqual([0, 0, 0]);
    expect(Math.max(...of('push').map(newtons))).toBeLessThanOrEqual(8 + 1e-6);
  });

  test('pause and continue; sliders and the seed say what they were set to', async () => {
    await page.locator('#pause').click();
    await expect.poll(() => page.locator('#state').textContent()).toBe('RUNNING · paused');
    await page.locator('#pause').click();
    await expect.poll(() => page.locator('#state').textContent()).toBe('RUNNING');
    expect(of('pause').map(({ paused }) => paused)).toEqual([true, false]);
    await page.locator('#steps').fill('7');
    await page.locator('#candidates').fill('5');
    await page.locator('#guidance').fill('2.5');
    await page.locator('#precision').selectOption('bf16');
    await expect
      .poll(() => source.choice)
      .toMatchObject({ steps: 7, candidates: 5, guidance_scale: 2.5, precision: 'bf16' });
    await expect.poll(() => page.locator('#steps-value').textContent()).toBe('7');
    // What was chosen stays shown once the controller's word counts again.
    await page.waitForTimeout(1500);
    expect(await page.locator('#candidates').inputValue()).toBe('5');
    await page.locator('#seed').fill('12');
    await page.locator('#reset').click();
    await expect.poll(() => of('reset').at(-1)).toEqual({ kind: 'reset', seed: 12 });
  });

  test('every plot draws, and its note has figures', async () => {
    const drawn = (id: string): Promise<number> =>
      page.evaluate((plot) => {
        const canvas = document.querySelector<HTMLCanvasElement>(`#${plot} canvas`)!;
        const { data } = canvas.getContext('2d')!.getImageData(0, 0, canvas.width, canvas.height);
        const colours = new Set<number>();
        for (let i = 0; i < data.length; i += 4)
          if (data[i + 3]! > 200) colours.add((data[i]! << 16) | (data[i + 1]! << 8) | data[i + 2]!);
        return colours.size;
      }, id);
    for (const id of ['plot-joints', 'plot-latency', 'plot-late', 'plot-miss'])
      await expect.poll(() => drawn(id)).toBeGreaterThan(1);
    await expect.poll(() => page.locator('#latency-note').textContent()).toMatch(/p50 \d.*p99 \d.*max \d/);
    await expect.poll(() => page.locator('#late-note').textContent()).toMatch(/p50 \d.*max \d/);
    const chip = page.locator('#joint-chips button').last();
    const was = await chip.getAttribute('aria-pressed');
    await chip.click();
    await expect.poll(() => chip.getAttribute('aria-pressed')).not.toBe(was);
  });
});
