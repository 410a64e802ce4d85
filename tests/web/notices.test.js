// Who is told of new messages: one tab for all of a browser, and nobody who looks at them.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Person, eventually } from './browser.js';
import { Server, Visitor } from './server.js';

async function shop(t) {
  const server = await Server.start(t, ['--rate-limit-device', '0']);
  const app = await server.shop();
  const session = await server.accept(app.ada);
  const ben = await server.accept(await server.invite(app, 'Ben Okafor', 'ben@example.com', 'agent'));
  const leila = await new Visitor(server, app, 'leila', { id: 'usr_1', name: 'Leila Haddad' }).open();
  await leila.say('Hello');
  const ada = await Person.arrive(t, server.url);
  await ada.isSignedIn(session);
  await ada.context.grantPermissions(['notifications', 'clipboard-read', 'clipboard-write']);
  // What is shown above other windows, and heard, can't be seen in a browser without a screen.
  await ada.context.addInitScript(() => {
    if (!location.protocol.startsWith('http')) return;
    globalThis.told = [];
    globalThis.rung = 0;
    globalThis.Notification = class {
      static permission = 'granted';
      static requestPermission = async () => 'granted';
      constructor(title, { body, tag }) {
        Object.assign(this, { title, body, tag });
        globalThis.told.push(this);
      }
      close() {
        globalThis.told = globalThis.told.filter((one) => one !== this);
      }
    };
    const { start } = OscillatorNode.prototype;
    OscillatorNode.prototype.start = function (when) {
      globalThis.rung += 1;
      start.call(this, when);
    };
    // No tab of a browser without a screen ever loses the focus by itself.
    let isFocused = false;
    document.hasFocus = () => isFocused;
    globalThis.focusOf = (has) => {
      isFocused = has;
      dispatchEvent(new Event(has ? 'focus' : 'blur'));
    };
  });
  return { server, session, ben, leila, ada };
}

const told = (page) => page.evaluate(() => globalThis.told.map(({ title, body }) => `${title}: ${body}`));
const rung = (page) => page.evaluate(() => globalThis.rung);
const inAll = async (pages, ask) => (await Promise.all(pages.map(ask))).flat();
const sum = async (pages) => (await inAll(pages, rung)).reduce((a, b) => a + b, 0);

test('one tab tells for all, another when it is closed, and what is read anywhere is told no longer', async (t) => {
  const { server, session, ben, leila, ada } = await shop(t);
  const as = ({ admin_token }) => ({ authorization: `Bearer ${admin_token}` });
  await ada.go('/dashboard/settings/profile');
  await ada.page.getByRole('switch', { name: 'Show new messages above other windows' }).click();
  await ada.page.getByRole('switch', { name: 'Make a sound for new messages' }).click();
  await ada.sees('Sound is on.');
  await ada.shows('notices-profile');
  await ada.go('/dashboard');
  const second = await ada.context.newPage();
  await second.goto(`${ada.url}/dashboard/all`);
  const pages = [ada.page, second];
  for (const page of pages) {
    await page.getByRole('link', { name: /Leila Haddad/ }).waitFor();
    await page.getByText('Sound waits for a click in this page.').waitFor();
    await page.locator('.list .head').click();
    await page.getByText('Sound waits for a click in this page.').waitFor({ state: 'detached' });
    await page.evaluate(() => globalThis.focusOf(false));
  }
  await leila.say('Is anybody there?');
  await eventually(async () => `${await inAll(pages, told)}` === 'Leila Haddad: Is anybody there?', 'told once');
  await eventually(async () => (await sum(pages)) === 2, 'two tones of one tab');
  const leader = (await told(ada.page)).length > 0 ? ada.page : second;
  const other = leader === second ? ada.page : second;
  await leader.close();
  const leads = async () => {
    const { held, pending } = await navigator.locks.query();
    return held.length === 1 && pending.length === 0;
  };
  await eventually(() => other.evaluate(leads), 'the other one leads');
  await leila.say('Hello?');
  await eventually(async () => `${await told(other)}` === 'Leila Haddad: Hello?', 'the other one tells');
  // It is opened where it is told of, and so read.
  await other.evaluate(() => globalThis.told[0].onclick());
  await other.getByRole('main', { name: 'Conversation with Leila Haddad' }).waitFor();
  await eventually(async () => (await told(other)).length === 0, 'it is taken away');
  await other.getByRole('link', { name: /^All/ }).click();
  // Read by another program, as by another browser of hers.
  await leila.say('One more');
  await eventually(async () => `${await told(other)}` === 'Leila Haddad: One more', 'told again');
  await server.ask('POST', `/v1/admin/conversations/${leila.conversation}/messages`, { local_id: 'a', body: 'Yes' }, as(session));
  const { io } = await import('socket.io-client');
  const socket = io(`${server.url}/admin`, { path: '/v1/socket.io', transports: ['websocket'], auth: { app_id: session.app_id, admin_token: session.admin_token }, forceNew: true });
  const messages = (await server.ask('GET', `/v1/admin/conversations/${leila.conversation}/messages`, undefined, as(session))).messages;
  await socket.emitWithAck('message:read', { conversation_id: leila.conversation, up_to_message_id: messages.findLast(({ sender }) => sender === 'user').id });
  socket.disconnect();
  await eventually(async () => (await told(other)).length === 0, 'it is taken away');
  // What is a colleague's is theirs to hear of.
  await server.ask('PATCH', `/v1/admin/conversations/${leila.conversation}`, { assignee_id: ben.agent.id }, as(session));
  const before = await rung(other);
  await leila.say('For Ben');
  await other.getByRole('link', { name: /Leila Haddad.*For Ben/ }).waitFor();
  assert.deepEqual([await told(other), await rung(other)], [[], before]);
});

test('who looks at a conversation is told nothing of it, and hears of another one', async (t) => {
  const { server, leila, ada } = await shop(t);
  await ada.context.addInitScript(() => {
    if (!location.protocol.startsWith('http')) return;
    localStorage.setItem('replyhq.notifies', 'yes');
    localStorage.setItem('replyhq.sounds', 'yes');
  });
  await ada.go(`/dashboard/all/${leila.conversation}`);
  await ada.log().getByText('Hello').click();
  await ada.page.getByText('Sound waits for a click in this page.').waitFor({ state: 'detached' });
  await ada.page.evaluate(() => globalThis.focusOf(true));
  await leila.say('Here I am');
  await ada.log().getByText('Here I am').waitFor();
  assert.deepEqual([await told(ada.page), await rung(ada.page)], [[], 0]);
  const noor = await new Visitor(server, { app_id: leila.headers['x-app-id'], api_key: leila.headers['x-api-key'] }, 'noor', { id: 'usr_2', name: 'Noor de Vries' }).open();
  await noor.say('And me');
  await eventually(async () => (await rung(ada.page)) === 2, 'it is heard');
  assert.deepEqual(await told(ada.page), []);
});
