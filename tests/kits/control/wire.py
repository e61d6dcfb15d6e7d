"""Raw lines to and from the control server."""

from __future__ import annotations

import json
from typing import Any

import trio

from kits.control.fake import Running


async def lines(stream: trio.abc.ReceiveStream, count: int) -> list[Any]:
    """The next `count` lines as JSON; fewer at the end of the stream."""
    buffer = b""
    while buffer.count(b"\n") < count:
        chunk = await stream.receive_some()
        if not chunk:
            break
        buffer += chunk
    return [json.loads(line) for line in buffer.splitlines()]


async def ask(running: Running, raw: bytes, count: int = 1) -> list[Any]:
    async with await trio.open_unix_socket(str(running.path)) as stream:
        await stream.send_all(raw)
        return await lines(stream, count)


def request(method: str, params: Any = None, call_id: Any = 1) -> bytes:
    body = {"jsonrpc": "2.0", "id": call_id, "method": method}
    if params is not None:
        body["params"] = params
    return json.dumps(body).encode() + b"\n"
