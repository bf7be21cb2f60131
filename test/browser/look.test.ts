import { chromium } from 'playwright-core';
import { test } from 'vitest';
import { startWebServer } from '/work/main/src/web/server.js';
import { FakeSource } from '/work/main/test/browser/fake-source.js';

test('look', async () => {
  const source = new FakeSource();
  const server = await startWebServer(source);
  const browser = await chromium.launch({
    executablePath: '/usr/bin/chromium',
    args: [
      '--no-sandbox',
      '--use-angle=swiftshader',
      '--enable-unsafe-swiftshader',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
      '--no-first-run',
    ],
  });
  for (const [name, w, h, scheme] of [
    ['desk', 1440, 900, 'dark'],
    ['desk-light', 1280, 800, 'light'],
    ['phone', 390, 844, 'dark'],
  ] as const) {
    const page = await browser.newPage({ viewport: { width: w, height: h }, colorScheme: scheme });
    page.on('console', (m) => console.log(name, m.type(), m.text()));
    page.on('pageerror', (e) => console.log(name, 'ERR', e.stack));
    await page.goto(server.url);
    await page.waitForTimeout(9000);
    await page.screenshot({ path: `/tmp/${name}.png` });
    if (name === 'phone') await page.screenshot({ path: `/tmp/${name}-full.png`, fullPage: true });
    await page.close();
  }
  await browser.close();
  await server.close();
  source.close();
}, 120000);
