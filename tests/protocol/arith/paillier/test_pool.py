"""Obfuscators made ahead: each once, within bounds, in one process."""

from __future__ import annotations

import pickle

import pytest

from protocol.arith.paillier.cryptosystem import PrivateKey
from protocol.arith.paillier.pool import Pool
from protocol.errors import FatalError


class Process:
    """Says which process this is: a fork, without one."""

    def __init__(self) -> None:
        self.number = 1

    def __call__(self) -> int:
        return self.number


@pytest.fixture(params=["small_key", "short_key"])
def key(request: pytest.FixtureRequest) -> PrivateKey:
    return request.getfixturevalue(request.param)


def test_what_it_encrypts_decrypts_whatever_was_in_it(key: PrivateKey, entropy_from) -> None:
    pool = Pool(key.public, entropy_from(1), Process())
    assert pool.fill(5) == 5
    assert len(pool) == 5
    plaintexts = [3, -4, 0, 10**20, -(10**20), 7, 8]  # two more than there are
    ciphertexts = list(pool.encrypt(plaintexts))
    assert key.decrypt(ciphertexts) == plaintexts
    assert len(pool) == 0


def test_each_is_used_once(key: PrivateKey, entropy_from) -> None:
    pool = Pool(key.public, entropy_from(1), Process())
    pool.fill(20)
    drawn = [*pool.take(10), *pool.take(30)]
    pool.fill(10)
    drawn += pool.take(10)
    assert len(set(drawn)) == 50


def test_what_is_not_asked_for_stays(key: PrivateKey, entropy_from) -> None:
    pool = Pool(key.public, entropy_from(1), Process())
    pool.fill(4)
    taken = pool.take(3)
    next(taken)
    assert len(pool) == 3


def test_memory_is_bounded(key: PrivateKey, entropy_from) -> None:
    pool = Pool(key.public, entropy_from(1), Process(), max_bytes=2000)
    assert pool.limit == 2000 // (key.public.ciphertext_bytes + 128)
    assert pool.fill(100) == pool.limit == len(pool)
    assert pool.fill(1) == 0
    assert pool.fill(-1) == 0


def test_a_fork_throws_away_what_its_parent_has_too(key: PrivateKey, entropy_from) -> None:
    process = Process()
    pool = Pool(key.public, entropy_from(1), process)
    pool.fill(10)
    taken = pool.take(10)
    parents = {next(taken) for _ in range(3)}
    process.number = 2
    assert len(pool) == 0
    assert not parents & set(taken)  # even what was being taken is drawn afresh
    pool.fill(2)
    assert len(pool) == 2


def test_a_fork_of_an_ordinary_key_s_pool_has_another_base(
    small_key: PrivateKey, entropy_from
) -> None:
    process = Process()
    pool = Pool(small_key.public, entropy_from(1), process)
    pool.fill(1)
    before = pool._source
    process.number = 2
    pool.fill(1)
    assert pool._source is not before


def test_it_does_not_pickle(key: PrivateKey, entropy_from) -> None:
    with pytest.raises(TypeError, match="used twice"):
        pickle.dumps(Pool(key.public, entropy_from(1), Process()))


def test_a_plaintext_that_does_not_fit_is_refused(key: PrivateKey, entropy_from) -> None:
    pool = Pool(key.public, entropy_from(1), Process())
    with pytest.raises(FatalError, match="plaintext 1 does not fit"):
        list(pool.encrypt([0, key.public.n]))
