"""The settlement of a finished job: what each account earned in all rounds, in one list.

docs/spec/contract.md states its rules, contracts/settlement.vy keeps them. Leaves are sorted by
account and come in parts of MAX_LEAVES; each part has an index tree of its own (books.trees), over
leaves that are hashed as their bytes stand. Whoever has the list, which the contract logs, can show
where an account stands in it, or that it stands nowhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from eth_hash.auto import keccak

from protocol import params
from protocol.addresses import ADDRESS_BYTES
from protocol.books.trees import NODE_BYTES, IndexTree
from protocol.errors import Malformed

#: Leaves of one part, which is what one call pays.
MAX_LEAVES: Final = 256

#: Parts that hold the largest cohort.
MAX_PARTS: Final = params.MAX_COHORT // MAX_LEAVES

_ROUND_BYTES, _MERIT_BYTES = 32, 16

#: Account (20), rounds as bits (32), merit (16).
LEAF_BYTES: Final = ADDRESS_BYTES + _ROUND_BYTES + _MERIT_BYTES


@dataclass(frozen=True, slots=True)
class SettledAccount:
    """What one account earned: its rounds as bits, and its merit in the token's smallest unit."""

    account: bytes
    rounds: int
    merit: int

    def __post_init__(self) -> None:
        if len(self.account) != ADDRESS_BYTES:
            raise ValueError(f"an account has {ADDRESS_BYTES} bytes, not {len(self.account)}")
        if not 0 <= self.rounds < 1 << params.MAX_ROUNDS:
            raise ValueError(f"rounds are bits 0 to {params.MAX_ROUNDS - 1}, not {self.rounds:#x}")
        if not 0 <= self.merit < 1 << 8 * _MERIT_BYTES:
            raise ValueError(f"merit is 0 to 2^{8 * _MERIT_BYTES} - 1, not {self.merit}")

    @property
    def leaf(self) -> bytes:
        """LEAF_BYTES, big-endian."""
        rounds = self.rounds.to_bytes(_ROUND_BYTES, "big")
        return self.account + rounds + self.merit.to_bytes(_MERIT_BYTES, "big")


@dataclass(frozen=True, slots=True)
class Place:
    """Where an account stands in a settlement, or would: `position` is the first leaf's, `proof`
    that leaf and its siblings, and where two leaves show a gap the second one and its siblings."""

    position: int
    proof: bytes


class Settlement:
    """A list of settled accounts, and the trees over its parts."""

    def __init__(self, accounts: Sequence[SettledAccount]) -> None:
        """Takes 1 to MAX_COHORT accounts, in the order in which they stand.

        Order is not checked: a list that does not ascend can be brought, and be voided. Raises
        ValueError for none and for too many.
        """
        if not 1 <= len(accounts) <= params.MAX_COHORT:
            raise ValueError(
                f"a settlement has 1 to {params.MAX_COHORT} accounts, not {len(accounts)}"
            )
        self.accounts = tuple(accounts)
        parts = range(0, len(accounts), MAX_LEAVES)
        self.trees = tuple(
            IndexTree([keccak(each.leaf) for each in accounts[at : at + MAX_LEAVES]])
            for at in parts
        )

    @property
    def parts(self) -> tuple[bytes, ...]:
        """The leaves as `settle` and `pay` take them, a part each."""
        whole = b"".join(each.leaf for each in self.accounts)
        size = MAX_LEAVES * LEAF_BYTES
        return tuple(whole[at : at + size] for at in range(0, len(whole), size))

    @property
    def roots(self) -> tuple[bytes, ...]:
        """What the contract stores of each part's root: NODE_BYTES."""
        return tuple(tree.root[:NODE_BYTES] for tree in self.trees)

    def leaf_and_proof(self, position: int) -> bytes:
        """A leaf and its siblings, from the leaf up. Raises IndexError past the last."""
        part, within = divmod(position, MAX_LEAVES)
        return self.accounts[position].leaf + b"".join(self.trees[part].proof(within))

    def position_of(self, account: bytes) -> int | None:
        """Where the account stands first; None where it stands nowhere."""
        found = (at for at, each in enumerate(self.accounts) if each.account == account)
        return next(found, None)

    def place(self, account: bytes) -> Place:
        """The account's own leaf; where it has none, the leaves between which it is missing.

        A list that the account is not in has such a pair, in whatever order it stands: it begins
        above the account, ends below it, or passes it on the way.
        """
        own = self.position_of(account)
        if own is not None:
            return Place(own, self.leaf_and_proof(own))
        if self.accounts[0].account > account:
            return Place(0, self.leaf_and_proof(0))
        pairs = range(len(self.accounts) - 1)
        for at in pairs:
            if self.accounts[at].account < account < self.accounts[at + 1].account:
                return Place(at, self.leaf_and_proof(at) + self.leaf_and_proof(at + 1))
        last = len(self.accounts) - 1
        return Place(last, self.leaf_and_proof(last))


def decode_leaves(data: bytes) -> tuple[SettledAccount, ...]:
    """Reads hostile bytes, such as a log's. Raises Malformed."""
    if not data or len(data) % LEAF_BYTES:
        raise Malformed(f"settled leaves have {LEAF_BYTES} bytes each, not {len(data)} in all")
    found = []
    for at in range(0, len(data), LEAF_BYTES):
        account, rest = data[at : at + ADDRESS_BYTES], data[at + ADDRESS_BYTES : at + LEAF_BYTES]
        rounds = int.from_bytes(rest[:_ROUND_BYTES], "big")
        merit = int.from_bytes(rest[_ROUND_BYTES:], "big")
        try:
            found.append(SettledAccount(account, rounds, merit))
        except ValueError as error:
            raise Malformed(f"settled leaf {at // LEAF_BYTES}: {error}") from error
    return tuple(found)


def settle(rounds: Iterable[tuple[int, Iterable[bytes]]], merit: Mapping[bytes, int]) -> Settlement:
    """The honest settlement: `rounds` are (number, the accounts of its contributions), `merit` is
    by account.

    Rounds that were paid already are named as well: the contract takes them off. Raises ValueError
    where nobody earned anything.
    """
    earned: dict[bytes, int] = dict.fromkeys(merit, 0)
    for number, accounts in rounds:
        for account in accounts:
            earned[account] = earned.get(account, 0) | 1 << number
    return Settlement([SettledAccount(a, earned[a], merit.get(a, 0)) for a in sorted(earned)])


@dataclass(frozen=True, slots=True)
class LeftOut:
    """What a settlement keeps from an account: rounds as bits, and by how much merit is too low."""

    account: bytes
    rounds: int
    merit: int


def left_out(settled: Settlement, honest: Settlement) -> tuple[LeftOut, ...]:
    """Everybody that a settlement pays less than an honest one would; each of them voids it.

    Of an account that stands there several times, the leaf that `place` finds counts.
    """
    first: dict[bytes, SettledAccount] = {}
    for each in settled.accounts:
        first.setdefault(each.account, each)
    found = []
    for due in honest.accounts:
        shown = first.get(due.account)
        rounds, merit = (0, 0) if shown is None else (shown.rounds, shown.merit)
        lacking = due.rounds & ~rounds, max(0, due.merit - merit)
        if any(lacking):
            found.append(LeftOut(due.account, *lacking))
    return tuple(found)
