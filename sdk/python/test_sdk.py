"""The SDK in Python against a real server: the quickstart, what the wrapper itself promises, and one long story."""

import asyncio
import base64
import gc
import hashlib
import hmac
import json
import pickle
import shutil
import tempfile
import time
import unittest
import urllib.request
from pathlib import Path

from client import Client as StockClient
from client import agent_auth
from server import PATIENCE, Server

from quickstart import quickstart, sign_in, sign_out
from replyhq import Client, ReplyHQError, Sender


class Agent:
    """An agent who uses REST."""

    def __init__(self, server, app):
        self.admin_url = f"{server.url}/v1/admin/"
        self.headers = {
            "X-App-Id": app["app_id"], "Authorization": f"Bearer {app['admin_token']}",
            "Content-Type": "application/json",
        }

    async def request(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.admin_url + path, data, self.headers, method=method)

        def answer():
            with urllib.request.urlopen(request, timeout=PATIENCE) as response:
                return json.load(response)

        return await asyncio.to_thread(answer)

    async def conversations(self):
        return [conversation["id"] for conversation in (await self.request("GET", "conversations"))["conversations"]]

    async def messages(self, conversation):
        return (await self.request("GET", f"conversations/{conversation}/messages?limit=200"))["messages"]

    async def write(self, conversation, body):
        await self.request("POST", f"conversations/{conversation}/messages", {"local_id": body, "body": body})


def token_of(secret, user_id):
    """What a backend would sign: docs/people.md."""

    def encode(value):
        return base64.urlsafe_b64encode(value).rstrip(b"=")

    claims = {"sub": user_id, "exp": int(time.time()) + 600}
    signed = encode(b'{"alg":"HS256"}') + b"." + encode(json.dumps(claims).encode())
    return (signed + b"." + encode(hmac.new(secret.encode(), signed, hashlib.sha256).digest())).decode()


class Watcher:
    """All that an iterator of snapshots gave."""

    def __init__(self, snapshots):
        self.newest = None
        self.changed = asyncio.Condition()
        self.deliveries = {}
        self.task = asyncio.create_task(self.watch(snapshots))

    async def watch(self, snapshots):
        async for snapshot in snapshots:
            for item in getattr(snapshot, "items", []):
                self.deliveries.setdefault(item.local_id, set()).add(str(item.delivery))
            async with self.changed:
                self.newest = snapshot
                self.changed.notify_all()

    async def wait_for(self, fits):
        async with self.changed:
            wanted = self.changed.wait_for(lambda: self.newest is not None and fits(self.newest))
            try:
                await asyncio.wait_for(wanted, PATIENCE)
            except asyncio.TimeoutError:
                raise AssertionError(f"waited {PATIENCE} s; it is {self.newest}") from None
        return self.newest


class Setting(unittest.IsolatedAsyncioTestCase):
    def folder(self):
        folder = tempfile.mkdtemp(prefix="replyhq-python-sdk-")
        self.addCleanup(shutil.rmtree, folder)
        return folder

    async def server(self):
        """A server that is not started, and its app."""
        server = Server()
        self.addAsyncCleanup(server.discard)
        return server, await server.app()

    async def assert_code(self, code, call):
        with self.assertRaises(ReplyHQError) as caught:
            await call
        self.assertEqual(caught.exception.code, code)


class Quickstart(Setting):
    async def test_the_quickstart_sends_its_message(self):
        server, app = await self.server()
        await server.start()
        await quickstart(server.url, app["app_id"], app["api_key"], self.folder())
        agent = Agent(server, app)
        [conversation] = await agent.conversations()
        self.assertEqual([message["body"] for message in await agent.messages(conversation)], ["Hello!"])


class Wrapper(Setting):
    async def test_errors_have_a_code_iterators_end_with_the_client_and_a_failing_logger_harms_nothing(self):
        folder = self.folder()

        def client(server_url="http://127.0.0.1:9", log=None):
            return Client(server_url, "app_1", "rhq_key_1", folder, log=log)

        def log(level, message):
            raise RuntimeError("the program's own defect")

        await self.assert_code("INVALID_CONFIG", client("nowhere").open())
        await self.assert_code("CLOSED", client().send("Hello"))
        async with client(log=log) as first:
            await self.assert_code("ALREADY_OPEN", client().open())
            await self.assert_code("EMPTY_BODY", first.send(""))
            await self.assert_code("INVALID_USER", first.identify(""))
            await first.set_network(False)
            states, timelines = Watcher(first.states()), Watcher(first.timeline())
            await first.send("Hello")
            await states.wait_for(lambda state: state.queued == 1)
        await asyncio.wait_for(asyncio.gather(states.task, timelines.task), PATIENCE)
        self.assertTrue(states.newest.connection.is_CLOSED())
        self.assertEqual([item.body for item in timelines.newest.items], ["Hello"])
        await self.assert_code("CLOSED", first.send("Hello"))
        self.assertTrue([state async for state in first.states()][-1].connection.is_CLOSED())
        await first.close()
        async with client() as again:
            self.assertEqual(again.state.queued, 1)

    async def test_every_error_is_the_sdks_own(self):
        def client(server_url="http://127.0.0.1:9", **more):
            return Client(server_url, "app_1", "rhq_key_1", self.folder(), **more)

        half = "\ud83d"
        for odd in (
            {"proxy_url": "socks5://x"}, {"pinned_public_keys": ["x"]}, {"storage_key": half}, {"proxy_url": half},
            {"device_context": {"x": "x" * 9_000}},
        ):
            await self.assert_code("INVALID_CONFIG", self.opened(lambda: client(**odd)))
        await self.assert_code("INVALID_CONFIG", self.opened(lambda: client(half)))
        async with client() as opened:
            await self.assert_code("INVALID_BODY", opened.send(f"cut in two: {half}"))
            await self.assert_code("INVALID_USER", opened.identify("ann", name=half))
            await self.assert_code("INVALID_USER", opened.identify("ann", attributes={"x": object()}))
            await self.assert_code("INVALID_USER", opened.identify("ann", attributes={"x": float("nan")}))
            await self.assert_code("UNKNOWN_MESSAGE", opened.retry(half))
            await self.assert_code("UNKNOWN_CONVERSATION", opened.mark_read(half))
            await self.assert_code("INVALID_CONFIG", opened.set_api_key("a\nb"))
            self.assertEqual([await opened.drain(-5), await opened.drain(float("inf"))], [0, 0])
            with self.assertRaises(ReplyHQError) as caught:
                opened.timeline(half)
            self.assertEqual(caught.exception.code, "UNKNOWN_CONVERSATION")
            waiting = await Watcher(opened.states()).wait_for(lambda state: state.connection.is_WAITING())
            self.assertEqual(waiting.connection.reason, "REFUSED")
            again = pickle.loads(pickle.dumps(caught.exception))
            self.assertEqual((again.code, str(again)), ("UNKNOWN_CONVERSATION", str(caught.exception)))

    async def opened(self, make):
        async with make():
            pass

    async def test_values_are_readable(self):
        async with Client("http://127.0.0.1:9", "app_1", "rhq_key_1", self.folder()) as client:
            await client.set_network(False)
            self.assertEqual(repr(client), "<replyhq.Client http://127.0.0.1:9: ConnectionState.OFFLINE()>")
            local_id = await client.send("Hello")
            [item] = (await Watcher(client.timeline()).wait_for(lambda shown: shown.items)).items
            shown = f"TimelineItem(local_id={local_id!r}, body='Hello', sender=<Sender.USER: 0>, created_at="
            self.assertTrue(repr(item).startswith(shown), repr(item))
            self.assertTrue(repr(item).endswith(", delivery=Delivery.QUEUED())"), repr(item))
            self.assertNotIn("object at 0x", repr(client.state))

    async def test_a_client_that_was_let_go_of_closes(self):
        folder = self.folder()
        for _ in range(3):
            client = await Client("http://127.0.0.1:9", "app_1", "rhq_key_1", folder, log=lambda *_: None).open()
            await client.send("Hello")
            del client
            gc.collect()
            deadline = time.monotonic() + PATIENCE
            while True:
                try:
                    again = await Client("http://127.0.0.1:9", "app_1", "rhq_key_1", folder).open()
                    break
                except ReplyHQError as failed:
                    self.assertEqual(failed.code, "ALREADY_OPEN")
                    self.assertLess(time.monotonic(), deadline)
                    await asyncio.sleep(0.02)
            await again.close()

    async def test_what_arrives_is_told_once_and_what_is_none_is_an_error(self):
        server, app = await self.server()
        await server.start()
        agent, folder = Agent(server, app), self.folder()

        def client():
            context = {"app_version": "1.2.3"}
            return Client(server.url, app["app_id"], app["api_key"], folder, device_context=context)

        async with client() as opened:
            events = opened.events()
            first = asyncio.create_task(anext(events))
            await opened.send("Hello")
            await Watcher(opened.states()).wait_for(lambda state: state.conversations and not state.queued)
            [conversation] = await agent.conversations()
            await agent.write(conversation, "Hello Ann")
            event = await asyncio.wait_for(first, PATIENCE)
            self.assertTrue(event.is_MESSAGE_ARRIVED())
            self.assertEqual((event.conversation_id, event.message.body), (conversation, "Hello Ann"))
            with self.assertRaises(ReplyHQError) as caught:
                async for _ in opened.timeline("conv_nowhere"):
                    pass
            self.assertEqual(caught.exception.code, "UNKNOWN_CONVERSATION")
            await self.assert_code("ALREADY_OPEN", client().fetch_unread())
        self.assertEqual([event async for event in events], [])
        await agent.write(conversation, "Are you there?")
        self.assertEqual(await client().fetch_unread(), 2)
        server.process.kill()
        await server.process.wait()
        await self.assert_code("OFFLINE", client().fetch_unread())

    async def test_a_loop_that_is_busy_gets_the_newest_and_no_backlog(self):
        async with Client("http://127.0.0.1:9", "app_1", "rhq_key_1", self.folder()) as client:
            await client.set_network(False)
            seen = []

            async def watch():
                async for state in client.states():
                    seen.append(state.queued)
                    if state.queued == 50:
                        return
                    await gate.wait()

            gate = asyncio.Event()
            watching = asyncio.create_task(watch())
            for number in range(50):
                await client.send(f"Number {number}")
            gate.set()
            await asyncio.wait_for(watching, PATIENCE)
            self.assertLess(len(seen), 10, seen)


class Verified(Setting):
    async def test_a_persons_devices_share_what_was_written_until_they_log_out(self):
        server, app = await self.server()
        secret = (await server.command("identity", "add-secret", "--app", app["app_id"]))["secret"]
        await server.start()
        agent, fetched = Agent(server, app), []

        async def fetch_token():
            fetched.append(len(fetched))
            return token_of(secret, "ann")

        def client():
            return Client(server.url, app["app_id"], app["api_key"], self.folder())

        async with client() as first, client() as second:
            states, timeline = Watcher(first.states()), Watcher(first.timeline())
            await sign_in(first, "ann", fetch_token)
            self.assertEqual(first.state.user_id, "ann")
            await first.send("From the first")
            await second.identify(token=fetch_token)
            self.assertEqual(second.state.user_id, "ann")
            other = Watcher(second.timeline())
            await other.wait_for(lambda shown: [item.body for item in shown.items] == ["From the first"])
            await second.send("From the second")
            shown = await timeline.wait_for(lambda shown: len(shown.items) == 2)
            conversation, device = shown.conversation_id, first.state.device_id

            # What proved who is there is taken back: another token is fetched, and nothing is lost.
            asked = len(fetched)
            await server.command("device", "unbind", "--app", app["app_id"], device)
            await first.send("Written meanwhile")
            await other.wait_for(lambda shown: shown.items[-1].body == "Written meanwhile")
            self.assertGreater(len(fetched), asked)

            # Blocked, it says so, and what is written waits.
            await agent.request("PATCH", f"devices/{device}", {"blocked": True})
            await states.wait_for(lambda state: state.connection.is_BLOCKED())
            await first.send("Written while blocked")
            await states.wait_for(lambda state: state.queued == 1 and state.wedged == 0)
            await agent.request("PATCH", f"devices/{device}", {"blocked": False})
            await first.network_changed()
            await other.wait_for(lambda shown: shown.items[-1].body == "Written while blocked")

            await sign_out(first)
            self.assertEqual((first.state.user_id, first.state.conversations), (None, []))

            async def has_left():
                while True:
                    person = await agent.request("GET", f"conversations/{conversation}/person")
                    at = {known["device_id"] for known in person["devices"] if known["is_verified"]}
                    if at == {second.state.device_id}:
                        return
                    await asyncio.sleep(0.02)

            await asyncio.wait_for(has_left(), PATIENCE)

    async def test_a_function_that_gives_no_token_is_an_error_and_changes_nothing(self):
        async def fails():
            raise RuntimeError("the backend is away")

        async def gives(token):
            return token

        async with Client("http://127.0.0.1:9", "app_1", "rhq_key_1", self.folder()) as client:
            with self.assertRaises(ReplyHQError) as caught:
                await client.identify(token=fails)
            self.assertEqual(caught.exception.code, "TOKEN_FAILED")
            self.assertIn("RuntimeError: the backend is away", str(caught.exception))
            for wrong in ("no token", "", None, 7, b"bytes", "\ud83d"):
                await self.assert_code("TOKEN_FAILED", client.identify(token=lambda wrong=wrong: gives(wrong)))
            await self.assert_code("TOKEN_FAILED", client.identify(token=lambda: "not awaitable"))
            await self.assert_code("INVALID_USER", client.identify())
            await self.assert_code("INVALID_USER", client.identify("", token=fails))
            await self.assert_code("INVALID_USER", client.identify("ann", name="Ann", token=fails))
            self.assertIsNone(client.state.user_id)
            await client.identify("ann", token=fails)
            self.assertEqual(client.state.user_id, "ann")


class Story(Setting):
    async def test_nothing_is_lost_doubled_or_out_of_order_from_the_first_message_to_the_logout(self):
        server, app = await self.server()
        agent, folder = Agent(server, app), self.folder()
        async with Client(server.url, app["app_id"], app["api_key"], folder) as client:
            await client.set_network(False)
            await client.identify("user-ann-42", name="Ann Example", email="ann@example.com")
            states, timeline = Watcher(client.states()), Watcher(client.timeline())

            # Offline: three messages are kept, in order.
            mine = [await client.send(body) for body in ("First of Ann", "Second of Ann", "Third of Ann")]
            await states.wait_for(lambda state: state.queued == 3 and state.connection.is_OFFLINE())
            await timeline.wait_for(
                lambda shown: len(shown.items) == 3 and all(item.delivery.is_QUEUED() for item in shown.items)
            )

            # Online: they are sent.
            await server.start()
            await client.set_network(True)
            await states.wait_for(lambda state: state.connection.is_ONLINE() and state.queued == 0)
            shown = await timeline.wait_for(
                lambda shown: len(shown.items) == 3 and all(item.delivery.is_SENT() for item in shown.items)
            )
            conversation = shown.conversation_id
            self.assertEqual(await agent.conversations(), [conversation])

            # The device leaves one network for another.
            await client.network_changed()
            await states.wait_for(lambda state: state.connection.is_ONLINE())

            # The agent types and answers.
            ada = StockClient(server, "/admin", agent_auth(app))
            self.addAsyncCleanup(ada.disconnect)
            await ada.connect()
            await ada.expect("connected")
            await ada.done("conversation:join", {"conversation_id": conversation})
            await ada.done("typing:start", {"conversation_id": conversation})
            await timeline.wait_for(lambda shown: shown.is_agent_typing)
            await ada.done("typing:stop", {"conversation_id": conversation})
            await timeline.wait_for(lambda shown: not shown.is_agent_typing)
            await agent.write(conversation, "Hello Ann")
            answer = (await timeline.wait_for(lambda shown: len(shown.items) == 4)).items[-1]
            self.assertEqual((answer.body, answer.sender, answer.sender_name), ("Hello Ann", Sender.AGENT, "Ada"))
            await states.wait_for(lambda state: state.unread == 1)
            await client.typing(True)
            self.assertTrue((await ada.expect("user:typing"))["is_typing"])

            # The server dies and comes back; both sides write meanwhile or soon after.
            server.process.kill()
            await server.process.wait()
            await states.wait_for(lambda state: not state.connection.is_ONLINE())
            mine.append(await client.send("Fourth of Ann"))
            await states.wait_for(lambda state: state.queued == 1)
            await timeline.wait_for(lambda shown: len(shown.items) == 5 and shown.items[-1].delivery.is_QUEUED())
            await ada.expect("disconnect")
            await server.start()
            await agent.write(conversation, "Are you there?")
            await timeline.wait_for(
                lambda shown: len(shown.items) == 6 and all(item.seq is not None for item in shown.items)
            )
            await states.wait_for(lambda state: state.unread == 2 and state.queued == 0)

            # Both sides read.
            await client.mark_read()
            await states.wait_for(lambda state: state.unread == 0)
            stored = timeline.newest.items
            last = [item for item in stored if item.local_id in mine][-1]
            await ada.expect("connected")
            await ada.done("conversation:join", {"conversation_id": conversation})
            await ada.done("message:read", {"conversation_id": conversation, "up_to_message_id": last.message_id})
            await timeline.wait_for(lambda shown: all(item.delivery.is_READ() for item in shown.items))
            for local_id in mine:
                seen = timeline.deliveries[local_id]
                self.assertLessEqual({"Delivery.QUEUED()", "Delivery.SENT()", "Delivery.READ()"}, seen)

            async def kept_as_read():
                while not all(message["status"] == "read" for message in await agent.messages(conversation)):
                    await asyncio.sleep(0.02)
                return await agent.messages(conversation)

            kept = await asyncio.wait_for(kept_as_read(), PATIENCE)
            self.assertEqual([message["seq"] for message in kept], list(range(1, 7)))
            self.assertEqual([message["body"] for message in kept], [item.body for item in stored])
            by = {
                sender: [message["body"] for message in kept if message["sender"] == sender]
                for sender in ("user", "agent")
            }
            self.assertEqual(by["user"], ["First of Ann", "Second of Ann", "Third of Ann", "Fourth of Ann"])
            self.assertEqual(by["agent"], ["Hello Ann", "Are you there?"])

            # Nothing of the person stays.
            await client.logout()
            await states.wait_for(
                lambda state: state.user_id is None and not state.conversations and state.unread == 0
            )
            await timeline.wait_for(lambda shown: not shown.items and shown.conversation_id is None)
        traces = [message["body"] for message in kept]
        traces += ["user-ann-42", "Ann Example", "ann@example.com", conversation]
        for file in Path(folder).rglob("*"):
            content = file.read_bytes() if file.is_file() else b""
            for trace in traces:
                self.assertNotIn(trace.encode(), content, file)
