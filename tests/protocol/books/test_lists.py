"""Lists that travel as blobs: rebuilt whole, or refused with the reason."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kits.books import REQUESTER, Job, Person, digest_of, make_job
from kits.machine import ready_of

from protocol.books.lists import (
    BlockList,
    CohortList,
    ContributionList,
    Leaf,
    contribution_list,
    contributions_root,
    decode_cohort,
    decode_contributions,
    encode_cohort,
    encode_contributions,
    encode_roster,
    examine_cohort,
    examine_contributions,
    examine_roster,
    leaf_hash,
    leaves,
    ready_digest,
)
from protocol.books.trees import contribution_leaf, index_root
from protocol.errors import Malformed
from protocol.params import MAX_COHORT, MAX_LIST_BYTES
from protocol.wire.codec import encode
from protocol.wire.envelope import Envelope
from protocol.wire.messages import Contribution

OPENING = digest_of("opening")


def groups_of(job: Job) -> tuple[tuple[Envelope, ...], ...]:
    return decode_cohort(job.cohort_list)


def ready(job: Job, member: int, opening: bytes = OPENING, **changes: object) -> Envelope:
    """What a member says in round 1.0."""
    body = ready_of(job, member, opening, 1, **changes)
    return job.people[member].say(job.place(1), body)


def members_in(job: Job, block: int) -> list[int]:
    return [m for m, b in enumerate(job.blocks_in(1)) if b == block]


def examine(job: Job, envelopes: Sequence[Envelope], block: int = 0) -> tuple[int, ...]:
    """The members of a roster as a member of its block finds them."""
    blocks, data = job.blocks_in(1), encode_roster(envelopes)
    entries = examine_roster(job.spec, job.cohort, blocks, block, job.place(1), OPENING, data)
    for entry, envelope in zip(entries, envelopes, strict=True):
        assert entry.ready == envelope.body
        assert members_in(job, block)[entry.position] == entry.member
        assert ready_digest(entry.ready) == ready_digest(ready_of(job, entry.member, OPENING, 1))
    return tuple(entry.member for entry in entries)


@pytest.fixture(scope="module")
def job() -> Job:
    """Ten owners in two blocks; no noise."""
    return make_job(10)


@pytest.fixture(scope="module")
def noisy() -> Job:
    """One of each block may drop."""
    return make_job(10, dropouts=1)


# --- the cohort


def test_a_cohorts_list_is_read_as_it_was_written() -> None:
    job = make_job(10, later=(5, 7))
    assert encode_cohort(groups_of(job)) == job.cohort_list
    assert [len(group) for group in groups_of(job)] == [10, 5, 7]
    assert examine_cohort(job.spec, job.id, job.cohort_list) == job.cohort


def test_the_largest_cohorts_list_fits_its_limit(job: Job) -> None:
    assert len(job.cohort_list) / len(job.people) < MAX_LIST_BYTES / MAX_COHORT


def test_every_signature_in_a_cohorts_list_is_checked(job: Job) -> None:
    (group,) = groups_of(job)
    for place in range(10):
        bad = list(group)
        bad[place] = dataclasses.replace(bad[place], signature=bytes(64))
        with pytest.raises(Malformed, match="signature"):
            decode_cohort(encode_cohort([bad]))


def test_a_list_too_long_is_not_read() -> None:
    for read in (decode_cohort, decode_contributions):
        with pytest.raises(Malformed, match="at most"):
            read(bytes(MAX_LIST_BYTES + 1))


def test_a_list_holds_somebody() -> None:
    for empty in ((), ((),)):
        with pytest.raises(Malformed):
            CohortList(empty)


@given(st.binary(max_size=200))
def test_garbage_is_no_list(data: bytes) -> None:
    for read in (decode_cohort, decode_contributions):
        with pytest.raises(Malformed):
            read(data)


def test_a_list_in_another_encoding_does_not_hold(job: Job) -> None:
    with pytest.raises(Malformed):
        decode_cohort(job.cohort_list + b"\x00")


# --- a frozen roster


def test_a_whole_block_of_ready_members_is_a_roster(job: Job, noisy: Job) -> None:
    for each in (job, noisy):
        for block in (0, 1):
            members = members_in(each, block)
            assert examine(each, [ready(each, m) for m in members], block) == tuple(members)


def test_with_noise_all_but_the_dropouts_are_a_roster(noisy: Job) -> None:
    members = members_in(noisy, 0)
    for absent in members:
        there = [m for m in members if m != absent]
        assert examine(noisy, [ready(noisy, m) for m in there]) == tuple(there)
    with pytest.raises(Malformed, match="3 of its 5 members, 4 are needed"):
        examine(noisy, [ready(noisy, m) for m in members[:3]])


Change = Callable[[Job, list[int]], Sequence[Envelope]]


def some(job: Job, members: Sequence[int]) -> list[Envelope]:
    return [ready(job, m) for m in members]


BAD_ROSTERS: dict[str, tuple[Change, str]] = {
    "without one of its block": (lambda job, ms: some(job, ms[1:]), "4 of its 5 members"),
    "with one of another block": (
        lambda job, ms: some(job, sorted([*ms[1:], members_in(job, 1)[0]])),
        "no enrolment in its block covers",
    ),
    "of another block": (
        lambda job, ms: some(job, members_in(job, 1)),
        "no enrolment in its block covers",
    ),
    "with a stranger": (
        lambda job, ms: [
            *some(job, ms[1:]),
            Person(99).say(job.place(1), ready_of(job, ms[0], OPENING, 1)),
        ],
        "no enrolment in its block covers",
    ),
    "with the requester's own key": (
        lambda job, ms: [
            REQUESTER.say(job.place(1), ready_of(job, ms[0], OPENING, 1)),
            *some(job, ms[1:]),
        ],
        "no enrolment in its block covers",
    ),
    "out of order": (lambda job, ms: some(job, ms[::-1]), "ascend"),
    "one twice": (lambda job, ms: some(job, [ms[0], *ms]), "ascend"),
    "of another opening": (
        lambda job, ms: [ready(job, ms[0], b"\x09" * 32), *some(job, ms[1:])],
        "something else",
    ),
    "replayed from another attempt": (
        lambda job, ms: [
            job.people[ms[0]].say(job.place(1, 1), ready_of(job, ms[0], OPENING, 1)),
            *some(job, ms[1:]),
        ],
        "something else",
    ),
    "of other messages": (
        lambda job, ms: [job.contribution(ms[0], 1), *some(job, ms[1:])],
        "something else",
    ),
    "sharing among too few": (
        lambda job, ms: [
            *some(job, ms[:-1]),
            ready(
                job,
                ms[-1],
                seed_hashes=(bytes(16),) * 6,
                key_hashes=(bytes(16),) * 6,
                boxes=(bytes(64),) * 6,
            ),
        ],
        "does not share among the 5",
    ),
    "with a copied mask key": (
        lambda job, ms: [
            *some(job, ms[:-1]),
            ready(job, ms[-1], mask_key=ready_of(job, ms[0], OPENING, 1).mask_key),
        ],
        "one mask key",
    ),
    "with a key replaced under another's name": (
        lambda job, ms: [
            dataclasses.replace(
                ready(job, ms[0], mask_key=digest_of("the requester's")),
                signature=ready(job, ms[0]).signature,
            ),
            *some(job, ms[1:]),
        ],
        "signature",
    ),
}


@pytest.mark.parametrize(("change", "error"), BAD_ROSTERS.values(), ids=BAD_ROSTERS.keys())
def test_a_roster_that_does_not_hold(job: Job, change: Change, error: str) -> None:
    with pytest.raises(Malformed, match=error):
        examine(job, change(job, members_in(job, 0)))


# --- a commitment's list


def listed(job: Job, *blocks: int) -> ContributionList:
    drawn = job.blocks_in(1)
    return job.listed(1, [m for m, b in enumerate(drawn) if b in blocks])


def examined(job: Job, found: ContributionList) -> tuple[ContributionList, bytes]:
    data = encode_contributions(found)
    return examine_contributions(job.spec, job.cohort, job.blocks_in(1), data)


@pytest.mark.parametrize("blocks", [(0,), (1,), (0, 1)])
def test_a_list_of_contributions_gives_its_root(job: Job, blocks: tuple[int, ...]) -> None:
    found, root = examined(job, listed(job, *blocks))
    expected = [
        contribution_leaf(
            job.cohort.members[m].payout,
            block,
            digest_of("roster", 1, block),
            digest_of("batch", 1, m),
        )
        for block in blocks
        for m in members_in(job, block)
    ]
    assert root == index_root(expected) == contributions_root(job.cohort, found)
    assert [leaf_hash(job.cohort, leaf) for leaf in leaves(found)] == expected
    first = members_in(job, blocks[0])[0]
    roster, batch = digest_of("roster", 1, blocks[0]), digest_of("batch", 1, first)
    assert leaves(found)[0] == Leaf(first, blocks[0], roster, batch)


def test_a_list_is_made_of_verified_headers(job: Job) -> None:
    """In whatever order they came."""
    headers = [job.contribution(m, 1) for m in (3, 9, 0, 1, 2, 8, 7, 6, 5, 4)]
    assert contribution_list(job.blocks_in(1), headers) == listed(job, 0, 1)
    with pytest.raises(Malformed, match="not a contribution"):
        contribution_list(job.blocks_in(1), [ready(job, 0)])


def test_every_field_of_a_list_is_under_its_root(job: Job) -> None:
    before = examined(job, listed(job, 0, 1))[1]
    first, second = listed(job, 0, 1).blocks
    batches = (b"\x09" * 32, *first.batches[1:])
    for other in (
        dataclasses.replace(first, batches=batches),
        dataclasses.replace(first, roster_digest=b"\x09" * 32),
    ):
        assert examined(job, ContributionList((other, second)))[1] != before


def test_a_list_takes_some_forty_bytes_an_owner(job: Job) -> None:
    """Every owner fetches all of it."""
    large = make_job(32, block_size=16, min_owners=16)
    data = encode_contributions(listed(large, 0, 1))
    assert len(data) / 32 < 42
    assert decode_contributions(data) == listed(large, 0, 1)


def test_with_noise_a_list_may_lack_dropouts(noisy: Job) -> None:
    members = members_in(noisy, 0)
    examined(noisy, noisy.listed(1, members[1:]))
    with pytest.raises(Malformed, match="3 of its 5 members, 4 are needed"):
        examined(noisy, noisy.listed(1, members[2:]))


BadList = Callable[[Job], ContributionList]


def only_block(job: Job, **changes: object) -> ContributionList:
    (block,) = listed(job, 0).blocks
    return ContributionList((dataclasses.replace(block, **changes),))  # type: ignore[arg-type]


BAD_LISTS: dict[str, tuple[BadList, str]] = {
    "without one of a block": (
        lambda job: job.listed(1, members_in(job, 0)[1:]),
        "4 of its 5 members",
    ),
    "out of order": (lambda job: job.listed(1, members_in(job, 0)[::-1]), "ascend"),
    "one twice": (
        lambda job: job.listed(1, [members_in(job, 0)[0], *members_in(job, 0)]),
        "ascend",
    ),
    "blocks out of order": (
        lambda job: ContributionList(listed(job, 0, 1).blocks[::-1]),
        "ascend",
    ),
    "a block twice": (lambda job: ContributionList(listed(job, 0).blocks * 2), "ascend"),
    "one of another block": (
        lambda job: only_block(job, members=(*members_in(job, 0)[:4], members_in(job, 1)[-1])),
        "is listed in block 0, not its own",
    ),
    "nobody's index": (
        lambda job: only_block(job, members=(*members_in(job, 0)[:4], 99)),
        "member 99 is listed",
    ),
    "a block that is not": (lambda job: only_block(job, block=7), "not its own"),
}


@pytest.mark.parametrize(("make", "error"), BAD_LISTS.values(), ids=BAD_LISTS.keys())
def test_a_list_of_contributions_that_does_not_hold(job: Job, make: BadList, error: str) -> None:
    with pytest.raises(Malformed, match=error):
        examined(job, make(job))


def test_a_block_lists_a_batch_for_each_member(job: Job) -> None:
    (block,) = listed(job, 0).blocks
    with pytest.raises(Malformed, match="differ in number"):
        BlockList(0, block.roster_digest, block.members, block.batches[1:])


def test_a_list_of_another_rounds_draw_does_not_hold() -> None:
    job = make_job(10, shuffle=True)
    found = listed(job, 0, 1)
    assert job.blocks_in(1) != job.blocks_in(2)
    data = encode_contributions(found)
    with pytest.raises(Malformed, match="not its own"):
        examine_contributions(job.spec, job.cohort, job.blocks_in(2), data)


def test_a_contribution_is_told_from_a_ready(job: Job) -> None:
    """Both are signed; a list takes each where it belongs."""
    assert isinstance(job.contribution(0, 1).body, Contribution)
    assert encode(job.contribution(0, 1)) != encode(ready(job, 0))
