"""Evidence: merit adds up to the pot, and every claim is proved under the chain's roots."""

from __future__ import annotations

from collections import Counter

import pytest
from books_kit import Books, digest_of, make_books, make_job
from hypothesis import given
from hypothesis import strategies as st

from protocol import params
from protocol.enrolment import Cohort, Member
from protocol.envelope import Context, Envelope, seal
from protocol.errors import FatalError, Malformed
from protocol.evidence import (
    MeritShare,
    decode_evidence,
    encode_evidence,
    equal_merit,
    merit_tree,
    payouts,
    prove_claim,
)
from protocol.messages import Contribution, Ready
from protocol.trees import Merit, contribution_leaf, verify_index, verify_sum

_PLACE = Context(1, bytes(20), bytes(32), 0, 0)
_PEER = bytes.fromhex("002408011220") + bytes(32)


def unsigned(member: int) -> Envelope:
    """A contribution whose signature nobody looks at: lists were verified before."""
    body = Contribution(0, member, bytes(32), bytes(32), 1)
    return seal(_PLACE, _PEER, body, lambda message: bytes(64))


def cohort_of(size: int) -> Cohort:
    members = tuple(
        Member(_PEER, bytes([1]) * 20, m.to_bytes(20, "big"), 1, bytes(32)) for m in range(size)
    )
    return Cohort(members, bytes(32))


member_lists = st.lists(st.lists(st.integers(0, 31), max_size=32, unique=True), max_size=8)


@given(member_lists, st.integers(0, 2**128 - 1))
def test_equal_merit_adds_up_to_the_pot_and_follows_the_contributions(
    rounds: list[list[int]], pot: int
) -> None:
    lists = [[unsigned(member) for member in round_] for round_ in rounds]
    shares = equal_merit(cohort_of(32), lists, pot)
    counts = Counter(member for round_ in rounds for member in round_)
    if not counts or not pot:
        assert shares == ()
        return
    got = {int.from_bytes(share.account, "big"): share.amount for share in shares}
    assert sum(got.values()) == pot
    assert len(got) == len(shares)
    assert list(got) == sorted(got)
    for member, count in counts.items():
        exact = pot * count // counts.total()
        assert exact <= got.get(member, 0) <= exact + 1
    by_count = {counts[member]: amount for member, amount in got.items()}
    for member, amount in got.items():
        assert abs(amount - by_count[counts[member]]) <= 1, "equal work, equal merit"


@given(member_lists, st.integers(1, 100))
def test_a_pot_smaller_than_the_cohort_leaves_no_entry_of_nothing(
    rounds: list[list[int]], pot: int
) -> None:
    lists = [[unsigned(member) for member in round_] for round_ in rounds]
    shares = equal_merit(cohort_of(32), lists, pot)
    assert all(share.amount > 0 for share in shares), "a sum tree takes no empty entry"
    assert sum(share.amount for share in shares) == (pot if any(rounds) else 0)


def test_only_contributions_are_shared_among() -> None:
    other = seal(_PLACE, _PEER, Ready(bytes(32)), lambda message: bytes(64))
    with pytest.raises(FatalError, match="something else than a contribution"):
        equal_merit(cohort_of(5), [[other]], 10)


@pytest.fixture(params=[5, 6, 11, 32])
def books(request: pytest.FixtureRequest) -> Books:
    """Three rounds in which some blocks took part; all of a small cohort."""
    job = make_job(request.param)
    count = max(job.blocks) + 1
    return make_books(job, [range(count), [0], [count - 1]])


def test_every_claim_is_proved_under_the_chains_roots(books: Books) -> None:
    cohort, job = books.job.cohort, books.job
    accounts = payouts(cohort, [envelopes for _, envelopes in books.rounds])
    assert accounts == tuple(m.payout for m in cohort.members), "all of them contributed once"
    proved: Counter[int] = Counter()
    for account in accounts:
        member = next(i for i, m in enumerate(cohort.members) if m.payout == account)
        claim = prove_claim(cohort, books.rounds, books.evidence, account)
        assert claim.account == account
        for part in claim.rounds:
            on_chain = books.chain.rounds[part.round]
            assert part.block == job.blocks[member]
            assert part.contribution_digest == digest_of("batch", part.round, member)
            leaf = contribution_leaf(
                account, part.block, part.roster_digest, part.contribution_digest
            )
            assert verify_index(on_chain.root, on_chain.count, part.position, leaf, part.proof)
            proved[part.round] += 1
        merit = Merit(account, claim.merit)
        root = merit_tree(books.evidence).root
        assert verify_sum(root, claim.merit_position, merit, claim.merit_proof)
    assert proved == {n: books.chain.rounds[n].count for n in range(3)}


def test_the_merit_root_shows_the_whole_pot(books: Books) -> None:
    assert merit_tree(books.evidence).root.total == books.job.spec.payment.merit


def test_nobody_proves_what_is_anothers(books: Books) -> None:
    cohort = books.job.cohort
    first, second = cohort.members[0].payout, cohort.members[1].payout
    claim = prove_claim(cohort, books.rounds, books.evidence, first)
    for part in claim.rounds:
        on_chain = books.chain.rounds[part.round]
        leaf = contribution_leaf(second, part.block, part.roster_digest, part.contribution_digest)
        assert not verify_index(on_chain.root, on_chain.count, part.position, leaf, part.proof)
    root = merit_tree(books.evidence).root
    stolen = Merit(second, claim.merit)
    assert not verify_sum(root, claim.merit_position, stolen, claim.merit_proof)
    more = Merit(first, claim.merit + 1)
    assert not verify_sum(root, claim.merit_position, more, claim.merit_proof)


def test_a_stranger_has_nothing_to_claim(books: Books) -> None:
    claim = prove_claim(books.job.cohort, books.rounds, books.evidence, b"\xee" * 20)
    assert (claim.rounds, claim.merit, claim.merit_proof) == ((), 0, ())


def test_without_evidence_no_merit_is_claimed(books: Books) -> None:
    account = books.job.cohort.members[0].payout
    claim = prove_claim(books.job.cohort, books.rounds, None, account)
    assert (
        claim.rounds == prove_claim(books.job.cohort, books.rounds, books.evidence, account).rounds
    )
    assert (claim.merit, claim.merit_proof) == (0, ())


def test_evidence_reads_back_and_nothing_else_does(books: Books) -> None:
    data = encode_evidence(books.evidence)
    assert decode_evidence(data) == books.evidence
    for broken in (data[:-1], data + b"\0", b"", b"\xc1" + data[1:]):
        with pytest.raises(Malformed):
            decode_evidence(broken)
    with pytest.raises(Malformed, match="at most"):
        decode_evidence(bytes(params.MAX_LIST_BYTES + 1))


def test_the_largest_evidence_fits_its_limit() -> None:
    """Every round of the longest job, and merit for the largest cohort."""
    books = make_books(make_job(5), [[0]])
    record = books.evidence.rounds[0]
    shares = tuple(MeritShare(n.to_bytes(20, "big"), 2**240 + n) for n in range(params.MAX_COHORT))
    largest = books.with_evidence(rounds=(record,) * params.MAX_ROUNDS, merit=shares).evidence
    assert decode_evidence(encode_evidence(largest)) == largest
