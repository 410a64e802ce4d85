// A dashboard beside a load: signed in with a program's token, the inbox open, a conversation before it. Says "ready" then, and when
// nothing more comes to be read, how long the longest task of the page took since, in milliseconds; 0 where none took 50, which is the
// least that browsers tell of.
//
// node busy-page.js SERVER APP_ID TOKEN

import { once } from 'node:events';
import { chromium } from 'playwright-core';

const [server, app_id, token] = process.argv.slice(2);
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  // As root, Chromium's own sandbox can't be had.
  args: ['--no-sandbox', '--disable-dev-shm-usage'],
});
try {
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 } });
  await context.addInitScript((session) => {
    localStorage.setItem('replyhq.session', session);
    globalThis.longest = 0;
    new PerformanceObserver((list) => {
      for (const { duration } of list.getEntries()) globalThis.longest = Math.max(globalThis.longest, duration);
    }).observe({ entryTypes: ['longtask'] });
  }, JSON.stringify({ token, app_id, who: 'program', name: 'Load', mayNotAnswer: false }));
  const page = await context.newPage();
  await page.goto(`${server}/dashboard`);
  const rows = page.getByRole('list', { name: 'Conversations' }).getByRole('link');
  await rows.first().click();
  await page.getByRole('log', { name: 'Messages' }).waitFor();
  // Under a resting pointer rows keep their order.
  await page.mouse.move(900, 400);
  const before = await rows.first().textContent();
  await page.evaluate(() => (globalThis.longest = 0));
  console.log('ready');
  process.stdin.resume();
  await once(process.stdin, 'end');
  if ((await rows.first().textContent()) === before) throw new Error('nothing has come to the page');
  console.log(await page.evaluate(() => globalThis.longest));
} finally {
  await browser.close();
}
