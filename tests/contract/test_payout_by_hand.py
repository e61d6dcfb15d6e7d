"""A payout is checked by the steps of docs/spec/contract.md alone, 'A payout by hand'.

What checks gets bytes from the chain and an owner's own words. It knows Keccak-256, and how the ABI
lays out words of 32 bytes.
"""

from __future__ import annotations

from typing import Any

import pytest
from Crypto.Hash import keccak as pycryptodome
from kits.bounty import Contribution, World, book
from kits.bounty import owner as account_of

#: As the page lists the fields of `Claimed` and `Paid`.
CLAIMED = b"Claimed(bytes32,address,uint256,uint256,uint256)"
PAID = b"Paid(bytes32,uint16,uint16,bool,uint256[])"


def keccak(data: bytes) -> bytes:
    return pycryptodome.new(digest_bits=256, data=data).digest()


def word(number: int) -> bytes:
    return number.to_bytes(32, "big")


class Chain:
    """What any node of the chain answers: calls by bytes, logs by bytes."""

    def __init__(self, world: World) -> None:
        self._world = world

    def call(self, signature: bytes, *words: bytes) -> list[bytes]:
        data = self._world.run(keccak(signature)[:4] + b"".join(words))
        return [data[at : at + 32] for at in range(0, len(data), 32)]

    def log(self, receipt: Any, event: bytes) -> tuple[list[bytes], list[bytes]]:
        """Topics and words of the one log of this event."""
        [found] = [each for each in receipt.logs if bytes(each.topics[0]) == keccak(event)]
        data = bytes(found.data)
        words = [data[at : at + 32] for at in range(0, len(data), 32)]
        return [bytes(each) for each in found.topics], words


def leaf(account: bytes, block: int, roster: bytes, digest: bytes) -> bytes:
    """Step 2."""
    detail = keccak(word(block) + roster + digest)
    return keccak(account + bytes(11) + b"\x01" + detail[:24] + bytes(8))


def climbed(node: bytes, position: int, count: int, siblings: list[bytes]) -> bytes:
    """Step 3."""
    depth = 0
    while 2**depth < count:
        depth += 1
    assert len(siblings) == depth
    for height, sibling in enumerate(siblings):
        pair = [node[:24], sibling]
        if position >> height & 1:
            pair.reverse()
        node = keccak(pair[0] + bytes(8) + pair[1] + bytes(8))
    return node


def bound(chain: Chain, job: bytes, listed: Any, place: int) -> bool:
    """Steps 1 to 4: whether the chain binds the job to pay this contribution."""
    mine = listed.contributions[place]
    root, count = chain.call(b"rounds(bytes32,uint16)", job, word(listed.round))
    found = climbed(
        leaf(mine.account, mine.block, mine.roster, mine.digest),
        place,
        int.from_bytes(count, "big"),
        [bytes(each) for each in listed.tree.proof(place)],
    )
    return found[:30] == root[:30]


@pytest.mark.parametrize("whole", [False, True], ids=["claim", "pay"])
def test_a_payout_is_checked_by_hand(world: World, whole: bool) -> None:
    owners = [account_of(n) for n in range(3)]
    job = world.post(rounds=2, cohort=3, rate=100, merit=0)
    listed = book(0, *owners)
    listed.contributions[1] = Contribution(owners[1], 4, bytes([5]) * 32, bytes([6]) * 32)
    listed = type(listed)(0, listed.contributions)
    world.commit(job, listed)
    chain = Chain(world)
    assert [bound(chain, job, listed, place) for place in range(3)] == [True] * 3
    # Another's place, and another batch, are not what the chain binds it to.
    listed.contributions[0], listed.contributions[2] = (
        listed.contributions[2],
        Contribution(owners[2], 0, bytes(32), bytes(32)),
    )
    assert [bound(chain, job, listed, place) for place in range(3)] == [False, True, False]
    listed = type(listed)(0, [Contribution(owners[0]), listed.contributions[1]])
    honest = book(0, *owners)
    honest.contributions[1] = listed.contributions[1]
    honest = type(honest)(0, honest.contributions)

    # Step 5: `paid` has no bit, then it has; the event says of whom, for what and how much.
    names = job, bytes(12) + owners[1]
    assert chain.call(b"paid(bytes32,address)", *names) == [word(0)]
    if whole:
        receipt = world.send(world.paying(job, [honest]))
        topics, words = chain.log(receipt, PAID)
        first, rounds, merit, _, length, *entries = words
        assert topics[1] == job
        assert (first, rounds, merit, length) == (word(0), word(1), word(0), word(3))
        paid = {each[:20]: int.from_bytes(each[20:], "big") for each in entries}
        assert paid == dict.fromkeys(owners, 1)
    else:
        payment = honest.payment_of(owners[1])
        receipt = world.send(world.claiming(job, owners[1], [payment]), world.anybody)
        topics, words = chain.log(receipt, CLAIMED)
        assert topics[1:] == [job, bytes(12) + owners[1]]
        assert words == [word(100), word(1), word(0)]
    assert chain.call(b"paid(bytes32,address)", *names) == [word(1)]
    assert world.ether(owners[1]) == 100
