"""Masks: that they cancel, what they are bound to, and keys of strangers."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
from gmpy2 import mpz
from hypothesis import given
from hypothesis import strategies as st
from kits.examples import examples

from protocol.arith.numbers.entropy import Entropy
from protocol.arith.secagg.agreement import agree, check_public, new_key, public_of
from protocol.arith.secagg.masks import (
    Binding,
    Residues,
    Words,
    check_roster,
    contribution_mask,
    expand_words,
    pair_seed,
    removal,
    self_seed,
)
from protocol.errors import FatalError, Malformed

N = (1 << 255) - 19
BINDING = Binding(31337, bytes(20), bytes(32), 3, 1, b"m" * 32, b"r" * 32, N.to_bytes(32, "big"))

#: Points of small order on Curve25519 and its twist, all encodings that X25519 reads (cr.yp.to,
#: 'Curve25519: new Diffie-Hellman speed records', and the list at https://cr.yp.to/ecdh.html).
_SMALL = (
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
    "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
)
LOW_ORDER = [
    bytes([*bytes.fromhex(text)[:31], bytes.fromhex(text)[31] | top])
    for text in _SMALL
    for top in (0, 0x80)
]


@dataclasses.dataclass(frozen=True)
class Member:
    position: int
    private: bytes
    public: bytes
    seed: bytes


def members(positions: list[int], entropy: Entropy) -> list[Member]:
    return [Member(position, *new_key(entropy), entropy(32)) for position in positions]


def roster_of(block: list[Member]) -> list[tuple[int, bytes]]:
    return [(member.position, member.public) for member in block]


@st.composite
def rosters(draw: st.DrawFn) -> tuple[list[int], int]:
    """Positions of a frozen roster in any order, and how many of the first drop out."""
    positions = draw(st.lists(st.integers(0, 31), min_size=2, max_size=9, unique=True))
    return positions, draw(st.integers(0, len(positions) - 1))


@given(chosen=rosters(), seed=st.integers(0, 2**32), bits=st.sampled_from((8, 24, 32, 40, 64, 0)))
@examples(0.6)
def test_what_is_left_over_is_the_removal(
    entropy_from: Callable[[int], Entropy], chosen: tuple[list[int], int], seed: int, bits: int
) -> None:
    positions, missing = chosen
    block = members(positions, entropy_from(seed))
    dropped, present = block[:missing], block[missing:]
    space = Words(bits) if bits else Residues(N)
    total = space.zero(7)
    for member in present:
        # the order in which members are listed does not matter
        mask = contribution_mask(
            space,
            7,
            member.private,
            member.seed,
            member.position,
            roster_of(block[::-1]),
            BINDING,
        )
        total = space.add(total, mask)
    left = removal(
        space,
        7,
        BINDING,
        [(member.position, member.public, member.seed) for member in present],
        [(member.position, member.private) for member in dropped],
    )
    assert [int(value) for value in space.subtract(total, left)] == [0] * 7


def test_one_seed_too_few_and_the_sum_stays_masked(
    entropy_from: Callable[[int], Entropy],
) -> None:
    block = members([0, 1, 2, 3], entropy_from(1))
    space = Words(32)
    total = space.zero(64)
    for member in block:
        mask = contribution_mask(
            space, 64, member.private, member.seed, member.position, roster_of(block), BINDING
        )
        total = space.add(total, mask)
    wrong = [(member.position, member.public, member.seed) for member in block]
    wrong[2] = (2, block[2].public, bytes(32))
    left = space.subtract(total, removal(space, 64, BINDING, wrong, []))
    assert np.count_nonzero(left) > 60
    # and one member taken out of the sum leaves its neighbours' masks in it
    without = [(member.position, member.public, member.seed) for member in block[1:]]
    alone = contribution_mask(
        space, 64, block[0].private, block[0].seed, 0, roster_of(block), BINDING
    )
    rest = space.subtract(space.subtract(total, alone), removal(space, 64, BINDING, without, []))
    assert np.count_nonzero(rest) > 60


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("chain_id", 1),
        ("contract", b"\1" * 20),
        ("job", b"\1" * 32),
        ("round", 4),
        ("attempt", 2),
        ("model_digest", b"M" * 32),
        ("roster_digest", b"R" * 32),
        ("n", (N + 2).to_bytes(32, "big")),
        ("n", b"\0" + N.to_bytes(32, "big")),
    ],
)
def test_every_part_of_the_binding_binds(field: str, value: object) -> None:
    other = dataclasses.replace(BINDING, **{field: value})
    one, two = bytes(range(32)), bytes(range(1, 33))
    assert other.digest() != BINDING.digest()
    assert pair_seed(one, public_of(two), other) != pair_seed(one, public_of(two), BINDING)
    assert self_seed(one, public_of(two), other) != self_seed(one, public_of(two), BINDING)


def test_round_and_attempt_are_not_mixed_up() -> None:
    swapped = dataclasses.replace(BINDING, round=BINDING.attempt, attempt=BINDING.round)
    assert swapped.digest() != BINDING.digest()


@pytest.mark.parametrize(
    "change",
    [
        {"contract": bytes(32)},
        {"job": bytes(31)},
        {"model_digest": b""},
        {"roster_digest": bytes(33)},
        {"n": b""},
        {"chain_id": 2**64},
        {"chain_id": -1},
        {"round": 2**32},
        {"attempt": -1},
    ],
)
def test_a_binding_of_other_sizes_is_ours_to_blame(change: dict[str, object]) -> None:
    with pytest.raises(FatalError, match="binding"):
        dataclasses.replace(BINDING, **change)


def test_both_ends_of_a_pair_know_one_seed(entropy_from: Callable[[int], Entropy]) -> None:
    (one, first), (two, second) = (new_key(entropy_from(seed)) for seed in (1, 2))
    assert pair_seed(one, second, BINDING) == pair_seed(two, first, BINDING)
    assert pair_seed(one, second, BINDING) != agree(one, second)
    # another encoding of the same point agrees on the same bytes, but not on the same seed
    again = second[:31] + bytes([second[31] | 0x80])
    assert agree(one, again) == agree(one, second)
    assert pair_seed(one, again, BINDING) != pair_seed(one, second, BINDING)


@pytest.mark.parametrize("point", LOW_ORDER, ids=lambda point: point.hex()[:4] + point.hex()[-2:])
def test_a_key_of_low_order_is_its_senders_fault(
    point: bytes, entropy_from: Callable[[int], Entropy]
) -> None:
    (me, other) = members([4, 9], entropy_from(5))
    with pytest.raises(Malformed, match="low order"):
        check_public(point)
    with pytest.raises(Malformed, match="low order"):
        pair_seed(me.private, point, BINDING)
    with pytest.raises(Malformed, match=r"member 7: .* low order"):
        contribution_mask(
            Words(32), 1, me.private, me.seed, 4, [*roster_of([me, other]), (7, point)], BINDING
        )
    with pytest.raises(Malformed, match=r"member 7: .* low order"):
        removal(Words(32), 1, BINDING, [(7, point, bytes(32))], [(4, me.private)])


def test_good_keys_pass_and_short_ones_do_not(entropy_from: Callable[[int], Entropy]) -> None:
    for seed in range(20):
        check_public(new_key(entropy_from(seed))[1])
    for length in (0, 31, 33):
        with pytest.raises(Malformed, match="32 bytes"):
            check_public(bytes(length))
    with pytest.raises(FatalError, match="32 bytes"):
        public_of(bytes(31))


def test_a_copied_mask_key_is_named(entropy_from: Callable[[int], Entropy]) -> None:
    """Member 0 copies member 4's key: within member 2's contribution the two masks would cancel."""
    thief, me, victim = members([0, 2, 4], entropy_from(6))
    copied = [(0, victim.public), (2, me.public), (4, victim.public)]
    with pytest.raises(Malformed, match="members 0 and 4 have the same mask key"):
        contribution_mask(Words(32), 1, me.private, me.seed, 2, copied, BINDING)
    with pytest.raises(Malformed, match="members 0 and 4"):
        removal(Words(32), 1, BINDING, [(0, victim.public, thief.seed)], [(4, victim.private)])
    with pytest.raises(Malformed, match="member 2 twice"):
        check_roster([(2, me.public), (2, victim.public)])
    for few in ([], [(2, me.public)]):
        with pytest.raises(Malformed, match="hides nobody"):
            check_roster(few)


def test_nobody_masks_under_a_key_that_was_put_in_its_place(
    entropy_from: Callable[[int], Entropy],
) -> None:
    me, other, puppet = members([0, 1, 2], entropy_from(7))
    for roster in (
        [(0, puppet.public), (1, other.public)],
        [(1, other.public), (2, puppet.public)],
    ):
        with pytest.raises(Malformed, match="does not hold member 0 with its own"):
            contribution_mask(Words(32), 1, me.private, me.seed, 0, roster, BINDING)


@given(bits=st.sampled_from(range(8, 65, 8)), count=st.integers(0, 70_000), sign=st.booleans())
@examples(0.3)
def test_mixing_in_chunks_is_expanding_and_adding(bits: int, count: int, sign: bool) -> None:
    space, start = Words(bits), expand_words(b"s" * 32, count, bits)
    words = expand_words(b"t" * 32, count, bits)
    assert words.dtype == (np.uint32 if bits <= 32 else np.uint64)
    assert not count or int(words.max()) < 1 << bits
    total = start.copy()
    space.mix(total, b"t" * 32, 1 if sign else -1)
    expected = space.add(start, words) if sign else space.subtract(start, words)
    np.testing.assert_array_equal(space.reduced(total), expected)
    pairs = zip(start[:99].tolist(), words[:99].tolist(), strict=True)
    exact = [(a + b if sign else a - b) % 2**bits for a, b in pairs]
    assert expected[:99].tolist() == exact


def test_a_longer_expansion_begins_with_the_shorter() -> None:
    for bits in (24, 32, 48):
        long = expand_words(b"s" * 32, 100_000, bits)
        np.testing.assert_array_equal(long[:7], expand_words(b"s" * 32, 7, bits))
    assert Residues(N).expand(b"s" * 32, 9)[:4] == Residues(N).expand(b"s" * 32, 4)


def test_layouts_share_no_stream() -> None:
    """Words of 24 bits are no cut of those of 32, nor residues of anything."""
    wide, narrow = (expand_words(b"s" * 32, 100, bits) for bits in (32, 24))
    assert np.count_nonzero((wide & 0xFFFFFF) == narrow) < 3
    small, large = (Residues(n).expand(b"s" * 32, 10) for n in (N, N << 1))
    assert not {value % N for value in large} & set(small)


def test_expansions_look_uniform() -> None:
    """A sanity check, not a proof: means of a million words, of residues, and of each bit."""
    words = expand_words(b"u" * 32, 1_000_000, 24).astype(np.float64) / 2**24
    assert abs(words.mean() - 0.5) < 0.002
    assert abs(words.var() - 1 / 12) < 0.001
    n = 3 << 254  # a modulus far from a power of two: reduction must not favour its lower third
    residues = np.array([float(value / mpz(n)) for value in Residues(n).expand(b"u" * 32, 20_000)])
    assert np.abs(np.histogram(residues, 4, (0, 1))[0] / 20_000 - 0.25).max() < 0.015


def test_spaces_refuse_what_they_cannot_hold() -> None:
    for bits in (0, 7, 12, 72):
        with pytest.raises(FatalError, match="words of"):
            Words(bits)
    with pytest.raises(FatalError, match="residues"):
        Residues(1)
    with pytest.raises(FatalError, match="seed"):
        expand_words(bytes(31), 1, 32)
    with pytest.raises(FatalError, match="seed"):
        self_seed(bytes(16), bytes(32), BINDING)
