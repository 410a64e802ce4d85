"""The stock client, with what it heard written down in the order in which it came."""

import asyncio
import json
import os
from functools import cache
from pathlib import Path

import aiohttp
import socketio
from jsonschema import Draft202012Validator

from server import PATIENCE

WIRES = {"json": {"serializer": "default"}, "msgpack": {"serializer": "msgpack"}}
"""How packets may be written: as the client does by itself, or as MessagePack."""

WIRE = WIRES[os.environ.get("REPLYHQ_TEST_WIRE", "json")]
"""How this run writes them."""

SCHEMA = json.loads((Path(__file__).parents[3] / "docs" / "socket.schema.json").read_text())
"""What is said to travel."""


@cache
def validator(namespace, *path):
    """Checks what the schema has there: the payload of an event, or the answer to a request."""
    here = SCHEMA["properties"][namespace]
    for name in path:
        here = here["properties"][name]
    return Draft202012Validator({**here, "$defs": SCHEMA["$defs"]})


class Client:
    """`socketio.AsyncClient` in one namespace."""

    def __init__(self, server, namespace, auth, **options):
        self.url = server.url
        self.namespace = namespace
        self.auth = auth
        self.heard = []
        self.changed = asyncio.Condition()
        self.socket = socketio.AsyncClient(
            reconnection_delay=0.05, reconnection_delay_max=0.5, **{**WIRE, **options}
        )
        self.socket.on("*", self.told, namespace=namespace)
        # What the client itself tells is not part of "*".
        for name in ("connect", "connect_error", "disconnect"):
            self.socket.on(name, self.hearing(name), namespace=namespace)

    def hearing(self, name):
        async def hear(*data):
            await self.hear(name, *data)

        return hear

    async def told(self, name, data=None):
        """Hears an event of the server's, which has to be as the documents say."""
        if name != "pong":
            validator(self.namespace, "events", name).validate(data)
        await self.hear(name, data)

    async def hear(self, name, data=None):
        async with self.changed:
            self.heard.append((name, data))
            self.changed.notify_all()

    async def connect(self):
        """Connects, without waiting for the namespace to be accepted."""
        await self.socket.connect(
            self.url, auth=self.auth, namespaces=[self.namespace], transports=["websocket"],
            socketio_path="/v1/socket.io", wait=False,
        )

    async def disconnect(self):
        """Leaves, and does not come back by itself."""
        await self.socket.disconnect()

    async def expect(self, name, fits=lambda data: True):
        """Waits for the first event of this name and content that was not taken yet; takes it."""

        def found():
            return next((event for event in self.heard if event[0] == name and fits(event[1])), None)

        async with self.changed:
            try:
                await asyncio.wait_for(self.changed.wait_for(found), PATIENCE)
            except asyncio.TimeoutError:
                raise AssertionError(f"waited {PATIENCE} s for {name}; heard {self.heard}") from None
            event = found()
            self.heard.remove(event)
            return event[1]

    async def settled(self, name):
        """Takes every event of this name that the server had sent when it answered a `ping` of now."""
        assert await self.call("ping", {}) == "pong"
        taken = [data for heard, data in self.heard if heard == name]
        self.heard = [event for event in self.heard if event[0] != name]
        return taken

    async def call(self, name, payload):
        """Emits and waits for the ack."""
        answer = await self.socket.call(name, payload, namespace=self.namespace, timeout=PATIENCE)
        if isinstance(answer, dict) and answer["success"]:
            validator(self.namespace, "requests", name, "answer").validate(answer)
        return answer

    async def done(self, name, payload):
        """As `call`, for what must succeed."""
        answer = await self.call(name, payload)
        assert answer["success"] is True, (name, answer)
        return answer

    async def refused(self, name, payload):
        """As `call`, for what must fail; returns the code."""
        answer = await self.call(name, payload)
        assert answer["success"] is False, (name, answer)
        assert isinstance(answer["message"], str), (name, answer)
        return answer["error"]


def device_auth(app, device_id):
    """What a device shows on `/client`."""
    return {"app_id": app["app_id"], "device_id": device_id, "api_key": app["api_key"]}


def agent_auth(app):
    """What an agent shows on `/admin`."""
    return {"app_id": app["app_id"], "admin_token": app["admin_token"]}


async def as_device(server, app, device_id, method, path, body=None):
    """A REST request as this device; returns the body of a good answer."""
    headers = {"X-App-Id": app["app_id"], "X-Device-Id": device_id, "X-Api-Key": app["api_key"]}
    async with aiohttp.ClientSession() as session:
        async with session.request(method, server.url + path, headers=headers, json=body) as response:
            assert response.ok, (method, path, response.status, await response.text())
            return await response.json()


async def open_conversation(server, app, device_id):
    """The id of the device's open conversation; opened if there was none."""
    answer = await as_device(server, app, device_id, "POST", "/v1/conversations", {})
    return answer["conversation"]["id"]
