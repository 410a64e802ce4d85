"""A server of the test's own: the real binary, in a folder that is thrown away."""

import asyncio
import json
import os
import shutil
import signal
import socket
import tempfile
from pathlib import Path

REPOSITORY = Path(__file__).parents[3]
BINARY = os.environ.get("REPLYHQ_BINARY", str(REPOSITORY / "target/debug/replyhq"))
READY = "replyhq is ready on "

# The suite runs on SQLite, in a folder of each test's own, and on a Postgres and a Redis that all tests share.
DATABASE_URL = os.environ.get("REPLYHQ_TEST_DATABASE_URL")
REDIS_URL = os.environ.get("REPLYHQ_TEST_REDIS_URL")

PATIENCE = 20
"""How many seconds anything may take before a test fails. Far more than is ever needed."""


class Server:
    """A server on a free port, which it keeps over restarts."""

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="replyhq-python-")
        self.database = ["--database-url", DATABASE_URL] if DATABASE_URL else ["--data-dir", self.folder]
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.process = None

    async def start(self, *flags):
        """Starts it, on the same port and data each time, and waits for its ready line."""
        self.process = await asyncio.create_subprocess_exec(
            BINARY, "serve", "--listen", f"127.0.0.1:{self.port}", *self.database,
            *(["--redis-url", REDIS_URL] if REDIS_URL else []), "--log-level", "warn", *flags,
            stdout=asyncio.subprocess.PIPE,
        )
        line = await asyncio.wait_for(self.process.stdout.readline(), PATIENCE)
        assert line.decode() == f"{READY}{self.url}\n", line

    async def terminate(self):
        """Sends SIGTERM. Returns the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return await asyncio.wait_for(self.process.wait(), PATIENCE)

    async def command(self, *arguments):
        """Runs `replyhq …` on the server's data and returns the JSON that it prints."""
        process = await asyncio.create_subprocess_exec(
            BINARY, *arguments, "--json", *self.database, stdout=asyncio.subprocess.PIPE
        )
        printed, _ = await process.communicate()
        assert process.returncode == 0, arguments
        return json.loads(printed)

    async def app(self):
        """A new app with an agent's token, made as an operator makes them."""
        app = await self.command("app", "create", "Shop")
        token = await self.command("token", "create", "--app", app["app_id"], "--name", "Ada")
        return {**app, "admin_token": token["admin_token"]}

    async def discard(self):
        """Kills it if it still runs, and throws its data away."""
        if self.process and self.process.returncode is None:
            self.process.kill()
            await self.process.wait()
        shutil.rmtree(self.folder)


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]
