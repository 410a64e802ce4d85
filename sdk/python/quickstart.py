"""The quickstart of docs/sdk/python.md, as the tests run it."""

from collections.abc import Awaitable, Callable

# [quickstart]
import asyncio

from replyhq import Client


async def quickstart(server_url: str, app_id: str, api_key: str, data_dir: str) -> None:
    async with Client(server_url, app_id, api_key, data_dir) as client:
        await client.identify("user-42", name="Ann", attributes={"plan": "pro", "seats": 3})

        async def show() -> None:
            # Each value is the whole picture, so a screen only has to show the newest one.
            async for timeline in client.timeline():
                for item in timeline.items:
                    print(f"{item.sender.name}: {item.body} ({item.delivery})")

        screen = asyncio.create_task(show())

        # Stored before this returns; sent now, or when there is a network again.
        await client.send("Hello!")

        waiting = await client.drain(10)
        print(f"{waiting} messages wait to be sent")
    # The client is closed, and so the iterator has ended.
    await screen
# [/quickstart]


# [tokens]
async def sign_in(client: Client, user_id: str, fetch_token: Callable[[], Awaitable[str]]) -> None:
    # Your coroutine function asks your backend for a token. It is called when the server has to be told who is there, now or
    # later, and never in the background. Where only the token knows who it is, leave the id out.
    await client.identify(user_id, token=fetch_token)


async def sign_out(client: Client) -> None:
    # What waits gets a last chance; then nothing of the person stays, and the server is told that they have gone.
    await client.drain(5)
    await client.logout()
# [/tokens]
