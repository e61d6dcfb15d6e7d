"""A batch keeps nobody waiting, and holds no more memory than one batch may."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import trio
from kits.control.fake import serving
from kits.control.wire import ask, request

from node.control import openrpc, rpc
from node.control.codes import Code
from node.control.methods import METHODS
from protocol.params import MAX_CONTROL_BATCH, MAX_CONTROL_BATCH_REPLY_BYTES


class Turns:
    """Counts the turns that another task gets."""

    def __init__(self) -> None:
        self.count = 0

    async def run(self) -> None:
        while True:
            await trio.lowlevel.checkpoint()
            self.count += 1


async def turns_during(running: Any, raw: bytes, replies: int) -> int:
    turns = Turns()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(turns.run)
        await ask(running, raw, replies)
        nursery.cancel_scope.cancel()
    return turns.count


async def test_others_get_a_turn_before_each_call_of_a_batch(tmp_path: Path) -> None:
    class Api:
        def status(self) -> Any:
            seen.append(turns.count)
            return running.node.status()

    class Context:
        api: Any = Api()
        registry = METHODS

    turns = Turns()
    seen: list[int] = []
    async with serving(tmp_path / "s") as running, trio.open_nursery() as nursery:
        nursery.start_soon(turns.run)
        call = json.loads(request("status"))
        line = json.dumps([call] * MAX_CONTROL_BATCH).encode()
        await rpc.answer(METHODS, Context(), line)  # type: ignore[arg-type]
        nursery.cancel_scope.cancel()
    assert len(seen) == MAX_CONTROL_BATCH
    # The order of two tasks within one of trio's rounds is drawn, so a count may repeat once.
    assert all(later > earlier for earlier, later in zip(seen, seen[2:], strict=False))


async def test_calls_that_ask_for_no_reply_leave_others_their_turn(tmp_path: Path) -> None:
    silent = b'{"jsonrpc":"2.0","method":"peers"}\n'
    async with serving(tmp_path / "s") as running:
        raw = silent * 200 + request("status")
        assert await turns_during(running, raw, 1) >= 200


async def test_the_document_is_made_once(tmp_path: Path, monkeypatch: Any) -> None:
    made = []
    real = openrpc.document

    def document(registry: rpc.Registry) -> dict[str, Any]:
        made.append(registry)
        return real(registry)

    monkeypatch.setattr(openrpc, "document", document)
    openrpc.answer.cache_clear()
    call = json.loads(request("rpc.discover"))
    async with serving(tmp_path / "s") as running:
        [replies] = await ask(running, json.dumps([call] * MAX_CONTROL_BATCH).encode() + b"\n")
        [again] = await ask(running, request("rpc.discover"))
    assert [reply["result"] for reply in replies] == [real(METHODS)] * MAX_CONTROL_BATCH
    assert again["result"] == real(METHODS)
    assert len(made) == 1


async def test_replies_of_a_batch_end_at_their_budget(tmp_path: Path, monkeypatch: Any) -> None:
    call = request("data.add", {"name": "d", "path": "/x"})
    async with serving(tmp_path / "s") as running:
        batch = [json.loads(call) | {"params": {"name": f"d{n}", "path": "/x"}} for n in range(4)]
        line = json.dumps(batch).encode() + b"\n"
        [first] = await ask(running, json.dumps(batch[:1]).encode() + b"\n")
        running.node.datasets.clear()
        size = len(json.dumps(first[0], separators=(",", ":")))
        # Two replies reach the limit exactly, or are one byte short of it.
        for limit, called in ((2 * size, 2), (2 * size + 1, 3)):
            monkeypatch.setattr(rpc, "MAX_CONTROL_BATCH_REPLY_BYTES", limit)
            [replies] = await ask(running, line)
            assert [("result" in reply) for reply in replies] == [n < called for n in range(4)]
            assert {reply["error"]["code"] for reply in replies[called:]} == {Code.TOO_LARGE}
            assert "in another" in replies[-1]["error"]["message"]
            # What was refused was not done.
            assert sorted(running.node.datasets) == [f"d{n}" for n in range(called)]
            running.node.datasets.clear()


def test_a_batch_of_the_longest_fixed_reply_fits() -> None:
    size = len(openrpc.answer(METHODS).text)
    assert size * MAX_CONTROL_BATCH < MAX_CONTROL_BATCH_REPLY_BYTES
