"""Evidence: every claim is proved under the chain's roots."""

from __future__ import annotations

from collections import Counter

import pytest
from kits.books import Books, digest_of, make_books, make_job, shared_books

from protocol import params
from protocol.books.evidence import (
    ClaimProof,
    Claims,
    MeritShare,
    RoundClaim,
    decode_evidence,
    encode_evidence,
    encode_payments,
    merit_tree,
    payouts,
    split_claim,
)
from protocol.books.merit import MAX_WEIGHT
from protocol.books.trees import (
    NO_MERIT,
    IndexTree,
    Merit,
    SumTree,
    contribution_detail,
    contribution_leaf,
    verify_index,
    verify_sum,
)
from protocol.errors import Malformed


@pytest.fixture(params=[5, 6, 11, 32])
def books(request: pytest.FixtureRequest) -> Books:
    """Three rounds in which some blocks took part; all of a small cohort."""
    job = make_job(request.param)
    count = max(job.blocks) + 1
    return make_books(job, [range(count), [0], [count - 1]])


def test_every_claim_is_proved_under_the_chains_roots(books: Books) -> None:
    cohort, job = books.job.cohort, books.job
    accounts = payouts(cohort, [listed for _, listed in books.rounds])
    assert accounts == tuple(m.payout for m in cohort.members), "all of them contributed once"
    proved: Counter[int] = Counter()
    for account in accounts:
        member = next(i for i, m in enumerate(cohort.members) if m.payout == account)
        claim = Claims(cohort, books.rounds, books.evidence).of(account)
        assert claim.account == account
        for part in claim.rounds:
            on_chain = books.chain.rounds[part.round]
            assert part.block == job.blocks[member]
            assert part.roster_digest == digest_of("roster", part.round, part.block)
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


def test_each_tree_is_built_once_for_everybodys_claims(
    books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    cohort = books.job.cohort
    accounts = payouts(cohort, [listed for _, listed in books.rounds])
    alone = [Claims(cohort, books.rounds, books.evidence).of(each) for each in accounts]
    built: Counter[type] = Counter()
    for kind in (IndexTree, SumTree):
        monkeypatch.setattr(
            "protocol.books.evidence." + kind.__name__,
            lambda leaves, kind=kind: built.update([kind]) or kind(leaves),
        )
    claims = Claims(cohort, books.rounds, books.evidence)
    assert [claims.of(each) for each in accounts] == alone
    assert len(accounts) > 1
    assert built == {IndexTree: len(books.rounds), SumTree: 1}


def test_the_merit_root_shows_the_whole_pot(books: Books) -> None:
    assert merit_tree(books.evidence).root.total == books.job.spec.payment.merit


def test_two_members_of_one_payout_account_are_one_payee() -> None:
    """A round pays it once, and its merit is one entry: the contract pays both once an account."""
    books = shared_books()
    cohort, evidence = books.job.cohort, books.evidence
    account = cohort.members[0].payout
    listed = [listed for _, listed in books.rounds]
    assert payouts(cohort, listed) == tuple(m.payout for m in cohort.members[:4])
    assert [share.account for share in evidence.merit] == [m.payout for m in cohort.members[:4]]
    assert {share.account: share.amount for share in evidence.merit}[account] == 400
    proof = Claims(cohort, books.rounds, evidence).of(account)
    assert [each.round for each in proof.rounds] == [0, 0, 1, 1, 2, 2]
    (claim,) = split_claim(proof)
    assert [each.round for each in claim.rounds] == [0, 1, 2]
    merit = Merit(account, claim.merit)
    assert verify_sum(merit_tree(evidence).root, claim.merit_position, merit, claim.merit_proof)


def test_nobody_proves_what_is_anothers(books: Books) -> None:
    cohort = books.job.cohort
    first, second = cohort.members[0].payout, cohort.members[1].payout
    claim = Claims(cohort, books.rounds, books.evidence).of(first)
    for part in claim.rounds:
        on_chain = books.chain.rounds[part.round]
        leaf = contribution_leaf(second, part.block, part.roster_digest, part.contribution_digest)
        assert not verify_index(on_chain.root, on_chain.count, part.position, leaf, part.proof)
    root = merit_tree(books.evidence).root
    stolen = Merit(second, claim.merit)
    assert not verify_sum(root, claim.merit_position, stolen, claim.merit_proof)
    more = Merit(first, claim.merit + 1)
    assert not verify_sum(root, claim.merit_position, more, claim.merit_proof)


def test_later_owners_claim_like_the_first() -> None:
    books = make_books(make_job(10, later=(5,), shuffle=True), [[0, 1], [0, 1, 2]])
    assert books.evidence.seeds == books.job.seeds
    account = books.job.cohort.members[12].payout
    (part,) = Claims(books.job.cohort, books.rounds, books.evidence).of(account).rounds
    assert (part.round, part.block) == (1, 2)


def test_a_stranger_has_nothing_to_claim(books: Books) -> None:
    claim = Claims(books.job.cohort, books.rounds, books.evidence).of(b"\xee" * 20)
    assert (claim.rounds, claim.merit, claim.merit_proof) == ((), 0, ())


def test_without_evidence_no_merit_is_claimed(books: Books) -> None:
    account = books.job.cohort.members[0].payout
    claim = Claims(books.job.cohort, books.rounds, None).of(account)
    assert claim.rounds == Claims(books.job.cohort, books.rounds, books.evidence).of(account).rounds
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
    largest = books.with_evidence(
        rounds=(record,) * params.MAX_ROUNDS,
        merit=shares,
        weights=(MAX_WEIGHT,) * params.MAX_COHORT,
        withheld=tuple(range(params.MAX_COHORT)),
        seeds=(bytes(32),) * params.MAX_GROUPS,
    ).evidence
    assert decode_evidence(encode_evidence(largest)) == largest


def claim_of(*rounds: int) -> ClaimProof:
    """A claim with merit of these rounds, each at the position that its place says."""
    claims = [RoundClaim(n, at, 1, b"r" * 32, b"c" * 32, ()) for at, n in enumerate(rounds)]
    return ClaimProof(bytes(20), tuple(claims), 3, 500, (NO_MERIT,))


@pytest.mark.parametrize(
    ("rounds", "parts"), [(0, [0]), (1, [1]), (32, [32]), (33, [32, 1]), (255, [32] * 7 + [31])]
)
def test_a_claim_is_split_where_the_contract_takes_no_more(rounds: int, parts: list[int]) -> None:
    whole = claim_of(*range(rounds))
    split = split_claim(whole)
    assert [len(part.rounds) for part in split] == parts
    assert tuple(each for part in split for each in part.rounds) == whole.rounds
    assert [part.merit for part in split] == [0] * (len(parts) - 1) + [500]
    assert (split[-1].merit_position, split[-1].merit_proof) == (3, (NO_MERIT,))
    assert {part.account for part in split} == {whole.account}


def test_a_round_that_two_members_prove_for_one_account_is_claimed_once() -> None:
    """Else a part could hold only what another part pays, and be refused."""
    (part,) = split_claim(claim_of(*range(32), 31))
    assert [(each.round, each.position) for each in part.rounds] == [(n, n) for n in range(32)]


def test_payments_are_flat_bytes() -> None:
    first = RoundClaim(254, 4095, 258, b"r" * 32, b"c" * 32, (b"s" * 24, b"t" * 24))
    detail = contribution_detail(258, b"r" * 32, b"c" * 32)
    said = bytes([254, 0x0F, 0xFF]) + detail + b"s" * 24 + b"t" * 24
    assert encode_payments([first]) == said
    assert encode_payments([first] * 32) == said * 32
    assert encode_payments([]) == b""
    with pytest.raises(ValueError, match="at most 32 rounds, not 33"):
        encode_payments([first] * 33)
