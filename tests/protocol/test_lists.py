"""Lists of signed messages: rebuilt whole, or refused."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from simulator.participant import Node
from simulator.world import Settings, World

from protocol.codec import encode
from protocol.enrolment import Cohort, cohort_order, draw_blocks
from protocol.envelope import Context, Envelope, envelope_digest
from protocol.errors import Malformed
from protocol.lists import (
    MessageList,
    contribution_leaf_of,
    decode_list,
    encode_list,
    examine_cohort,
    examine_contributions,
    examine_frozen,
    listed_digests,
)
from protocol.messages import Contribution, Ready
from protocol.params import MAX_LIST_BYTES
from protocol.trees import contribution_leaf, index_root

OPENING, FROZEN = b"\x01" * 32, b"\x02" * 32
SEED = b"\x03" * 32


class Lists:
    """Ten owners in two blocks, and every message that they would say in round 1.0."""

    def __init__(self) -> None:
        self.world = World(Settings(owners=10))
        world = self.world
        bodies = [(o, o.executor.enrolment(world.job, o.payout, 40)) for o in world.owners]
        envelopes = [o.sealed(world.job, 0, 0, body) for o, body in bodies]
        self.enrolments = cohort_order(world.spec, world.job, envelopes)
        self.cohort: Cohort = examine_cohort(world.spec, world.job, encode_list(self.enrolments))
        by_peer = {o.peer: o for o in world.owners}
        self.nodes: list[Node] = [by_peer[m.peer] for m in self.cohort.members]
        self.blocks = draw_blocks(self.cohort, world.spec.cohort, SEED)
        self.place: Context = self.nodes[0].place(world.job, 1, 0)

    def ready(self, member: int, opening: bytes = OPENING, attempt: int = 0) -> Envelope:
        return self.nodes[member].sealed(self.world.job, 1, attempt, Ready(opening))

    def contribution(self, who: int, /, **changes: object) -> Envelope:
        batch = bytes([who]) * 32
        body = Contribution(self.blocks[who], who, FROZEN, batch, 524)
        return self.nodes[who].sealed(self.world.job, 1, 0, dataclasses.replace(body, **changes))

    def members(self, *blocks: int) -> list[int]:
        found = [m for m, b in enumerate(self.blocks) if b in blocks]
        return sorted(found, key=lambda m: (self.blocks[m], m))

    def frozen(self, envelopes: list[Envelope]) -> tuple[int, ...]:
        data = encode_list(envelopes)
        return examine_frozen(self.cohort, self.blocks, self.place, OPENING, data).members

    def contributions(self, envelopes: list[Envelope]) -> tuple[tuple[int, ...], bytes]:
        data = encode_list(envelopes)
        found = examine_contributions(self.cohort, self.blocks, self.place, FROZEN, data)
        return found.members, found.root


@pytest.fixture(scope="module")
def kit() -> Lists:
    return Lists()


def test_a_list_is_read_as_it_was_written(kit: Lists) -> None:
    data = encode_list(kit.enrolments)
    assert decode_list(data) == tuple(kit.enrolments)
    assert listed_digests(data) == tuple(envelope_digest(e) for e in kit.enrolments)
    assert len(data) < 512 * len(kit.enrolments), "the limit allows 512 bytes for each"


def test_every_signature_in_a_list_is_checked(kit: Lists) -> None:
    for place in range(10):
        bad = list(kit.enrolments)
        bad[place] = dataclasses.replace(bad[place], signature=bytes(64))
        with pytest.raises(Malformed, match="signature"):
            decode_list(encode_list(bad))


def test_a_list_too_long_is_not_read() -> None:
    with pytest.raises(Malformed, match="at most"):
        decode_list(bytes(MAX_LIST_BYTES + 1))


def test_a_list_holds_somebody() -> None:
    with pytest.raises(Malformed):
        MessageList(())
    with pytest.raises(Malformed):
        decode_list(b"\x91\x90")


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_garbage_is_no_list(data: bytes) -> None:
    with pytest.raises(Malformed):
        decode_list(data)


# --- the frozen roster


@pytest.mark.parametrize("blocks", [(0,), (1,), (0, 1)])
def test_whole_blocks_of_ready_members_are_a_roster(kit: Lists, blocks: tuple[int, ...]) -> None:
    members = sorted(kit.members(*blocks))
    assert kit.frozen([kit.ready(m) for m in members]) == tuple(members)


Change = Callable[[Lists, list[int]], list[Envelope]]

BAD_ROSTERS: dict[str, tuple[Change, str]] = {
    "without one of a block": (lambda kit, ms: [kit.ready(m) for m in ms[1:]], "without member"),
    "with one of another block": (
        lambda kit, ms: [kit.ready(m) for m in sorted([*ms, kit.members(1)[0]])],
        "without member",
    ),
    "out of order": (lambda kit, ms: [kit.ready(m) for m in ms[::-1]], "ascend"),
    "one twice": (lambda kit, ms: [kit.ready(m) for m in [ms[0], *ms]], "ascend"),
    "of another opening": (
        lambda kit, ms: [kit.ready(ms[0], b"\x09" * 32), *(kit.ready(m) for m in ms[1:])],
        "something else",
    ),
    "of another attempt": (
        lambda kit, ms: [kit.ready(ms[0], attempt=1), *(kit.ready(m) for m in ms[1:])],
        "something else",
    ),
    "of other messages": (
        lambda kit, ms: [kit.contribution(ms[0]), *(kit.ready(m) for m in ms[1:])],
        "something else",
    ),
    "with a stranger": (
        lambda kit, ms: [
            *(kit.ready(m) for m in ms),
            kit.world.requester.sealed(kit.world.job, 1, 0, Ready(OPENING)),
        ],
        "not enrolled",
    ),
}


@pytest.mark.parametrize(("change", "error"), BAD_ROSTERS.values(), ids=BAD_ROSTERS.keys())
def test_a_roster_that_does_not_hold(kit: Lists, change: Change, error: str) -> None:
    with pytest.raises(Malformed, match=error):
        kit.frozen(change(kit, sorted(kit.members(0))))


# --- a commitment's list


def test_a_list_of_contributions_gives_its_root(kit: Lists) -> None:
    members = kit.members(0, 1)
    envelopes = [kit.contribution(m) for m in members]
    leaves = [
        contribution_leaf(kit.cohort.members[m].payout, kit.blocks[m], FROZEN, bytes([m]) * 32)
        for m in members
    ]
    assert kit.contributions(envelopes) == (tuple(members), index_root(leaves))
    assert [contribution_leaf_of(kit.cohort, e) for e in envelopes] == leaves


def test_another_batch_gives_another_root(kit: Lists) -> None:
    envelopes = [kit.contribution(m) for m in kit.members(1)]
    before = kit.contributions(envelopes)
    member = kit.members(1)[2]
    envelopes[2] = kit.contribution(member, batch_digest=b"\x77" * 32)
    after = kit.contributions(envelopes)
    assert (before[0], before[1]) != after
    assert before[0] == after[0]


BAD_LISTS: dict[str, tuple[Change, str]] = {
    "without one of a block": (
        lambda kit, ms: [kit.contribution(m) for m in ms[:-1]],
        "without member",
    ),
    "out of order": (lambda kit, ms: [kit.contribution(m) for m in ms[::-1]], "ascend"),
    "one twice": (lambda kit, ms: [kit.contribution(m) for m in [ms[0], *ms]], "ascend"),
    "naming another's index": (
        lambda kit, ms: [
            kit.contribution(ms[0], member=ms[1]),
            *(kit.contribution(m) for m in ms[1:]),
        ],
        "wrong index",
    ),
    "naming another block": (
        lambda kit, ms: [kit.contribution(ms[0], block=1), *(kit.contribution(m) for m in ms[1:])],
        "wrong index",
    ),
    "naming another roster": (
        lambda kit, ms: [
            kit.contribution(ms[0], frozen_digest=b"\x09" * 32),
            *(kit.contribution(m) for m in ms[1:]),
        ],
        "wrong index",
    ),
    "of other messages": (lambda kit, ms: [kit.ready(m) for m in ms], "something else"),
    "with a stranger": (
        lambda kit, ms: [
            *(kit.contribution(m) for m in ms),
            kit.world.requester.sealed(
                kit.world.job, 1, 0, Contribution(0, 0, FROZEN, bytes(32), 524)
            ),
        ],
        "not enrolled",
    ),
}


@pytest.mark.parametrize(("change", "error"), BAD_LISTS.values(), ids=BAD_LISTS.keys())
def test_a_list_of_contributions_that_does_not_hold(kit: Lists, change: Change, error: str) -> None:
    with pytest.raises(Malformed, match=error):
        kit.contributions(change(kit, kit.members(0)))


def test_a_list_of_another_round_does_not_hold(kit: Lists) -> None:
    data = encode_list([kit.contribution(m) for m in kit.members(0)])
    later = dataclasses.replace(kit.place, round=2)
    with pytest.raises(Malformed, match="something else"):
        examine_contributions(kit.cohort, kit.blocks, later, FROZEN, data)


def test_a_list_in_another_encoding_does_not_hold(kit: Lists) -> None:
    data = encode_list(kit.enrolments)
    assert data == encode(MessageList(tuple(kit.enrolments)))
    with pytest.raises(Malformed):
        decode_list(data + b"\x00")
