// What a team says of a conversation, and sees of itself: tags, marks, counts, a text about the person, who else is here.

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
  for (const [id, name, said] of [['leila', 'Leila Haddad', 'My charger blinks red'], ['noor', 'Noor de Vries', 'Where is my parcel?']]) {
    people[id] = await new Visitor(server, app, id, { id: `usr_${id}`, name }).open();
    await people[id].say(said);
  }
  const ask = (who, method, path, body) => server.ask(method, path, body, { authorization: `Bearer ${who.admin_token}` });
  const arrive = async (session, options) => {
    const person = await Person.arrive(t, server.url, options);
    await person.isSignedIn(session);
    return person;
  };
  return { server, app, ada, ben, ...people, ask, arrive };
}

const at = ({ conversation }, view = 'all') => `/dashboard/${view}/${conversation}`;
const names = (person) => person.page.locator('.row-name > span:first-child').allTextContents();
const shows = (person, expected) => eventually(async () => `${await names(person)}` === `${expected}`, `the rows are ${expected}`);
const panel = (person) => person.page.getByRole('complementary', { name: 'Person' });
const tags = (person) => panel(person).getByRole('region', { name: 'Tags' });

test('tags are put on by the keyboard, seen by all, and make a list of their own', async (t) => {
  const { ada, ben, leila, noor, ask, arrive } = await shop(t);
  await ask(ben, 'PATCH', `/v1/admin/conversations/${noor.conversation}`, { add_tags: ['delivery', 'vip'] });
  const page = await arrive(ada);
  await page.go(at(leila));
  await page.row(/Noor de Vries.*delivery.*vip/).waitFor();
  await page.log().getByText('My charger blinks red').waitFor();
  await page.page.locator('body').press('t');
  const dialog = page.page.getByRole('dialog', { name: 'Add tag' });
  await dialog.getByRole('option', { name: 'vip 1' }).waitFor();
  await page.shows('tags');
  // What is known is found by a part of it, and what is new is made.
  await page.page.keyboard.type('VI');
  await page.page.keyboard.press('Enter');
  await tags(page).getByRole('link', { name: 'vip' }).waitFor();
  await page.page.keyboard.type('Warranty  case');
  await dialog.getByRole('option', { name: 'New tag: warranty case' }).waitFor();
  await page.page.keyboard.press('Enter');
  await tags(page).getByRole('link', { name: 'warranty case' }).waitFor();
  await page.page.keyboard.press('Escape');
  await dialog.waitFor({ state: 'hidden' });
  await page.row(/Leila Haddad.*vip.*warranty case/).waitFor();
  await page.log().getByText('You added ‘vip’').waitFor();
  await page.shows('tagged');
  // A colleague takes one off.
  await ask(ben, 'PATCH', `/v1/admin/conversations/${leila.conversation}`, { remove_tags: ['warranty case'] });
  await tags(page).getByRole('link', { name: 'warranty case' }).waitFor({ state: 'detached' });
  // All that have one, live, and by its address.
  await tags(page).getByRole('link', { name: 'vip' }).click();
  await page.page.getByRole('heading', { name: 'vip' }).waitFor();
  await shows(page, ['Noor de Vries', 'Leila Haddad']);
  assert.match(page.page.url(), /\/dashboard\/tag:vip$/);
  await page.row('Leila Haddad').click();
  await tags(page).getByRole('button', { name: 'Remove tag vip' }).click();
  await shows(page, ['Noor de Vries']);
  await page.page.reload();
  await shows(page, ['Noor de Vries']);
  await page.button('Filter by tag').click();
  await page.page.getByRole('menuitem', { name: 'warranty case' }).click();
  await page.sees('No open conversation has this tag.');
  await page.button('Filter by tag').click();
  await page.page.getByRole('menuitem', { name: 'Any tag' }).click();
  await shows(page, ['Noor de Vries', 'Leila Haddad']);
});

test('what is marked as unread is so for all until somebody opens it', async (t) => {
  const { ada, ben, leila, noor, ask, arrive } = await shop(t);
  const [page, other] = [await arrive(ada), await arrive(ben)];
  await other.go('/dashboard');
  await page.go(at(leila));
  await other.row('Leila Haddad').waitFor();
  await other.row(/Leila Haddad.*1 unread/).waitFor({ state: 'detached' });
  await page.page.locator('body').press('Shift+U');
  await page.sees('Marked as unread: Leila Haddad');
  await page.page.waitForURL(/\/dashboard\/all$/);
  await other.row(/Leila Haddad.*marked as unread/).waitFor();
  await page.shows('marked-unread');
  // Undone it is open again.
  await page.button('Undo').click();
  await page.page.waitForURL(new RegExp(leila.conversation));
  await other.row(/Leila Haddad.*marked as unread/).waitFor({ state: 'detached' });
  await page.button('More').click();
  await page.page.getByRole('menuitem', { name: 'Mark as unread' }).click();
  await other.row(/Leila Haddad.*marked as unread/).click();
  await page.row(/Leila Haddad.*marked as unread/).waitFor({ state: 'detached' });
  assert.equal((await ask(ada, 'GET', `/v1/admin/conversations/${leila.conversation}`)).conversation.is_marked_unread, undefined);
  assert.ok(noor);
});

test('the views say how many they have, as the server counts them', async (t) => {
  const { ada, leila, noor, ask, arrive } = await shop(t);
  const page = await arrive(ada);
  await page.go('/dashboard');
  const link = (name) => page.page.getByRole('link', { name, exact: true });
  await link('Unassigned 2').waitFor();
  await link('Waiting 2').waitFor();
  await ask(ada, 'PATCH', `/v1/admin/conversations/${leila.conversation}`, { assignee_id: ada.agent.id });
  await link('Unassigned 1').waitFor();
  await link('Mine 1 unread').waitFor();
  await ask(ada, 'PATCH', `/v1/admin/conversations/${noor.conversation}`, { status: 'resolved' });
  await link('Waiting 1').waitFor();
  await link('All 1').waitFor();
});

test('what the team knows of a person is written beside them, and seen at once', async (t) => {
  const { ada, ben, leila, arrive } = await shop(t);
  const [page, other] = [await arrive(ada), await arrive(ben, { dark: true })];
  await page.go(at(leila));
  await other.go(at(leila));
  await panel(page).getByText('Nothing yet. Only the team sees it.').waitFor();
  await page.button('Write about them').click();
  await page.field('About Leila').fill('Prefers to be called after 17:00.\nThe bike is her daughter’s.');
  await page.page.getByRole('form', { name: 'About Leila' }).getByRole('button', { name: 'Save' }).click();
  await panel(other).getByText('Prefers to be called after 17:00.').waitFor();
  await other.log().getByText(/wrote about them: Prefers/).waitFor();
  await other.shows('about-person');
  await other.button('Write about them').click();
  await other.field('About Leila').fill('x'.repeat(2_003));
  await panel(other).getByText('Longer than 2,000 characters. Shorten it by 3.').waitFor();
  await other.field('About Leila').press('Escape');
  await panel(other).getByText('Prefers to be called after 17:00.').waitFor();
});

test('two agents see each other within a second, and who has answered meanwhile', async (t) => {
  const { ada, ben, leila, arrive } = await shop(t);
  const [page, other] = [await arrive(ada), await arrive(ben)];
  await page.go(at(leila));
  await page.log().getByText('My charger blinks red').waitFor();
  assert.equal(await page.page.getByRole('img', { name: /also here/ }).count(), 0);
  await other.go(at(leila));
  // One window has the focus; where several are open, the test says so.
  await other.page.bringToFront();
  await page.page.getByRole('img', { name: 'Ben Okafor also here' }).waitFor();
  await other.field('Message').pressSequentially('It is the fuse');
  await page.page.getByText('Ben is writing a reply').waitFor();
  await page.shows('clash');
  await page.field('Message').fill('Have you tried');
  await other.field('Message').press('Enter');
  await page.page.getByText('Ben has answered while you wrote').waitFor();
  await page.shows('answered-meanwhile');
  await page.button('All right').click();
  await page.page.getByText('Ben has answered while you wrote').waitFor({ state: 'detached' });
  assert.equal(await page.field('Message').inputValue(), 'Have you tried', 'nothing that was written is lost');
  await other.page.close();
  await page.page.getByRole('img', { name: /also here/ }).waitFor({ state: 'detached' });
});

test('on a phone', async (t) => {
  const { ada, leila, arrive } = await shop(t);
  const page = await arrive(ada, { size: PHONE });
  await page.go(at(leila));
  await page.button('More').click();
  await page.page.getByRole('menuitem', { name: 'Add tag' }).click();
  await page.page.getByRole('dialog', { name: 'Add tag' }).getByPlaceholder('Find or make a tag').fill('later');
  await page.page.keyboard.press('Enter');
  await tags(page).getByRole('link', { name: 'later' }).waitFor();
  await page.page.keyboard.press('Escape');
  await page.shows('tags-phone', { isPerson: true });
  await tags(page).getByRole('link', { name: 'later' }).click();
  await page.row('Leila Haddad').waitFor();
  await page.shows('tag-view-phone');
});
