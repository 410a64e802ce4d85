// Coming in and going out: by a link, by a password, by a token.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Person } from './browser.js';
import { PASSWORD, Server, Visitor } from './server.js';

const inbox = (person) => person.page.getByRole('heading', { name: 'All' }).waitFor();

test('the link of an empty server makes the first app and its admin, and is not kept in the address', async (t) => {
  const server = await Server.start(t);
  // It is printed after the ready line.
  const link = await new Promise((resolve) => {
    const look = setInterval(() => {
      const found = /http\S+#code=\S+/.exec(server.printed);
      if (found) resolve((clearInterval(look), found[0]));
    }, 10);
  });
  const ada = await Person.arrive(t, server.url);
  await ada.go(link);
  await ada.field('Password').waitFor();
  assert.equal(await ada.page.evaluate(() => location.hash), '');
  await ada.shows('first-run-password');
  await ada.field('Password').fill('short');
  await ada.button('Go on').click();
  await ada.sees('A password has at least 10 characters.');
  await ada.field('Password').fill(PASSWORD);
  await ada.button('Go on').click();
  await ada.field('Name of your app').fill('Harbour Bikes');
  await ada.field('Your name').fill('Ada Lindqvist');
  await ada.field('E-mail').fill('ada@example.com');
  await ada.shows('first-run-app');
  await ada.button('Make it').click();
  await ada.sees('Keep this key');
  await ada.shows('first-run-key');
  await ada.button('To the inbox').click();
  await inbox(ada);
  await ada.sees('No open conversations. New messages appear here by themselves.');
  await ada.shows('inbox-empty');
  await ada.page.reload();
  await inbox(ada);
});

test('an invitation is good once; another link sets another password', async (t) => {
  const server = await Server.start(t);
  const app = await server.command('app', 'create', 'Harbour Bikes');
  const invited = await server.invite(app, 'Grace', 'grace@example.com', 'agent');
  const grace = await Person.arrive(t, server.url);
  await grace.go(invited.link);
  await grace.field('Password').fill(PASSWORD);
  await grace.button('Go on').click();
  await inbox(grace);

  const other = await Person.arrive(t, server.url);
  await other.go(invited.link);
  await other.page.getByRole('alert').getByText('This link was used already').waitFor();
  await other.shows('link-used');
  await other.button('To the sign-in').click();
  await other.field('E-mail').waitFor();

  const { code } = await server.command('agent', 'reset', '--app', app.app_id, 'grace@example.com');
  await other.go(server.linkOf(code));
  await other.field('Password').fill('another horse battery');
  await other.button('Go on').click();
  await inbox(other);
  await grace.page.getByRole('alert').getByText('Your session was ended').waitFor();
});

test('by e-mail and password, and out again', async (t) => {
  const server = await Server.start(t);
  const app = await server.shop();
  await server.accept(app.ada);
  const ada = await Person.arrive(t, server.url);
  await ada.go('/dashboard/resolved');
  await ada.button('Sign in').click();
  assert.equal(await ada.page.getByText('Fill this in.').count(), 2);
  await ada.field('E-mail').fill('ada@example.com');
  await ada.page.getByLabel('Password', { exact: true }).fill('wrong horse battery');
  await ada.button('Sign in').click();
  await ada.sees('The e-mail address or the password is wrong.');
  await ada.shows('sign-in-wrong');
  await ada.page.getByLabel('Password', { exact: true }).fill(PASSWORD);
  await ada.page.getByRole('checkbox', { name: 'Stay signed in on this device' }).check();
  await ada.button('Sign in').click();
  // Where they wanted to go.
  await ada.page.getByRole('heading', { name: 'Resolved' }).waitFor();
  const other = await ada.context.newPage();
  await other.goto(`${server.url}/dashboard`);
  await other.getByRole('heading', { name: 'All' }).waitFor();
  await ada.page.getByRole('button', { name: 'Ada Lindqvist' }).click();
  await ada.page.getByRole('menuitem', { name: 'Sign out' }).click();
  await ada.field('E-mail').waitFor();
  await other.getByRole('alert').getByText('You signed out in another tab').waitFor();
  assert.deepEqual(await ada.page.evaluate(() => Object.keys(localStorage).filter((key) => key.includes('session'))), []);
});

test("by a program's token", async (t) => {
  const server = await Server.start(t);
  const { app_id } = await server.command('app', 'create', 'Harbour Bikes');
  const { admin_token } = await server.command('token', 'create', '--app', app_id, '--name', 'Bot');
  const bot = await Person.arrive(t, server.url);
  await bot.go('/dashboard');
  await bot.button('Sign in with a token').click();
  await bot.page.getByLabel('Token', { exact: true }).fill('rhq_adm_nonsense');
  await bot.button('Sign in').click();
  await bot.page.getByText('The server does not know this token').waitFor();
  await bot.page.getByLabel('Token', { exact: true }).fill(admin_token);
  await bot.button('Sign in').click();
  await inbox(bot);
});

test('a session that is ended says why, and what was written is kept', async (t) => {
  const server = await Server.start(t);
  const app = await server.shop();
  const session = await server.accept(app.ada);
  const visitor = await new Visitor(server, app, 'leila', { id: 'usr_1', name: 'Leila Haddad' }).open();
  await visitor.say('Hello');
  const ada = await Person.arrive(t, server.url);
  await ada.isSignedIn(session);
  await ada.go(`/dashboard/all/${visitor.conversation}`);
  await ada.field('Message').fill('Half a sentence');
  const elsewhere = await server.ask('POST', '/v1/auth/sign-in', { email: 'ada@example.com', password: PASSWORD });
  await server.ask('DELETE', '/v1/admin/sign-ins', undefined, { authorization: `Bearer ${elsewhere.admin_token}` });
  await ada.page.getByRole('alert').getByText('Your session was ended').waitFor();
  await ada.shows('session-ended');
  await ada.field('E-mail').fill('ada@example.com');
  await ada.page.getByLabel('Password', { exact: true }).fill(PASSWORD);
  await ada.button('Sign in').click();
  await ada.field('Message').waitFor();
  assert.equal(await ada.field('Message').inputValue(), 'Half a sentence');
});

test('the demo is one link, behind which people write, read and answer', async (t) => {
  const server = await Server.start(t, ['--demo']);
  const [link] = /http\S+#code=\S+/.exec(server.printed);
  const ada = await Person.arrive(t, server.url);
  await ada.go(link);
  await ada.row('Leila Haddad').click();
  await ada.page.getByRole('main').getByText('my bike stops charging').waitFor();
  await ada.answers('Is the light on the charger red?');
  await ada.page.locator('.receipt.read').getByText('Read').waitFor();
  await ada.sees('Leila is writing');
  await ada.log().getByText('The light on the charger is red 🔴').waitFor();
  await ada.shows('demo');
});
