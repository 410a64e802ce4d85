"""Programs that end in every way there is, as the tests run them by the dozen: `python programs.py HOW SERVER APP KEY FOLDER`."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
import threading

from replyhq import ChatEvent, Client, LogLevel

LINES = threading.Event()


def log(level: LogLevel, message: str) -> None:
    LINES.set()


async def busy(client: Client) -> list[asyncio.Task[None]]:
    """Much is going on at the end: pictures, events, a log, calls."""

    async def states() -> None:
        async for _ in client.states():
            pass

    async def timeline() -> None:
        async for _ in client.timeline():
            pass

    async def events() -> None:
        async for _ in client.events():
            pass

    async def writing() -> None:
        for number in range(500):
            await client.send(f"Number {number}")

    return [asyncio.create_task(task()) for task in (states, timeline, events, writing)]


async def closed(client: Client) -> None:
    """As one should."""
    async with client:
        tasks = await busy(client)
        await asyncio.sleep(0.1)
    await asyncio.gather(*tasks, return_exceptions=True)


async def left_open(client: Client) -> None:
    """The program ends, and nobody has closed anything."""
    await client.open()
    await busy(client)
    await asyncio.sleep(0.1)


async def let_go(client: Client) -> None:
    """The client is collected while the program goes on, and that ends soon after."""
    await client.open()
    tasks = await busy(client)
    await asyncio.sleep(0.05)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    del client, tasks
    gc.collect()


async def raises(client: Client) -> None:
    await client.open()
    await busy(client)
    await asyncio.sleep(0.05)
    raise RuntimeError("the program's own defect")


async def exits(client: Client) -> None:
    await client.open()
    await busy(client)
    await asyncio.sleep(0.05)
    sys.exit(7)


async def interrupted(client: Client) -> None:
    """As by Ctrl+C."""
    await client.open()
    await busy(client)
    asyncio.get_running_loop().call_later(0.05, os.kill, os.getpid(), signal.SIGINT)
    await asyncio.sleep(60)


async def writes(client: Client) -> None:
    """Says what it has written as soon as it is on the disk, until it is killed."""
    async with client:
        for number in range(100_000):
            text = f"{os.getpid()} {number}"
            await client.send(text)
            print(text, flush=True)
            # As fast as the server takes it, in the long run.
            while client.state.queued > 20:
                await asyncio.sleep(0.01)


async def drains(client: Client) -> None:
    async with client:
        print(await client.drain(60), flush=True)


async def watches(client: Client) -> None:
    """Prints what arrives, until it is killed."""
    async with client:
        await client.send("Hello")
        print("ready", await client.drain(60), flush=True)
        async for event in client.events():
            if isinstance(event, ChatEvent.MESSAGE_ARRIVED):
                print(event.message.body, flush=True)


PROGRAMS = {program.__name__: program for program in (
    closed, left_open, let_go, raises, exits, interrupted, writes, drains, watches,
)}


def main() -> None:
    how, server_url, app_id, api_key, folder = sys.argv[1:]
    program = PROGRAMS[how]
    # As in a terminal: whoever runs the tests in the background hands on that it is ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # Nothing here keeps the client but the program itself.
    asyncio.run(program(Client(server_url, app_id, api_key, folder, log=log)))


if __name__ == "__main__":
    main()
