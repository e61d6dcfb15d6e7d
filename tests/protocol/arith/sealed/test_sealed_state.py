"""The requester's clear weights, for its key alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.arith.paillier.cryptosystem import PrivateKey
from protocol.arith.sealed.state import State, open_state, seal_state, state_bytes
from protocol.errors import FatalError, Malformed
from protocol.params import MAX_ROUNDS

floats = st.floats(allow_nan=False, allow_infinity=False).map(lambda value: value + 0.0)


def same(left: State, right: State) -> bool:
    if (left.momentum is None) != (right.momentum is None) or left.turn != right.turn:
        return False
    pairs = [(left.weights, right.weights), (left.momentum, right.momentum)]
    return all(np.array_equal(a, b) for a, b in pairs if a is not None)


@given(
    values=st.lists(st.tuples(floats, floats), min_size=1, max_size=30),
    momentum=st.booleans(),
    turn=st.integers(0, MAX_ROUNDS),
    seed=st.integers(0, 2**32),
)
def test_what_was_sealed_opens(
    small_key: PrivateKey,
    entropy_from,
    values: list[tuple[float, float]],
    momentum: bool,
    turn: int,
    seed: int,
) -> None:
    weights, moves = np.array(values).T
    state = State(turn, weights, moves if momentum else None)
    entropy = entropy_from(seed)
    blob = seal_state(small_key, state, entropy)
    assert len(blob) == state_bytes(len(values), momentum)
    assert same(open_state(small_key, blob, len(values)), state)
    again = seal_state(small_key, state, entropy)
    assert again[:7] == blob[:7]
    # another salt, another key, another stream
    apart = np.frombuffer(again[39:], np.uint8) != np.frombuffer(blob[39:], np.uint8)
    assert apart.mean() > 0.5


@given(at=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7), momentum=st.booleans())
def test_any_changed_bit_is_refused(
    small_key: PrivateKey, entropy_from, at: float, bit: int, momentum: bool
) -> None:
    state = State(3, np.arange(4.0), np.ones(4) if momentum else None)
    blob = bytearray(seal_state(small_key, state, entropy_from(1)))
    blob[int(at * len(blob))] ^= 1 << bit
    with pytest.raises(Malformed, match="sealed state"):
        open_state(small_key, bytes(blob), 4)


def test_each_check_says_what_it_found(
    small_key: PrivateKey, medium_key: PrivateKey, entropy_from
) -> None:
    blob = seal_state(small_key, State(3, np.arange(4.0)), entropy_from(1))
    with pytest.raises(Malformed, match="under another key"):
        open_state(medium_key, blob, 4)
    for bad, count, says in (
        (blob[:-1], 4, "bytes"),
        (blob + b"\0", 4, "bytes"),
        (b"", 4, "bytes"),
        (blob, 5, "5 weights"),
        (b"Assay" + blob[5:], 4, "begin"),
        (blob[:5] + b"\2" + blob[6:], 4, "version 2"),
        (blob[:6] + b"\1" + blob[7:], 4, "begin"),
    ):
        with pytest.raises(Malformed, match=says):
            open_state(small_key, bad, count)


def test_nothing_shows_of_the_weights(small_key: PrivateKey, entropy_from) -> None:
    """A file of weights compresses, and holds their bytes; this does neither."""
    weights = np.full(4096, 0.25)
    blob = seal_state(small_key, State(1, weights, weights), entropy_from(1))
    assert weights[:2].tobytes() not in blob
    counts = np.bincount(np.frombuffer(blob[39:], np.uint8), minlength=256)
    expected = (len(blob) - 39) / 256
    assert ((counts - expected) ** 2 / expected).sum() < 400  # 255 degrees of freedom
    assert "0.25" not in repr(State(1, weights, weights))


def test_states_that_are_none_are_our_own_fault(small_key: PrivateKey, entropy_from) -> None:
    entropy, good = entropy_from(1), np.zeros(3)
    for state, says in (
        (State(MAX_ROUNDS + 1, good), "turn"),
        (State(-1, good), "turn"),
        (State(1, good, np.zeros(4)), "differ in length"),
        (State(1, np.array([np.nan])), "finite"),
    ):
        with pytest.raises(FatalError, match=says):
            seal_state(small_key, state, entropy)
    with pytest.raises(FatalError, match="entropy source"):
        seal_state(small_key, State(1, good), lambda count: bytes(count - 1))
