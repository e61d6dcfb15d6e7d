"""Merkle trees whose roots stand on the chain: an index tree a round, a sum tree over merit.

docs/spec/trees.md states both; contracts/trees.vy verifies them. Every kind of node is hashed
under a prefix byte of its own (RFC 6962, section 2.1), so that no leaf passes for an inner node,
nor a node of one tree for one of the other. The index tree's nodes have none: they alone are
hashes of 64 bytes, and the 32nd is 1 in a contribution's leaf, 0 in an inner node. Digests are
Keccak-256, 32 bytes; integers are hashed as 32-byte big-endian words, addresses left-padded to a
word (the contract's abi.encode).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from eth_hash.auto import keccak

from protocol.addresses import ADDRESS_BYTES
from protocol.params import MAX_COHORT

#: Behind the account in a contribution's leaf; where an inner node has zeros.
_LEAF_MARK: Final = bytes(11) + b"\x01"
_SUM_LEAF: Final = b"\x02"
_SUM_NODE: Final = b"\x03"
_ENROLMENT_LEAF: Final = b"\x04"

DIGEST_BYTES: Final = 32

#: What an index tree's inner node hashes of each child, and a proof carries of a sibling. To find
#: two trees with one root takes 2^96 hashes (docs/adr/0205).
NODE_BYTES: Final = 24
_NODE_PADDING: Final = bytes(DIGEST_BYTES - NODE_BYTES)

#: Pads an index tree to a power of two. It proves nothing: positions from count on are refused.
EMPTY: Final = bytes(DIGEST_BYTES)

#: The deepest tree holds the largest cohort.
MAX_DEPTH: Final = (MAX_COHORT - 1).bit_length()

#: A node of a tree: a hash, or a hash and a sum.
N = TypeVar("N")


def _word(value: int) -> bytes:
    if not 0 <= value < 1 << 256:
        raise ValueError(f"{value} does not fit an unsigned word of 256 bits")
    return value.to_bytes(32, "big")


def _account_word(account: bytes) -> bytes:
    if len(account) != ADDRESS_BYTES:
        raise ValueError(f"an account has {ADDRESS_BYTES} bytes, not {len(account)}")
    return account.rjust(32, b"\x00")


def _digest(digest: bytes) -> bytes:
    if len(digest) != DIGEST_BYTES:
        raise ValueError(f"a digest has {DIGEST_BYTES} bytes, not {len(digest)}")
    return digest


def depth_of(count: int) -> int:
    """The depth of a tree of `count` leaves, ceil(log2(count)), which is every proof's length.

    Raises ValueError unless count is 1 to MAX_COHORT.
    """
    if not 1 <= count <= MAX_COHORT:
        raise ValueError(f"a tree has 1 to {MAX_COHORT} leaves, not {count}")
    return (count - 1).bit_length()


def contribution_detail(block: int, roster_digest: bytes, contribution_digest: bytes) -> bytes:
    """What a contribution is, NODE_BYTES: its block, its frozen roster, its batch.

    No pay depends on it, so that the contract sees only this. Raises ValueError on a field of the
    wrong size.
    """
    if not 0 <= block < 1 << 16:
        raise ValueError(f"a block's index is 0 to 65535, not {block}")
    fields = _word(block), _digest(roster_digest), _digest(contribution_digest)
    return keccak(b"".join(fields))[:NODE_BYTES]


def contribution_leaf(
    account: bytes, block: int, roster_digest: bytes, contribution_digest: bytes
) -> bytes:
    """The leaf of one contribution: who is paid, and its detail.

    The leaf's position in the tree is not hashed: the proof's path fixes it. Raises ValueError on
    a field of the wrong size.
    """
    paid = _account_word(account)[-ADDRESS_BYTES:] + _LEAF_MARK
    detail = contribution_detail(block, roster_digest, contribution_digest)
    return keccak(paid + detail + _NODE_PADDING)


def enrolment_leaf(enrolment_digest: bytes) -> bytes:
    """The leaf of one enrolment, over the digest that the owner signed (typed_data)."""
    return keccak(_ENROLMENT_LEAF + _digest(enrolment_digest))


class IndexTree:
    """A tree over leaf hashes in which each position has exactly one leaf.

    Keeps all levels, so that the proofs of a whole cohort cost one hash a node in total.
    """

    def __init__(self, leaves: Sequence[bytes]) -> None:
        """Builds over 1 to MAX_COHORT leaves of 32 bytes. Raises ValueError otherwise."""
        depth = depth_of(len(leaves))
        level = [_digest(leaf) for leaf in leaves]
        self.count = len(level)
        level += [EMPTY] * ((1 << depth) - len(level))
        self._levels = _levels(level, _index_node)

    @property
    def root(self) -> bytes:
        """The root, 32 bytes; a single leaf is its own root."""
        return self._levels[-1][0]

    def proof(self, position: int) -> tuple[bytes, ...]:
        """The siblings of a leaf, from the leaf up, NODE_BYTES each.

        Raises IndexError past the last leaf.
        """
        if not 0 <= position < self.count:
            raise IndexError(f"position {position} of a tree of {self.count} leaves")
        return tuple(node[:NODE_BYTES] for node in _siblings(self._levels, position))


def index_root(leaves: Sequence[bytes]) -> bytes:
    """The root over `leaves`; see IndexTree."""
    return IndexTree(leaves).root


def verify_index(
    root: bytes, count: int, position: int, leaf: bytes, proof: Sequence[bytes]
) -> bool:
    """Whether `leaf` stands at `position` of the tree of `count` leaves under `root`.

    Total: hostile values give False, never an error. The depth follows from count and the path
    from position, so that no position has two leaves. A node leaves this to the contract; tests
    hold proofs and the contract to it.
    """
    if not 1 <= count <= MAX_COHORT or not 0 <= position < count:
        return False
    if len(proof) != depth_of(count):
        return False
    if any(len(digest) != DIGEST_BYTES for digest in (root, leaf)):
        return False
    if any(len(node) != NODE_BYTES for node in proof):
        return False
    node = leaf
    for height, sibling in enumerate(proof):
        node = _index_node(sibling, node) if position >> height & 1 else _index_node(node, sibling)
    return node == root


@dataclass(frozen=True, slots=True)
class SumNode:
    """A node of a sum tree: its hash, and the sum of all merit below it."""

    hash: bytes
    total: int

    def __post_init__(self) -> None:
        _digest(self.hash)
        _word(self.total)


@dataclass(frozen=True, slots=True)
class Merit:
    """One account's merit, in the token's smallest unit.

    At least 1: an account without merit is left out, so that only the empty tree has total 0.
    """

    account: bytes
    amount: int

    def __post_init__(self) -> None:
        _account_word(self.account)
        _word(self.amount)
        if self.amount == 0:
            raise ValueError("merit is at least 1: leave out an account that earned none")


#: The root of no merit at all: what `finish` takes where there is no pot, or nobody to share it.
NO_MERIT: Final = SumNode(EMPTY, 0)


class SumTree:
    """A tree over accounts' merit whose root's total is the sum of what its leaves can prove.

    A node's hash covers both children's hashes and sums, so that no proof shows an amount that the
    total does not hold. Both sums, not only their sum: Chalkias, Chatzigiannis and Ji, "Broken
    Proofs of Solvency in Blockchain Custodial Wallets and Exchanges" (2022), on what goes wrong.
    """

    def __init__(self, entries: Sequence[Merit]) -> None:
        """Builds over up to MAX_COHORT entries, one an account, their total within 256 bits.

        Raises ValueError otherwise: the contract pays merit once an account, so that a second
        entry could never be claimed.
        """
        if len(entries) > MAX_COHORT:
            raise ValueError(f"a sum tree has at most {MAX_COHORT} entries, not {len(entries)}")
        if len({entry.account for entry in entries}) != len(entries):
            raise ValueError("an account stands twice in a sum tree")
        level = [_sum_leaf(position, entry) for position, entry in enumerate(entries)]
        self.count = len(level)
        if level:
            level += [NO_MERIT] * ((1 << depth_of(len(level))) - len(level))
        self._levels = _levels(level, _sum_node)

    @property
    def root(self) -> SumNode:
        """Root hash and total; NO_MERIT for the empty tree."""
        top = self._levels[-1]
        return top[0] if top else NO_MERIT

    def proof(self, position: int) -> tuple[SumNode, ...]:
        """The siblings of an entry, from the leaf up. Raises IndexError past the last entry."""
        if not 0 <= position < self.count:
            raise IndexError(f"position {position} of a sum tree of {self.count} entries")
        return _siblings(self._levels, position)


def verify_sum(root: SumNode, position: int, merit: Merit, proof: Sequence[SumNode]) -> bool:
    """Whether `merit` stands at `position` under `root`, and all sums on the path add up.

    Total: hostile proofs give False. A sum past 256 bits is refused, as on the chain. A node
    leaves this to the contract, as `verify_index`.
    """
    if len(proof) > MAX_DEPTH or not 0 <= position < 1 << len(proof):
        return False
    node = _sum_leaf(position, merit)
    for height, sibling in enumerate(proof):
        if node.total + sibling.total >= 1 << 256:
            return False
        node = _sum_node(sibling, node) if position >> height & 1 else _sum_node(node, sibling)
    return node == root


def _levels(leaves: list[N], join: Callable[[N, N], N]) -> list[list[N]]:
    """A tree's levels, from its leaves up to its root."""
    levels = [leaves]
    while len(levels[-1]) > 1:
        below = levels[-1]
        levels.append([join(below[i], below[i + 1]) for i in range(0, len(below), 2)])
    return levels


def _siblings(levels: list[list[N]], position: int) -> tuple[N, ...]:
    """What a proof holds: the node beside the path on every level but the root's."""
    return tuple(level[(position >> height) ^ 1] for height, level in enumerate(levels[:-1]))


def _index_node(left: bytes, right: bytes) -> bytes:
    return keccak(left[:NODE_BYTES] + _NODE_PADDING + right[:NODE_BYTES] + _NODE_PADDING)


def _sum_leaf(position: int, merit: Merit) -> SumNode:
    fields = _word(position), _account_word(merit.account), _word(merit.amount)
    return SumNode(keccak(b"".join((_SUM_LEAF, *fields))), merit.amount)


def _sum_node(left: SumNode, right: SumNode) -> SumNode:
    fields = left.hash, _word(left.total), right.hash, _word(right.total)
    return SumNode(keccak(b"".join((_SUM_NODE, *fields))), left.total + right.total)
