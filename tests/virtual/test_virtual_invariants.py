"""A promise that is broken is seen: nodes with a defect, and what the world says of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from unittest.mock import patch

import pytest

from node.perform import secrets
from node.perform.messages import PROTOCOL
from node.privacy import ledger as privacy_ledger
from protocol.wire.codec import decode
from protocol.wire.envelope import Frame, reopen_envelope
from protocol.wire.messages import Release
from virtual.ledger import _Call
from virtual.lives import Node
from virtual.world import Terms, World


def broken(**terms: Any) -> str:
    return "\n".join(
        World(Terms(**{"seed": 4, "rounds": 1, "patience": 120.0, **terms})).run().broken
    )


def test_what_is_told_without_a_charge_is_seen() -> None:
    with (
        patch.object(privacy_ledger, "charge", lambda *_: None),
        patch.object(privacy_ledger, "keep", lambda *_: None),
    ):
        assert "was told and not charged" in broken(noisy=True)


def test_money_that_comes_from_nowhere_is_seen() -> None:
    """And so is a contract that pays one wei too much."""
    move = _Call.move

    def generous(call: _Call, account: bytes, amount: int) -> None:
        move(call, account, amount + (amount > 0))

    with patch.object(_Call, "move", generous):
        assert "ether was made or lost" in broken()


def test_two_kinds_of_share_are_seen() -> None:
    """An owner that is killed as it releases, and then answers with other shares."""
    seal: Callable[..., Any] = secrets.messages.sealed
    inject, count, killed = World._inject, 0, set[str]()

    def other(services: Any, job: bytes, round_: int, attempt: int, body: Any) -> Any:
        nonlocal count
        if isinstance(body, Release):
            count += 1
            body = Release(body.root, body.block, tuple(bytes([count]) * 32 for _ in body.shares))
        return seal(services, job, round_, attempt, body)

    def kill(origin: Node, target: Node, protocol: str, data: bytes) -> None:
        if (origin.name, protocol) != ("o1", PROTOCOL) or killed:
            return
        body = reopen_envelope(decode(Frame, data, 1 << 20).envelope).body
        if isinstance(body, Release):
            killed.add(origin.name)
            origin.crash()

    def watched(world: World) -> None:
        inject(world)
        world.network.spies.append(kill)

    with (
        patch.object(World, "_inject", watched),
        patch.object(secrets.messages, "sealed", other),
        patch.object(secrets, "_stored", lambda *_: None),
    ):
        assert "o1: two kinds of share" in broken()


@pytest.mark.ci
def test_a_secret_that_is_kept_is_seen() -> None:
    from node.home.keys import Keys

    with patch.object(Keys, "forget", lambda *_: None):
        assert "secrets of attempts are left" in broken(patience=1_000.0)
