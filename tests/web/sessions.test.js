// Who is connected, live.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DESKTOP, PHONE, Person, eventually } from './browser.js';
import { Server, Visitor } from './server.js';

async function shop(t) {
  const server = await Server.start(t, ['--rate-limit-device', '0']);
  const app = await server.shop();
  const session = await server.accept(app.ada);
  const visitor = (id, name) => new Visitor(server, app, id, name ? { id: `usr_${id}`, name } : undefined).open();
  const arrive = async (options) => {
    const person = await Person.arrive(t, server.url, options);
    await person.isSignedIn(session);
    return person;
  };
  return { server, app, session, visitor, arrive };
}

const line = (person, text) => person.page.getByRole('row').filter({ hasText: text });
const names = (person) => person.page.locator('tr[data-device] b').allTextContents();

test('who comes is green for a moment, and who leaves is grey before they go', async (t) => {
  const { visitor, arrive } = await shop(t);
  const leila = await visitor('leila', 'Leila Haddad');
  await leila.say('Hello');
  await leila.connect(t);
  const page = await arrive();
  await page.go('/dashboard');
  await page.page.getByRole('link', { name: 'Sessions' }).click();
  await line(page, 'Leila Haddad').getByText('Online').waitFor();
  await page.sees('1 connection of 1 device, live.');
  assert.equal(await page.page.locator('tr.fresh').count(), 0, 'who was there is not new');
  const noor = await visitor('noor', 'Noor de Vries');
  await noor.connect(t);
  await page.page.locator('tr.fresh', { hasText: 'Noor de Vries' }).waitFor();
  await page.shows('sessions-fresh');
  await page.page.locator('tr.here', { hasText: 'Noor de Vries' }).waitFor();
  assert.deepEqual(await names(page), ['Noor de Vries', 'Leila Haddad']);
  // The same device once more is the same row.
  const second = await noor.connect(t);
  await line(page, 'Noor de Vries').getByRole('cell', { name: '2', exact: true }).waitFor();
  second.disconnect();
  await line(page, 'Noor de Vries').getByRole('cell', { name: '1', exact: true }).waitFor();
  leila.socket.disconnect();
  await page.page.locator('tr.gone', { hasText: 'Leila Haddad' }).getByText('Left just now').waitFor();
  await page.shows('sessions-gone');
  await line(page, 'Leila Haddad').waitFor({ state: 'detached' });
});

test('somebody is found, and their conversation is a click away', async (t) => {
  const { visitor, arrive } = await shop(t);
  const leila = await visitor('leila', 'Leila Haddad');
  await leila.say('Hello');
  await leila.connect(t);
  await (await visitor('web-7')).connect(t);
  const page = await arrive();
  await page.go('/dashboard/sessions');
  await line(page, 'device-web-7').waitFor();
  const find = page.page.getByRole('searchbox', { name: 'Find a person or a device' });
  await find.fill('HADD');
  await line(page, 'device-web-7').waitFor({ state: 'detached' });
  await find.fill('nobody of that name');
  await page.sees('Nobody found.');
  await find.fill('');
  await page.page.getByRole('combobox', { name: 'Which' }).selectOption('Without a name');
  await line(page, 'Leila Haddad').waitFor({ state: 'detached' });
  await page.page.getByRole('combobox', { name: 'Which' }).selectOption('Everybody');
  await line(page, 'Leila Haddad').getByRole('link', { name: /^Waiting/ }).click();
  await page.page.getByRole('main', { name: 'Conversation with Leila Haddad' }).waitFor();
});

test('rows keep their order under a resting pointer', async (t) => {
  const { visitor, arrive } = await shop(t);
  await (await visitor('leila', 'Leila Haddad')).connect(t);
  const page = await arrive();
  await page.go('/dashboard/sessions');
  await line(page, 'Leila Haddad').hover();
  await (await visitor('noor', 'Noor de Vries')).connect(t);
  await page.button('1 came').waitFor();
  assert.deepEqual(await names(page), ['Leila Haddad']);
  await page.button('1 came').click();
  await eventually(async () => `${await names(page)}` === 'Noor de Vries,Leila Haddad', 'who came is there');
});

test('a hundred thousand sessions are as light as ten', async (t) => {
  const { arrive } = await shop(t);
  const page = await arrive();
  const MANY = 100_000;
  let live;
  // The server's own answers, but to one question.
  await page.page.routeWebSocket(/socket\.io/, (socket) => {
    const server = socket.connectToServer();
    socket.onMessage((frame) => {
      const [, ack, question] = /^42\/admin,(\d+)\["sessions:list",(.*)\]$/.exec(frame) ?? [];
      if (!question) return server.send(frame);
      live = socket;
      const from = Number(JSON.parse(question).after.slice('con_'.length) || 0);
      const sessions = Array.from({ length: 1_000 }, (_, index) => some(from + index + 1));
      socket.send(`43/admin,${ack}[${JSON.stringify({ success: true, sessions, has_more: from + 1_000 < MANY })}]`);
    });
  });
  const some = (count) => ({
    app_id: 'app_1', connection_id: `con_${String(count).padStart(8, '0')}`, device_id: `device-${count}`, connected_at: new Date(1_800_000_000_000 + count).toISOString(),
    user_info: { user_id: `usr_${count}`, name: `Visitor ${count}` },
  });
  await page.go('/dashboard/sessions');
  // A hundred pages go through this process and the browser's own, which takes a while on a busy machine.
  await page.page.getByText('100,000 connections of 100,000 devices, live.').waitFor({ timeout: 60_000 });
  const count = () => page.page.evaluate(() => document.querySelectorAll('*').length);
  assert.ok((await count()) < 1_500, `${await count()}`);
  assert.equal((await names(page))[0], 'Visitor 100000');
  await page.page.evaluate(() => {
    globalThis.longest = 0;
    new PerformanceObserver((list) => {
      for (const { duration } of list.getEntries()) globalThis.longest = Math.max(globalThis.longest, duration);
    }).observe({ type: 'longtask' });
  });
  for (let more = 1; more <= 100; more++) live.send(`42/admin,${JSON.stringify(['session:connect', some(MANY + more)])}`);
  await eventually(async () => (await names(page))[0] === 'Visitor 100100', 'who came is first');
  // The end is there at once, and its rows are those that belong there.
  await eventually(async () => {
    await page.page.evaluate(() => {
      const box = document.querySelector('main.page');
      box.scrollTop = box.scrollHeight;
    });
    return (await names(page)).at(-1) === 'Visitor 1';
  }, 'the end of the list');
  // What is looked at stays where it is while others come above it.
  const where = () => page.page.evaluate(() => [...document.querySelectorAll('tr[data-device]')].find(({ textContent }) => textContent.includes('usr_5'))?.getBoundingClientRect().top);
  const before = await where();
  for (let more = 101; more <= 120; more++) live.send(`42/admin,${JSON.stringify(['session:connect', some(MANY + more)])}`);
  await page.sees('100,120 connections of 100,120 devices, live.');
  const after = await where();
  assert.ok(Math.abs(before - after) < 2, `${before} and ${after}`);
  await page.page.getByRole('searchbox', { name: 'Find a person or a device' }).fill('visitor 77777');
  await line(page, 'usr_77777').waitFor();
  await page.shows('sessions-many');
  assert.ok((await count()) < 1_500);
  t.diagnostic(`the longest task took ${Math.round(await page.page.evaluate(() => globalThis.longest))} ms`);
});

for (const [size, where] of [[DESKTOP, 'desk'], [PHONE, 'phone']]) {
  for (const dark of [false, true]) {
    test(`what is shown of sessions, ${where}, ${dark ? 'dark' : 'light'}`, async (t) => {
      const { visitor, arrive } = await shop(t);
      for (const [id, name] of [['ragn', 'Ragnheiður Þorgrímsdóttir'], ['web-90ab'], ['misaki', '山田 美咲'], ['leila', 'Leila Haddad'], ['otaibi', 'محمد العتيبي']]) {
        const one = await visitor(id, name);
        if (id !== 'web-90ab') await one.say('Hello');
        await one.connect(t);
      }
      const page = await arrive({ size, dark });
      await page.go('/dashboard/sessions');
      await page.sees('5 connections of 5 devices, live.');
      await page.sees('Leila Haddad');
      await page.shows(`sessions-${where}-${dark ? 'dark' : 'light'}`);
    });
  }
}
