"""The page's process: a listening socket on loopback, and hypercorn on trio around the app."""

from __future__ import annotations

import logging
import os
import signal
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import trio
from hypercorn.config import Config
from hypercorn.trio import serve
from starlette.applications import Starlette
from starlette.routing import Route

from node.console.failure import Failure
from node.control.codes import Exit
from node.home.home import Home
from node.web.acts import Acts
from node.web.drafts.posting import Posting
from node.web.drafts.steps import Steps
from node.web.gate import Gate
from node.web.live import Live
from node.web.page import Page
from node.web.pages import Pages
from node.web.predicting import Predicting
from node.web.sales import Sales
from node.web.sets import Sets
from node.web.uploads.scratch import Scratch

if TYPE_CHECKING:
    from protocol.tokens import Tokens

#: A connection that brings no whole head of a request for so many seconds is dropped; the gate says
#: how long a body may take. Answers and streams of events have no limit: a read timeout of the
#: server's would end them too.
_HEAD_SECONDS: Final = 5

#: What open streams get to end, once the process is told to.
_GRACE_SECONDS: Final = 1.0


def listen(port: int) -> socket.socket:
    """A socket on loopback alone; port 0: any that is free. Raises Failure where it is taken."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
    except OSError as error:
        listener.close()
        text = f"port {port} cannot be had: {error.strerror or error}"
        raise Failure(Exit.USAGE, text, next_="assay web", field="port") from None
    listener.listen(64)
    return listener


def build(home: Home, port: int, scratch: Scratch, tokens: Tokens | None = None) -> Gate:
    """The whole page as an ASGI application that answers to 127.0.0.1:`port` alone."""
    page = Page(home, scratch, tokens)
    pages, acts, live, posting = Pages(page), Acts(page), Live(page), Posting(page)
    sets, steps, predicting = Sets(page), Steps(page, posting), Predicting(page)
    sales = Sales(page)
    app = Starlette(
        routes=[
            Route("/", pages.home),
            Route("/job/{job}", pages.job),
            Route("/job/{job}/history", pages.history),
            Route("/job/{job}/model", pages.model),
            Route("/data", pages.data),
            Route("/data/add", sets.form),
            Route("/data/add", sets.add, methods=["POST"]),
            Route("/data/{dataset}", sets.look),
            Route("/data/{dataset}/replace", sets.replace, methods=["POST"]),
            Route("/data/{dataset}/map", sets.map, methods=["POST"]),
            Route("/data/{dataset}/remove", sets.remove, methods=["POST"]),
            Route("/job/{job}/predict", predicting.form),
            Route("/job/{job}/predict", predicting.predict, methods=["POST"]),
            Route("/predictions/{name}", predicting.file),
            Route("/money", pages.money),
            Route("/money/receipts", pages.receipts),
            Route("/sale", sales.sale),
            Route("/sale/new", sales.form),
            Route("/sale/new", sales.terms, methods=["POST"]),
            Route("/sale/sell", sales.sell, methods=["POST"]),
            Route("/sale/redeem", sales.redeem, methods=["POST"]),
            Route("/sale/reclaim", sales.reclaim, methods=["POST"]),
            Route("/sale/offer/{offer}", sales.offer),
            Route("/sale/offer/{offer}/withdraw", sales.withdraw, methods=["POST"]),
            Route("/network", pages.network),
            Route("/live", live.events),
            Route("/waits", page.waits),
            Route("/static/{name}", page.static),
            Route("/post", steps.begin),
            Route("/post", posting.post, methods=["POST"]),
            Route("/post/table", steps.table, methods=["POST"]),
            Route("/post/card", steps.card, methods=["POST"]),
            Route("/post/draft/{draft}/{step}", steps.show),
            Route("/post/draft/{draft}/{step}", steps.take, methods=["POST"]),
            Route("/post/spec", posting.form),
            Route("/post/quote", posting.quote, methods=["POST"]),
            Route("/job/{job}/cancel", posting.cancel, methods=["POST"]),
            Route("/job/{job}/consent", acts.consent, methods=["POST"]),
            Route("/job/{job}/decline", acts.decline, methods=["POST"]),
            Route("/job/{job}/leave", acts.leave, methods=["POST"]),
            Route("/pause", acts.pause, methods=["POST"]),
            Route("/resume", acts.resume, methods=["POST"]),
            Route("/job/{job}/claim", acts.claim, methods=["POST"]),
            Route("/policy/{dataset}", acts.policy, methods=["POST"]),
            Route("/network/join", acts.join, methods=["POST"]),
            Route("/network/doctor", acts.doctor, methods=["POST"]),
        ],
        exception_handlers={Failure: page.failed, 404: page.lost, 405: page.lost},
    )
    return Gate(app, port)


def run(home: Home, port: int, ready: Callable[[str], None], tokens: Tokens | None = None) -> None:
    """Serve until SIGINT or SIGTERM. `ready` gets the address, token and all, once it answers."""
    listener = listen(port)
    scratch = Scratch(home)
    try:
        trio.run(_serve, home, listener, ready, scratch, tokens)
    finally:
        scratch.close()
        listener.close()


async def _serve(
    home: Home,
    listener: socket.socket,
    ready: Callable[[str], None],
    scratch: Scratch,
    tokens: Tokens | None,
) -> None:
    port = listener.getsockname()[1]
    gate = build(home, port, scratch, tokens)
    config = Config()
    config.bind = [f"fd://{os.dup(listener.fileno())}"]
    config.accesslog = None
    config.errorlog = logging.getLogger("assay.web.http")
    config.graceful_timeout = _GRACE_SECONDS
    config.keep_alive_timeout = _HEAD_SECONDS
    config.h11_max_incomplete_size = 16 * 1024
    config.include_server_header = False
    config.alpn_protocols = ["http/1.1"]
    ended = trio.Event()

    async def end_on_signals() -> None:
        with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            async for _ in signals:
                ended.set()
                return

    async with trio.open_nursery() as nursery:
        nursery.start_soon(end_on_signals)
        ready(f"http://127.0.0.1:{port}/?token={gate.token}")
        await serve(gate, config, shutdown_trigger=ended.wait, mode="asgi")  # type: ignore[arg-type]
        nursery.cancel_scope.cancel()
