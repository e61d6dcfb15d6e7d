"""Pack, encrypt, write, read, add, decrypt, unpack: at every lane width, up to the very edge."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kits.examples import examples

from protocol.arith.encoding.lanes import Lanes
from protocol.arith.numbers.shape import NOBODY
from protocol.arith.paillier.batch import decode_batch, encode_batch, sum_encoded
from protocol.arith.paillier.cryptosystem import PrivateKey
from protocol.arith.paillier.pool import Pool
from protocol.params import VALUE_BITS


@pytest.fixture(scope="module", params=["small_key", "short_key"])
def key(request: pytest.FixtureRequest) -> PrivateKey:
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="module")
def pool(key: PrivateKey, entropy_from) -> Pool:
    return Pool(key.public, entropy_from(1), lambda: 1)


def added(key: PrivateKey, pool: Pool, lanes: Lanes, vectors: list[np.ndarray]) -> np.ndarray:
    """The vectors' sum by way of the wire."""
    public, count, values = key.public, lanes.ciphertexts(vectors[0].size), vectors[0].size
    batches = [encode_batch(public, pool.encrypt(lanes.pack(each)), NOBODY) for each in vectors]
    total = encode_batch(public, sum_encoded(public, batches, count), NOBODY)
    sums = lanes.unpack(key.decrypt(decode_batch(total, public, count, NOBODY)), values)
    lanes.check_sum(sums, len(vectors))
    return sums


@given(
    value_bits=st.integers(*VALUE_BITS),
    summands=st.integers(1, 9),
    values=st.integers(1, 150),
    seed=st.integers(0, 2**32),
    edge=st.sampled_from([0, 1, -1]),
)
@examples(0.6)
def test_sums_come_back(
    key: PrivateKey, pool: Pool, value_bits: int, summands: int, values: int, seed: int, edge: int
) -> None:
    lanes = Lanes(value_bits, summands, key.public.bits)
    random, top = np.random.default_rng(seed), lanes.max_int
    low, high = (-top, top) if not edge else (edge * top, edge * top)
    vectors = [random.integers(low, high, values, endpoint=True) for _ in range(summands)]
    np.testing.assert_array_equal(added(key, pool, lanes, vectors), np.sum(vectors, axis=0))


@pytest.mark.parametrize("value_bits", range(VALUE_BITS[0], VALUE_BITS[1] + 1))
def test_the_fullest_sum_of_every_width(key: PrivateKey, pool: Pool, value_bits: int) -> None:
    lanes = Lanes(value_bits, 3, key.public.bits)
    count = min(lanes.headroom, 5)
    for sign in (1, -1):
        full = np.full(2 * lanes.lanes_per_ciphertext + 1, sign * lanes.max_int)
        sums = added(key, pool, lanes, [full] * count)
        np.testing.assert_array_equal(sums, count * full)
