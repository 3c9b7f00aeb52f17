// Chromium for the tests: Debian's, with nothing of a user's, trusting the stack's own key and no other unknown one.
import crypto from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import tls from 'node:tls';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';

const FLAGS = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync'];
const here = path.dirname(fileURLToPath(import.meta.url));
const screenshots = path.join(here, '..', '..', 'build', 'screenshots');

// What ./run wrote to its env file; ./test hands it over.
export const env = Object.fromEntries(
  ['PORTAL_URL', 'RELAY_DOMAIN', 'HTTPS_PORT', 'CA_FILE', 'ADMIN_USER', 'ADMIN_PASSWORD', 'API_TOKEN', 'STATE_DIR'].map((name) => {
    if (!process.env[name]) throw new Error(`${name} is not set: run these tests with ./test browser`);
    return [name, process.env[name]];
  }));

export const origin = (device) => `https://${device}.${env.RELAY_DOMAIN}:${env.HTTPS_PORT}`;

// The bridge's public key, taken over a connection that the stack's CA has vouched for.
function bridgeKey() {
  const host = new URL(env.PORTAL_URL).hostname;
  return new Promise((resolve, reject) => {
    const socket = tls.connect({ host: '127.0.0.1', port: env.HTTPS_PORT, servername: host, ca: fs.readFileSync(env.CA_FILE) }, () => {
      const key = socket.getPeerX509Certificate().publicKey.export({ type: 'spki', format: 'der' });
      socket.destroy();
      resolve(crypto.createHash('sha256').update(key).digest('base64'));
    });
    socket.on('error', reject);
  });
}

export async function launch() {
  const key = await bridgeKey();
  return chromium.launch({ executablePath: '/usr/bin/chromium', args: [...FLAGS, `--ignore-certificate-errors-spki-list=${key}`] });
}

// A page that remembers what went wrong on it: console errors, exceptions, refused loads (CSP too), failed requests.
export function watch(page) {
  const problems = [];
  page.on('console', (message) => {
    if (message.type() === 'error') problems.push(`console: ${message.text()} (${message.location().url})`);
  });
  page.on('pageerror', (error) => problems.push(`exception: ${error.message}`));
  return problems;
}

export async function screenshot(page, name) {
  fs.mkdirSync(screenshots, { recursive: true });
  await page.screenshot({ path: path.join(screenshots, `${name}.png`), fullPage: true });
}

export async function signIn(page, { user = env.ADMIN_USER, password = env.ADMIN_PASSWORD } = {}) {
  await page.goto(`${env.PORTAL_URL}/sign-in`);
  await page.getByLabel('User name').fill(user);
  await page.getByLabel('Password').fill(password);
  await page.getByRole('button', { name: /sign in/i }).click();
}

// Do `act`, which leads to the device's own page, in this tab or in a new one; returns the page that shows it.
export async function opened(page, device, act) {
  const tab = page.context().waitForEvent('page', { timeout: 15000 }).catch(() => null);
  const here = page.waitForURL((url) => url.origin === origin(device), { timeout: 15000 }).then(() => page, () => null);
  await act();
  const shown = await Promise.race([tab.then((fresh) => fresh ?? here), here.then((same) => same ?? tab)]);
  if (!shown) throw new Error(`${device} was not opened; ${page.url()} shows: ${await page.locator('body').innerText()}`);
  await shown.waitForURL((url) => url.origin === origin(device) && !url.pathname.startsWith('/.shutport/'), { timeout: 15000 });
  await shown.waitForLoadState();
  return shown;
}

export async function connectByRadio(page, device) {
  await page.goto(`${env.PORTAL_URL}/devices`);
  await page.locator(`input[type=radio][name=device][value="${device}"]`).check();
  return opened(page, device, () => page.getByRole('button', { name: 'Connect', exact: true }).click());
}
