// Driving by hand, in a real browser: keys, a gamepad and the handle, against a scripted source whose robot goes at once
// where it is sent. What the intents become on a real session is tested in test/integration/drive.test.ts.

import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Browser, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { OperatorIntent } from '../../src/types/live.js';
import type { WebServer } from '../../src/web/index.js';
import { missing, openBrowser } from './chromium.js';
import { FakeSource } from './fake-source.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
type Teleop = OperatorIntent & { kind: 'teleop' };

describe.skipIf(missing !== '')(`driving by hand on the page${missing}`, () => {
  let source: FakeSource;
  let web: WebServer;
  let browser: Browser;
  let page: Page;
  const errors: string[] = [];

  beforeAll(async () => {
    browser = await openBrowser();
  });
  afterAll(() => browser?.close());
  beforeEach(async () => {
    const server = (await import(join(root, 'dist/web/index.js'))) as typeof import('../../src/web/index.js');
    source = new FakeSource();
    web = await server.startWebServer(source, { port: 0 });
    page = await browser.newPage({ viewport: { width: 900, height: 600 } });
    page.setDefaultTimeout(150_000);
    page.on('pageerror', (error) => errors.push(String(error)));
    // A gamepad that tests move; sticks at rest are not quite at zero.
    await page.addInitScript(() => {
      const pad = {
        connected: true,
        axes: [0.05, -0.08, 0, 0.1],
        buttons: Array.from({ length: 17 }, () => ({ pressed: false })),
      };
      Object.assign(window, { pad });
      Object.defineProperty(navigator, 'getGamepads', { value: () => [null, pad] });
    });
    await page.goto(web.url);
    await expect.poll(() => page.locator('#state').textContent()).toBe('RUNNING');
  });
  afterEach(async () => {
    await page.close();
    await web.close();
    source.close();
    expect(errors).toEqual([]);
  });

  const intents = () => source.intents.filter((intent): intent is Teleop => intent.kind === 'teleop');
  const points = () => intents().flatMap(({ point }) => (point === undefined ? [] : [point]));
  const HOME = [0.4, 0, 0.3];
  /** How far the hand was sent, in the view: right, away, up. The page looks from -0.3 π (scene.ts). */
  const sent = (from: readonly number[] = HOME) => {
    const [x, y, z] = source.hand.map((value, i) => value - from[i]!) as [number, number, number];
    const ahead = [-Math.cos(-0.3 * Math.PI), -Math.sin(-0.3 * Math.PI)] as const;
    return { right: x * ahead[1] - y * ahead[0], away: x * ahead[0] + y * ahead[1], up: z };
  };
  const engaged = () => expect.poll(() => page.locator('#engage').textContent()).toBe('Let go');
  const released = () => expect.poll(() => page.locator('#engage').textContent()).toBe('Engage');

  async function hold(key: string, check: () => number, least: number) {
    await page.keyboard.down(key);
    await expect.poll(check).toBeGreaterThan(least);
    await page.keyboard.up(key);
  }

  test('T takes over and gives back; keys move the hand in the view', async () => {
    // Before that they do nothing.
    await page.keyboard.down('d');
    await page.waitForTimeout(200);
    await page.keyboard.up('d');
    expect(intents()).toEqual([]);
    await page.keyboard.press('t');
    await engaged();
    // Taking over asks for the joints where they are, not for a motion.
    expect(intents()[0]).toMatchObject({ engaged: true, values: expect.any(Array) });
    for (const [key, part, sign] of [
      ['d', 'right', 1],
      ['a', 'right', -1],
      ['ArrowRight', 'right', 1],
      ['w', 'away', 1],
      ['ArrowDown', 'away', -1],
      ['e', 'up', 1],
      ['PageDown', 'up', -1],
    ] as const) {
      // What the key before it asked for has come to its end.
      await expect.poll(() => new Set(points().slice(-5).map(String)).size).toBeLessThanOrEqual(1);
      const from = [...source.hand];
      await hold(key, () => sign * sent(from)[part], 0.02);
      const { [part]: along, ...others } = sent(from);
      // Along one axis of the view, and no other: the directions are unit vectors in doubles.
      for (const across of Object.values<number>(others as Record<string, number>))
        expect(Math.abs(across)).toBeLessThan(1e-9);
      expect(Math.sign(along)).toBe(sign);
    }
    // A released key moves nothing: the same point is repeated, so that silence can be told from rest.
    await expect.poll(() => new Set(points().slice(-5).map(String)).size).toBe(1);
    await page.keyboard.press('t');
    await released();
    expect(intents().at(-1)).toEqual({ kind: 'teleop', engaged: false });
  });

  test('a target runs no further ahead of a blocked hand than its leash', async () => {
    await page.keyboard.press('t');
    await engaged();
    // The robot does not follow: its hand stays where it is.
    Object.defineProperty(source, 'hand', { get: () => HOME, set: () => undefined });
    const ahead = () => Math.hypot(...(points().at(-1) ?? HOME).map((value, i) => value - HOME[i]!));
    await page.keyboard.down('d');
    let far = 0;
    await expect
      .poll(() => {
        const now = ahead();
        const still = now > 0.05 && now === far;
        far = now;
        return still;
      })
      .toBe(true);
    await page.keyboard.up('d');
    expect(far).toBeLessThan(0.25);
  });

  test('keys mean nothing in a field; a hold of anybody lets go, and what is still down drives nobody', async () => {
    await page.keyboard.press('t');
    await engaged();
    await page.locator('#seed').focus();
    await page.keyboard.press('t');
    await page.keyboard.down('ArrowUp');
    await page.waitForTimeout(200);
    await page.keyboard.up('ArrowUp');
    expect(points()).toEqual([]);
    expect(source.state).toBe('TELEOP');
    await page.locator('#scene').focus();
    await page.keyboard.down('d');
    await expect.poll(() => points().length).toBeGreaterThan(2);
    source.request({ kind: 'hold' });
    await released();
    expect(source.state).toBe('HOLD');
    const { length } = source.intents;
    await page.waitForTimeout(300);
    expect(source.intents.length).toBe(length);
    await page.keyboard.up('d');
  });

  test('a gamepad: A takes over, the sticks move the hand, B holds', async () => {
    const set = (axis: number, value: number) =>
      page.evaluate(
        ([axis, value]: readonly number[]) => {
          (window as unknown as { pad: { axes: number[] } }).pad.axes[axis!] = value!;
        },
        [axis, value],
      );
    const button = (index: number, pressed: boolean) =>
      page.evaluate(
        ({ index, pressed }: { index: number; pressed: boolean }) => {
          const { pad } = window as unknown as { pad: { buttons: { pressed: boolean }[] } };
          pad.buttons[index]!.pressed = pressed;
        },
        { index, pressed },
      );
    await button(0, true);
    await engaged();
    await button(0, false);
    // At rest the sticks move nothing; a button that stays down acts once.
    await page.waitForTimeout(300);
    expect(points()).toEqual([]);
    await set(0, -1);
    await expect.poll(() => sent().right).toBeLessThan(-0.03);
    await set(0, 0);
    let from = [...source.hand];
    await set(1, -0.6);
    await expect.poll(() => sent(from).away).toBeGreaterThan(0.02);
    await set(1, 0);
    from = [...source.hand];
    await set(3, 1);
    await expect.poll(() => sent(from).up).toBeLessThan(-0.02);
    await button(1, true);
    await expect.poll(() => source.state).toBe('HOLD');
    await released();
  });

  test('the handle drags the hand: in the plane, and with shift up and down', async () => {
    await page.keyboard.press('t');
    await engaged();
    await page.evaluate(() => scrollTo(0, 0));
    const box = (await page.locator('#scene').boundingBox())!;
    const drag = async (dx: number, dy: number) => {
      const at = await find('drag to lead the hand', box);
      await page.mouse.down();
      for (let i = 1; i <= 6; i++) {
        await page.mouse.move(at.x + (dx * i) / 6, at.y + (dy * i) / 6);
        await page.waitForTimeout(80);
      }
      await page.mouse.up();
    };
    await drag(60, 0);
    await expect.poll(() => sent().right).toBeGreaterThan(0.03);
    expect(Math.abs(sent().up)).toBeLessThan(1e-9);
    const from = [...source.hand];
    await page.keyboard.down('Shift');
    await drag(0, -60);
    await page.keyboard.up('Shift');
    await expect.poll(() => sent(from).up).toBeGreaterThan(0.03);
    expect(source.intents.some(({ kind }) => kind === 'push' || kind === 'goal')).toBe(false);
  });

  /** Moves the pointer over the scene until the tip says `text`, as somebody who looks for it. */
  async function find(text: string, box: { x: number; y: number; width: number; height: number }) {
    const tip = page.locator('#tip');
    for (const step of [30, 15])
      for (let y = box.y + step / 2; y < box.y + box.height; y += step)
        for (let x = box.x + step / 2; x < box.x + box.width; x += step) {
          await page.mouse.move(x, y);
          if ((await tip.getAttribute('hidden')) === null && (await tip.textContent()) === text)
            return { x, y };
        }
    throw new Error(`nothing in the scene says "${text}"`);
  }
});
