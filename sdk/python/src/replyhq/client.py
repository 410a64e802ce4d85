"""The client as Python code uses it: coroutines and asynchronous iterators over the generated bindings."""

import asyncio
import atexit
import json
import threading
import weakref
from datetime import timedelta

from . import replyhq_sdk as bindings


class ReplyHQError(Exception):
    """What a call of the SDK fails with.

    `code` is a constant word: the SDK's own, such as `OFFLINE`, or the server's. docs/sdk/README.md has all of them.
    """

    def __init__(self, code, message):
        super().__init__(f"{message} ({code})")
        self.code = code
        self.message = message


class Client:
    """Support chat: `async with Client(server_url, app_id, api_key, data_dir) as client:`.

    Belongs to the event loop in which it was opened. A call goes on to its end even if the task that waits for it is
    cancelled: a message that was given to `send` is sent. One client at a time may have a data folder open.

    `log(level, message)` hears the SDK's log, on a thread of the SDK's; no message and no key is in it.
    `extra_root_certificates_pem` is for a server whose certificate is from a private authority.
    """

    def __init__(self, server_url, app_id, api_key, data_dir, *, extra_root_certificates_pem=None, log=None):
        self._config = bindings.ClientConfig(
            server_url=server_url, app_id=app_id, api_key=api_key, data_dir=str(data_dir),
            extra_root_certificates_pem=extra_root_certificates_pem,
        )
        self._logger = _Logger(log) if log else None
        self._sdk = None

    async def open(self):
        """Opens the data folder and starts connecting; what was queued before is sent. `async with` does this.

        Raises `INVALID_CONFIG`, `ALREADY_OPEN`, `STORAGE`.
        """
        if self._sdk:
            raise ReplyHQError("ALREADY_OPEN", "this client was opened before")
        self._sdk = await _told(bindings.SdkClient.open(self._config, self._logger))
        _open_clients.add(self._sdk)
        return self

    async def close(self):
        """Stops everything. When it returns, the data folder may be opened again; what is queued is still there."""
        if self._sdk:
            await self._sdk.shut_down()
            _open_clients.discard(self._sdk)

    async def __aenter__(self):
        return await self.open()

    async def __aexit__(self, *_):
        await self.close()

    @property
    def state(self):
        """How the client stands: connection, conversations, unread messages."""
        return self._opened.state()

    def states(self):
        """An asynchronous iterator over the states: the present one, then the newest whenever it has changed.

        Who is slow misses states in between. Ends when the client is closed; the last one says so.
        """
        reader = _StateReader()
        return _read(reader, self._opened.subscribe_state(reader))

    def timeline(self, conversation=None):
        """As `states`, over the messages of a conversation; without a name, of the person's current one."""
        reader = _TimelineReader()
        return _read(reader, self._opened.subscribe_timeline(conversation, reader))

    async def identify(self, user_id, *, name=None, email=None, attributes=None):
        """Says who uses the program; `attributes` is anything else that agents should see, at most 8 KiB as JSON.

        What was written without a name becomes theirs, unless they have a file here already.

        Raises `INVALID_USER`, `STORAGE`, `CLOSED`.
        """
        attributes_json = None if attributes is None else json.dumps(attributes)
        user = bindings.User(id=user_id, name=name, email=email, attributes_json=attributes_json)
        await _told(self._opened.identify(user))

    async def logout(self):
        """Forgets the person: nothing of them stays on the device, messages that were not sent yet included.

        Raises `STORAGE`, `CLOSED`.
        """
        await _told(self._opened.logout())

    async def send(self, body, conversation=None):
        """Stores a message on the device, to be sent as soon as that is possible. Returns its local id.

        Without a conversation, it goes to the person's current one; the first message opens it. Raises `EMPTY_BODY`,
        `BODY_TOO_LONG`, `INVALID_BODY`, `QUEUE_FULL`, `UNKNOWN_CONVERSATION`, `STORAGE`, `CLOSED`.
        """
        return await _told(self._opened.send(conversation, body))

    async def retry(self, local_id):
        """Tries a wedged message again.

        Raises `UNKNOWN_MESSAGE`, `NOT_POSSIBLE`, `QUEUE_FULL`, `STORAGE`, `CLOSED`.
        """
        await _told(self._opened.retry(local_id))

    async def cancel(self, local_id):
        """Takes a message back that waits or was set aside.

        One that was on its way before may have reached the server all the same, and then shows up again as sent. Raises
        `UNKNOWN_MESSAGE`, `NOT_POSSIBLE`, `STORAGE`, `CLOSED`.
        """
        await _told(self._opened.cancel(local_id))

    async def load_older(self, conversation=None):
        """Makes the timeline show up to 50 older messages more, fetched where they are not on the device.

        Returns whether there are still more. Raises `OFFLINE`, `UNKNOWN_CONVERSATION`, `STORAGE`, `CLOSED`, or the
        server's code.
        """
        return await _told(self._opened.load_older(conversation))

    async def mark_read(self, conversation=None):
        """Says that the person has read all that is there. Raises `UNKNOWN_CONVERSATION`, `STORAGE`, `CLOSED`."""
        await _told(self._opened.mark_read(conversation))

    async def typing(self, is_typing, conversation=None):
        """Says whether the person types: true with each key, false when they leave the field.

        Raises `UNKNOWN_CONVERSATION`, `CLOSED`.
        """
        await _told(self._opened.typing(conversation, is_typing))

    async def set_network(self, is_available):
        """Says whether there is a network. Until this is called, there is taken to be one. Raises `CLOSED`."""
        await _told(self._opened.set_network(is_available))

    async def network_changed(self):
        """Says that there is another network than before: a connection is made anew, at once. Raises `CLOSED`."""
        await _told(self._opened.network_changed())

    async def set_foreground(self, is_foreground):
        """Says whether the person sees the program; until this is called, they are taken to.

        In the background the queue is emptied for up to 10 s, then the connection is closed. Raises `CLOSED`.
        """
        await _told(self._opened.set_foreground(is_foreground))

    async def set_api_key(self, api_key):
        """Goes on with another API key. Raises `CLOSED`."""
        await _told(self._opened.set_api_key(api_key))

    async def drain(self, timeout):
        """Waits until nothing is queued, at most `timeout` seconds. Returns how many messages still are.

        Raises `STORAGE`, `CLOSED`.
        """
        return await _told(self._opened.drain(timedelta(seconds=timeout)))

    @property
    def _opened(self):
        if not self._sdk:
            raise ReplyHQError("CLOSED", "the client was not opened")
        return self._sdk


async def _read(reader, subscription):
    try:
        while (snapshot := await reader.next()) is not None:
            yield snapshot
    finally:
        subscription.cancel()


class _Newest:
    """The newest snapshot for one reader. Offered on the SDK's thread, taken in the event loop."""

    def __init__(self):
        self._loop = asyncio.get_running_loop()
        self._lock = threading.Lock()
        self._newest = None
        self._has_ended = False
        self._news = asyncio.Event()

    def offer(self, snapshot):
        with self._lock:
            is_told = self._newest is not None
            self._newest = snapshot
        # What replaces a snapshot that nobody has taken is no news: a loop that is busy gets no backlog.
        if not is_told:
            self._tell()

    def on_closed(self):
        with self._lock:
            self._has_ended = True
        self._tell()

    async def next(self):
        """The newest snapshot that was not taken yet; `None` when there will be no more."""
        while True:
            self._news.clear()
            with self._lock:
                snapshot, self._newest = self._newest, None
                has_ended = self._has_ended
            if snapshot is not None or has_ended:
                return snapshot
            await self._news.wait()

    def _tell(self):
        try:
            self._loop.call_soon_threadsafe(self._news.set)
        except RuntimeError:
            # The loop is closed, and nobody waits in it any more.
            pass


class _StateReader(_Newest, bindings.StateListener):
    def on_state(self, state):
        self.offer(state)


class _TimelineReader(_Newest, bindings.TimelineListener):
    def on_timeline(self, timeline):
        self.offer(timeline)


class _Logger(bindings.LogListener):
    def __init__(self, log):
        self._log = log

    def on_log(self, level, message):
        self._log(level, message)


async def _told(call):
    """Makes the bindings' exceptions the SDK's."""
    try:
        return await call
    except bindings.SdkError.Failed as failed:
        raise ReplyHQError(failed.code, failed.detail) from failed
    except bindings.InternalError as defect:
        raise ReplyHQError("INTERNAL", str(defect)) from defect


_open_clients = weakref.WeakSet()


@atexit.register
def _close_all():
    """A thread of the SDK's must not call into an interpreter that is gone."""

    async def close_all():
        for sdk in list(_open_clients):
            await sdk.shut_down()

    if _open_clients:
        asyncio.run(close_all())
