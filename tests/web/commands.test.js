// Commands: acts on the open conversation, people and places, in one list.

import { test } from 'node:test';
import { Person, eventually } from './browser.js';
import { Server, Visitor } from './server.js';

async function shop(t, options = {}) {
  const server = await Server.start(t);
  const app = await server.shop();
  const session = await server.accept(app.ada);
  const people = {};
  for (const [id, name] of [['leila', 'Leila Haddad'], ['noor', 'Noor de Vries'], ['elodie', 'Élodie Martin']]) {
    people[id] = await new Visitor(server, app, id, { id: `usr_${id}`, name }).open();
    await people[id].say('Hello');
  }
  const ada = await Person.arrive(t, server.url, options);
  await ada.isSignedIn(session);
  return { ada, ...people };
}

const option = (person, name) => person.page.getByRole('option', { name });
const field = (person) => person.field('Type a command or a name');
const dialog = (person) => person.page.getByRole('dialog', { name: 'Commands' });

test('commands act on the open conversation, from within a field too', async (t) => {
  const { ada, leila } = await shop(t);
  await ada.go(`/dashboard/all/${leila.conversation}`);
  await ada.field('Message').fill('Half a sentence');
  await ada.page.keyboard.press('Control+k');
  await field(ada).waitFor();
  await ada.until(() => document.activeElement?.placeholder === 'Type a command or a name');
  await option(ada, /Resolve and go to the next/).waitFor();
  await ada.shows('commands');
  await ada.page.keyboard.press('Escape');
  await dialog(ada).waitFor({ state: 'detached' });
  await ada.until(() => document.activeElement?.id === 'message');
  await ada.page.keyboard.press('Meta+k');
  await field(ada).fill('assign me');
  await option(ada, /^Assign to me/).waitFor();
  await ada.page.keyboard.press('Enter');
  await ada.button('Assignee: You').waitFor();
  await ada.page.keyboard.press('Control+k');
  await field(ada).fill('assign');
  await ada.page.keyboard.press('Enter');
  await ada.field('Find an agent').waitFor();
  await ada.page.keyboard.press('Escape');
  await ada.page.keyboard.press('Control+k');
  await field(ada).fill('resolve and');
  await ada.page.keyboard.press('Enter');
  await ada.sees('Resolved: Leila Haddad');
});

test('people and places are in the same list', async (t) => {
  const { ada } = await shop(t);
  await ada.go('/dashboard');
  await ada.row('Noor de Vries').waitFor();
  await ada.button('Commands').click();
  await field(ada).fill('elodie');
  await option(ada, /Élodie Martin/).waitFor();
  await ada.page.keyboard.press('Enter');
  await ada.page.getByRole('main', { name: 'Conversation with Élodie Martin' }).waitFor();
  await ada.page.keyboard.press('Control+k');
  await field(ada).fill('team');
  await option(ada, 'Settings: Team').click();
  await ada.page.getByRole('heading', { name: 'Team', level: 1 }).waitFor();
  await ada.page.keyboard.press('Control+k');
  await field(ada).fill('dark');
  await ada.page.keyboard.press('Enter');
  await eventually(() => ada.page.evaluate(() => document.documentElement.dataset.theme === 'dark'), 'it is dark');
  await ada.page.keyboard.press('Control+k');
  await field(ada).fill('no such thing');
  await ada.sees('Nothing found for ‘no such thing’.');
  await ada.shows('commands-none');
  await field(ada).fill('');
  await ada.page.keyboard.press('ArrowUp');
  await option(ada, 'Use the light theme').and(ada.page.locator('[aria-selected=true]')).waitFor();
  await ada.shows('commands-dark');
  await field(ada).fill('unass');
  await ada.page.keyboard.press('Enter');
  await ada.page.getByRole('heading', { name: 'Unassigned' }).waitFor();
});
