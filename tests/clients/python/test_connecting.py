"""Connecting: what is told first, and who is refused."""

from client import agent_auth, device_auth
from setting import Setting


class Connecting(Setting):
    async def test_a_device_hears_connected_and_then_joins_its_latest_conversation(self):
        phone = self.client("/client", device_auth(self.app, "phone"))
        await phone.connect()
        await phone.expect("connect")
        joined = await phone.expect("conversation:joined")
        self.assertEqual(joined, {"conversation_id": self.conversation_id, "last_seq": 0})
        # It came after this one, which was not taken yet.
        [(name, connected)] = phone.heard
        self.assertEqual(name, "connected")
        self.assertRegex(connected["connection_id"], "^conn_")

    async def test_a_wrong_credential_is_refused_with_its_code(self):
        phone = device_auth(self.app, "phone")
        wrongs = [
            ("/client", {**phone, "api_key": "rhq_key_wrong"}),
            ("/client", {**phone, "app_id": "app_other"}),
            ("/admin", {**agent_auth(self.app), "admin_token": self.app["api_key"]}),
        ]
        for namespace, auth in wrongs:
            refused = self.client(namespace, auth, reconnection=False)
            await refused.connect()
            error = await refused.expect("connect_error")
            self.assertEqual(error["message"], "INVALID_CREDENTIALS")

    async def test_a_missing_field_is_told_apart_from_a_wrong_one(self):
        for namespace, auth in [("/client", device_auth(self.app, "phone")), ("/admin", agent_auth(self.app))]:
            for field in auth:
                without = {name: value for name, value in auth.items() if name != field}
                refused = self.client(namespace, without, reconnection=False)
                await refused.connect()
                error = await refused.expect("connect_error")
                self.assertEqual(error["message"], "MISSING_PARAMS", (namespace, field))

    async def test_a_ping_is_answered(self):
        phone = await self.device()
        self.assertEqual(await phone.call("ping", None), "pong")
        await phone.socket.emit("ping", namespace="/client")
        await phone.expect("pong")

    async def test_the_tab_that_was_silent_longest_is_told_why_it_goes_and_stays_away(self):
        silent = await self.device()
        tabs = [await self.device() for _ in range(19)]
        for tab in tabs:
            self.assertEqual(await tab.call("ping", None), "pong")
        tabs.append(await self.device())
        error = await silent.expect("error")
        self.assertEqual(error["code"], "TOO_MANY_CONNECTIONS")
        await silent.expect("disconnect")
        for tab in tabs:
            self.assertEqual(await tab.call("ping", None), "pong")
        self.assertFalse(silent.socket.connected, "it does not come back by itself, and pushes nobody out in turn")
