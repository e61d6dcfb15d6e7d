"""Calls of a daemon under trio, each on a connection of its own: as many at once as are begun."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import trio

from node.client.rpc import advised
from node.client.trio_calls import TrioCalls
from node.console.talk import (
    CHUNK,
    CONNECT_SECONDS,
    SILENCE_SECONDS,
    CallError,
    Talk,
    answers,
    event_of,
    outcome,
)
from node.home.home import Home

if TYPE_CHECKING:
    from node.control.shapes import Event


class TrioRpc(TrioCalls):
    """Every method of one daemon, typed, for trio."""

    def __init__(
        self, home: Home, seconds: float | None = None, *, silence: float = SILENCE_SECONDS
    ) -> None:
        """`seconds`: how long each call may take. None: as long as the daemon lives; after each
        `silence` seconds it is asked for its status."""
        self.home = home
        self._seconds = seconds
        self._silence = silence

    async def call(self, method: str, params: Mapping[str, Any]) -> Any:
        """The result of any method by its name. Raises Failure, whose notes say what to do."""
        with advised():
            async with self._connected() as line:
                return await self._answer(line, method, params)

    @asynccontextmanager
    async def events(
        self, job: str | None = None, since: int | None = None
    ) -> AsyncIterator[AsyncGenerator[Event, None]]:
        """Events as they come, to be read within the block. The subscription stands when it begins.

        `job` is a full id; `since` asks for the kept ones numbered above it, too. The stream ends
        with Failure alone, if the daemon ends or drops it.
        """
        with advised():
            async with self._connected() as line:
                params = {"job": job, "since": since}
                subscribed = await self._answer(line, "events.subscribe", params)
                events = line.events(subscribed["subscription"])
                try:
                    yield events
                finally:
                    with trio.CancelScope(shield=True):
                        await events.aclose()

    async def _answer(self, line: _Line, method: str, params: Mapping[str, Any]) -> Any:
        if self._seconds is not None:
            return await line.call(method, params, self._seconds)
        number = await line.ask(method, params, self._silence)
        while True:
            with trio.move_on_after(self._silence) as waited:
                answer = await line.answer(method, number)
            if not waited.cancelled_caught:
                return answer
            # Not an answer, and not a word on another connection either: that raises Failure.
            async with self._connected() as other:
                with contextlib.suppress(CallError):
                    await other.call("status", {}, self._silence)

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[_Line]:
        talk = Talk(self.home.path)
        try:
            with trio.fail_after(CONNECT_SECONDS):
                stream = await trio.open_unix_socket(str(self.home.socket_path()))
        except OSError as error:
            raise talk.unreachable(error) from None
        except trio.TooSlowError:
            raise talk.silent("connect", CONNECT_SECONDS) from None
        try:
            yield _Line(stream, talk)
        finally:
            await trio.aclose_forcefully(stream)


class _Line:
    """One connection."""

    def __init__(self, stream: trio.SocketStream, talk: Talk) -> None:
        self._stream = stream
        self._talk = talk

    async def call(self, method: str, params: Mapping[str, Any], seconds: float) -> Any:
        """Ask, and wait for the answer, `seconds` each. Raises CallError, Failure."""
        number = await self.ask(method, params, seconds)
        try:
            with trio.fail_after(seconds):
                return await self.answer(method, number)
        except trio.TooSlowError:
            raise self._talk.silent(method, seconds) from None

    async def ask(self, method: str, params: Mapping[str, Any], seconds: float) -> int:
        """Send a call; its number. Raises Failure where the daemon does not read it in time."""
        number, request = self._talk.ask(method, params)
        try:
            with trio.fail_after(seconds):
                await self._send(request)
        except trio.TooSlowError:
            raise self._talk.silent(method, seconds) from None
        return number

    async def answer(self, method: str, number: int) -> Any:
        """What a call came to. May be cancelled and called again: no byte is lost."""
        while not answers(reply := await self._read(method), number):
            pass
        return outcome(reply)

    async def events(self, subscription: int) -> AsyncGenerator[Event, None]:
        while True:
            event = event_of(await self._read("events.subscribe"), subscription)
            if event is not None:
                yield event

    async def _send(self, request: bytes) -> None:
        try:
            await self._stream.send_all(request)
        except trio.BrokenResourceError:
            # The daemon may have said why before it hung up: what is there is read next.
            return

    async def _read(self, method: str) -> dict[str, Any]:
        while (message := self._talk.line()) is None:
            try:
                chunk = await self._stream.receive_some(CHUNK)
            except trio.BrokenResourceError:
                chunk = b""
            if not chunk:
                raise self._talk.gone(method)
            self._talk.hear(bytes(chunk))
        return message
