"""Recovery: away and back, restarts, and a server that leaves."""

import asyncio
import signal

from client import as_device, open_conversation
from server import PATIENCE
from setting import Setting


class History:
    """The history that a device keeps, by the rule for SDKs: each time it joins after the last message it has."""

    def __init__(self, phone, conversation_id):
        self.phone = phone
        self.conversation_id = conversation_id
        self.messages = []

    async def catch_up(self):
        """Joins after the last message that it has."""
        after = self.messages[-1]["id"] if self.messages else ""
        payload = {"conversation_id": self.conversation_id, "after": after}
        answer = await self.phone.done("conversation:join", payload)
        assert not answer["has_more"]
        known = {message["id"] for message in answer["messages"]}
        # What came live before the answer is in the answer too.
        self.phone.heard = [
            event for event in self.phone.heard if event[0] != "message:new" or event[1]["id"] not in known
        ]
        self.messages.extend(answer["messages"])

    async def reaches(self, seq):
        """Waits for this message; nothing may be missing, doubled or out of order."""
        while len(self.messages) < seq:
            self.messages.append(await self.phone.expect("message:new"))
        self.messages.extend(await self.phone.settled("message:new"))
        assert [message["seq"] for message in self.messages] == list(range(1, seq + 1)), self.messages


class Recovery(Setting):
    async def asyncSetUp(self):
        await super().asyncSetUp()
        self.phone, self.ada = await self.device(), await self.agent()
        self.history = History(self.phone, self.conversation_id)
        self.count = 0

    async def say(self):
        self.count += 1
        await self.ada.done("message:send", self.send(f"l{self.count}", f"Number {self.count}"))

    async def test_what_was_said_while_the_device_was_away_comes_once_and_then_what_is_said_live(self):
        await self.say()
        await self.say()
        await self.history.reaches(2)
        await self.phone.disconnect()
        for _ in range(3):
            await self.say()
        await self.phone.connect()
        await self.phone.expect("connected")
        await self.history.catch_up()
        await self.history.reaches(5)
        await self.say()
        await self.history.reaches(6)

    async def test_after_a_restart_clients_come_back_by_themselves_and_catch_up(self):
        for end in (signal.SIGTERM, signal.SIGKILL):
            await self.say()
            await self.history.reaches(self.count)
            self.server.process.send_signal(end)
            await asyncio.wait_for(self.server.process.wait(), PATIENCE)
            await self.phone.expect("disconnect")
            await self.ada.expect("disconnect")
            await self.server.start()
            await self.ada.expect("connected")
            await self.say()
            await self.phone.expect("connected")
            await self.history.catch_up()
            await self.history.reaches(self.count)
            await self.say()
            await self.history.reaches(self.count)


class Leaving(Setting):
    async def test_a_server_that_leaves_tells_each_client_another_time_and_answers_what_it_took(self):
        names = ["one", "two", "three", "four", "five"]
        places = {name: await open_conversation(self.server, self.app, name) for name in names}
        clients = {name: await self.device(name, reconnection=False) for name in names}
        answers, first = {}, asyncio.Event()

        async def send(name, number):
            local_id = f"{name}-{number}"

            def acked(answer):
                answers[local_id] = answer
                first.set()

            payload = {"conversation_id": places[name], "local_id": local_id, "body": "Hello"}
            await clients[name].socket.emit("message:send", payload, namespace="/client", callback=acked)

        for name in names:
            for number in range(6):
                await send(name, number)
        await asyncio.wait_for(first.wait(), PATIENCE)
        exit_code = asyncio.ensure_future(self.server.terminate())
        delays = set()
        for client in clients.values():
            delays.add((await client.expect("server:shutdown"))["reconnect_delay_ms"])
            await client.expect("disconnect")
        self.assertEqual(len(delays), len(names), "all differ")
        self.assertEqual(await exit_code, 0)

        errors = {answer["error"] for answer in answers.values() if not answer["success"]}
        self.assertLessEqual(errors, {"SHUTTING_DOWN"})
        acked = {local_id for local_id, answer in answers.items() if answer["success"]}
        await self.server.start()
        stored = set()
        for name in names:
            page = await as_device(self.server, self.app, name, "GET", f"/v1/conversations/{places[name]}/messages")
            stored.update(message["local_id"] for message in page["messages"])
        self.assertEqual(acked, stored, "what is stored was acknowledged, and nothing else was")
