"""Keys, encryption and decryption; phe reads what assay writes, and the other way round."""

from __future__ import annotations

import pickle
import secrets

import gmpy2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from phe.paillier import EncryptedNumber, generate_paillier_keypair

from protocol.arith.paillier.cryptosystem import PrivateKey, PublicKey, add, encrypt, generate_key
from protocol.errors import FatalError, InputError
from protocol.params import ARITH_KEY_BITS


@pytest.mark.parametrize("bits", [256, 272, 512, 1024])
def test_generated_keys_are_what_they_promise(entropy_from, bits: int) -> None:
    for seed in range(3):
        key = generate_key(bits, entropy_from(seed))
        half = bits // 16
        data = key.to_bytes()
        p, q = int.from_bytes(data[:half], "big"), int.from_bytes(data[half:], "big")
        assert p * q == key.public.n
        assert key.public.bits == bits
        assert gmpy2.is_prime(p)
        assert gmpy2.is_prime(q)
        assert p % 4 == q % 4 == 3
        assert gmpy2.gcd(p - 1, q - 1) == 2
        assert gmpy2.gcd(key.public.n, (p - 1) * (q - 1)) == 1


def test_a_key_follows_from_its_entropy_alone(entropy_from) -> None:
    first, second, other = (generate_key(256, entropy_from(seed)) for seed in (1, 1, 2))
    assert first == second
    assert first != other


@given(st.data())
def test_signed_plaintexts_round_trip_and_add(small_key: PrivateKey, entropy_from, data) -> None:
    half = small_key.public.n // 2
    inside = st.integers(-(half // 2), half // 2)
    count = data.draw(st.integers(1, 6))
    a = data.draw(st.lists(inside, min_size=count, max_size=count))
    b = data.draw(st.lists(inside, min_size=count, max_size=count))
    entropy = entropy_from(data.draw(st.integers(0, 2**32)))
    public = small_key.public
    left, right = encrypt(public, a, entropy), encrypt(public, b, entropy)
    assert small_key.decrypt(left) == a
    sums = [int(add(public, c, d)) for c, d in zip(left, right, strict=True)]
    assert small_key.decrypt(sums) == [c + d for c, d in zip(a, b, strict=True)]


def test_the_edges_of_the_plaintext_space(small_key: PrivateKey, entropy_from) -> None:
    public, n = small_key.public, small_key.public.n
    edges = [0, 1, -1, n // 2, -(n // 2)]
    assert small_key.decrypt(encrypt(public, edges, entropy_from(1))) == edges
    assert small_key.decrypt(encrypt(public, [n // 2 + 1, n - 1], entropy_from(1))) == [
        -(n // 2),
        -1,
    ]
    for outside in (n, -n):
        with pytest.raises(FatalError, match="plaintext 1 does not fit"):
            encrypt(public, [0, outside], entropy_from(1))
    for outside in (0, n * n, -1):
        with pytest.raises(FatalError, match="ciphertext 0 to decrypt"):
            small_key.decrypt([outside])


def test_equal_plaintexts_give_unequal_ciphertexts(small_key: PrivateKey) -> None:
    drawn = encrypt(small_key.public, [7] * 50, secrets.token_bytes)
    drawn += encrypt(small_key.public, [7] * 50, secrets.token_bytes)
    assert len(set(drawn)) == 100


@pytest.mark.parametrize("count", [1, 20])
def test_phe_reads_what_assay_encrypts(medium_key: PrivateKey, entropy_from, count: int) -> None:
    phe_key = medium_key.to_phe()
    plaintexts = [(-1) ** index * (index + 1) ** 20 for index in range(count)]
    for plaintext, ciphertext in zip(
        plaintexts, encrypt(medium_key.public, plaintexts, entropy_from(3)), strict=True
    ):
        number = EncryptedNumber(phe_key.public_key, ciphertext, 0)
        assert phe_key.decrypt(number) == plaintext


def test_assay_reads_what_phe_encrypts(medium_key: PrivateKey) -> None:
    public = medium_key.public.to_phe()
    plaintexts = [0, 5, -5, 10**40, -(10**40)]
    ciphertexts = [public.encrypt(plaintext).ciphertext() for plaintext in plaintexts]
    assert medium_key.decrypt(ciphertexts) == plaintexts


def test_a_key_of_phe_s_factors_is_phe_s_key() -> None:
    _, theirs = generate_paillier_keypair(n_length=512)
    ours = PrivateKey(int(theirs.p), int(theirs.q))
    assert ours.to_phe() == theirs
    assert ours.public.to_phe() == theirs.public_key
    ciphertexts = encrypt(ours.public, [3, -4, 5], secrets.token_bytes)
    assert [theirs.raw_decrypt(c) for c in ciphertexts] == [3, ours.public.n - 4, 5]


def test_full_length_key_with_phe(full_key: PrivateKey, entropy_from) -> None:
    assert full_key.public.bits == 3072
    assert full_key.public.ciphertext_bytes == 768
    plaintexts = [1 << 3000, -(1 << 3000), 0, 12345]
    ciphertexts = encrypt(full_key.public, plaintexts, entropy_from(1))
    assert full_key.decrypt(ciphertexts) == plaintexts
    assert full_key.to_phe().raw_decrypt(ciphertexts[3]) == 12345


def test_keys_survive_their_bytes(small_key: PrivateKey) -> None:
    assert PrivateKey.from_bytes(small_key.to_bytes()) == small_key
    assert PublicKey.from_bytes(small_key.public.to_bytes()) == small_key.public
    assert len(small_key.to_bytes()) == len(small_key.public.to_bytes()) == 32
    assert pickle.loads(pickle.dumps(small_key.public)) == small_key.public  # noqa: S301


def test_a_private_key_neither_prints_nor_pickles(small_key: PrivateKey) -> None:
    assert repr(small_key) == str(small_key) == "<PrivateKey of 256 bits>"
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(small_key)


def primes(bits: int) -> list[int]:
    first = gmpy2.next_prime(3 << (bits - 2))
    return [int(first), int(gmpy2.next_prime(first))]


@pytest.mark.parametrize(
    ("n", "says"),
    [
        (0, "not a positive number"),
        ((1 << 239) + 1, "has 240 bits"),
        ((1 << 256) + 1, "has 257 bits"),
        ((1 << ARITH_KEY_BITS[1]) + 1, "bits, allowed"),
        ((1 << 255) + 2, "prime factor below"),
        (65521 * int(gmpy2.next_prime((1 << 256) // 65521 - 10**6)), "prime factor below"),
        (primes(128)[0] ** 2, "perfect power"),
        (int(gmpy2.prev_prime(1 << 256)), "is prime"),
        (-(primes(128)[0] * primes(128)[1]), "not a positive number"),
    ],
)
def test_bad_moduli_are_refused_with_their_reason(n: int, says: str) -> None:
    with pytest.raises(InputError, match=says):
        PublicKey(n)


def test_bytes_that_are_no_key_are_refused(small_key: PrivateKey) -> None:
    n, private = small_key.public.to_bytes(), small_key.to_bytes()
    for data in (b"", b"\0" + n, n[:-1], bytes(32), bytes(ARITH_KEY_BITS[1] // 8) + n):
        with pytest.raises(InputError):
            PublicKey.from_bytes(data)
    swapped = private[16:] + private[:16]
    for data in (b"", private[:-1], private[:-2], swapped, bytes(32), private * 64):
        with pytest.raises(InputError):
            PrivateKey.from_bytes(data)


def test_factors_that_make_no_key_are_refused() -> None:
    p, q = primes(128)
    for a, b, says in (
        (p, p, "two different"),
        (p, q + 2, "factor below|not prime"),
        (-p, q, "two different"),
        (primes(112)[0], primes(144)[0], "half the modulus"),
    ):
        with pytest.raises(InputError, match=says):
            PrivateKey(a, b)
    composite = int(gmpy2.next_prime((1 << 64) - 10**6)) * primes(64)[0]
    with pytest.raises(InputError, match="not prime"):
        PrivateKey(composite, int(gmpy2.prev_prime(1 << 128)))


@pytest.mark.parametrize("bits", [240, 264, 3080, ARITH_KEY_BITS[1] + 16])
def test_lengths_that_no_key_has_are_refused(bits: int) -> None:
    with pytest.raises(InputError) as caught:
        generate_key(bits, secrets.token_bytes)
    assert caught.value.field == "key.bits"
