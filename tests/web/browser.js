// Debian's Chromium, and what makes a test of it fail by itself: a violation of the page's policy, an error on its console, a
// request to anywhere else.

import assert from 'node:assert/strict';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { after } from 'node:test';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';
import { atEnd } from './ending.js';

const SHOTS = process.env.REPLYHQ_SHOTS ?? fileURLToPath(new URL('../../target/dashboard-shots', import.meta.url));
const AXE = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
await mkdir(SHOTS, { recursive: true });

export const DESKTOP = { width: 1440, height: 900 };
export const LAPTOP = { width: 1024, height: 720 };
export const PHONE = { width: 390, height: 844 };
/** Long enough for the slowest machine; nothing waits for it that goes well. */
const PATIENCE_MS = 15_000;

// As root, Chromium's own sandbox can't be had.
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-dev-shm-usage'],
});
after(() => browser.close());

/** What the browser itself says on the console while there is no server. */
const NO_SERVER = /net::ERR_(CONNECTION_REFUSED|CONNECTION_RESET|EMPTY_RESPONSE|SOCKET_NOT_CONNECTED|CONNECTION_CLOSED)|WebSocket connection to/;
/** A question that is answered by a no. */
const REFUSED = /the server responded with a status of (400|401|404|409|429)/;

/** A browser of somebody's own. */
export class Person {
  static async arrive(t, url, { size = DESKTOP, dark = false, mayFail = undefined, locale = 'en-GB', sharpness = 1 } = {}) {
    const person = new Person();
    person.url = url;
    person.faults = [];
    person.context = await browser.newContext({
      viewport: size,
      colorScheme: dark ? 'dark' : 'light',
      reducedMotion: 'reduce',
      locale,
      deviceScaleFactor: sharpness,
      hasTouch: size === PHONE,
      isMobile: size === PHONE,
      permissions: ['clipboard-read', 'clipboard-write'],
    });
    person.context.setDefaultTimeout(PATIENCE_MS);
    await person.context.addInitScript(() => {
      addEventListener('securitypolicyviolation', ({ violatedDirective, blockedURI, sample }) => {
        console.error(`policy violated: ${violatedDirective} ${blockedURI} ${sample}`);
      });
    });
    person.context.on('request', (request) => {
      if (new URL(request.url()).origin !== url) person.faults.push(`a request to ${request.url()}`);
    });
    person.context.on('page', (page) => {
      page.on('pageerror', (error) => person.faults.push(`an error: ${error.stack ?? error}`));
      page.on('console', (said) => {
        if (said.type() !== 'error' && said.type() !== 'warning') return;
        const text = said.text();
        if (REFUSED.test(text) || (mayFail && NO_SERVER.test(text))) return;
        person.faults.push(`the console: ${text}`);
      });
    });
    atEnd(t, async () => {
      await person.context.close();
      assert.deepEqual(person.faults, [], 'what went wrong in the page');
    });
    person.page = await person.context.newPage();
    return person;
  }

  go = (path) => this.page.goto(new URL(path, this.url).href);
  button = (name) => this.page.getByRole('button', { name, exact: true });
  field = (name) => this.page.getByRole('textbox', { name, exact: true });
  row = (name) => this.page.getByRole('list', { name: 'Conversations' }).getByRole('link', { name });
  log = () => this.page.getByRole('log', { name: 'Messages' });
  sees = (text) => this.page.getByText(text, { exact: true }).filter({ visible: true }).first().waitFor();

  /** With a session that was had by REST, as after signing in. */
  async isSignedIn({ admin_token, app_id, agent, expires_at }) {
    const session = { token: admin_token, app_id, who: agent.id, agentId: agent.id, name: agent.name, email: agent.email, mayNotAnswer: agent.role === 'viewer', lifetimeMs: Date.parse(expires_at) - Date.now() };
    await this.context.addInitScript((text) => {
      // The browser's own page for what can't be reached has no storage.
      if (!location.protocol.startsWith('http')) return;
      if (!sessionStorage.getItem('came')) localStorage.setItem('replyhq.session', text);
      sessionStorage.setItem('came', 'yes');
    }, JSON.stringify(session));
  }

  async answers(text) {
    await this.field('Message').fill(text);
    await this.field('Message').press('Enter');
  }

  /** Until it holds in the page. */
  until = (holds, argument) => this.page.waitForFunction(holds, argument, { timeout: PATIENCE_MS });

  /** A picture for the documents: as WebP, which Chromium itself makes. Returns how many bytes it has. */
  async isPictured(file, { quality = 80 } = {}) {
    await this.page.evaluate(() => document.fonts.ready);
    const session = await this.context.newCDPSession(this.page);
    const { data } = await session.send('Page.captureScreenshot', { format: 'webp', quality });
    const bytes = Buffer.from(data, 'base64');
    await writeFile(file, bytes);
    return bytes.length;
  }

  /** A picture, kept as an artefact, and a look by axe. */
  async shows(name, { isPerson = false } = {}) {
    await this.page.evaluate(() => document.fonts.ready);
    await this.page.screenshot({ path: join(SHOTS, `${name}.png`), caret: 'initial', animations: 'allow' });
    await this.page.evaluate(AXE);
    // On a phone the person is a page of their own, and complementary all the same.
    const rules = isPerson ? { 'landmark-one-main': { enabled: false } } : {};
    const { violations } = await this.page.evaluate(
      (rules) => globalThis.axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'], rules }),
      rules,
    );
    const told = violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html, failureSummary }) => `${html} ${failureSummary}`).join('\n')}`);
    assert.deepEqual(told, [], `what axe finds in ${name}`);
  }
}

/** Until it holds, asked again and again; with so much patience, in milliseconds. */
export async function eventually(holds, what, patience = PATIENCE_MS) {
  const end = Date.now() + patience;
  for (;;) {
    const found = await holds();
    if (found) return found;
    if (Date.now() > end) throw new Error(`it never came to be: ${what}`);
    await new Promise((again) => setTimeout(again, 25));
  }
}
