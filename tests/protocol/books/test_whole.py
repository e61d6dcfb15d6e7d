"""Whole rounds: the lists that the contract takes, and how many calls they are."""

from __future__ import annotations

from dataclasses import replace

import pytest
from kits.books import Books, make_books, make_job

from protocol import params
from protocol.books.lists import Leaf
from protocol.books.trees import Merit, contribution_detail, contribution_leaf, index_root
from protocol.books.whole import WholePay, encode_whole, whole_pays


@pytest.fixture
def books() -> Books:
    job = make_job(11)
    count = max(job.blocks) + 1
    return make_books(job, [range(count), [0], [count - 1]])


def roots_of(call: WholePay, counts: list[int]) -> list[bytes]:
    """The roots that the bytes give, read by hand; they end with the last list."""
    data, at = call.lists, 20 * call.accounts + 17 * call.merits
    names = [data[n : n + 20] for n in range(0, 20 * call.accounts, 20)]
    assert names == sorted(set(names))
    roots = []
    for count in counts:
        leaves = []
        for _ in range(count):
            detail, account = data[at : at + 24], names[data[at + 24]]
            leaves.append(leaf_of(account, detail))
            at += 25
        roots.append(index_root(leaves))
    assert at == len(data)
    return roots


def leaf_of(account: bytes, detail: bytes) -> bytes:
    from eth_hash.auto import keccak

    return keccak(account + bytes(11) + b"\x01" + detail + bytes(8))


def test_the_lists_give_the_roots_on_the_chain(books: Books) -> None:
    merit = [Merit(share.account, share.amount) for share in books.evidence.merit]
    listed = [leaves for _, leaves in books.rounds]
    (call,) = whole_pays(books.job.cohort, listed, merit)
    assert (call.first, call.rounds, call.merits) == (0, 3, len(merit))
    chain = books.chain.rounds
    roots = roots_of(call, [chain[n].count for n in range(3)])
    assert roots == [chain[n].root for n in range(3)]
    # Merit stands in the tree's order, each with its account's place and 16 bytes of amount.
    at = 20 * call.accounts
    for entry in merit:
        place, amount = call.lists[at], int.from_bytes(call.lists[at + 1 : at + 17], "big")
        assert call.lists[20 * place : 20 * place + 20] == entry.account
        assert amount == entry.amount
        at += 17


def test_a_detail_is_what_its_leaf_hashes() -> None:
    account, roster, batch = bytes([1]) * 20, bytes([2]) * 32, bytes([3]) * 32
    detail = contribution_detail(7, roster, batch)
    assert leaf_of(account, detail) == contribution_leaf(account, 7, roster, batch)


def accounts(count: int) -> list[bytes]:
    return [n.to_bytes(20, "big") for n in range(1, count + 1)]


def test_limits_of_one_call() -> None:
    most = [(account, bytes(24)) for account in accounts(params.MAX_WHOLE_ACCOUNTS)]
    assert encode_whole(0, [most]).accounts == 256
    with pytest.raises(ValueError, match="257 accounts, of 256 at most"):
        encode_whole(0, [most], [Merit(bytes([9]) * 20, 1)])
    assert encode_whole(5, [most[:1]] * params.MAX_WHOLE_ROUNDS).rounds == 96
    with pytest.raises(ValueError, match="97 rounds, of 96 at most"):
        encode_whole(5, [most[:1]] * 97)
    with pytest.raises(OverflowError):
        encode_whole(0, [], [Merit(bytes([9]) * 20, 2**128)])


def test_many_rounds_are_several_calls_in_order(books: Books) -> None:
    leaf = books.rounds[0][1][0]
    merit = [Merit(books.job.cohort.members[leaf.member].payout, 5)]
    calls = whole_pays(books.job.cohort, [[leaf]] * 200, merit)
    assert [(c.first, c.rounds, c.merits) for c in calls] == [(0, 96, 1), (96, 96, 0), (192, 8, 0)]
    wide = [[replace(leaf, batch_digest=n.to_bytes(32, "big")) for n in range(1000)]] * 5
    calls = whole_pays(books.job.cohort, wide, merit, first=3)
    assert [(c.first, c.rounds) for c in calls] == [(3, 2), (5, 2), (7, 1)]
    assert all(len(call.lists) < 64 * 1024 for call in calls)


def test_a_round_of_too_many_accounts_is_left_to_claims(books: Books) -> None:
    cohort = books.job.cohort
    member = cohort.members[0]
    crowd = replace(cohort, members=tuple(replace(member, payout=each) for each in accounts(257)))
    listed = [Leaf(n, 0, bytes(32), bytes(32)) for n in range(257)]
    assert whole_pays(crowd, [listed], []) == ()
    assert len(whole_pays(crowd, [listed[:256], listed[1:]], [])) == 2
    # Nor does anything of it go where only a later round is too large.
    assert whole_pays(crowd, [listed[:5], listed], []) == ()
