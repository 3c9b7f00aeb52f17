// Every page of the portal: accessible, no error, no sideways scroll, in light and dark, wide and narrow.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { createRequire } from 'node:module';
import { after, before, test } from 'node:test';
import { env, launch, origin, screenshot, signIn, watch } from './browser.mjs';

const axe = fs.readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const PAGES = {
  'sign-in': { path: '/sign-in', stranger: true },
  devices: { path: '/devices' },
  'not-found': { path: '/no-such-page', status: 404 },
};

let browser;
before(async () => { browser = await launch(); });
after(async () => { await browser?.close(); });

for (const [name, what] of Object.entries(PAGES)) {
  for (const colorScheme of ['light', 'dark']) {
    for (const width of [1280, 390]) {
      test(`${name} (${colorScheme}, ${width} px): no axe violation, no error, no sideways scroll`, async () => {
        const context = await browser.newContext({ colorScheme, viewport: { width, height: 800 } });
        try {
          const page = await context.newPage();
          if (!what.stranger) await signIn(page);
          const problems = watch(page);
          const answer = await page.goto(env.PORTAL_URL + what.path);
          assert.equal(answer.status(), what.status ?? 200);
          await screenshot(page, `page-${name}-${colorScheme}-${width}`);
          const expected = what.status ? problems.filter((text) => !text.includes(String(what.status))) : problems;
          assert.deepEqual(expected, []);
          const [wide, visible] = await page.evaluate(() => [document.documentElement.scrollWidth, window.innerWidth]);
          assert.ok(wide <= visible, `${wide} px wide in a window of ${visible}`);
          await page.evaluate(axe);
          const { violations } = await page.evaluate(() => window.axe.run());
          assert.deepEqual(violations.map((found) => `${found.id}: ${found.nodes.map((node) => node.html).join(' | ')}`), []);
        } finally {
          await context.close();
        }
      });
    }
  }
}

test('the portal sends its security headers, and none with inline allowed', async () => {
  const context = await browser.newContext();
  const page = await context.newPage();
  const headers = (await page.goto(`${env.PORTAL_URL}/sign-in`)).headers();
  const policy = headers['content-security-policy'] ?? '';
  assert.match(policy, /default-src 'none'/);
  assert.match(policy, /frame-ancestors 'none'/);
  assert.doesNotMatch(policy, /unsafe/);
  assert.equal(headers['x-content-type-options'], 'nosniff');
  assert.equal(headers['referrer-policy'], 'no-referrer');
  await context.close();
});

test('a device that does not exist and one that is gone have a page, with the number of the error', async () => {
  const context = await browser.newContext();
  const page = await context.newPage();
  await signIn(page);
  await page.waitForURL('**/devices**');
  const answer = await page.goto(`${origin('no-such-device')}/`);
  assert.equal(answer.status(), 404);
  assert.match(await page.locator('body').innerText(), /E1003/);
  assert.match(await page.locator('body').innerText(), /choose the device in the portal's list/);
  await screenshot(page, '7-no-such-device');
  await context.close();
});
