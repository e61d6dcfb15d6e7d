"""The audit: honest books have no fault, and each planted fault is found and named."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable

import pytest
from kits.books import Books, Job, digest_of, make_books, make_job, shared_books

from protocol.addresses import to_checksum
from protocol.books.audit import ChainRound, Check, audit
from protocol.books.evidence import MeritShare, merit_tree
from protocol.books.lists import BlockList, ContributionList, encode_contributions, leaves


def checks_of(books: Books, spec_digest: bytes | None = None) -> tuple[Check, ...]:
    return audit(
        books.job.spec,
        books.job.spec_digest if spec_digest is None else spec_digest,
        books.job.id,
        books.job.cohort,
        books.evidence,
        books.evidence_digest,
        books.lists,
        books.chain,
    )


def faults(books: Books) -> dict[str, str]:
    """Name and detail of every check that fails."""
    return {check.name: check.detail for check in checks_of(books) if not check.ok}


def job() -> Job:
    return make_job(11)


def honest() -> Books:
    return make_books(job(), [(0, 1), (0,), (1,)])


@pytest.mark.parametrize("owners", [5, 6, 11, 32])
def test_honest_books_have_no_fault(owners: int) -> None:
    made = make_job(owners)
    count = max(made.blocks) + 1
    books = make_books(made, [range(count), [0], [count - 1]])
    checks = checks_of(books)
    assert [check for check in checks if not check.ok] == []
    names = [check.name for check in checks]
    assert len(set(names)) == len(names), "every check has a name of its own"
    for number in range(3):
        assert f"round {number}: root of its list" in names


def test_later_owners_and_shuffled_blocks_have_no_fault() -> None:
    made = make_job(10, later=(5,), shuffle=True)
    books = make_books(made, [(0, 1, 2), (1,), (0, 2)])
    assert faults(books) == {}
    later = (*made.seeds, digest_of("of a root that nobody joined under"))
    assert faults(books.with_chain(seeds=later)) == {}


def test_a_list_under_another_rounds_draw_is_a_fault() -> None:
    books = make_books(make_job(10, shuffle=True), [(0,), (0,), (0,)])
    assert "round 1: list" in faults(foreign_list(books))


def test_a_job_without_a_contribution_returns_everything() -> None:
    assert faults(make_books(job(), [])) == {}


def test_unclaimed_pay_is_no_fault() -> None:
    books = honest()
    waiting = books.chain.claimed
    books = books.with_chain(claimed={}, held=sum(waiting.values()))
    assert faults(books) == {}


def test_a_claim_in_the_middle_of_the_job_is_no_fault() -> None:
    """`claim` works at any time: an account may have been paid for some of its rounds only."""
    books = honest()
    member = job().members_of([0])[0]
    account = job().cohort.members[member].payout
    early = job().spec.payment.rate
    left = books.chain.claimed[account] - early
    books = books.with_chain(claimed=books.chain.claimed | {account: early}, held=left)
    assert faults(books) == {}


def closed(books: Books, claims: Callable[[int], int]) -> Books:
    """The same rounds in a job that closed without `finish`; `claims` pays by contributions."""
    counts = Counter(leaf.member for _, listed in books.rounds for leaf in listed)
    claimed = {}
    for index, member in enumerate(books.job.cohort.members):
        if claims(counts[index]):
            claimed[member.payout] = claims(counts[index])
    return books.with_chain(
        final_model=b"",
        evidence_digest=b"",
        merit_root=b"",
        claimed=claimed,
        withdrawn=books.chain.escrowed - sum(claimed.values()),
    )


def test_a_job_that_closed_without_finish_shares_merit_equally() -> None:
    books = honest()
    contributions = sum(round_.count for round_ in books.chain.rounds.values())
    rate, share = job().spec.payment.rate, job().spec.payment.merit // contributions
    assert faults(closed(books, lambda n: n * (rate + share))) == {}
    assert faults(closed(books, lambda n: n * rate)) == {}, "claimed before it closed"
    assert faults(closed(books, lambda n: 0)) == {}
    assert faults(closed(books, lambda n: n * (rate + share) + 1)) != {}
    assert faults(closed(books, lambda n: n * rate + (n + 1) * share)) != {}
    merit = {share.account: share.amount for share in books.evidence.merit}
    finished = closed(books, lambda n: 0).with_chain(claimed=merit, withdrawn=0, held=0)
    assert len(faults(finished)) > len(merit), "the evidence's shares hold for a finished job only"


def with_round(books: Books, number: int, **changes: object) -> Books:
    """Another fact on the chain about one round."""
    altered: ChainRound = dataclasses.replace(books.chain.rounds[number], **changes)  # type: ignore[arg-type]
    return books.with_chain(rounds=dict(books.chain.rounds) | {number: altered})


def with_list(books: Books, number: int, members: list[int]) -> Books:
    """Another list for one round; evidence and chain stay."""
    return with_listed(books, number, books.job.listed(number, members))


def with_listed(books: Books, number: int, listed: ContributionList) -> Books:
    data = encode_contributions(listed)
    return dataclasses.replace(books, lists=books.lists | {number: (data, leaves(listed))})


def altered(books: Books, **changes: object) -> Books:
    """Round 1's only block says something else."""
    (block,) = books.job.listed(1, members(0)).blocks
    other: BlockList = dataclasses.replace(block, **changes)  # type: ignore[arg-type]
    return with_listed(books, 1, ContributionList((other,)))


def without_list(books: Books) -> Books:
    return dataclasses.replace(books, lists={n: v for n, v in books.lists.items() if n != 1})


def with_record(books: Books, number: int, **changes: object) -> Books:
    """Evidence that says something else about one round."""
    records = list(books.evidence.rounds)
    records[number] = dataclasses.replace(records[number], **changes)  # type: ignore[arg-type]
    return books.with_evidence(rounds=tuple(records))


def overpaid(books: Books, more: int) -> Books:
    account = job().cohort.members[0].payout
    claimed = books.chain.claimed | {account: books.chain.claimed[account] + more}
    return books.with_chain(claimed=claimed, withdrawn=books.chain.withdrawn - more)


def unequal_pot(books: Books, more: int) -> Books:
    """A merit tree that adds up to something else than the pot."""
    first, *rest = books.evidence.merit
    other = MeritShare(first.account, first.amount + more)
    return books.with_evidence(merit=(other, *rest))


def members(block: int) -> list[int]:
    return job().members_of([block])


def foreign_list(books: Books) -> Books:
    """A list of the contributions of another round."""
    data = books.lists[2]
    return dataclasses.replace(books, lists=books.lists | {1: data})


FAULTS: dict[str, tuple[Callable[[Books], Books], str]] = {
    "another root on the chain": (
        lambda b: with_round(b, 1, root=digest_of("other")),
        "round 1: root of its list",
    ),
    "another count on the chain": (lambda b: with_round(b, 1, count=4), "round 1: count"),
    "another model on the chain": (
        lambda b: with_round(b, 1, model_digest=digest_of("other")),
        "round 1: model on the chain",
    ),
    "a round too many on the chain": (
        lambda b: b.with_chain(rounds=dict(b.chain.rounds) | {3: b.chain.rounds[2]}),
        "rounds on the chain",
    ),
    "a round that the chain does not have": (
        lambda b: b.with_chain(rounds={n: b.chain.rounds[n] for n in (0, 1)}),
        "rounds on the chain",
    ),
    "a list that is missing": (without_list, "round 1: list"),
    "a list that is none": (
        lambda b: dataclasses.replace(b, lists=b.lists | {1: (b"no list", ())}),
        "round 1: list",
    ),
    "another round's list": (foreign_list, "round 1: root of its list"),
    "a list without one member of a block": (
        lambda b: with_list(b, 1, members(0)[1:]),
        "round 1: list",
    ),
    "a list in another order": (
        lambda b: with_list(b, 1, list(reversed(members(0)))),
        "round 1: list",
    ),
    "a list of another block": (
        lambda b: with_list(b, 1, members(1)),
        "round 1: root of its list",
    ),
    "a member that stands twice": (
        lambda b: with_list(b, 1, sorted([*members(0), members(0)[0]])),
        "round 1: list",
    ),
    "a contribution to another roster": (
        lambda b: altered(b, roster_digest=digest_of("other")),
        "round 1: root of its list",
    ),
    "another batch of a member": (
        lambda b: altered(b, batches=(digest_of("other"),) * len(members(0))),
        "round 1: root of its list",
    ),
    "a member under another block": (lambda b: altered(b, block=1), "round 1: list"),
    "another count in the evidence": (lambda b: with_record(b, 1, count=4), "round 1: count"),
    "a model that comes from nowhere": (
        lambda b: with_record(b, 1, next_model=digest_of("other")),
        "round 2: model",
    ),
    "a last round that leads elsewhere": (
        lambda b: with_record(b, 2, next_model=digest_of("other")),
        "final model in the evidence",
    ),
    "another seed": (
        lambda b: b.with_evidence(seeds=(digest_of("other"),)),
        "seeds of the blocks",
    ),
    "another seed on the chain": (
        lambda b: b.with_chain(seeds=(digest_of("other"),)),
        "seeds of the blocks",
    ),
    "another cohort on the chain": (
        lambda b: b.with_chain(enrol_roots=(digest_of("other"),)),
        "enrolment roots",
    ),
    "another spec on the chain": (
        lambda b: b.with_chain(spec_digest=digest_of("other")),
        "spec digest in the evidence",
    ),
    "another spec in the evidence": (
        lambda b: b.with_evidence(spec_digest=digest_of("other")),
        "spec digest in the evidence",
    ),
    "another job in the evidence": (
        lambda b: b.with_evidence(job=digest_of("other")),
        "job in the evidence",
    ),
    "another evidence on the chain": (
        lambda b: b.with_chain(evidence_digest=digest_of("other")),
        "evidence digest",
    ),
    "another final model on the chain": (
        lambda b: b.with_chain(final_model=digest_of("other")),
        "final model",
    ),
    "another merit root on the chain": (
        lambda b: b.with_chain(merit_root=digest_of("other")),
        "merit root",
    ),
    "merit above the pot": (lambda b: unequal_pot(b, 1), "merit root"),
    "merit below the pot": (lambda b: unequal_pot(b, -1), "merit root"),
    "an account that was paid too much": (
        lambda b: overpaid(b, 1),
        f"account {to_checksum(job().cohort.members[0].payout)}",
    ),
    "an account that was paid another round": (
        lambda b: overpaid(b, b.job.spec.payment.rate),
        f"account {to_checksum(job().cohort.members[0].payout)}",
    ),
    "an account that earned nothing and was paid": (
        lambda b: b.with_chain(
            claimed=b.chain.claimed | {b"\xee" * 20: 5}, withdrawn=b.chain.withdrawn - 5
        ),
        f"account {to_checksum(bytes([0xEE]) * 20)}",
    ),
    "money that is missing": (
        lambda b: b.with_chain(withdrawn=b.chain.withdrawn - 1),
        "money: claimed, returned and held",
    ),
    "money from nowhere": (
        lambda b: b.with_chain(held=1),
        "money: claimed, returned and held",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_is_found(name: str) -> None:
    plant, where = FAULTS[name]
    assert faults(honest()) == {}
    found = faults(plant(honest()))
    assert where in found
    assert found[where], "a fault says what is wrong"


def test_another_spec_held_here_is_found() -> None:
    checks = checks_of(honest(), digest_of("other"))
    assert [c.name for c in checks if not c.ok] == ["spec digest held here"]


def test_a_fault_shows_both_sides() -> None:
    other = digest_of("other")
    found = faults(honest().with_chain(final_model=other))
    assert other.hex()[:16] in found["final model"]
    assert honest().evidence.final_model.hex()[:16] in found["final model"]


@pytest.mark.parametrize("name", ["an account twice", "an entry of nothing"])
def test_hostile_merit_is_a_fault_and_no_error(name: str) -> None:
    """Evidence comes from the requester: what no tree can be built of must not end an audit."""
    books = honest()
    first, *rest = books.evidence.merit
    hostile = {
        "an account twice": (first, first, *rest),
        "an entry of nothing": (MeritShare(b"\xee" * 20, 0), first, *rest),
    }[name]
    evidence = dataclasses.replace(books.evidence, merit=hostile)
    books = dataclasses.replace(books, evidence=evidence)
    with pytest.raises(ValueError, match=r"account stands twice|at least 1"):
        merit_tree(evidence)
    assert "merit root" in faults(books)


def test_two_members_of_one_payout_account_are_paid_once_a_round() -> None:
    books = shared_books()
    assert faults(books) == {}
    account = books.job.cohort.members[0].payout
    twice = books.job.spec.payment.rate
    claimed = books.chain.claimed | {account: books.chain.claimed[account] + twice}
    paid_twice = books.with_chain(claimed=claimed, withdrawn=books.chain.withdrawn - twice)
    assert list(faults(paid_twice)) == [f"account {to_checksum(account)}"]
    first, *rest = books.evidence.merit
    less = dataclasses.replace(first, amount=first.amount // 2)
    other = dataclasses.replace(rest[0], amount=rest[0].amount + first.amount // 2)
    assert "merit shares" in faults(books.with_evidence(merit=(less, other, *rest[1:])))


def test_equal_shares_are_of_all_contributions_where_two_name_one_payout_account() -> None:
    books = shared_books()
    rate, share = books.job.spec.payment.rate, books.job.spec.payment.merit // 15
    accounts = {member.payout for member in books.job.cohort.members}
    claimed = dict.fromkeys(accounts, 3 * (rate + share))
    closed_so = books.with_chain(
        final_model=b"",
        evidence_digest=b"",
        merit_root=b"",
        claimed=claimed,
        withdrawn=books.chain.escrowed - sum(claimed.values()),
    )
    assert faults(closed_so) == {}
