"""A message to a peer that does not know its job is not delivered, and is said again."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import trio
from kits.books import CHAIN_ID, CONTRACT, REQUESTER

from node.engine.clock import Clock
from node.perform import messages
from protocol.wire.codec import encode
from protocol.wire.envelope import Context, Frame
from protocol.wire.messages import RefusalCode, Refuse

JOB = b"\x0b" * 32


def answer(code: RefusalCode) -> bytes:
    """What the peer says to a message."""
    said = REQUESTER.say(Context(CHAIN_ID, CONTRACT, JOB, 0, 0), Refuse(code, "no such job here"))
    return encode(Frame(encode(said), b""))


@pytest.mark.parametrize(
    ("replies", "asked"),
    [
        ([answer(RefusalCode.UNKNOWN), answer(RefusalCode.UNKNOWN), b""], 3),
        ([answer(RefusalCode.CLOSED), b""], 1),
        ([b"garbage", b""], 1),
        ([b""], 1),
    ],
)
async def test_it_is_delivered_once_the_job_is_known(
    replies: list[bytes], asked: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests, completed, taken = [], [], []

    async def request(peer: str, protocol: str, frame: bytes, timeout: float) -> bytes:
        requests.append(frame)
        return replies[len(requests) - 1]

    async def feed_all(inputs: Any, id_: int, also: Any) -> None:
        await trio.lowlevel.checkpoint()
        assert inputs == ()
        completed.append((id_, also is not None))

    async def take(frame: bytes, peer: bytes) -> None:
        taken.append(frame)

    monkeypatch.setattr(messages, "_PAUSE", 0.0)
    services: Any = SimpleNamespace(
        swarm=SimpleNamespace(request=request),
        engine=SimpleNamespace(feed_all=feed_all),
        take=take,
        clock=Clock(),
    )
    wanted: Any = SimpleNamespace(id=7, pointless=False, machine=SimpleNamespace(key=JOB))
    until = services.clock.ms() + 60_000
    await messages._deliver(services, wanted, REQUESTER.peer, b"frame", "Release", until)
    assert len(requests) == asked
    # Its bytes are counted in the transaction that ends it.
    assert completed == [(7, True)]
    assert taken == [reply for reply in replies[:asked] if reply == answer(RefusalCode.CLOSED)]
