// The main job in a real browser: sign in, list, choose, Connect, the device's own pages on its own origin (R11-R15).
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { connectByRadio, env, launch, opened, origin, screenshot, signIn, watch } from './browser.mjs';

let browser;
before(async () => { browser = await launch(); });
after(async () => { await browser?.close(); });

// One window with cookies of its own for each test.
async function inWindow(options, body) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
  try {
    await body(await context.newPage(), context);
  } finally {
    await context.close();
  }
}

const loadedImages = (page) => page.locator('img').evaluateAll((images) => images.map((image) => image.complete && image.naturalWidth > 0));

test('sign in, list, radio, Connect: the printer\'s own page on its own origin', async () => {
  await inWindow({}, async (page) => {
    const problems = watch(page);
    await page.goto(env.PORTAL_URL);
    await page.waitForURL('**/sign-in**');
    await screenshot(page, '1-sign-in');
    await signIn(page);
    await page.waitForURL('**/devices**');
    await screenshot(page, '2-devices');
    const printer = await connectByRadio(page, 'printer');
    assert.equal(new URL(printer.url()).origin, origin('printer'));
    assert.match(await printer.title(), /3F printer/);
    await screenshot(printer, '3-printer');
    assert.deepEqual(problems, []);
  });
});

test('the printer\'s icon and links work on its own origin', async () => {
  await inWindow({}, async (page) => {
    await signIn(page);
    const printer = await connectByRadio(page, 'printer');
    const icon = await printer.evaluate(async () => {
      const image = new Image();
      image.src = document.querySelector('link[rel~=icon]').href;
      await image.decode();
      return { width: image.naturalWidth, origin: new URL(image.src).origin };
    });
    assert.ok(icon.width > 0);
    assert.equal(icon.origin, origin('printer'));
    for (const where of ['/media', '/supplies']) {
      await printer.goto(`${origin('printer')}/`);
      await printer.locator(`a[href="${where}"]`).click();
      await printer.waitForURL(`${origin('printer')}${where}`);
      assert.match(await printer.locator('body').innerText(), where === '/media' ? /media/i : /ink|toner|suppl/i);
      await screenshot(printer, `4-printer-${where.slice(1)}`);
    }
  });
});

test('a second device is open at the same time in the same browser', async () => {
  await inWindow({}, async (page, context) => {
    await signIn(page);
    const printer = await connectByRadio(page, 'printer');
    const list = await context.newPage();
    const problems = watch(list);
    const pages = await connectByRadio(list, 'pages');
    assert.deepEqual(await loadedImages(pages), [true, true, true]);
    await screenshot(pages, '5-second-device');
    await printer.reload();
    assert.match(await printer.title(), /3F printer/);
    await pages.reload();
    assert.match(await pages.title(), /Demo pages/);
    assert.deepEqual(problems, []);
  });
});

test('forms, redirects, absolute links and cookies of a device work', async () => {
  await inWindow({}, async (page) => {
    await signIn(page);
    const pages = await connectByRadio(page, 'pages');
    await pages.click('#form');
    await pages.getByLabel('Text').fill('こんにちは & <b>');
    await pages.getByRole('button', { name: 'Send' }).click();
    await pages.waitForURL(`${origin('pages')}/landed**`);
    assert.equal(await pages.locator('#text').innerText(), 'こんにちは & <b>');
    for (const link of ['#redirect', '#redirect-path', '#absolute']) {
      await pages.goto(`${origin('pages')}/`);
      await pages.click(link);
      await pages.waitForURL(`${origin('pages')}/landed**`);
    }
    await pages.goto(`${origin('pages')}/cookies`);
    const shown = await pages.locator('body').innerText();
    assert.match(shown, /theme=plain/);
    assert.match(shown, /session=demo-session/);
    assert.doesNotMatch(shown, /shutport/i);
  });
});

test('the button of a row does what radio and Connect do', async () => {
  await inWindow({}, async (page) => {
    await signIn(page);
    await page.goto(`${env.PORTAL_URL}/devices`);
    const shown = await opened(page, 'pages', () => page.getByRole('button', { name: 'Connect to Demo pages' }).click());
    assert.match(await shown.title(), /Demo pages/);
  });
});

test('without JavaScript the same way leads there', async () => {
  await inWindow({ javaScriptEnabled: false }, async (page) => {
    await signIn(page);
    await page.goto(`${env.PORTAL_URL}/devices`);
    await page.locator('input[type=radio][name=device][value=printer]').check();
    await page.getByRole('button', { name: 'Connect', exact: true }).click();
    const tabs = page.context().pages();
    const shown = tabs[tabs.length - 1];
    await shown.getByRole('button', { name: /continue/i }).click();
    await shown.waitForURL(`${origin('printer')}/**`);
    assert.match(await shown.title(), /3F printer/);
  });
});

test('a stranger who knows the device signs in and arrives there', async () => {
  await inWindow({}, async (page) => {
    await page.goto(`${origin('pages')}/form?kept=1`);
    await page.getByLabel('User name').fill(env.ADMIN_USER);
    await page.getByLabel('Password').fill(env.ADMIN_PASSWORD);
    await page.getByRole('button', { name: /sign in/i }).click();
    await page.waitForURL(`${origin('pages')}/form?kept=1`);
  });
});

test('a wrong password is said, and the page stays usable', async () => {
  await inWindow({}, async (page) => {
    await signIn(page, { password: 'not the password' });
    assert.match(await page.locator('body').innerText(), /password is wrong|wrong password|user name or password/i);
    await screenshot(page, '6-wrong-password');
    await page.getByLabel('User name').fill(env.ADMIN_USER);
    await page.getByLabel('Password').fill(env.ADMIN_PASSWORD);
    await page.getByRole('button', { name: /sign in/i }).click();
    await page.waitForURL('**/devices**');
  });
});

test('the keyboard alone is enough', async () => {
  await inWindow({}, async (page) => {
    await page.goto(`${env.PORTAL_URL}/sign-in`);
    const focusOn = async (locator) => {
      for (let tabs = 0; tabs < 60; tabs++) {
        if (await locator.evaluate((element) => element === document.activeElement)) return;
        await page.keyboard.press('Tab');
      }
      throw new Error('not reached by Tab');
    };
    await focusOn(page.getByLabel('User name'));
    await page.keyboard.type(env.ADMIN_USER);
    await focusOn(page.getByLabel('Password'));
    await page.keyboard.type(env.ADMIN_PASSWORD);
    await page.keyboard.press('Enter');
    await page.waitForURL('**/devices**');
    const shown = await opened(page, 'pages', async () => {
      await focusOn(page.getByRole('button', { name: 'Connect to Demo pages' }));
      await page.keyboard.press('Enter');
    });
    assert.match(await shown.title(), /Demo pages/);
  });
});

// What a script on one device's page tries against its neighbour, with the user signed in to both (S9, S11).
test('a page of one device cannot act on another', async () => {
  await inWindow({}, async (page, context) => {
    await signIn(page);
    await connectByRadio(page, 'pages');
    const attacker = await connectByRadio(await context.newPage(), 'printer');
    const log = path.join(env.STATE_DIR, 'devices', 'pages', 'service.log');
    const mark = `/attack-${process.pid}`;
    const results = await attacker.evaluate(async ({ target, mark: where }) => {
      const tries = {
        post: () => fetch(`${target}${where}-post`, { method: 'POST', mode: 'no-cors', credentials: 'include', body: 'x' }),
        read: async () => (await fetch(`${target}${where}-read`, { credentials: 'include' })).text(),
        socket: () => new Promise((resolve, reject) => {
          const socket = new WebSocket(`${target.replace('https', 'wss')}${where}-socket`);
          socket.onopen = resolve;
          socket.onerror = () => reject(new Error('refused'));
        }),
        events: () => new Promise((resolve, reject) => {
          const source = new EventSource(`${target}${where}-events`, { withCredentials: true });
          source.onmessage = resolve;
          source.onerror = () => { source.close(); reject(new Error('refused')); };
        }),
        form: () => new Promise((resolve) => {
          const frame = document.createElement('iframe');
          frame.name = 'target';
          const form = document.createElement('form');
          Object.assign(form, { method: 'post', action: `${target}${where}-form`, target: 'target' });
          document.body.append(frame, form);
          frame.onload = resolve;
          form.submit();
          setTimeout(resolve, 2000);
        }),
      };
      const outcome = {};
      for (const [name, attempt] of Object.entries(tries)) {
        try {
          await attempt();
          outcome[name] = 'sent';
        } catch (error) {
          outcome[name] = `refused: ${error.message}`;
        }
      }
      return outcome;
    }, { target: origin('pages'), mark });
    const seen = fs.readFileSync(log, 'utf8').split('\n').filter((line) => line.includes(mark) && !/"GET /.test(line));
    assert.deepEqual(seen, [], JSON.stringify(results));
    assert.match(results.read, /^refused/);
    assert.match(results.socket, /^refused/);
    assert.match(results.events, /^refused/);
    assert.ok(!fs.readFileSync(log, 'utf8').includes(`${mark}-socket`));
  });
});
