"""The client as Python code uses it: coroutines and asynchronous iterators over the generated bindings."""

from __future__ import annotations

import asyncio
import atexit
import collections
import json
import locale
import os
import platform
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from types import TracebackType
from typing import Any, Generic, TypeVar

from . import replyhq_sdk as bindings
from .replyhq_sdk import ChatEvent, ClientState, LogLevel, Timeline

_T = TypeVar("_T")

_LONGEST = 24 * 3600.0
"""Seconds after which a wait is as good as for ever."""

_EVENTS = 256
"""Events that wait for one who takes none; further ones are missed."""


class ReplyHQError(Exception):
    """What a call of the SDK fails with.

    `code` is a constant word: the SDK's own, such as `OFFLINE`, or the server's. docs/sdk/README.md has all of them.
    """

    code: str
    message: str

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{message} ({code})")
        self.code = code
        self.message = message

    def __reduce__(self) -> tuple[type[ReplyHQError], tuple[str, str]]:
        return type(self), (self.code, self.message)


class Client:
    """Support chat: `async with Client(server_url, app_id, api_key, data_dir) as client:`.

    Belongs to the event loop in which it was opened. A call goes on to its end even if the task that waits for it is
    cancelled: a message that was given to `send` is sent. One client at a time may have a data folder open.

    `log(level, message)` hears the SDK's log, on a thread of the SDK's; no message and no key is in it.
    `extra_root_certificates_pem` is for a server whose certificate is from an authority that neither browsers nor the
    system know, `pinned_public_keys` (`sha256/…`) for one of which nothing but certain keys is to be believed.
    `proxy_url` is an HTTP proxy, or `direct`; without it the environment says, as for other programs. `storage_key`
    names what is stored in the place of the server's address, so that it is still found when that moves;
    `first_device_id` names the device where nothing is stored yet, for a program that comes from another SDK.
    `device_context` is what agents are to know of the program, beside what the SDK tells of the system;
    `describes_device=False` tells nothing at all.
    """

    def __init__(
        self,
        server_url: str,
        app_id: str,
        api_key: str,
        data_dir: str | os.PathLike[str],
        *,
        extra_root_certificates_pem: str | None = None,
        pinned_public_keys: Sequence[str] = (),
        proxy_url: str | None = None,
        storage_key: str | None = None,
        first_device_id: str | None = None,
        device_context: Mapping[str, Any] | None = None,
        describes_device: bool = True,
        log: Callable[[LogLevel, str], None] | None = None,
    ) -> None:
        self._server_url = server_url
        try:
            device_context_json = json.dumps({**_device(), **(device_context or {})}, allow_nan=False)
        except (TypeError, ValueError, RecursionError) as error:
            raise ReplyHQError("INVALID_CONFIG", f"the device's context is what JSON has: {error}") from error
        wrong = "INVALID_CONFIG"
        self._config = bindings.ClientConfig(
            server_url=_whole(server_url, wrong),
            app_id=_whole(app_id, wrong),
            api_key=_whole(api_key, wrong),
            data_dir=_whole(os.fspath(data_dir), wrong),
            extra_root_certificates_pem=_whole(extra_root_certificates_pem, wrong),
            pinned_public_keys=[_whole(key, wrong) for key in pinned_public_keys],
            proxy_url=_whole(proxy_url, wrong),
            storage_key=_whole(storage_key, wrong),
            first_device_id=_whole(first_device_id, wrong),
            describes_device=describes_device,
            device_context_json=device_context_json,
        )
        self._logger = _Logger(log) if log else None
        self._sdk: bindings.SdkClient | None = None

    def __repr__(self) -> str:
        standing = repr(self._sdk.state().connection) if self._sdk else "not opened"
        return f"<replyhq.Client {self._server_url}: {standing}>"

    async def open(self) -> Client:
        """Opens the data folder and starts connecting; what was queued before is sent. `async with` does this.

        Raises `INVALID_CONFIG`, `ALREADY_OPEN`, `STORAGE`.
        """
        if self._sdk:
            raise ReplyHQError("ALREADY_OPEN", "this client was opened before")
        self._sdk = await _told(bindings.SdkClient.open(self._config, self._logger))
        return self

    async def close(self) -> None:
        """Stops everything. When it returns, the data folder may be opened again; what is queued is still there."""
        if self._sdk:
            await self._sdk.shut_down()

    async def __aenter__(self) -> Client:
        return await self.open()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def fetch_unread(self) -> int:
        """How many messages the person has not read, by the server's count, while the client is not open.

        For a program that wakes up to show a badge. Raises `INVALID_CONFIG`, `ALREADY_OPEN`, `OFFLINE`, `STORAGE`, or
        the server's code.
        """
        return await _told(bindings.fetch_unread(self._config))

    @property
    def state(self) -> ClientState:
        """How the client stands: connection, conversations, unread messages."""
        return self._opened.state()

    def states(self) -> AsyncIterator[ClientState]:
        """An asynchronous iterator over the states: the present one, then the newest whenever it has changed.

        Who is slow misses states in between. Ends when the client is closed; the last one says so.
        """
        reader = _StateReader(1)
        return _read(reader, self._opened.subscribe_state(reader))

    def timeline(self, conversation: str | None = None) -> AsyncIterator[Timeline]:
        """As `states`, over the messages of a conversation; without a name, of the person's current one.

        Raises `UNKNOWN_CONVERSATION` while it is read, as soon as it is known that there is none of that name.
        """
        reader = _TimelineReader(1)
        named = _whole(conversation, "UNKNOWN_CONVERSATION")
        return _read(reader, self._opened.subscribe_timeline(named, reader))

    def events(self) -> AsyncIterator[ChatEvent]:
        """An asynchronous iterator over what happens from here on, each once: messages that have just arrived.

        For a sound or a banner; what is to be shown is in `timeline`. Ends when the client is closed.
        """
        reader = _EventReader(_EVENTS)
        return _read(reader, self._opened.subscribe_events(reader))

    async def identify(
        self,
        user_id: str | None = None,
        *,
        name: str | None = None,
        email: str | None = None,
        attributes: Mapping[str, Any] | None = None,
        token: Callable[[], Awaitable[str]] | None = None,
    ) -> None:
        """Says who uses the program; `attributes` is anything else that agents should see, at most 8 KiB as JSON.

        What was written without a name becomes theirs: all of it, or, where they have a file here already, what waits
        to be sent.

        `token` is a coroutine function that fetches a token of your backend, which proves who it is: the devices of a
        person who is proven share what they have written. It is called in this event loop when the server has to be
        told, now or later, and never in the background. Name, e-mail and attributes stand in the token then. Without
        `user_id` the token says who it is: one is fetched now, and nothing changes before it is there.

        Raises `INVALID_USER`, `TOKEN_FAILED`, `NOT_POSSIBLE` where somebody else was named before the token came,
        `STORAGE`, `CLOSED`.
        """
        if token is not None:
            if name is not None or email is not None or attributes is not None:
                raise ReplyHQError("INVALID_USER", "name, e-mail and attributes stand in the token")
            fetcher = _TokenFetcher(token)
            await _told(self._opened.identify_by_token(_whole(user_id, "INVALID_USER"), fetcher))
            return
        if user_id is None:
            raise ReplyHQError("INVALID_USER", "a person needs an id, or a function that fetches a token")
        attributes_json = None
        if attributes is not None:
            try:
                attributes_json = json.dumps(attributes, allow_nan=False)
            except (TypeError, ValueError, RecursionError) as error:
                raise ReplyHQError("INVALID_USER", f"attributes are what JSON has: {error}") from error
        wrong = "INVALID_USER"
        user = bindings.User(
            id=_whole(user_id, wrong), name=_whole(name, wrong), email=_whole(email, wrong),
            attributes_json=attributes_json,
        )
        await _told(self._opened.identify(user))

    async def logout(self) -> None:
        """Forgets the person: nothing of them stays on the device, messages that were not sent yet included.

        The server is told that they are gone from the device that it was, now or when it can be.

        Raises `STORAGE`, `CLOSED`.
        """
        await _told(self._opened.logout())

    async def send(self, body: str, conversation: str | None = None) -> str:
        """Stores a message on the device, to be sent as soon as that is possible. Returns its local id.

        Without a conversation, it goes to the person's current one; the first message opens it. Raises `EMPTY_BODY`,
        `BODY_TOO_LONG`, `INVALID_BODY`, `QUEUE_FULL`, `UNKNOWN_CONVERSATION`, `STORAGE`, `CLOSED`.
        """
        return await _told(self._opened.send(_whole(conversation, "UNKNOWN_CONVERSATION"), _whole(body, "INVALID_BODY")))

    async def retry(self, local_id: str) -> None:
        """Tries a wedged message again.

        Raises `UNKNOWN_MESSAGE`, `NOT_POSSIBLE`, `QUEUE_FULL`, `STORAGE`, `CLOSED`.
        """
        await _told(self._opened.retry(_whole(local_id, "UNKNOWN_MESSAGE")))

    async def cancel(self, local_id: str) -> None:
        """Takes a message back that waits or was set aside.

        One that was on its way before may have reached the server all the same, and then shows up again as sent. Raises
        `UNKNOWN_MESSAGE`, `NOT_POSSIBLE`, `STORAGE`, `CLOSED`.
        """
        await _told(self._opened.cancel(_whole(local_id, "UNKNOWN_MESSAGE")))

    async def load_older(self, conversation: str | None = None) -> bool:
        """Makes the timeline show up to 50 older messages more, fetched where they are not on the device.

        Returns whether there are still more. Raises `OFFLINE`, `UNKNOWN_CONVERSATION`, `STORAGE`, `CLOSED`, or the
        server's code.
        """
        return await _told(self._opened.load_older(_whole(conversation, "UNKNOWN_CONVERSATION")))

    async def mark_read(self, conversation: str | None = None) -> None:
        """Says that the person has read all that is there. Raises `UNKNOWN_CONVERSATION`, `STORAGE`, `CLOSED`."""
        await _told(self._opened.mark_read(_whole(conversation, "UNKNOWN_CONVERSATION")))

    async def typing(self, is_typing: bool, conversation: str | None = None) -> None:
        """Says whether the person types: true with each key, false when they leave the field.

        Raises `UNKNOWN_CONVERSATION`, `CLOSED`.
        """
        await _told(self._opened.typing(_whole(conversation, "UNKNOWN_CONVERSATION"), is_typing))

    async def set_network(self, is_available: bool) -> None:
        """Says whether there is a network. Until this is called, there is taken to be one. Raises `CLOSED`."""
        await _told(self._opened.set_network(is_available))

    async def network_changed(self) -> None:
        """Says that there is another network than before: a connection is made anew, at once. Raises `CLOSED`."""
        await _told(self._opened.network_changed())

    async def set_foreground(self, is_foreground: bool) -> None:
        """Says whether the person sees the program; until this is called, they are taken to.

        In the background the queue is emptied for up to 10 s, then the connection is closed. Raises `CLOSED`.
        """
        await _told(self._opened.set_foreground(is_foreground))

    async def set_api_key(self, api_key: str) -> None:
        """Goes on with another API key. Raises `INVALID_CONFIG`, `CLOSED`."""
        await _told(self._opened.set_api_key(_whole(api_key, "INVALID_CONFIG")))

    async def drain(self, timeout: float) -> int:
        """Waits until nothing is queued, at most `timeout` seconds. Returns how many messages still are.

        Raises `STORAGE`, `CLOSED`.
        """
        waits = timedelta(seconds=min(max(timeout, 0.0), _LONGEST))
        return await _told(self._opened.drain(waits))

    @property
    def _opened(self) -> bindings.SdkClient:
        if not self._sdk:
            raise ReplyHQError("CLOSED", "the client was not opened")
        return self._sdk


async def _read(reader: _Reader[_T], subscription: bindings.SdkSubscription) -> AsyncIterator[_T]:
    try:
        while (news := await reader.next()) is not None:
            yield news
    finally:
        subscription.cancel()


class _Reader(Generic[_T]):
    """What one reader has not taken yet: the newest, or as many as may wait. Offered on the SDK's thread, taken in the
    event loop."""

    def __init__(self, waiting: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._lock = threading.Lock()
        self._is_only_newest = waiting == 1
        self._waiting: collections.deque[_T] = collections.deque(maxlen=waiting)
        self._has_ended = False
        self._failure: ReplyHQError | None = None
        self._news = asyncio.Event()

    def offer(self, news: _T) -> None:
        with self._lock:
            is_told = bool(self._waiting)
            # What is missed are snapshots that newer ones replace; of events, the newest.
            if self._is_only_newest or len(self._waiting) < _EVENTS:
                self._waiting.append(news)
        # What replaces a snapshot that nobody has taken is no news: a loop that is busy gets no backlog.
        if not is_told:
            self._tell()

    def on_failed(self, code: str, detail: str) -> None:
        with self._lock:
            self._failure = ReplyHQError(code, detail)
        self._tell()

    def on_closed(self) -> None:
        with self._lock:
            self._has_ended = True
        self._tell()

    async def next(self) -> _T | None:
        """The oldest that was not taken yet; `None` when there will be no more."""
        while True:
            self._news.clear()
            with self._lock:
                if self._waiting:
                    return self._waiting.popleft()
                if self._failure:
                    raise self._failure
                if self._has_ended:
                    return None
            await self._news.wait()

    def _tell(self) -> None:
        try:
            self._loop.call_soon_threadsafe(self._news.set)
        except RuntimeError:
            # The loop is closed, and nobody waits in it any more.
            pass


class _StateReader(_Reader[ClientState], bindings.StateListener):
    def on_state(self, state: ClientState) -> None:
        self.offer(state)


class _TimelineReader(_Reader[Timeline], bindings.TimelineListener):
    def on_timeline(self, timeline: Timeline) -> None:
        self.offer(timeline)


class _EventReader(_Reader[ChatEvent], bindings.EventListener):
    def on_event(self, event: ChatEvent) -> None:
        self.offer(event)


class _TokenFetcher(bindings.TokenListener):
    def __init__(self, fetch: Callable[[], Awaitable[str]]) -> None:
        self._fetch = fetch
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()

    def on_token_wanted(self, request: bindings.TokenRequest) -> None:
        try:
            self._loop.call_soon_threadsafe(self._begin, request)
        except RuntimeError:
            request.fail("the event loop is closed")

    def _begin(self, request: bindings.TokenRequest) -> None:
        # The loop itself holds tasks only weakly.
        task = self._loop.create_task(self._answer(request))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, request: bindings.TokenRequest) -> None:
        try:
            token = await self._fetch()
            if not isinstance(token, str):
                raise TypeError(f"a token is a str, and this is {type(token).__name__}")
            request.give(_whole(token, "TOKEN_FAILED"))
        except asyncio.CancelledError:
            request.fail("the task that fetched the token was cancelled")
            raise
        except Exception as error:
            request.fail(f"{type(error).__name__}: {error}")


class _Logger(bindings.LogListener):
    def __init__(self, log: Callable[[LogLevel, str], None]) -> None:
        self._log = log

    def on_log(self, level: LogLevel, message: str) -> None:
        self._log(level, message)


async def _told(call: Awaitable[_T]) -> _T:
    """Makes the bindings' exceptions the SDK's."""
    try:
        return await call
    except bindings.SdkError.Failed as failed:
        raise ReplyHQError(failed.code, failed.detail) from failed
    except bindings.InternalError as defect:
        raise ReplyHQError("INTERNAL", str(defect)) from defect


_Text = TypeVar("_Text", str, "str | None")


def _whole(text: _Text, code: str) -> _Text:
    """The text, if it is one: half of a pair of surrogates, as a program that cuts or decodes wrongly leaves it, is none.

    To be asked before the bindings are, which lose what they have begun with when they find that out themselves.
    """
    if text is not None:
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise ReplyHQError(code, f"the text has a character that is none: {error}") from error
    return text


def _device() -> dict[str, str]:
    """What agents see of the system; nothing that would tell one device from another of its kind."""
    language, _ = locale.getlocale()
    known = {
        "os_version": platform.release(),
        "model": platform.machine(),
        "runtime": f"Python {platform.python_version()}",
        "locale": language,
        "time_zone": time.strftime("%Z %z"),
    }
    return {name: value for name, value in known.items() if value}


def _readable(kind: type) -> None:
    """Shows a value of the bindings as one would write it, without what is not known."""

    def shown(self: Any) -> str:
        fields = [(name, value) for name, value in vars(self).items() if not name.startswith("_")]
        known = ", ".join(f"{name}={value!r}" for name, value in fields if value is not None)
        return f"{type(self).__name__}({known})"

    kind.__repr__ = shown  # type: ignore[assignment]


for _kind in (bindings.ClientState, bindings.ConversationSummary, bindings.Timeline, bindings.TimelineItem):
    _readable(_kind)


class _Loop:
    """An event loop, as the bindings use it: one that has ended meanwhile has nobody who waits for an answer."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.create_future = self._loop.create_future

    def call_soon_threadsafe(self, call: Callable[..., object], *arguments: object) -> None:
        try:
            self._loop.call_soon_threadsafe(call, *arguments)
        except RuntimeError:
            pass


# Without this, they print that they could not tell it.
bindings._uniffi_get_event_loop = _Loop


@atexit.register
def _shut_down_all() -> None:
    """No thread of the SDK's may come back into an interpreter that is gone: it would end the process with it."""
    bindings.shut_down_all(timedelta(seconds=5))
