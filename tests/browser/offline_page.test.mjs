// The page of a device that is offline, in a real browser: it says so in the reader's language and opens the device by itself
// as soon as that is back.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import { env, launch, origin, watch } from './browser.mjs';

const run = promisify(execFile);
const DEVICE = 'pages';
const folder = path.join(env.STATE_DIR, 'devices', DEVICE);
let browser;

// The agent's own program, found where the running one is.
const agent = (word) => run(fs.readlinkSync(`/proc/${fs.readFileSync(path.join(folder, 'pid'), 'utf8').trim()}/exe`),
  ['--config', path.join(folder, 'agent.conf'), word]);

before(async () => { browser = await launch(); });
after(async () => {
  await agent('connect').catch(() => {});
  await browser?.close();
});

test('an offline device says so in Japanese and opens by itself when it is back', async () => {
  const context = await browser.newContext({ locale: 'ja-JP' });
  try {
    const page = await context.newPage();
    await page.goto(`${env.PORTAL_URL}/sign-in`);
    await page.locator('input[name=name], input[name=user], input[type=text]').first().fill(env.ADMIN_USER);
    await page.locator('input[type=password]').fill(env.ADMIN_PASSWORD);
    await page.locator('input[type=password]').press('Enter');
    await page.waitForURL('**/devices**');
    await page.goto(`${origin(DEVICE)}/landed`);
    await page.waitForURL(`${origin(DEVICE)}/landed`);
    const shown = await page.locator('body').innerText();
    await agent('disconnect');
    await page.waitForFunction(async () => (await fetch(location.href, { method: 'HEAD', cache: 'no-store' })).status === 503, null, { polling: 500, timeout: 30000 });
    const problems = watch(page);
    const offline = await page.reload();
    assert.equal(offline.status(), 503);
    assert.equal(await page.locator('html').getAttribute('lang'), 'ja');
    assert.match(await page.locator('h1').innerText(), /オフライン/);
    assert.ok(!(await page.locator('time').innerText()).includes('T'), 'the time is written for people');
    await agent('connect');
    await page.waitForFunction((text) => document.body.innerText === text, shown, { timeout: 60000 });
    assert.deepEqual(problems.filter((problem) => !problem.includes('503')), []);
  } finally {
    await context.close();
  }
});
