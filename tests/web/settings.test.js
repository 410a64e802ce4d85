// What can be set: by everybody for themselves, and by who manages the app for all.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DESKTOP, PHONE, Person, eventually } from './browser.js';
import { PASSWORD, Server, Visitor } from './server.js';

async function shop(t) {
  const server = await Server.start(t);
  const app = await server.shop();
  const ada = await server.accept(app.ada);
  const join = async (name, email, role) => server.accept(await server.invite(app, name, email, role));
  const as = ({ admin_token }) => ({ authorization: `Bearer ${admin_token}` });
  const arrive = async (session, options) => {
    const person = await Person.arrive(t, server.url, options);
    await person.isSignedIn(session);
    return person;
  };
  return { server, app, ada, join, as, arrive };
}

const line = (person, text) => person.page.getByRole('row').filter({ hasText: text });
const heading = (person, name) => person.page.getByRole('heading', { name, level: 1 }).waitFor();
const theme = (person) => person.page.evaluate(() => getComputedStyle(document.documentElement).colorScheme);

test('somebody changes their name and whether they are there, and colleagues see it', async (t) => {
  const { ada, join, arrive } = await shop(t);
  const ben = await join('Ben Okafor', 'ben@example.com', 'agent');
  const page = await arrive(ben);
  await page.go('/dashboard');
  await page.page.getByRole('button', { name: /Ben Okafor/ }).click();
  await page.page.getByRole('menuitem', { name: 'Your profile' }).click();
  await heading(page, 'Profile');
  await page.field('Name').fill('  ');
  await page.sees('Fill this in.');
  await page.field('Name').fill('Benedict Okafor');
  await page.button('Save name').click();
  await page.sees('Saved. New messages are sent under it.');
  await page.page.getByRole('button', { name: /Benedict Okafor Available/ }).waitFor();
  await page.page.getByRole('group', { name: 'Availability' }).getByRole('button', { name: 'Away' }).click();
  await page.page.getByRole('button', { name: /Benedict Okafor Away/ }).click();
  await page.shows('settings-me-menu');
  await page.page.keyboard.press('Escape');
  const admin = await arrive(ada);
  await admin.go('/dashboard/settings/team');
  await line(admin, 'Benedict Okafor').waitFor();
  await page.page.getByRole('button', { name: /Benedict Okafor Away/ }).click();
  await page.page.getByRole('menuitem', { name: 'Be available' }).click();
  await page.page.getByRole('button', { name: /Benedict Okafor Available/ }).waitFor();
});

test('how it looks and works in this browser stays, in all its tabs', async (t) => {
  const { ada, arrive } = await shop(t);
  const page = await arrive(ada);
  await page.go('/dashboard/settings');
  await heading(page, 'Profile');
  const second = await page.context.newPage();
  await second.goto(`${page.url}/dashboard/settings/profile`);
  assert.equal(await theme(page), 'light');
  await page.button('Dark').click();
  assert.equal(await theme(page), 'dark');
  await second.waitForFunction(() => getComputedStyle(document.documentElement).colorScheme === 'dark');
  await page.page.reload();
  await heading(page, 'Profile');
  assert.equal(await theme(page), 'dark');
  await page.button('As the system’s').click();
  assert.equal(await theme(page), 'light');
  const letters = page.page.getByRole('switch', { name: 'Single letters act' });
  await letters.click();
  await page.page.locator('body').press('?');
  await page.page.locator('body').press('g');
  await page.page.locator('body').press('u');
  assert.equal(await page.page.getByRole('dialog').count(), 0);
  await heading(page, 'Profile');
  await letters.click();
  await page.page.locator('body').press('?');
  await page.page.getByRole('dialog', { name: 'Keys' }).waitFor();
  await page.page.keyboard.press('Escape');
  await page.page.locator('body').press('g');
  await page.page.locator('body').press('u');
  await page.page.getByRole('heading', { name: 'Unassigned' }).waitFor();
});

test('another password ends the other sessions, and a session can be ended by itself', async (t) => {
  const { server, ada, arrive } = await shop(t);
  const elsewhere = () => server.ask('POST', '/v1/auth/sign-in', { email: 'ada@example.com', password: PASSWORD }, { 'user-agent': 'Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.0 Mobile/15E148 Safari/604.1' });
  await elsewhere();
  const page = await arrive(ada);
  await page.go('/dashboard/settings/profile');
  await line(page, 'Safari on iPhone').getByRole('button', { name: 'End' }).click();
  await line(page, 'Safari on iPhone').waitFor({ state: 'detached' });
  const other = await elsewhere();
  await page.field('Present password').fill('not this one');
  await page.field('New password').fill('short');
  await page.button('Change password').click();
  await page.sees('A password has at least 10 characters.');
  await page.field('New password').fill('a much longer one');
  await page.button('Change password').click();
  await page.sees('The present password is wrong.');
  await page.shows('settings-profile-wrong');
  await page.field('Present password').fill(PASSWORD);
  await page.button('Change password').click();
  await page.sees('Changed. Your other sessions have ended.');
  await assert.rejects(server.ask('GET', '/v1/admin/me', undefined, { authorization: `Bearer ${other.admin_token}` }), /401/);
  await server.ask('POST', '/v1/auth/sign-in', { email: 'ada@example.com', password: 'a much longer one' });
});

test('somebody is invited, comes, is made something else, and goes', async (t) => {
  const { server, ada, arrive } = await shop(t);
  const page = await arrive(ada);
  await page.go('/dashboard');
  await page.page.getByRole('link', { name: 'Settings' }).click();
  await heading(page, 'Team');
  await page.button('Invite').click();
  await page.button('Make the link').click();
  assert.equal(await page.page.getByText('Fill this in.').count(), 2);
  await page.field('Name').fill('Tomasz');
  await page.field('E-mail').fill('nowhere');
  await page.button('Make the link').click();
  await page.page.getByRole('alert').waitFor();
  await page.field('E-mail').fill('tomasz@example.com');
  await page.page.getByRole('radio', { name: 'Viewer' }).check();
  await page.button('Make the link').click();
  await page.sees('A link for Tomasz. Copy it now: it is not shown again. It works once, for 72 hours.');
  await page.shows('settings-team-invited');
  const first = await page.page.getByRole('group', { name: 'Link' }).textContent();
  await page.button('New link for Tomasz').click();
  await eventually(async () => (await page.page.getByRole('group', { name: 'Link' }).textContent()) !== first, 'another link');
  await page.page.getByRole('group', { name: 'Link' }).getByRole('button', { name: 'Copy' }).click();
  const link = await page.page.evaluate(() => navigator.clipboard.readText());
  await page.button('Close').click();

  const tomasz = await Person.arrive(t, server.url);
  await tomasz.page.goto(link);
  await tomasz.field('Password').fill(PASSWORD);
  await tomasz.button('Go on').click();
  await tomasz.page.getByRole('button', { name: /Tomasz/ }).waitFor();

  await page.page.reload();
  const role = page.page.getByRole('combobox', { name: 'Role of Tomasz' });
  assert.equal(await role.inputValue(), 'viewer');
  await role.selectOption('Admin');
  const list = async () => (await server.ask('GET', '/v1/admin/agents', undefined, { authorization: `Bearer ${ada.admin_token}` })).agents.find(({ name }) => name === 'Tomasz');
  await eventually(async () => (await list()).role === 'admin', 'an admin');
  await page.button('More about Tomasz').click();
  await page.page.getByRole('menuitem', { name: 'Link for another password' }).click();
  await page.page.getByText('A link by which Tomasz chooses another password.').waitFor();
  await page.button('More about Tomasz').click();
  await page.page.getByRole('menuitem', { name: 'Disable' }).click();
  await line(page, 'Tomasz').getByText('Disabled').waitFor();
  await tomasz.page.getByText('Your session was ended').waitFor();
  await page.button('More about Tomasz').click();
  await page.page.getByRole('menuitem', { name: 'Enable' }).click();
  await role.waitFor();
});

test('the app is renamed, takes only proven people, and is used by some pages only', async (t) => {
  const { server, ada, as, arrive } = await shop(t);
  const app = async () => (await server.ask('GET', '/v1/admin/app', undefined, as(ada))).app;
  const page = await arrive(ada);
  await page.go('/dashboard/settings/app');
  await page.field('Name').fill('Harbour Bikes & Boats');
  await page.page.getByRole('radio', { name: 'Only your own backend' }).check();
  await page.page.getByRole('switch', { name: 'Devices have a secret of their own' }).click();
  await page.field('Another origin').fill('harbourbikes.dk/shop');
  await page.button('Add').click();
  await page.sees('An origin is a scheme and a host, without a path: https://harbourbikes.dk');
  await page.shows('settings-app-origin');
  await page.field('Another origin').fill('https://harbourbikes.dk/');
  await page.field('Another origin').press('Enter');
  await page.sees('https://harbourbikes.dk');
  await page.sees('Not saved yet');
  assert.equal((await app()).name, 'Harbour Bikes');
  await page.button('Save').click();
  await page.sees('Saved.');
  const { name, identity, require_device_secret, allowed_origins } = await app();
  assert.deepEqual({ name, identity, require_device_secret, allowed_origins }, { name: 'Harbour Bikes & Boats', identity: 'verified', require_device_secret: true, allowed_origins: ['https://harbourbikes.dk'] });
  await page.field('Name').fill('Something else');
  await page.button('Discard').click();
  assert.equal(await page.field('Name').inputValue(), 'Harbour Bikes & Boats');

  await page.button('Make a secret').click();
  await page.page.getByText('is ready. Copy its secret now').waitFor();
  await page.shows('settings-app-secret');
  await page.page.getByRole('button', { name: /^Retire/ }).click();
  await page.page.getByText(/^Retired/).waitFor();
  await page.field('Public key, as PEM').fill('not a key');
  await page.button('Add public key').click();
  await page.page.getByRole('alert').waitFor();
});

test('a canned reply is written, changed, deleted, and had back', async (t) => {
  const { server, app, ada, as, arrive } = await shop(t);
  const kept = async () => (await server.ask('GET', '/v1/admin/canned-replies', undefined, as(ada))).canned_replies.map(({ shortcut, text }) => [shortcut, text]);
  await server.ask('POST', '/v1/admin/canned-replies', { shortcut: 'hours', text: 'We are here from 9 to 17.' }, as(ada));
  const page = await arrive(ada);
  await page.go('/dashboard/settings/team');
  await page.page.getByRole('navigation', { name: 'Settings' }).getByRole('link', { name: 'Canned replies' }).click();
  await heading(page, 'Canned replies');
  await line(page, '/hours').waitFor();

  await page.button('New reply').click();
  const dialog = page.page.getByRole('dialog', { name: 'New canned reply' });
  await page.button('Save').click();
  assert.equal(await dialog.getByText('Fill this in.').count(), 2);
  await page.field('Short name').fill('two words');
  await page.field('Text').fill('Hello {{person.nam}}');
  await dialog.getByText('A short name is one word').waitFor();
  await dialog.getByText('{{person.nam}} is not known. Use one of those below.').waitFor();
  await page.shows('settings-canned-wrong');
  await page.field('Short name').fill('/Hours');
  await page.field('Text').fill('Hello ');
  await page.button('Insert {{person.name|there}}').click();
  await page.page.keyboard.type(', this is ');
  await page.button('Insert {{agent.name}}').click();
  assert.equal(await page.field('Text').inputValue(), 'Hello {{person.name|there}}, this is {{agent.name}}');
  await dialog.getByText('Hello Leila Haddad, this is Ada Lindqvist').waitFor();
  await dialog.getByText('Hello there, this is Ada Lindqvist').waitFor();
  // What only the server knows is told at the field that it is about.
  await page.button('Save').click();
  await dialog.getByText('Another canned reply has this short name.').waitFor();
  assert.equal(await page.field('Short name').getAttribute('aria-invalid'), 'true');
  await page.field('Short name').fill('hello');
  await page.button('Save').click();
  await page.sees('/hello is saved.');
  assert.deepEqual(await kept(), [['hello', 'Hello {{person.name|there}}, this is {{agent.name}}'], ['hours', 'We are here from 9 to 17.']]);

  await page.button('Change /hours').click();
  await page.field('Text').fill('We are here from 8 to 18.');
  await page.button('Save').click();
  await line(page, 'We are here from 8 to 18.').waitFor();
  await page.button('Change /hello').click();
  await page.button('Delete').click();
  await page.sees('/hello is deleted.');
  assert.deepEqual(await kept(), [['hours', 'We are here from 8 to 18.']]);
  await page.button('Undo').click();
  await line(page, '/hello').waitFor();

  // It is offered at once where one answers.
  const leila = await new Visitor(server, app, 'leila', { id: 'usr_1', name: 'Leila Haddad' }).open();
  await leila.say('Hello');
  await page.go(`/dashboard/all/${leila.conversation}`);
  await page.page.getByRole('complementary', { name: 'Person' }).getByText('usr_1').waitFor();
  await page.field('Message').pressSequentially('/hel');
  await page.page.getByRole('listbox', { name: 'Canned replies' }).waitFor();
  await page.field('Message').press('Enter');
  assert.equal(await page.field('Message').inputValue(), 'Hello Leila Haddad, this is Ada Lindqvist');
});

test('the audit log is read to its beginning', async (t) => {
  const { server, app, ada, as, arrive } = await shop(t);
  const leila = await new Visitor(server, app, 'leila', { id: 'usr_1', name: 'Leila Haddad' }).open();
  await leila.say('Hello');
  for (let count = 0; count < 30; count++) {
    for (const status of ['resolved', 'open']) await server.ask('PATCH', `/v1/admin/conversations/${leila.conversation}`, { status }, as(ada));
  }
  await server.ask('PATCH', `/v1/admin/conversations/${leila.conversation}`, { assignee_id: ada.agent.id }, as(ada));
  const page = await arrive(ada);
  await page.go('/dashboard');
  await page.row('Leila Haddad').waitFor();
  await page.page.getByRole('link', { name: 'Settings' }).click();
  await page.page.getByRole('link', { name: 'Audit log' }).click();
  await page.page.getByText('to Ada Lindqvist').waitFor();
  await page.shows('settings-audit');
  assert.equal(await page.page.getByText('Made the app').count(), 0);
  await page.button('Older').click();
  await page.sees('Made the app');
  assert.equal(await page.button('Older').count(), 0);
  await page.page.getByRole('link', { name: 'Leila Haddad' }).first().click();
  await page.page.getByRole('main', { name: 'Conversation with Leila Haddad' }).waitFor();
});

test('who manages nothing has their own settings only', async (t) => {
  const { join, arrive } = await shop(t);
  const page = await arrive(await join('Vera', 'vera@example.com', 'viewer'));
  await page.go('/dashboard/settings/team');
  await heading(page, 'This is for admins');
  const sections = page.page.getByRole('navigation', { name: 'Settings' }).getByRole('link');
  assert.deepEqual(await sections.allTextContents().then((all) => all.map((text) => text.trim())), ['Profile', 'About']);
  await page.page.getByRole('link', { name: 'About' }).click();
  await page.page.getByText('0.1.0').waitFor();
});

/** As a team has them: short ones, long ones, of several lines, in other scripts. */
const CANNED = [
  ['hello', 'Hello {{person.name|there}}, this is {{agent.name}}. How can I help?'],
  ['hours', 'We are here from 9 to 17, Monday to Friday.'],
  ['refund', 'Your refund is on its way. Banks take up to five working days to show it; if it is not there by then, write to us again and we look into it together with our payment provider, who can trace it.'],
  ['مرحبا', 'مرحبًا {{person.name|بك}}، معك {{agent.name}}. كيف يمكنني مساعدتك؟'],
  ...['account', 'courier', 'invoice', 'log', 'return', 'warranty-no', 'warranty-swap'].map((name) => [name, `About ${name}.\nOn two lines.`]),
];

for (const [size, where] of [[DESKTOP, 'desk'], [PHONE, 'phone']]) {
  for (const dark of [false, true]) {
    const name = `${where}-${dark ? 'dark' : 'light'}`;
    test(`what is shown of the settings, ${name}`, async (t) => {
      const { server, app, ada, join, as, arrive } = await shop(t);
      await join('Ben Okafor', 'ben@example.com', 'agent');
      const chidi = await join('Chidi Kamau', 'chidi@example.com', 'agent');
      await server.ask('PATCH', '/v1/admin/me', { availability: 'away' }, as(chidi));
      const elodie = await join('Élodie Vandenberghe-Christodoulopoulou', 'elodie@example.com', 'viewer');
      await server.ask('PATCH', `/v1/admin/agents/${elodie.agent.id}`, { status: 'disabled' }, as(ada));
      await server.invite(app, 'Tomasz', 'tomasz@example.com', 'agent');
      await server.ask('POST', '/v1/admin/app/identity-keys', {}, as(ada));
      const page = await arrive(ada, { size, dark });
      await page.go('/dashboard/settings/profile');
      await page.sees('This one');
      await page.shows(`${name}-settings-profile`);
      await page.go('/dashboard/settings/team');
      await page.sees('Tomasz');
      await page.shows(`${name}-settings-team`);
      await page.button('Invite').click();
      await page.field('Name').waitFor();
      await page.shows(`${name}-settings-invite`);
      await page.page.keyboard.press('Escape');
      await page.go('/dashboard/settings/app');
      await page.button('Make a secret').waitFor();
      await page.shows(`${name}-settings-app`);
      await page.go('/dashboard/settings/canned');
      await page.sees('There is none yet.');
      for (const [shortcut, text] of CANNED) await server.ask('POST', '/v1/admin/canned-replies', { shortcut, text }, as(ada));
      await page.page.reload();
      await page.sees('/hello');
      await page.shows(`${name}-settings-canned`);
      await page.button('Change /hello').click();
      await page.field('Text').waitFor();
      await page.shows(`${name}-settings-canned-change`);
      await page.page.keyboard.press('Escape');
      await page.go('/dashboard/settings/audit');
      await page.page.getByText('Added an identity key', { exact: true }).first().waitFor();
      await page.shows(`${name}-settings-audit`);
      await page.go('/dashboard/settings/about');
      await page.page.getByText('Devices online').waitFor();
      await page.shows(`${name}-settings-about`);
    });
  }
}
