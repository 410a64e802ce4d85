// Who answers: the views by which agents share the work, and taking, giving and releasing.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PHONE, Person, eventually } from './browser.js';
import { Server, Visitor } from './server.js';

async function shop(t) {
  const server = await Server.start(t, ['--rate-limit-device', '0']);
  const app = await server.shop();
  const ada = await server.accept(app.ada);
  const ben = await server.accept(await server.invite(app, 'Ben Okafor', 'ben@example.com', 'agent'));
  const people = {};
  for (const [id, name] of [['leila', 'Leila Haddad'], ['noor', 'Noor de Vries'], ['obi', 'Chukwuemeka Obi']]) {
    people[id] = await new Visitor(server, app, id, { id: `usr_${id}`, name }).open();
    await people[id].say(`It is ${name}`);
  }
  const change = (who, { conversation }, body) =>
    server.ask('PATCH', `/v1/admin/conversations/${conversation}`, body, { authorization: `Bearer ${who.admin_token}` });
  const arrive = async (session, options) => {
    const person = await Person.arrive(t, server.url, options);
    await person.isSignedIn(session);
    return person;
  };
  return { server, app, ada, ben, ...people, change, arrive };
}

const names = (person) => person.page.locator('.row-name > span:first-child').allTextContents();
const shows = (person, expected) => eventually(async () => `${await names(person)}` === `${expected}`, `the rows are ${expected}`);
const keys = async (person, ...pressed) => {
  for (const key of pressed) await person.page.keyboard.press(key);
};

test('each view has what belongs to it, and rows come and go while one looks on', async (t) => {
  const { server, ada, ben, leila, noor, obi, change, arrive } = await shop(t);
  const page = await arrive(ada);
  await page.go('/dashboard');
  await shows(page, ['Chukwuemeka Obi', 'Noor de Vries', 'Leila Haddad']);
  await keys(page, 'g', 'u');
  await page.page.getByRole('heading', { name: 'Unassigned' }).waitFor();
  await shows(page, ['Chukwuemeka Obi', 'Noor de Vries', 'Leila Haddad']);
  await change(ben, noor, { assignee_id: ben.agent.id });
  await shows(page, ['Chukwuemeka Obi', 'Leila Haddad']);
  await keys(page, 'g', 'w');
  await shows(page, ['Leila Haddad', 'Noor de Vries', 'Chukwuemeka Obi']);
  // Who writes again has waited no less for that.
  await leila.say('Hello?');
  await page.row('Leila Haddad').getByText('Hello?').waitFor();
  await shows(page, ['Leila Haddad', 'Noor de Vries', 'Chukwuemeka Obi']);
  await page.shows('view-waiting');
  const answer = { local_id: 'answer', body: 'Good morning' };
  await server.ask('POST', `/v1/admin/conversations/${noor.conversation}/messages`, answer, { authorization: `Bearer ${ben.admin_token}` });
  await shows(page, ['Leila Haddad', 'Chukwuemeka Obi']);
  await keys(page, 'g', 'm');
  await page.sees('Nobody is waiting for you. What you take, and what others give you, is here.');
  await page.shows('view-mine-empty');
  await change(ben, obi, { assignee_id: ada.agent.id });
  await page.row(/Chukwuemeka Obi.*assigned to you/).waitFor();
  await page.page.getByRole('link', { name: /^Mine 1 unread$/ }).waitFor();
  await change(ben, obi, { status: 'resolved' });
  await page.sees('Nobody is waiting for you. What you take, and what others give you, is here.');
  await keys(page, 'g', 'a');
  await shows(page, ['Noor de Vries', 'Leila Haddad']);
  await page.row(/Noor de Vries.*assigned to Ben/).waitFor();
  await page.row(/Leila Haddad.*waiting Just now.*unassigned/).waitFor();
});

test('a conversation is taken, given, released, and that is undone', async (t) => {
  const { ada, leila, arrive } = await shop(t);
  const page = await arrive(ada);
  await page.go(`/dashboard/unassigned/${leila.conversation}`);
  await page.button('Assignee: Nobody').waitFor();
  await page.row('Leila Haddad').waitFor();
  await keys(page, 'm');
  await page.button('Assignee: You').waitFor();
  await page.row('Leila Haddad').waitFor({ state: 'detached' });
  await page.sees('Leila Haddad: with you now');
  await keys(page, 'a');
  await page.page.getByRole('dialog', { name: 'Assign' }).waitFor();
  await page.until(() => document.activeElement?.placeholder === 'Find an agent');
  await page.page.getByRole('option', { name: 'Ada Lindqvist (you)', selected: true }).waitFor();
  await page.shows('assign');
  await page.field('Find an agent').fill('nowhere');
  await page.sees('Nobody found for ‘nowhere’.');
  await page.field('Find an agent').fill('oka');
  await page.page.getByRole('option', { name: 'Ben Okafor' }).waitFor();
  await keys(page, 'Enter');
  await page.button('Assignee: Ben').waitFor();
  await page.page.getByRole('dialog', { name: 'Assign' }).waitFor({ state: 'hidden' });
  await page.sees('Leila Haddad: with Ben now');
  await page.page.locator('body').press('z');
  await page.button('Assignee: You').waitFor();
  await page.button('Assignee: You').click();
  await page.page.getByRole('option', { name: 'Nobody' }).click();
  await page.button('Assignee: Nobody').waitFor();
  await page.row('Leila Haddad').waitFor();
  await page.button('Assignee: Nobody').click();
  await page.field('Find an agent').waitFor();
  await keys(page, 'Escape');
  await page.page.getByRole('dialog', { name: 'Assign' }).waitFor({ state: 'hidden' });
  await page.until(() => document.activeElement?.matches('.assignee'));
});

test('of two who take it at once the second is told who has it, and sees it', async (t) => {
  const { ada, ben, leila, change, arrive } = await shop(t);
  const page = await arrive(ada);
  // Ben is quicker by as long as the request takes.
  await page.page.route(`**/v1/admin/conversations/${leila.conversation}`, async (route) => {
    if (route.request().method() === 'PATCH') await change(ben, leila, { assignee_id: ben.agent.id, if_assignee_id: null });
    await route.continue();
  });
  await page.go(`/dashboard/unassigned/${leila.conversation}`);
  await page.button('Assignee: Nobody').waitFor();
  await keys(page, 'm');
  await page.sees('Ben has it');
  await page.button('Assignee: Ben').waitFor();
  await page.row('Leila Haddad').waitFor({ state: 'detached' });
});

test('who manages nothing knows their colleagues by name, and who only sees gives nothing away', async (t) => {
  const { server, app, ben, leila, change, arrive } = await shop(t);
  await change(ben, leila, { assignee_id: ben.agent.id });
  const page = await arrive(ben);
  await page.go(`/dashboard/mine/${leila.conversation}`);
  await page.button('Assignee: You').click();
  await page.page.getByRole('option', { name: 'Ada Lindqvist' }).click();
  await page.button('Assignee: Ada').waitFor();
  const vera = await arrive(await server.accept(await server.invite(app, 'Vera', 'vera@example.com', 'viewer')));
  await vera.go(`/dashboard/all/${leila.conversation}`);
  await vera.row(/Leila Haddad.*assigned to Ada/).waitFor();
  assert.equal(await vera.page.getByRole('button', { name: /^Assignee/ }).count(), 0);
});

for (const dark of [false, true]) {
  test(`on a phone views are chips${dark ? ', in the dark' : ''}`, async (t) => {
    const { ada, leila, change, arrive } = await shop(t);
    await change(ada, leila, { assignee_id: ada.agent.id });
    const page = await arrive(ada, { size: PHONE, dark });
    await page.go('/dashboard');
    await page.row('Leila Haddad').waitFor();
    await page.shows(`views-phone-${dark ? 'dark' : 'light'}`);
    const views = page.page.getByRole('navigation', { name: 'Inbox' });
    await views.getByRole('link', { name: /^Mine/ }).click();
    await shows(page, ['Leila Haddad']);
    await views.getByRole('link', { name: /^Resolved/ }).click();
    await page.sees('Nothing is resolved yet.');
    await views.getByRole('link', { name: /^Mine/ }).click();
    await page.row('Leila Haddad').click();
    await page.button('Assignee: You').click();
    await page.page.getByRole('option', { name: 'Ben Okafor' }).waitFor();
    await page.shows(`assign-phone-${dark ? 'dark' : 'light'}`);
    await page.page.getByRole('option', { name: 'Ben Okafor' }).click();
    await page.button('Assignee: Ben').waitFor();
  });
}
