"""Enrolments: whose signature counts, the one order of a list, and blocks that nobody chooses."""

from __future__ import annotations

import dataclasses
import hashlib
from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kits.books import Job, Person, digest_of, enrol, make_job
from kits.examples import examples

from protocol.books.enrolment import (
    Cohort,
    Member,
    block_members,
    build_cohort,
    cohort_order,
    draw,
    draw_blocks,
    job_id,
    read_enrolment,
)
from protocol.books.trees import IndexTree, enrolment_leaf, index_root, verify_index
from protocol.books.typed_data import Domain
from protocol.errors import Malformed
from protocol.spec.job import CohortSpec
from protocol.wire.envelope import Envelope
from protocol.wire.messages import Ask, Enrol

ROWS = 100


@pytest.fixture(scope="module")
def job() -> Job:
    """Room for twelve."""
    return make_job(12)


def enrolled(job: Job, person: Person, **changes: object) -> Envelope:
    """An enrolment with other fields, under its peer's signature all the same."""
    body = enrol(job.spec, job.id, person).body
    assert isinstance(body, Enrol)
    return person.say(job.place(), dataclasses.replace(body, **changes))  # type: ignore[arg-type]


def ordered(job: Job, people: list[Person]) -> list[Envelope]:
    return cohort_order(job.spec, job.id, [enrolled(job, person) for person in people])


def crowd(count: int, first: int = 1) -> list[Person]:
    return [Person(number) for number in range(first, first + count)]


def test_an_enrolment_says_who_joins(job: Job) -> None:
    owner = Person(1)
    member = read_enrolment(job.spec, job.id, enrolled(job, owner))
    assert (member.peer, member.account, member.payout, member.rows, member.sealing_key) == (
        owner.peer,
        owner.account,
        owner.payout,
        ROWS,
        owner.sealing_key,
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
def test_what_the_account_did_not_sign_does_not_hold(job: Job, changes: dict[str, object]) -> None:
    with pytest.raises(Malformed):
        read_enrolment(job.spec, job.id, enrolled(job, Person(1), **changes))


@pytest.mark.parametrize("field", ["account", "payout"])
def test_the_zero_address_does_not_enrol(job: Job, field: str) -> None:
    with pytest.raises(Malformed, match="zero address"):
        read_enrolment(job.spec, job.id, enrolled(job, Person(1), **{field: bytes(20)}))


#: Points of small order on the curve and its twist (RFC 7748; cr.yp.to/ecdh.html).
LOW_ORDER = [
    bytes(32),
    b"\x01" + bytes(31),
    bytes.fromhex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
    bytes.fromhex("5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"),
    bytes.fromhex("ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
    bytes.fromhex("edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
    bytes.fromhex("eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
]


@pytest.mark.parametrize("key", LOW_ORDER, ids=lambda key: key.hex()[:8])
@pytest.mark.parametrize("top", [0, 0x80])
def test_a_sealing_key_of_low_order_does_not_enrol(job: Job, key: bytes, top: int) -> None:
    """What is sealed to it could be opened by everybody; the highest bit is not looked at."""
    key = key[:31] + bytes([key[31] | top])
    with pytest.raises(Malformed, match="low order"):
        read_enrolment(job.spec, job.id, enrolled(job, Person(1), sealing_key=key))


def test_an_enrolment_belongs_to_the_peer_that_it_names(job: Job) -> None:
    """A peer that puts its own envelope around another's enrolment enrols nobody."""
    honest, thief = Person(1), Person(2)
    body = enrolled(job, honest).body
    with pytest.raises(Malformed, match="did not sign"):
        read_enrolment(job.spec, job.id, thief.say(job.place(), body))


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
def test_an_enrolment_has_one_place(job: Job, place: dict[str, object]) -> None:
    owner = Person(1)
    here = dataclasses.replace(job.place(), **place)  # type: ignore[arg-type]
    envelope = owner.say(here, enrolled(job, owner).body)
    with pytest.raises(Malformed, match="not an enrolment in this job"):
        read_enrolment(job.spec, job.id, envelope)


def test_only_an_enrolment_enrols(job: Job) -> None:
    with pytest.raises(Malformed, match="not an enrolment"):
        read_enrolment(job.spec, job.id, Person(1).say(job.place(), Ask()))


# --- the list


def test_the_root_proves_each_enrolment_and_its_place(job: Job) -> None:
    cohort = build_cohort(job.spec, job.id, [ordered(job, crowd(7))])
    leaves = [enrolment_leaf(m.digest) for m in cohort.members]
    for place, leaf in enumerate(leaves):
        proof = IndexTree(leaves).proof(place)
        assert verify_index(cohort.root, 7, place, leaf, proof)
        assert not verify_index(cohort.root, 7, (place + 1) % 7, leaf, proof)
    for place, member in enumerate(cohort.members):
        assert cohort.index_of(member.peer) == place
    assert cohort.index_of(Person(99).peer) is None


def test_a_list_has_one_order(job: Job) -> None:
    envelopes = ordered(job, crowd(5))
    assert cohort_order(job.spec, job.id, envelopes[::-1]) == envelopes
    swapped = [envelopes[1], envelopes[0], *envelopes[2:]]
    with pytest.raises(Malformed, match="order"):
        build_cohort(job.spec, job.id, [swapped])


def test_a_list_has_as_many_as_the_job_takes(job: Job) -> None:
    build_cohort(job.spec, job.id, [ordered(job, crowd(12))])
    for count in (4, 13):
        with pytest.raises(Malformed, match=f"{count} owners are listed"):
            build_cohort(job.spec, job.id, [ordered(job, crowd(count))])


@pytest.mark.parametrize("name", ["peer", "account", "sealing_key"])
@pytest.mark.parametrize("later", [False, True], ids=["in one group", "in a later one"])
def test_nobody_stands_in_a_list_twice(job: Job, name: str, later: bool) -> None:
    second = Double(6)
    for field in ("peer", "account"):
        if name == field:
            second.__dict__[f"_{field}_key"] = getattr(Person(1), f"_{field}_key")
    double = enrol(job.spec, job.id, second)
    if name == "sealing_key":
        double = enrolled(job, second, sealing_key=Person(1).sealing_key)
    first = [enrolled(job, person) for person in crowd(5)]
    others = [enrolled(job, person) for person in crowd(4, 7)]
    groups = [first, [*others, double]] if later else [[*first, *others, double]]
    with pytest.raises(Malformed, match=f"a {name} is enrolled twice"):
        build_cohort(job.spec, job.id, [cohort_order(job.spec, job.id, g) for g in groups])


def test_whoever_names_anothers_payout_account_keeps_nobody_out(job: Job) -> None:
    """Nobody asks an account before it is named."""
    squatter = enrol(job.spec, job.id, Person(9), Person(1).payout)
    said = [squatter, *(enrolled(job, person) for person in crowd(5))]
    cohort = build_cohort(job.spec, job.id, [cohort_order(job.spec, job.id, said)])
    paid = [member.account for member in cohort.members if member.payout == Person(1).payout]
    assert sorted(paid) == sorted([Person(1).account, Person(9).account])


class Double(Person):
    """Somebody who shares a key with somebody else."""


def test_an_admission_list_is_kept_to(job: Job) -> None:
    admitted = tuple(sorted(person.account for person in crowd(6, 2)))
    limits = dataclasses.replace(job.spec.cohort, admission=admitted)
    spec = dataclasses.replace(job.spec, cohort=limits)
    build_cohort(spec, job.id, [ordered(job, crowd(5, 2))])
    with pytest.raises(Malformed, match="admission list"):
        build_cohort(spec, job.id, [ordered(job, crowd(5, 1))])


# --- groups


def test_later_groups_have_roots_and_places_of_their_own() -> None:
    job = make_job(10, later=(5, 7))
    cohort = job.cohort
    assert cohort.counts == (10, 5, 7)
    for index, root in enumerate(cohort.roots):
        start = sum(cohort.counts[:index])
        members = cohort.members[start : start + cohort.counts[index]]
        digests = [m.digest for m in members]
        assert digests == sorted(digests)
        assert root == index_root([enrolment_leaf(digest) for digest in digests])
    assert cohort.root == cohort.roots[-1]
    first = cohort.first(2)
    assert (first.members, first.roots) == (cohort.members[:15], cohort.roots[:2])


def test_a_later_group_is_a_block_at_least(job: Job) -> None:
    groups = [ordered(job, crowd(5)), ordered(job, crowd(4, 6))]
    with pytest.raises(Malformed, match="4 owners came later together; a block has 5"):
        build_cohort(job.spec, job.id, groups)


def test_the_first_group_is_as_large_as_the_job_asks_for() -> None:
    """Later owners cannot make up for it: the training began without them."""
    job = make_job(10, min_owners=8)
    groups = [ordered(job, crowd(5)), ordered(job, crowd(5, 6))]
    with pytest.raises(Malformed, match="10 owners are listed, 5 of them at first"):
        build_cohort(job.spec, job.id, groups)


# --- blocks


def cohort_of(*counts: int) -> Cohort:
    digests = [hashlib.sha256(str(i).encode()).digest() for i in range(sum(counts))]
    members = tuple(Member(d[:19], d[:20], d[:20], 1, d, d) for d in sorted(digests))
    return Cohort(members, (bytes(32),) * len(counts), counts)


def limits(size: int, shuffle: bool = False) -> CohortSpec:
    return CohortSpec(size, 4096, size, (), shuffle)


Draw = Callable[[int], tuple[int, ...]]


@examples(0.6)
@given(
    st.lists(st.integers(0, 60), min_size=1, max_size=3),
    st.integers(5, 9),
    st.booleans(),
    st.integers(0, 255),
)
def test_blocks_are_as_equal_as_they_can_be_in_every_group(
    counts: list[int], size: int, shuffle: bool, round_: int
) -> None:
    groups = [size + count for count in counts]
    seeds = [digest_of("seed", index) for index in range(len(groups))]
    blocks = draw_blocks(cohort_of(*groups), limits(size, shuffle), seeds, round_)
    start = first = 0
    for count in groups:
        sizes = Counter(blocks[start : start + count])
        assert sorted(sizes) == list(range(first, first + count // size))
        assert max(sizes.values()) - min(sizes.values()) <= 1
        assert min(sizes.values()) >= size
        start, first = start + count, first + count // size
    assert len(blocks) == sum(groups)


def test_a_draw_is_made_once_and_few_are_kept() -> None:
    cohort, seed = cohort_of(20), [digest_of("seed")]
    first = draw(cohort, limits(5, shuffle=True), seed, 0)
    assert draw(cohort, limits(5, shuffle=True), seed, 0) is first
    assert first.blocks == draw_blocks(cohort, limits(5, shuffle=True), seed, 0)
    assert first.members == tuple(block_members(first.blocks, n) for n in range(4))
    others = {draw(cohort, limits(5, shuffle=True), seed, n).blocks for n in range(40)}
    assert len(others) == 40, "another round, another draw"
    assert draw(cohort, limits(5), seed, 0).blocks == draw(cohort, limits(5), seed, 9).blocks
    assert len(draw(cohort, limits(10), seed, 0).members) == 2, "other blocks, another draw"
    assert len(cohort._draws) <= 8


def test_groups_without_a_seed_have_no_blocks_yet() -> None:
    cohort, seeds = cohort_of(10, 5), [digest_of("a"), digest_of("b")]
    early = draw_blocks(cohort, limits(5), seeds[:1], 0)
    whole = draw_blocks(cohort, limits(5), seeds, 0)
    assert len(early) == 10
    assert whole[:10] == early, "a later group moves nobody"
    assert set(whole[10:]) == {2}


def test_another_seed_draws_other_blocks() -> None:
    draws = {draw_blocks(cohort_of(20), limits(5), [bytes([i]) * 32], 0) for i in range(20)}
    assert len(draws) == 20


def test_blocks_stay_unless_the_job_shuffles_them() -> None:
    cohort, seed = cohort_of(20), [digest_of("seed")]
    fixed = {draw_blocks(cohort, limits(5), seed, round_) for round_ in range(20)}
    assert len(fixed) == 1
    shuffled = {draw_blocks(cohort, limits(5, shuffle=True), seed, round_) for round_ in range(20)}
    assert len(shuffled) == 20


def test_the_draw_is_the_specifications() -> None:
    """docs/spec/round.md, 'Blocks', by hand."""
    cohort, seed = cohort_of(11), digest_of("seed")
    for shuffle, suffix in ((False, b""), (True, (3).to_bytes(4, "big"))):
        order = sorted(
            range(11),
            key=lambda m: hashlib.sha256(seed + suffix + cohort.members[m].digest).digest(),
        )
        blocks = draw_blocks(cohort, limits(5, shuffle), [seed], 3)
        assert [blocks[m] for m in order] == [0] * 6 + [1] * 5


def by_seed(number: int) -> tuple[int, ...]:
    return draw_blocks(cohort_of(20), limits(5), [digest_of(number)], 0)


def by_round(number: int) -> tuple[int, ...]:
    return draw_blocks(cohort_of(20), limits(5, shuffle=True), [digest_of("seed")], number)


@pytest.mark.parametrize("draw", [by_seed, by_round])
def test_every_two_members_meet_in_some_draw(draw: Draw) -> None:
    """No pair is kept apart or together: each shares a block in about 4 of 19 draws."""
    together, draws = Counter[tuple[int, int]](), 400
    for number in range(draws):
        blocks = draw(number)
        together.update((a, b) for a in range(20) for b in range(a) if blocks[a] == blocks[b])
    assert len(together) == 190
    assert all(abs(n / draws - 4 / 19) < 0.1 for n in together.values())


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
