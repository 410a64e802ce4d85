// What the team writes again and again, by a slash at the cursor.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Person, eventually } from './browser.js';
import { Server, Visitor } from './server.js';

test('a canned reply is found, filled in and sent by the keyboard alone', async (t) => {
  const server = await Server.start(t, ['--rate-limit-device', '0']);
  const app = await server.shop();
  const session = await server.accept(app.ada);
  const leila = await new Visitor(server, app, 'leila', { id: 'usr_1', name: 'Leila Haddad' }).open();
  await leila.say('Hello');
  const authorization = { authorization: `Bearer ${session.admin_token}` };
  for (const [shortcut, text] of [
    ['hello', 'Hello {{person.name|there}}, this is {{agent.name}}.'],
    ['hours', 'We are here from 9 to 17.'],
    ['bye', 'Goodbye {{person.email|for now}}'],
  ]) {
    await server.ask('POST', '/v1/admin/canned-replies', { shortcut, text }, authorization);
  }
  const ada = await Person.arrive(t, server.url);
  await ada.isSignedIn(session);
  await ada.go(`/dashboard/all/${leila.conversation}`);
  await ada.log().getByText('Hello', { exact: true }).waitFor();
  // Who is there is known before it is filled in.
  await ada.page.getByRole('complementary', { name: 'Person' }).getByText('usr_1').waitFor();
  const list = ada.page.getByRole('listbox', { name: 'Canned replies' });
  const options = list.getByRole('option');
  const field = ada.field('Message');
  await ada.page.keyboard.press('r');
  await field.pressSequentially('/h');
  await list.waitFor();
  assert.deepEqual(await options.locator('.short').allTextContents(), ['hello', 'hours']);
  await ada.shows('canned');
  await field.press('ArrowDown');
  assert.equal(await list.getByRole('option', { selected: true }).locator('.short').textContent(), 'hours');
  await field.press('ArrowUp');
  await field.press('Enter');
  assert.equal(await field.inputValue(), 'Hello Leila Haddad, this is Ada Lindqvist.');
  await list.waitFor({ state: 'detached' });
  // At the cursor, and in the midst of what stands there already.
  await field.pressSequentially(' /hours');
  await field.press('Tab');
  assert.equal(await field.inputValue(), 'Hello Leila Haddad, this is Ada Lindqvist. We are here from 9 to 17.');
  await field.press('Enter');
  await eventually(async () => (await leila.messages()).length === 2, 'it is sent');
  assert.equal((await leila.messages())[1].body, 'Hello Leila Haddad, this is Ada Lindqvist. We are here from 9 to 17.');
  // Put aside it is a letter as any; and one within a word is none.
  await field.pressSequentially('/bye');
  await list.waitFor();
  await field.press('Escape');
  await list.waitFor({ state: 'detached' });
  await field.press('Enter');
  await field.pressSequentially('either/bye');
  assert.equal(await list.count(), 0);
  await field.press('Enter');
  await eventually(async () => (await leila.messages()).length === 4, 'both are sent');
  assert.deepEqual((await leila.messages()).slice(2).map(({ body }) => body), ['/bye', 'either/bye']);
  // By the mouse, and into a note.
  await ada.button('Note').click();
  await ada.button('Canned replies').click();
  await options.filter({ hasText: 'bye' }).click();
  assert.equal(await ada.field('Note').inputValue(), 'Goodbye for now');
});

test('the first slash asks, whatever was sent before it', async (t) => {
  const server = await Server.start(t, ['--rate-limit-device', '0']);
  const app = await server.shop();
  const session = await server.accept(app.ada);
  const leila = await new Visitor(server, app, 'leila', { id: 'usr_1', name: 'Leila Haddad' }).open();
  await leila.say('Hello');
  await server.ask('POST', '/v1/admin/canned-replies', { shortcut: 'hours', text: 'We are here from 9 to 17.' }, { authorization: `Bearer ${session.admin_token}` });
  const ada = await Person.arrive(t, server.url);
  await ada.isSignedIn(session);
  await ada.go(`/dashboard/all/${leila.conversation}`);
  await ada.answers('Good morning');
  await ada.sees('Sent');
  await ada.field('Message').pressSequentially('/');
  await ada.page.getByRole('listbox', { name: 'Canned replies' }).getByRole('option', { name: /hours/ }).waitFor();
});
