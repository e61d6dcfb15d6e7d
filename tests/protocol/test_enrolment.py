"""Enrolments: whose signature counts, the one order of a list, and blocks that nobody chooses."""

from __future__ import annotations

import dataclasses
import hashlib
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from simulator.participant import Node
from simulator.world import Settings, World

from protocol.enrolment import (
    Cohort,
    Member,
    build_cohort,
    cohort_order,
    draw_blocks,
    job_id,
    read_enrolment,
)
from protocol.envelope import Envelope, seal
from protocol.errors import Malformed
from protocol.messages import Ask
from protocol.spec import CohortSpec
from protocol.trees import enrolment_leaf, index_proof, verify_index
from protocol.typed_data import Domain

ROWS = 40


@pytest.fixture(scope="module")
def world() -> World:
    return World(Settings(owners=12, min_owners=5))


def enrolled(world: World, node: Node, **changes: object) -> Envelope:
    body = node.executor.enrolment(world.job, node.payout, ROWS)
    return node.sealed(world.job, 0, 0, dataclasses.replace(body, **changes))


def ordered(world: World, count: int = 5) -> list[Envelope]:
    return cohort_order(world.spec, world.job, [enrolled(world, o) for o in world.owners[:count]])


def test_an_enrolment_says_who_joins(world: World) -> None:
    owner = world.owners[0]
    member = read_enrolment(world.spec, world.job, enrolled(world, owner))
    assert (member.peer, member.account, member.payout, member.rows) == (
        owner.peer,
        owner.account,
        owner.payout,
        ROWS,
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"payout": b"\x07" * 20},
        {"rows": ROWS + 1},
        {"account": b"\x07" * 20},
        {"signature": bytes(64) + b"\x1b"},
        {"signature": b"\xff" * 64 + b"\x1b"},
        {"signature": bytes(65)},
    ],
    ids=["payout", "rows", "account", "zero signature", "high s", "v of zero"],
)
def test_what_the_account_did_not_sign_does_not_hold(
    world: World, changes: dict[str, object]
) -> None:
    with pytest.raises(Malformed):
        read_enrolment(world.spec, world.job, enrolled(world, world.owners[0], **changes))


@pytest.mark.parametrize("field", ["account", "payout"])
def test_the_zero_address_does_not_enrol(world: World, field: str) -> None:
    with pytest.raises(Malformed, match="zero address"):
        read_enrolment(
            world.spec, world.job, enrolled(world, world.owners[0], **{field: bytes(20)})
        )


def test_an_enrolment_belongs_to_the_peer_that_it_names(world: World) -> None:
    """A peer that puts its own envelope around another's enrolment enrols nobody."""
    honest, thief = world.owners[:2]
    body = enrolled(world, honest).body
    with pytest.raises(Malformed, match="did not sign"):
        read_enrolment(world.spec, world.job, thief.sealed(world.job, 0, 0, body))


@pytest.mark.parametrize(
    "place",
    [
        {"chain_id": 1},
        {"contract": b"\x07" * 20},
        {"job": b"\x07" * 32},
        {"round": 1},
        {"attempt": 1},
    ],
    ids=lambda place: next(iter(place)),
)
def test_an_enrolment_has_one_place(world: World, place: dict[str, object]) -> None:
    owner = world.owners[0]
    here = dataclasses.replace(owner.place(world.job), **place)
    envelope = seal(here, owner.peer, enrolled(world, owner).body, owner.peer_key.sign)
    with pytest.raises(Malformed, match="not an enrolment in this job"):
        read_enrolment(world.spec, world.job, envelope)


def test_only_an_enrolment_enrols(world: World) -> None:
    with pytest.raises(Malformed, match="not an enrolment"):
        read_enrolment(world.spec, world.job, world.owners[0].sealed(world.job, 0, 0, Ask()))


# --- the list


def test_the_root_proves_each_enrolment_and_its_place(world: World) -> None:
    cohort = build_cohort(world.spec, world.job, ordered(world, 7))
    leaves = [enrolment_leaf(m.digest) for m in cohort.members]
    for place, leaf in enumerate(leaves):
        proof = index_proof(leaves, place)
        assert verify_index(cohort.root, 7, place, leaf, proof)
        assert not verify_index(cohort.root, 7, (place + 1) % 7, leaf, proof)
    for place, member in enumerate(cohort.members):
        assert cohort.index_of(member.peer) == place
    assert cohort.index_of(world.requester.peer) is None


def test_a_list_has_one_order(world: World) -> None:
    envelopes = ordered(world)
    assert cohort_order(world.spec, world.job, envelopes[::-1]) == envelopes
    with pytest.raises(Malformed, match="order"):
        build_cohort(world.spec, world.job, [envelopes[1], envelopes[0], *envelopes[2:]])


def test_a_list_has_as_many_as_the_job_takes(world: World) -> None:
    build_cohort(world.spec, world.job, ordered(world, 12))
    with pytest.raises(Malformed, match="4 owners are listed"):
        build_cohort(world.spec, world.job, ordered(world, 4))
    thirteen = World(Settings(owners=13, min_owners=5))
    narrow = dataclasses.replace(thirteen.spec, cohort=CohortSpec(5, 12, 5, ()))
    envelopes = [enrolled(thirteen, o) for o in thirteen.owners]
    with pytest.raises(Malformed, match="13 owners are listed"):
        build_cohort(narrow, thirteen.job, cohort_order(narrow, thirteen.job, envelopes))


@pytest.mark.parametrize("name", ["peer", "account", "payout"])
def test_nobody_stands_in_a_list_twice(world: World, name: str) -> None:
    envelopes = [enrolled(world, o) for o in world.owners[:5]]
    envelopes[1] = _half_the_same(world, name)
    with pytest.raises(Malformed, match=f"a {name} is enrolled twice"):
        build_cohort(world.spec, world.job, cohort_order(world.spec, world.job, envelopes))


def _half_the_same(world: World, name: str) -> Envelope:
    """An enrolment that shares one thing with the first owner's, and is sound on its own."""
    first, own = world.owners[0], Node(world, "double", *_keys(world, name))
    payout = first.payout if name == "payout" else own.payout
    return own.sealed(world.job, 0, 0, own.executor.enrolment(world.job, payout, ROWS))


def _keys(world: World, name: str) -> tuple[Any, Any]:
    first, second = world.owners[0], world.owners[1]
    peer_key = first.peer_key if name == "peer" else second.peer_key
    return peer_key, first.account_key if name == "account" else second.account_key


def test_an_admission_list_is_kept_to(world: World) -> None:
    admitted = tuple(sorted(o.account for o in world.owners[1:7]))
    spec = dataclasses.replace(world.spec, cohort=CohortSpec(5, 12, 5, admitted))
    envelopes = [enrolled(world, o) for o in world.owners[1:6]]
    build_cohort(spec, world.job, cohort_order(spec, world.job, envelopes))
    envelopes[0] = enrolled(world, world.owners[0])
    with pytest.raises(Malformed, match="admission list"):
        build_cohort(spec, world.job, cohort_order(spec, world.job, envelopes))


# --- blocks


def cohort_of(count: int) -> Cohort:
    digests = [hashlib.sha256(str(i).encode()).digest() for i in range(count)]
    return Cohort(tuple(Member(d[:19], d[:20], d[:20], 1, d) for d in sorted(digests)), bytes(32))


@settings(max_examples=60, deadline=None)
@given(st.integers(5, 90), st.integers(5, 9), st.binary(min_size=32, max_size=32))
def test_blocks_are_as_equal_as_they_can_be(count: int, size: int, seed: bytes) -> None:
    count = max(count, size)
    blocks = draw_blocks(cohort_of(count), CohortSpec(size, 4096, size, ()), seed)
    sizes = Counter(blocks)
    assert sorted(sizes) == list(range(count // size))
    assert max(sizes.values()) - min(sizes.values()) <= 1
    assert min(sizes.values()) >= size
    assert sum(sizes.values()) == count


def test_another_seed_draws_other_blocks() -> None:
    limits = CohortSpec(20, 20, 5, ())
    draws = {draw_blocks(cohort_of(20), limits, bytes([i]) * 32) for i in range(20)}
    assert len(draws) == 20


def test_every_two_members_meet_in_some_draw() -> None:
    """No pair is kept apart or together: over many seeds, each shares a block about 4 in 19."""
    limits, together = CohortSpec(20, 20, 5, ()), Counter[tuple[int, int]]()
    rounds = 400
    for number in range(rounds):
        blocks = draw_blocks(
            cohort_of(20), limits, hashlib.sha256(bytes([number % 256, number // 256])).digest()
        )
        together.update((a, b) for a in range(20) for b in range(a) if blocks[a] == blocks[b])
    assert len(together) == 190
    assert all(abs(n / rounds - 4 / 19) < 0.1 for n in together.values())


def test_a_job_has_the_contracts_id() -> None:
    """keccak256(abi.encode(chain id, contract, requester, spec digest)), by hand."""
    from eth_hash.auto import keccak

    words = [
        (7).to_bytes(32, "big"),
        bytes(12) + b"\x01" * 20,
        bytes(12) + b"\x02" * 20,
        b"\x03" * 32,
    ]
    assert job_id(Domain(7, b"\x01" * 20), b"\x02" * 20, b"\x03" * 32) == keccak(b"".join(words))
