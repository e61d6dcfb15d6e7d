"""Frozen rosters that do not hold: each is refused, for the reason that is wrong with it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest
from simulator.moments import member_of
from simulator.participant import Node
from simulator.world import Settings, World

from protocol.books.lists import encode_roster
from protocol.machines import inputs
from protocol.machines.effects import BlobKind, Examine
from protocol.machines.round import Phase
from protocol.requester.state import RequesterRound
from protocol.wire.blobs import blob_digest
from protocol.wire.envelope import Envelope
from protocol.wire.messages import Ready


class Scene:
    """Two blocks of five in the second attempt of a round; `me` looks at its block's roster."""

    def __init__(self) -> None:
        self.world = world = World(Settings(seed=81, owners=10, ready_seconds=4, corrupt=1))
        self.attempts: dict[int, dict[int, Envelope]] = {}
        # Every first batch is garbage: the first attempt fails, for both blocks.
        for owner in world.owners:
            left = [1]

            def spoil(batch: bytes, left: list[int] = left) -> bytes:
                left[0] -= 1
                return batch[:45] + bytes(len(batch) - 45) if left[0] == 0 else batch

            owner.tricks.batch = spoil

        def there() -> bool:
            round_ = world.books.round
            if round_ is not None and round_.phase is Phase.CONTRIBUTE:
                self.attempts.setdefault(round_.attempt, self._ready(round_))
            return len(self.attempts) == 2

        assert world.clock.run(world.clock.now + 200_000, there)
        self.round = world.books.round
        self.me = world.owners[0]
        blocks = world.requester.executor.listing.blocks(world.job, 0)
        mine = blocks[member_of(world, self.me)]
        self.block = mine
        self.mates = [m for m, b in enumerate(blocks) if b == mine]
        self.others = [m for m, b in enumerate(blocks) if b != mine]

    def _ready(self, round_: RequesterRound) -> dict[int, Envelope]:
        return {r.member: self.world.requester.messages[r.message] for r in round_.ready}

    def node(self, member: int) -> Node:
        return next(o for o in self.world.owners if member_of(self.world, o) == member)

    @property
    def roster(self) -> list[Envelope]:
        """The true one."""
        return [self.attempts[1][m] for m in self.mates]

    @property
    def another(self) -> int:
        """A place in the roster that is not this owner's."""
        return next(i for i, m in enumerate(self.mates) if m != member_of(self.world, self.me))

    def look(self, envelopes: list[Envelope]) -> inputs.Input:
        """What this owner finds in a roster."""
        assert self.round is not None
        data = encode_roster(envelopes)
        self.me.blobs[blob_digest(data)] = data
        place = BlobKind.ROSTER, 0, 1, blob_digest(data), self.round.opening_digest
        return self.me.executor.listing.examine(self.world.job, Examine(*place, self.block))

    def replaced(self, index: int, envelope: Envelope) -> list[Envelope]:
        return [*self.roster[:index], envelope, *self.roster[index + 1 :]]

    def signed(self, by: Node, attempt: int = 1, **changes: object) -> Envelope:
        """Another member's Ready with changes, signed by whom it pleases."""
        body = self.roster[self.another].body
        assert isinstance(body, Ready)
        return by.sealed(self.world.job, 0, attempt, dataclasses.replace(body, **changes))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def scene() -> Scene:
    return Scene()


def test_the_true_roster_holds(scene: Scene) -> None:
    found = scene.look(scene.roster)
    assert isinstance(found, inputs.ExaminedRoster)
    assert found.members == tuple(scene.mates)


def _with_boxes(scene: Scene) -> list[Envelope]:
    """One member changes its own word: the boxes in it are for nobody."""
    liar = scene.node(scene.mates[scene.another])
    return scene.replaced(scene.another, scene.signed(liar, boxes=(b"no box".ljust(64),) * 5))


def _with_hashes(scene: Scene) -> list[Envelope]:
    liar = scene.node(scene.mates[scene.another])
    return scene.replaced(scene.another, scene.signed(liar, key_hashes=(bytes(16),) * 5))


def _with_low_order_key(scene: Scene) -> list[Envelope]:
    liar = scene.node(scene.mates[scene.another])
    return scene.replaced(scene.another, scene.signed(liar, mask_key=bytes(32)))


BAD: dict[str, tuple[Callable[[Scene], list[Envelope]], str]] = {
    "stale": (
        lambda s: [s.attempts[0][m] for m in s.mates],
        "something else than Ready for its opening",
    ),
    "a replayed Ready": (
        lambda s: s.replaced(s.another, s.attempts[0][s.mates[s.another]]),
        "something else than Ready for its opening",
    ),
    "an old Ready in a new place": (
        lambda s: s.replaced(
            s.another,
            s.node(s.mates[s.another]).sealed(
                s.world.job, 0, 1, s.attempts[0][s.mates[s.another]].body
            ),
        ),
        "something else than Ready for its opening",
    ),
    "a key of the requester's": (
        lambda s: s.replaced(s.another, s.signed(s.world.requester, mask_key=b"k" * 32)),
        "a key that no enrolment in its block covers",
    ),
    "a member of the other block": (
        lambda s: s.replaced(s.another, s.attempts[1][s.others[0]]),
        "a key that no enrolment in its block covers",
    ),
    "one of both blocks": (
        lambda s: [*s.roster, s.attempts[1][s.others[0]]],
        "a key that no enrolment in its block covers",
    ),
    "one twice": (
        lambda s: [s.roster[0], *s.roster[:4]],
        "do not ascend, or one stands twice",
    ),
    "out of order": (lambda s: s.roster[::-1], "do not ascend"),
    "one missing": (lambda s: s.roster[:4], "with 4 of its 5 members, 5 are needed"),
    "boxes of something else": (_with_boxes, "not what its hash covers"),
    "hashes of other shares": (_with_hashes, "not what its hash covers"),
    "a key of low order": (_with_low_order_key, "low order"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_roster_that_does_not_hold_is_rejected(scene: Scene, name: str) -> None:
    make, reason = BAD[name]
    found = scene.look(make(scene))
    assert isinstance(found, inputs.RejectedRoster)
    assert reason in found.reason
    if "member" in reason and "members" not in reason:
        assert f"member {scene.mates[scene.another]}" in found.reason, "who is at fault is named"


def test_a_copied_mask_key_masks_nothing(scene: Scene) -> None:
    """Copies of an honest member's key would cancel its masks: nothing is made under them."""
    liar = scene.node(scene.mates[scene.another])
    mine = next(e.body for e in scene.roster if e.sender == scene.me.peer)
    assert isinstance(mine, Ready)
    copied = scene.signed(liar, mask_key=mine.mask_key)
    found = scene.look(scene.replaced(scene.another, copied))
    assert isinstance(found, inputs.RejectedRoster)
    assert "have one mask key" in found.reason
