// Each page and state, in both themes, on a desk and on a phone: a picture, and a look by axe.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { io } from 'socket.io-client';
import { DESKTOP, LAPTOP, PHONE, Person } from './browser.js';
import { Server, Visitor } from './server.js';

const PEOPLE = [
  ['noor', { id: 'usr_9', name: 'Noor de Vries' }, ['Is the shop open on Sunday?'], 'Yes, from 10 to 16.'],
  ['noa', { id: 'usr_8', name: 'נועה לוי' }, ['תודה רבה! הכול עובד עכשיו 🎉 אם יהיו שאלות נוספות אחזור אליכם']],
  ['jean', { id: 'usr_7', name: 'Jean-Baptiste Lefèvre' }, ['Bonjour, où est mon colis ?'], 'Je vous envoie l’étiquette de retour dès aujourd’hui, vous n’avez rien à payer.'],
  ['lyon', undefined, ['Bonjour, est-ce que vous livrez aussi en Belgique ? Je ne trouve rien à ce sujet sur votre site.']],
  ['obi', { id: 'usr_5', name: 'Chukwuemeka Obi' }, ['The app says 417. What is that?']],
  ['otaibi', { id: 'usr_4', name: 'محمد العتيبي' }, ['الدراجة لا تعمل بعد التحديث الأخير، والتطبيق يعرض رسالة خطأ غير واضحة. هل يمكنكم مساعدتي اليوم؟']],
  ['max', { id: 'usr_3', name: 'Maximiliane von Hohenberg-Schattenstein zu Wolkersdorf' }, ['Guten Morgen, mein Abo wurde doppelt abgebucht (2 × 39,00 €). Können Sie das bitte prüfen?']],
  ['misaki', { id: 'usr_2', name: '山田 美咲' }, ['返金の手続きはいつ完了しますか？先週からまだ反映されていないようです。', 'よろしくお願いします。']],
];

async function shop(t) {
  const server = await Server.start(t);
  const app = await server.shop();
  const session = await server.accept(app.ada);
  const ben = await server.accept(await server.invite(app, 'Ben Okafor', 'ben@example.com', 'agent'));
  const as = ({ admin_token }) => ({ authorization: `Bearer ${admin_token}` });
  const answer = (who, conversation, body) =>
    server.ask('POST', `/v1/admin/conversations/${conversation}/messages`, { local_id: crypto.randomUUID(), body }, as(who));
  for (const [id, user, said, answered] of PEOPLE) {
    const visitor = await new Visitor(server, app, id, user).open();
    if (id === 'noor' || id === 'lyon' || id === 'misaki' || id === 'otaibi') await visitor.connect(t);
    for (const body of said) await visitor.say(body);
    if (answered) await answer(ben, visitor.conversation, answered);
  }
  const attributes = { Speaks: 'English, Arabic', Plan: 'Plus, yearly', Bike: 'HB-2207-4419', Since: 'March 2024' };
  const leila = new Visitor(server, app, 'leila', { id: 'usr_20418', name: 'Leila Haddad', email: 'leila.haddad@example.com', attributes }, { model: 'iPhone 15', app_version: '4.2.1' });
  await leila.open();
  await leila.say('New address for the winter tyres');
  await server.ask('PATCH', `/v1/admin/conversations/${leila.conversation}`, { status: 'resolved' }, as(session));
  await leila.open();
  await leila.connect(t);
  await leila.say('Hi! Since the update my bike stops charging at 38 %. The app says “charging paused” and the light on the charger is red.');
  await leila.say('This is the page it opens: https://app.harbourbikes.example/account/bikes/HB-2207-4419/diagnostics?session=7f3ac1d09be24e&from=push&lang=ar#charging-history');
  await answer(ben, leila.conversation, 'Thank you, Leila, that helps. Could you tap Copy log under Diagnostics and paste it here? Then I can tell if it is the charger or the battery.');
  await leila.say('The charger, and the invoice that you asked for 📎');
  await answer(session, leila.conversation, 'Got both, thank you. A sensor in your battery is faulty, so we replace the battery. It costs you nothing.');
  const { message } = await answer(session, leila.conversation, 'A courier can come tomorrow between 9 and 12. Does that suit you?');
  await leila.read(message);
  await readBy(server, session, leila.conversation, message);
  await leila.say('زوجي يقول إن الشاحن يومض باللون الأحمر مرتين ثم يتوقف 🔴🔴');
  await leila.say('Tomorrow is perfect 🙏 Do I have to be at home, or can my neighbour hand it over?');
  return { server, app, session, leila, answer: (body) => answer(session, leila.conversation, body) };
}

/** Somebody of the team has read up to there, in another program. */
async function readBy(server, { app_id, admin_token }, conversation_id, { id }) {
  const auth = { app_id, admin_token };
  const socket = io(`${server.url}/admin`, { path: '/v1/socket.io', transports: ['websocket'], auth, forceNew: true });
  const { success } = await socket.emitWithAck('message:read', { conversation_id, up_to_message_id: id });
  assert.ok(success);
  socket.disconnect();
}

for (const [size, where] of [[DESKTOP, 'desk'], [PHONE, 'phone']]) {
  for (const dark of [false, true]) {
    const name = `${where}-${dark ? 'dark' : 'light'}`;
    test(`what is shown, ${name}`, async (t) => {
      const { server, session, leila, answer } = await shop(t);

      const guest = await Person.arrive(t, server.url, { size, dark });
      await guest.go('/dashboard');
      await guest.field('E-mail').waitFor();
      await guest.shows(`${name}-sign-in`);
      await guest.button('Sign in with a token').click();
      await guest.shows(`${name}-sign-in-token`);

      const ada = await Person.arrive(t, server.url, { size, dark, mayFail: true });
      await ada.isSignedIn(session);
      await ada.go('/dashboard');
      await ada.row('Leila Haddad').waitFor();
      await ada.shows(`${name}-list`);
      await ada.row('Leila Haddad').click();
      await ada.sees('2 new messages');
      await ada.page.locator('.receipt.read').getByText('Read').waitFor();
      await ada.shows(`${name}-conversation-new`);
      await answer('Your neighbour is fine. The courier only asks for the code BX71.');
      await ada.sees('Your neighbour is fine. The courier only asks for the code BX71.');
      leila.types(true);
      await ada.sees('Leila is writing');
      await ada.field('Message').fill('And thank you');
      await ada.shows(`${name}-conversation`);

      if (size === PHONE) await ada.button('Person').or(ada.button('More')).first().click();
      if (size === PHONE) await ada.page.getByRole('menuitem', { name: 'Person' }).click();
      await ada.page.getByRole('complementary', { name: 'Person' }).getByText('leila.haddad@example.com').waitFor();
      await ada.shows(`${name}-person`, { isPerson: size === PHONE });
      if (size === PHONE) await ada.button('Back to the conversation').click();

      await ada.button('More').click();
      await ada.shows(`${name}-menu`);
      await ada.page.keyboard.press('Escape');

      await server.kill();
      await ada.page.getByText('No connection since').waitFor();
      await ada.answers('And thank you for the photo, it saved us a day!');
      await ada.sees('Waiting for the connection');
      await ada.shows(`${name}-offline`);
      assert.equal(await ada.page.getByText(/^Online/).count(), 0, 'who is there is not known');
      await server.startAgain();
      await ada.button('Try now').click();
      await ada.page.getByText('Sent', { exact: true }).waitFor();

      await ada.button('Resolve').click();
      await ada.button('Reopen').waitFor();
      await ada.shows(`${name}-resolved`);
      if (size === DESKTOP) {
        await ada.page.keyboard.press('Escape');
        await ada.page.locator('body').press('?');
        await ada.page.getByRole('dialog', { name: 'Keys' }).waitFor();
        await ada.shows(`${name}-keys`);
      }
    });
  }
}

test('what is shown on a small laptop: the person lies above the conversation', async (t) => {
  const { server, session } = await shop(t);
  const ada = await Person.arrive(t, server.url, { size: LAPTOP });
  await ada.isSignedIn(session);
  await ada.go('/dashboard');
  await ada.row('Leila Haddad').click();
  await ada.log().getByText('Tomorrow is perfect').waitFor();
  await ada.shows('laptop-conversation');
  await ada.button('Person').click();
  await ada.page.getByRole('complementary', { name: 'Person' }).getByText('leila.haddad@example.com').waitFor();
  await ada.shows('laptop-person');
  await ada.page.keyboard.press('Escape');
  await ada.page.getByRole('complementary', { name: 'Person' }).waitFor({ state: 'hidden' });
});
