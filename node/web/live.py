"""Server-sent events (WHATWG HTML, 9.2): what happens, told to a page that is open.

An event says that something changed, and one line of it; the page then asks for its own view anew,
so that nothing is rendered in two places.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TYPE_CHECKING, Final

import trio
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from node.console.failure import Failure
from node.console.show import clean
from node.web.page import Page
from node.web.said import SHOWN

if TYPE_CHECKING:
    from node.control.shapes import Event

#: Silence of so many seconds is broken by a comment, so that a connection that died is noticed.
_COMMENT_SECONDS: Final = 15.0

#: After so many milliseconds a browser comes back.
_RETRY_MILLISECONDS: Final = 2000

#: Pages that may be open at once: a connection of the control socket each.
MAX_STREAMS: Final = 16


class Live:
    """Streams of events, of which there may be a few at once."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self._open = 0

    async def events(self, request: Request) -> Response:
        """Events of all jobs, or of the one that the query names."""
        if self._open >= MAX_STREAMS:
            return Response(f"{MAX_STREAMS} pages follow events already\n", 503)
        return _Stream(self, request.query_params.get("job") or None)

    async def lines(self, job: str | None) -> AsyncGenerator[bytes, None]:
        """What is sent, until the daemon ends the stream."""
        yield f"retry: {_RETRY_MILLISECONDS}\n\n".encode()
        try:
            async with self._page.rpc.events(job) as events:
                # For a view that found no daemon, and waits for one.
                yield _named("up", {"text": "live"})
                async for event in events:
                    self._page.explanations.hear(event)
                    yield _line(event)
        except Failure as failure:
            yield _named("gone", {"text": clean(str(failure))})


class _Stream(Response):
    media_type = "text/event-stream"

    def __init__(self, live: Live, job: str | None) -> None:
        super().__init__()
        self._live = live
        self._job = job
        del self.headers["content-length"]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send until either side ends."""
        self._live._open += 1
        sending = trio.Lock()

        async def write(body: bytes) -> None:
            async with sending:
                await send({"type": "http.response.body", "body": body, "more_body": True})

        async def tell() -> None:
            async with aclosing(self._live.lines(self._job)) as lines:
                async for line in lines:
                    await write(line)
            nursery.cancel_scope.cancel()

        async def comment() -> None:
            while True:
                await trio.sleep(_COMMENT_SECONDS)
                await write(b":\n\n")

        try:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            async with trio.open_nursery() as nursery:
                nursery.start_soon(tell)
                nursery.start_soon(comment)
                while (await receive())["type"] != "http.disconnect":
                    pass
                nursery.cancel_scope.cancel()
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            self._live._open -= 1


def _line(event: Event) -> bytes:
    said = clean(event["text"][:SHOWN])
    told = {"kind": event["kind"], "text": said, "at": event["time"], "job": event["job"]}
    return _named("change", told, event["seq"])


def _named(name: str, told: dict[str, object], number: int | None = None) -> bytes:
    # One line of ASCII: no text of a peer can end the event and begin another.
    identity = "" if number is None else f"id: {number}\n"
    return f"{identity}event: {name}\ndata: {json.dumps(told)}\n\n".encode("ascii")
