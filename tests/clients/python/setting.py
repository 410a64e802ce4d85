"""What the tests start from."""

import unittest

from client import Client, agent_auth, device_auth, open_conversation
from server import Server


class Setting(unittest.IsolatedAsyncioTestCase):
    """A server with an app and a conversation of the device `phone`."""

    async def asyncSetUp(self):
        self.server = Server()
        self.addAsyncCleanup(self.server.discard)
        await self.server.start()
        self.app = await self.server.app()
        self.conversation_id = await open_conversation(self.server, self.app, "phone")

    def client(self, namespace, auth, **options):
        """A client that is disconnected when the test ends."""
        client = Client(self.server, namespace, auth, **options)
        self.addAsyncCleanup(client.disconnect)
        return client

    async def device(self, device_id="phone", **options):
        """A device that is connected, and joined to its conversation."""
        client = self.client("/client", device_auth(self.app, device_id), **options)
        await client.connect()
        await client.expect("connect")
        await client.expect("connected")
        await client.expect("conversation:joined")
        return client

    async def agent(self, **options):
        """An agent that is connected."""
        client = self.client("/admin", agent_auth(self.app), **options)
        await client.connect()
        await client.expect("connect")
        await client.expect("connected")
        return client

    async def both(self):
        """A phone and an agent who are both in the conversation."""
        phone, ada = await self.device(), await self.agent()
        await ada.done("conversation:join", {"conversation_id": self.conversation_id})
        await ada.expect("conversation:joined")
        return phone, ada

    def send(self, local_id, body="Hello"):
        """What `message:send` takes."""
        return {"conversation_id": self.conversation_id, "local_id": local_id, "body": body}
