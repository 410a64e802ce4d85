// The pictures in the documents, of the real thing: a shop with people who wrote in the course of a day. `cargo xtask shots` runs it.

import assert from 'node:assert/strict';
import { mkdir } from 'node:fs/promises';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { io } from 'socket.io-client';
import { DESKTOP, PHONE, Person } from './browser.js';
import { Server, Visitor } from './server.js';

const PICTURES = process.env.REPLYHQ_PICTURES ?? fileURLToPath(new URL('../../docs/pictures', import.meta.url));
/** What a picture may weigh. */
const MOST_BYTES = 150 * 1024;

const LEILA = 'Leila Haddad';
const PEOPLE = {
  leila: [{ id: 'usr_20418', name: LEILA, email: 'leila.haddad@example.com', attributes: { Speaks: 'English, Arabic', Plan: 'Plus, yearly', Bike: 'HB-2207-4419', Since: 'March 2024' } }, { model: 'iPhone 15', app_version: '4.2.1' }],
  misaki: [{ id: 'usr_20871', name: '山田 美咲' }],
  max: [{ id: 'usr_18220', name: 'Maximiliane von Hohenberg' }],
  otaibi: [{ id: 'usr_19304', name: 'محمد العتيبي' }],
  obi: [{ id: 'usr_20011', name: 'Chukwuemeka Obi', email: 'c.obi@example.com' }, { model: 'Galaxy S25', app_version: '4.2.1' }],
  lyon: [undefined, { browser: 'Firefox on Windows' }],
  sofia: [{ id: 'usr_17702', name: 'Sofia Andrade' }],
  jean: [{ id: 'usr_16650', name: 'Jean-Baptiste Lefèvre' }],
  seoyeon: [{ id: 'usr_20190', name: '김서연' }],
  priya: [{ id: 'usr_15083', name: 'Priya Raghunathan' }],
  noa: [{ id: 'usr_14418', name: 'נועה לוי' }],
  zoe: [{ id: 'usr_12077', name: 'Zoë Kowalczyk' }],
};

/** Who is there while the pictures are made. */
const HERE = ['leila', 'misaki', 'lyon', 'otaibi', 'seoyeon'];

/** What happened, and how many minutes ago. Agents are ada, ben and chidi; what begins with a verb is an act. */
const HAPPENED = [
  [1620, 'zoe', 'The rear light flickers when I brake. Is that a known thing?'],
  [1605, 'ben', 'zoe', 'It is: the connector sits loose on some frames. The workshop can fix it while you wait.'],
  [1604, 'ben', 'zoe', { assign: 'ben' }],
  [1540, 'zoe', 'Lovely, I will come by on Friday then.'],
  [1500, 'leila', 'New address for the winter tyres: Rua das Flores 12, Lisbon'],
  [1490, 'chidi', 'leila', 'Changed, they come on Thursday.'],
  [1489, 'chidi', 'leila', { resolve: true }],
  [430, 'noa', 'תודה רבה! הכול עובד עכשיו 🎉'],
  [420, 'chidi', 'noa', 'Glad to hear it. Have a good ride!'],
  [245, 'priya', 'My refund of ₹ 4,200 has not arrived yet.'],
  [230, 'ada', 'priya', 'Your refund of ₹ 4,200 is on its way. Banks take up to five working days to show it.'],
  [229, 'ada', 'priya', { assign: 'ada' }],
  [180, 'seoyeon', '배송지를 변경하고 싶어요.'],
  [172, 'ada', 'seoyeon', '배송지를 변경했습니다. 확인 부탁드립니다.'],
  [171, 'ada', 'seoyeon', { assign: 'ada' }],
  [150, 'jean', 'Bonjour, où est l’étiquette de retour ?'],
  [143, 'ben', 'jean', 'Je vous envoie l’étiquette de retour dès aujourd’hui, vous n’avez rien à payer.'],
  [142, 'ben', 'jean', { assign: 'ben' }],
  [80, 'otaibi', 'الدراجة لا تعمل بعد التحديث الأخير، والتطبيق يعرض رسالة خطأ غير مفهومة.'],
  [44, 'sofia', 'The photo of the broken spoke is attached to my order, can you see it?'],
  [43, 'chidi', 'sofia', { assign: 'chidi' }],
  [31, 'lyon', 'Bonjour, est-ce que vous livrez aussi en Belgique ? Je ne trouve rien à ce sujet.'],
  [26, 'obi', 'The app says 417 when I pay. What is that?'],
  [22, 'leila', 'Hi! Since the update my bike stops charging at 38 %. The app says “charging paused” and the light on the charger is red.'],
  [20, 'ada', 'leila', { assign: 'ada' }],
  [19, 'ada', 'leila', 'Thank you, Leila. Could you tap Copy log under Diagnostics and paste it here? Then I can tell if it is the charger or the battery.'],
  [15, 'leila', 'It says: pack 2, cell 14, sensor fault. Shall I unplug the charger?'],
  [14, 'ben', 'leila', { note: 'Cell sensor: we had three of those this month, all under warranty. The courier takes the old battery along.' }],
  [12, 'max', 'Guten Morgen, mein Abo wurde doppelt abgebucht (2 × 39,00 €).'],
  [12, 'ben', 'max', { assign: 'ben' }],
  [11, 'ada', 'leila', 'No need to. A sensor in your battery is faulty, so we replace the battery. It costs you nothing.'],
  [10, 'ada', 'leila', 'A courier can come tomorrow between 9 and 12. Does that suit you?'],
  [4, 'misaki', '返金の手続きはいつ完了しますか？先週からまだ反映されていないようです。'],
  [2, 'leila', 'زوجي يقول إن الشاحن يومض باللون الأحمر مرتين 🔴🔴'],
  [2, 'leila', 'Tomorrow is perfect 🙏 Do I have to be at home, or can my neighbour take it?'],
];

const CANNED = [
  ['hello', 'Hello {{person.name|there}}, this is {{agent.name}}. How can I help?'],
  ['hours', 'The shop is open from 9 to 18, Monday to Saturday.'],
  ['log', 'Could you tap Copy log under Diagnostics and paste it here?'],
  ['refund', 'Your refund is on its way. Banks take up to five working days to show it.'],
  ['warranty', '{{person.name|Hello}}, we replace the part under warranty. A courier brings the new one and takes the old one along.'],
];

const as = (token) => ({ authorization: `Bearer ${token}` });

async function shop(t) {
  const [oldest] = HAPPENED[0];
  const server = await Server.start(t, ['--rate-limit-device', '0']);
  const app = await server.command('app', 'create', 'Harbour Bikes');
  server.app_id = app.app_id;
  const team = {};
  for (const [key, name, role] of [['ada', 'Ada Lindqvist', 'admin'], ['ben', 'Ben Okafor', 'agent'], ['chidi', 'Chidi Kamau', 'agent']]) {
    const { code } = await server.command('agent', 'invite', '--app', app.app_id, '--name', name, '--email', `${key}@harbourbikes.example`, '--role', role);
    const session = await server.ask('POST', '/v1/auth/code', { code, password: `${key} and the harbour` });
    // A program's token ends by no time, so that it was good yesterday and is now.
    const { admin_token } = await server.command('token', 'create', '--app', app.app_id, '--name', name, '--owner', `${key}@harbourbikes.example`);
    team[key] = { session, id: session.agent.id, token: admin_token };
  }
  for (const [shortcut, text] of CANNED) await server.ask('POST', '/v1/admin/canned-replies', { shortcut, text }, as(team.ada.session.admin_token));
  const people = Object.fromEntries(Object.entries(PEOPLE).map(([id, [user, context]]) => [id, new Visitor(server, app, id, user, context)]));
  let ago = oldest + 1;
  for (const [at, who, ...rest] of HAPPENED) {
    if (at !== ago) {
      await server.kill('SIGTERM');
      await server.startAgain({ minutesAgo: at });
      ago = at;
    }
    const [whom, what] = rest;
    if (people[who]) {
      // One that was resolved is left as it is, and another one begins.
      await people[who].open();
      await people[who].say(whom);
    } else await act(server, team, team[who], people[whom], what);
  }
  await server.kill('SIGTERM');
  await server.startAgain();
  for (const id of HERE) await people[id].connect(t);
  const last = (await people.leila.messages()).findLast(({ sender }) => sender === 'agent');
  await people.leila.read(last);
  return { server, people, team };
}

async function act(server, team, { token }, { conversation }, what) {
  const path = `/v1/admin/conversations/${conversation}`;
  const local_id = crypto.randomUUID();
  if (typeof what === 'string') {
    const { message } = await server.ask('POST', `${path}/messages`, { local_id, body: what }, as(token));
    await read(server, message, token);
  } else if (what.note) await server.ask('POST', `${path}/notes`, { local_id, body: what.note }, as(token));
  else if (what.assign) await server.ask('PATCH', path, { assignee_id: team[what.assign].id }, as(token));
  else await server.ask('PATCH', path, { status: 'resolved' }, as(token));
}

/** Who answers has read what they answer. */
async function read(server, { conversation_id, id }, admin_token) {
  const socket = io(`${server.url}/admin`, { path: '/v1/socket.io', transports: ['websocket'], auth: { app_id: server.app_id, admin_token }, forceNew: true });
  const { success } = await socket.emitWithAck('message:read', { conversation_id, up_to_message_id: id });
  assert.ok(success);
  socket.disconnect();
}

test('the pictures', async (t) => {
  await mkdir(PICTURES, { recursive: true });
  const { server, people, team } = await shop(t);
  const picture = async (person, name) => {
    const bytes = await person.isPictured(`${PICTURES}/${name}.webp`);
    console.log(`${(bytes / 1024).toFixed(0).padStart(5)} KiB  ${name}`);
    assert.ok(bytes <= MOST_BYTES, `${name} has ${bytes} bytes, and at most ${MOST_BYTES}`);
  };
  const arrive = async (options) => {
    const ada = await Person.arrive(t, server.url, { sharpness: 2, ...options });
    await ada.isSignedIn(team.ada.session);
    return ada;
  };
  for (const dark of [false, true]) {
    const theme = dark ? 'dark' : 'light';
    const desk = await arrive({ size: DESKTOP, dark });
    await desk.go(`/dashboard/all/${people.leila.conversation}`);
    await desk.log().getByText('Tomorrow is perfect').waitFor();
    await desk.page.getByRole('complementary', { name: 'Person' }).getByText('leila.haddad@example.com').waitFor();
    people.leila.types(true);
    await desk.page.getByText('Leila is writing').first().waitFor();
    await desk.field('Message').fill('Your neighbour is fine. The courier only asks for the code BX71.');
    await picture(desk, `inbox-${theme}`);
    people.leila.types(false);
    await desk.field('Message').fill('');
    await desk.field('Message').pressSequentially('/');
    await desk.page.getByRole('listbox', { name: 'Canned replies' }).waitFor();
    await picture(desk, `canned-${theme}`);
    await desk.field('Message').fill('');
    await desk.field('Message').press('Escape');
    await desk.page.locator('body').press('s');
    await desk.page.getByRole('searchbox', { name: 'Search conversations' }).fill('charg');
    await desk.page.getByRole('list', { name: 'Search results' }).getByRole('link').first().waitFor();
    await picture(desk, `search-${theme}`);
    await desk.go('/dashboard/settings/team');
    await desk.sees('Chidi Kamau');
    await picture(desk, `settings-${theme}`);
    await desk.go('/dashboard/settings/canned');
    await desk.button('Change /hello').click();
    await desk.page.getByText('Hello there, this is Ada Lindqvist.').first().waitFor();
    await picture(desk, `settings-canned-${theme}`);

    const phone = await arrive({ size: PHONE, dark });
    await phone.go('/dashboard/all');
    await phone.row(LEILA).waitFor();
    await picture(phone, `phone-list-${theme}`);
    await phone.row(LEILA).click();
    await phone.log().getByText('Tomorrow is perfect').waitFor();
    await picture(phone, `phone-conversation-${theme}`);
    await phone.button('More').click();
    await phone.page.getByRole('menuitem', { name: 'Person' }).click();
    await phone.page.getByRole('complementary', { name: 'Person' }).getByText('leila.haddad@example.com').waitFor();
    await picture(phone, `phone-person-${theme}`);
  }
  const arabic = await arrive({ size: DESKTOP, locale: 'ar' });
  await arabic.go(`/dashboard/all/${people.leila.conversation}`);
  await arabic.page.getByRole('log', { name: 'الرسائل' }).getByText('Tomorrow is perfect').waitFor();
  await arabic.page.getByRole('complementary', { name: 'الشخص' }).getByText('leila.haddad@example.com').waitFor();
  await picture(arabic, 'inbox-arabic');
});
