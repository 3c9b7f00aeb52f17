// A device whose pages are hostile, and a foreign site, against a sibling device that the same person is signed in to (S9, S11, G19):
// whatever their scripts try, no request of theirs reaches the other device, and its session and the portal's go on. The other
// device's web server logs every request and is the witness; a last test shows that it does hear what it may.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import http from 'node:http';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { connectByRadio, env, launch, origin, signIn } from './browser.mjs';

const run = promisify(execFile);
const root = path.join(path.dirname(fileURLToPath(import.meta.url)), '..', '..');
const RUN = [path.join(root, 'run'), '--state-dir', env.STATE_DIR, ...(process.env.SHUTPORT_BUILD ? ['--build-dir', process.env.SHUTPORT_BUILD] : [])];
const HOSTILE = 'hostile', VICTIM = 'victim';
const COOKIES = 200;
const OURS = ['__Host-shutport', '__Host-shutport-state', '__Secure-shutport', 'shutport'];

const heard = []; // by the victim: "METHOD /path", and the Cookie of each
const page = (title) => `<!DOCTYPE html><html lang="en"><title>${title}</title><body><p>${title}</p>`;
let browser, victim, hostile;

function serve(answer, onUpgrade) {
  const server = http.createServer(answer);
  if (onUpgrade) server.on('upgrade', onUpgrade);
  return new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(server)));
}

const note = (request) => heard.push({ what: `${request.method} ${request.url}`, cookie: request.headers.cookie ?? '' });

before(async () => {
  victim = await serve((request, response) => {
    note(request);
    response.setHeader('Set-Cookie', ['kept=yes; Path=/; HttpOnly']);
    response.setHeader('Content-Type', 'text/html');
    request.resume().on('end', () => response.end(page('victim')));
  }, (request, socket) => {
    note(request);
    socket.end('HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n');
  });
  hostile = await serve((request, response) => {
    // The same by a header; the browser's own rules and the bridge's are both to be met.
    response.setHeader('Set-Cookie', OURS.flatMap((name) => [`${name}=tossed; Path=/; Domain=${env.RELAY_DOMAIN}; Secure`, `${name}=own; Path=/; Secure`]));
    response.setHeader('Clear-Site-Data', '"cookies"');
    response.setHeader('Strict-Transport-Security', 'max-age=31536000; includeSubDomains');
    response.setHeader('Content-Type', 'text/html');
    response.end(page('hostile'));
  });
  for (const [name, server] of [[HOSTILE, hostile], [VICTIM, victim]])
    await run(RUN[0], [...RUN.slice(1), 'device', 'add', name, `http://127.0.0.1:${server.address().port}`]);
  browser = await launch();
});

after(async () => {
  await browser?.close();
  for (const name of [HOSTILE, VICTIM]) await run(RUN[0], [...RUN.slice(1), 'device', 'rm', name]).catch(() => {});
  for (const server of [victim, hostile]) server?.closeAllConnections(), server?.close();
});

// Runs in the attacker's page: everything that makes a browser send something. Resolves when all of it has ended, well or badly.
async function attack({ target, own, relayDomain, cookies }) {
  const ended = [];
  const form = (method, action, enctype) => new Promise((resolve) => {
    const frame = Object.assign(document.createElement('iframe'), { name: `frame-${action}` });
    const made = Object.assign(document.createElement('form'), { method, action: target + action, enctype, target: frame.name });
    made.append(Object.assign(document.createElement('input'), { name: 'a', value: 'b' }));
    document.body.append(frame, made);
    frame.addEventListener('load', () => resolve(`form ${action}`));
    made.submit();
  });
  const load = (tag, attribute, action) => new Promise((resolve) => {
    const made = document.createElement(tag);
    made.onload = made.onerror = () => resolve(`${tag} ${action}`);
    made[attribute] = target + action;
    if (tag === 'link') made.rel = 'stylesheet';
    document.body.append(made);
  });
  const asked = (action, options) => fetch(target + action, { credentials: 'include', ...options }).then((answer) => `${action} ${answer.type} ${answer.status}`, () => `${action} failed`);
  ended.push(...await Promise.all([
    form('post', '/act/form', 'application/x-www-form-urlencoded'),
    form('post', '/act/form-text', 'text/plain'),
    form('get', '/act/form-get', 'application/x-www-form-urlencoded'),
    asked('/act/post-no-cors', { method: 'POST', mode: 'no-cors', body: 'a=b' }),
    asked('/act/post-cors', { method: 'POST', mode: 'cors', body: 'a=b' }),
    asked('/act/put', { method: 'PUT', mode: 'cors', body: 'a=b' }),
    asked('/act/delete', { method: 'DELETE', mode: 'cors' }),
    asked('/act/get-no-cors', { mode: 'no-cors' }),
    asked('/act/get-cors', { mode: 'cors', headers: { 'X-Custom': '1' } }),
    load('img', 'src', '/act/img'), load('script', 'src', '/act/script'), load('link', 'href', '/act/style'), load('iframe', 'src', '/act/frame'),
    new Promise((resolve) => {
      const socket = new WebSocket(`${target.replace('https:', 'wss:')}/act/socket`);
      socket.onopen = () => resolve('socket OPEN');
      socket.onerror = () => resolve('socket failed');
    }),
    new Promise((resolve) => {
      const source = new EventSource(`${target}/act/events`, { withCredentials: true });
      source.onopen = () => resolve('events OPEN');
      source.onerror = () => { source.close(); resolve('events failed'); };
    }),
  ]));
  navigator.sendBeacon(`${target}/act/beacon`, 'a=b');
  await fetch(`${own}/after`, { mode: 'no-cors' }).catch(() => {}); // the beacon was queued before this
  for (const name of cookies.names) document.cookie = `${name}=tossed; Domain=${relayDomain}; Path=/; Secure`;
  for (let i = 0; i < cookies.count; i++) document.cookie = `tossed-${i}=${i}; Domain=${relayDomain}; Path=/${i % 2 ? '; Secure' : ''}`;
  return ended;
}

async function signedIn(body) {
  const context = await browser.newContext();
  try {
    const first = await context.newPage();
    await signIn(first);
    await first.waitForURL('**/devices**');
    const shown = await connectByRadio(first, VICTIM);
    assert.match(await shown.locator('body').innerText(), /victim/);
    await body(context, shown);
  } finally {
    await context.close();
  }
}

// Still signed in at both, and nothing of ours or under our names came to the device.
async function assertUnharmed(context, shown) {
  const before = heard.length;
  await shown.goto(`${origin(VICTIM)}/again`);
  assert.match(await shown.locator('body').innerText(), /victim/);
  const again = heard.slice(before).filter(({ what }) => what === 'GET /again');
  assert.equal(again.length, 1);
  assert.ok(!again[0].cookie.includes('__Host-shutport'), again[0].cookie);
  const portal = await context.newPage();
  await portal.goto(`${env.PORTAL_URL}/devices`);
  assert.equal(new URL(portal.url()).pathname, '/devices');
  const cookies = await context.cookies(env.PORTAL_URL);
  assert.ok(cookies.some(({ name }) => name === '__Host-shutport-portal'));
  assert.ok(!cookies.some(({ name, value }) => name.startsWith('tossed-') || value === 'tossed'));
  await portal.close();
}

const acts = () => heard.map(({ what }) => what).filter((what) => what.includes('/act/'));

test('nothing that a sibling device\'s page sends reaches the other device', async () => {
  await signedIn(async (context, shown) => {
    const attacker = await connectByRadio(await context.newPage(), HOSTILE);
    assert.match(await attacker.locator('body').innerText(), /hostile/);
    const ended = await attacker.evaluate(attack, { target: origin(VICTIM), own: origin(HOSTILE), relayDomain: env.RELAY_DOMAIN, cookies: { names: OURS, count: COOKIES } });
    assert.ok(ended.length >= 15);
    assert.ok(!ended.some((how) => how.endsWith('OPEN')), ended.join(', '));
    assert.ok((await context.cookies(origin(VICTIM))).some(({ name }) => name.startsWith('tossed-')), 'cookies were tossed at all');
    assert.deepEqual(acts(), []);
    await assertUnharmed(context, shown);
    assert.deepEqual(acts(), []);
  });
});

test('nothing that a foreign site sends reaches the device', async () => {
  await signedIn(async (context, shown) => {
    const foreign = await context.newPage();
    const own = `http://127.0.0.1:${hostile.address().port}`;
    await foreign.goto(own);
    const ended = await foreign.evaluate(attack, { target: origin(VICTIM), own, relayDomain: env.RELAY_DOMAIN, cookies: { names: OURS, count: 10 } });
    assert.ok(!ended.some((how) => how.endsWith('OPEN')), ended.join(', '));
    assert.deepEqual(acts(), []);
    await assertUnharmed(context, shown);
    assert.deepEqual(acts(), []);
  });
});

test('a hostile page changes nothing in the portal', async () => {
  await signedIn(async (context) => {
    const attacker = await connectByRadio(await context.newPage(), HOSTILE);
    const ended = await attacker.evaluate(async (portal) => {
      const form = (action) => new Promise((resolve) => {
        const frame = Object.assign(document.createElement('iframe'), { name: action });
        const made = Object.assign(document.createElement('form'), { method: 'post', action: portal + action, target: action });
        made.append(Object.assign(document.createElement('input'), { name: 'confirm', value: 'victim' }));
        document.body.append(frame, made);
        frame.addEventListener('load', () => resolve(action));
        made.submit();
      });
      const asked = (path, options) => fetch(portal + path, { credentials: 'include', ...options }).then((answer) => answer.type, () => 'failed');
      return Promise.all([form('/devices/victim/deregister'), form('/sign-out'), asked('/api/v1/devices/victim', { method: 'DELETE' }),
        asked('/api/v1/devices', {}), asked('/devices', { mode: 'no-cors' })]);
    }, env.PORTAL_URL);
    assert.equal(ended.length, 5);
    assert.equal(ended[3], 'failed'); // the list cannot be read
    const portal = await context.newPage();
    await portal.goto(`${env.PORTAL_URL}/devices/${VICTIM}`);
    assert.equal(new URL(portal.url()).pathname, `/devices/${VICTIM}`); // still there, still signed in
    assert.match(await portal.locator('h1').innerText(), /victim/);
  });
});

test('the witness hears what it may: its own page\'s requests, and a link that somebody follows', async () => {
  await signedIn(async (context, shown) => {
    const status = await shown.evaluate(async () => (await fetch('/act/own', { method: 'POST', body: 'a=b' })).status);
    assert.equal(status, 200);
    const attacker = await connectByRadio(await context.newPage(), HOSTILE);
    await attacker.evaluate((href) => {
      const link = Object.assign(document.createElement('a'), { href, textContent: 'follow' });
      document.body.append(link);
    }, `${origin(VICTIM)}/act/link`);
    await attacker.getByText('follow').click();
    await attacker.waitForURL(`${origin(VICTIM)}/act/link`);
    assert.deepEqual(acts(), ['POST /act/own', 'GET /act/link']);
  });
});
