"""Payment of whole rounds: the lists that the contract's `pay` rebuilds roots from.

Everybody that stands in a range of rounds is paid in one call, from lists that anybody holds
(docs/spec/contract.md, 'Whole rounds'). A call names at most MAX_WHOLE_ACCOUNTS accounts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from protocol import params
from protocol.books.enrolment import Cohort
from protocol.books.lists import Leaf
from protocol.books.trees import Merit, contribution_detail

#: Of an amount in the lists, bytes.
_AMOUNT_BYTES = 16


@dataclass(frozen=True, slots=True)
class WholePay:
    """One call of `pay`: `rounds` rounds from `first` on. `merits` are the sum tree's entries that
    it pays, in the tree's order: all or none. `lists` follow the other arguments, as they are."""

    first: int
    rounds: int
    accounts: int
    merits: int
    lists: bytes


def encode_whole(
    first: int, rounds: Sequence[Sequence[tuple[bytes, bytes]]], merit: Sequence[Merit] = ()
) -> WholePay:
    """One call over rounds of (account, detail), each in the order of its tree.

    Raises ValueError past a limit, OverflowError on an amount that has more than 16 bytes.
    """
    named = {account for listed in rounds for account, _ in listed}
    accounts = sorted(named | {entry.account for entry in merit})
    if len(accounts) > params.MAX_WHOLE_ACCOUNTS:
        raise ValueError(f"{len(accounts)} accounts, of {params.MAX_WHOLE_ACCOUNTS} at most")
    if len(rounds) > params.MAX_WHOLE_ROUNDS:
        raise ValueError(f"{len(rounds)} rounds, of {params.MAX_WHOLE_ROUNDS} at most")
    place = {account: bytes([number]) for number, account in enumerate(accounts)}
    out = bytearray(b"".join(accounts))
    for entry in merit:
        out += place[entry.account] + entry.amount.to_bytes(_AMOUNT_BYTES, "big")
    for listed in rounds:
        for account, detail in listed:
            out += detail + place[account]
    return WholePay(first, len(rounds), len(accounts), len(merit), bytes(out))


def whole_pays(
    cohort: Cohort,
    rounds: Sequence[Sequence[Leaf]],
    merit: Sequence[Merit],
    first: int = 0,
) -> tuple[WholePay, ...]:
    """The calls that pay all of `rounds`, the first of which is number `first`, and the merit.

    Empty where `pay` cannot: an account too many in a round or in the tree. Merit goes with the
    first call. A call has at most MAX_WHOLE_CONTRIBUTIONS, so that it fits a transaction.
    """
    listed = [
        [
            (
                cohort.members[leaf.member].payout,
                contribution_detail(leaf.block, leaf.roster_digest, leaf.batch_digest),
            )
            for leaf in each
        ]
        for each in rounds
    ]
    calls: list[WholePay] = []
    at, owed = 0, tuple(merit)
    while at < len(listed) or owed:
        taken, accounts, entries = 0, {entry.account for entry in owed}, 0
        for each in listed[at : at + params.MAX_WHOLE_ROUNDS]:
            joined = accounts | {account for account, _ in each}
            if len(joined) > params.MAX_WHOLE_ACCOUNTS:
                break
            if entries + len(each) > params.MAX_WHOLE_CONTRIBUTIONS:
                break
            taken, accounts, entries = taken + 1, joined, entries + len(each)
        if len(accounts) > params.MAX_WHOLE_ACCOUNTS or not (taken or owed):
            return ()
        calls.append(encode_whole(first + at, listed[at : at + taken], owed))
        at, owed = at + taken, ()
    return tuple(calls)
