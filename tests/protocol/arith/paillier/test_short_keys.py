"""Short-order keys: what is generated, what is refused, and phe on either side."""

from __future__ import annotations

import time

import gmpy2
import pytest
from gmpy2 import mpz
from hypothesis import given
from hypothesis import strategies as st
from phe.paillier import EncryptedNumber

from protocol.arith.paillier.cryptosystem import (
    PrivateKey,
    PublicKey,
    ShortOrder,
    add,
    encrypt,
    generate_key,
    generate_short_key,
)
from protocol.arith.paillier.public_key import short_exponent_bits
from protocol.errors import InputError
from protocol.params import KEY_BITS


@pytest.mark.parametrize("bits", [256, 272, 512, 1024])
def test_generated_keys_are_what_they_promise(entropy_from, bits: int) -> None:
    for seed in range(2):
        key = generate_short_key(bits, entropy_from(seed))
        p, q = key.factors()
        short = key._short
        assert short is not None
        assert key.public.bits == bits
        assert p * q == key.public.n
        assert p % 4 == q % 4 == 3
        assert gmpy2.gcd(p - 1, q - 1) == 2
        s, t = (p - 1) // (2 * short.u), (q - 1) // (2 * short.v)
        assert (2 * short.u * s + 1, 2 * short.v * t + 1) == (p, q)
        assert all(gmpy2.is_prime(each) for each in (p, q, short.u, short.v, s, t))
        assert short.u.bit_length() == short.v.bit_length() == short_exponent_bits(bits) // 2
        # the base's order is 2uv: nothing less
        order = 2 * short.u * short.v
        assert gmpy2.powmod(short.base, order, p * q) == 1
        for prime in (2, short.u, short.v):
            assert gmpy2.powmod(short.base, order // prime, p * q) != 1


def test_exponents_are_the_paper_s() -> None:
    assert [short_exponent_bits(bits) for bits in KEY_BITS] == [448, 512, 640, 768]


@pytest.mark.parametrize("bits", [2064, 6144, 8192, 240, 264])
def test_lengths_of_which_there_is_no_short_order_key(entropy_from, bits: int) -> None:
    with pytest.raises(InputError) as caught:
        generate_short_key(bits, entropy_from(1))
    assert caught.value.field == "key.bits"


@pytest.mark.ci
def test_a_full_length_key(full_short_key: PrivateKey, entropy_from) -> None:
    assert full_short_key.public.bits == 3072
    assert full_short_key.public.exponent_bits == 512
    plaintexts = [1 << 3000, -(1 << 3000), 0, 12345]
    ciphertexts = encrypt(full_short_key.public, plaintexts, entropy_from(1))
    assert full_short_key.decrypt(ciphertexts) == plaintexts
    assert full_short_key.to_phe().raw_decrypt(ciphertexts[3]) == 12345


def test_making_one_takes_seconds_at_most(entropy_from) -> None:
    """The median of five stays under 10 s of one core at 3072 bits; so does their mean here."""
    began = time.process_time()
    for seed in range(2):
        generate_short_key(3072, entropy_from(seed))
    assert time.process_time() - began < 20.0


@given(data=st.data())
def test_phe_and_assay_read_each_other(short_key: PrivateKey, entropy_from, data) -> None:
    """Sums of phe's ciphertexts, of ours, and of both, by either side."""
    theirs, n = short_key.to_phe(), short_key.public.n
    inside = st.integers(-(n // 4), n // 4)
    a, b = data.draw(inside), data.draw(inside)
    count = data.draw(st.sampled_from([1, 4]))
    entropy = entropy_from(data.draw(st.integers(0, 2**32)))
    ours = encrypt(short_key.public, [a] * count, entropy)[-1]
    other = theirs.public_key.raw_encrypt(b % n)
    both = int(add(short_key.public, mpz(ours), mpz(other)))
    assert short_key.decrypt([ours, other, both]) == [a, b, a + b]
    assert [theirs.raw_decrypt(c) for c in (ours, other, both)] == [a % n, b % n, (a + b) % n]
    assert theirs.decrypt(EncryptedNumber(theirs.public_key, ours, 0)) == a


def test_keys_survive_their_bytes(short_key: PrivateKey, entropy_from) -> None:
    data = short_key.to_bytes()
    back = PrivateKey.from_bytes(data)
    assert back == short_key
    assert back.to_bytes() == data
    assert len(data) == 3 + 64 + 16 + 64
    public = short_key.public
    assert PublicKey.from_bytes(public.to_bytes(), public.base_bytes()) == public
    assert PublicKey.from_bytes(public.to_bytes()) == PublicKey(public.n) != public
    ciphertexts = encrypt(public, [1, -2, 3], entropy_from(1))
    assert back.decrypt(ciphertexts) == [1, -2, 3]
    assert PrivateKey(*back.factors()).decrypt(ciphertexts) == [1, -2, 3]


def test_no_print_of_a_private_key_tells_it(short_key: PrivateKey) -> None:
    assert repr(short_key) == "<PrivateKey of 512 bits, short-order>"
    assert short_key._short is not None
    assert str(short_key._short.u) not in repr(short_key._short)


def test_every_byte_of_a_key_is_looked_at(short_key: PrivateKey) -> None:
    data = short_key.to_bytes()
    for at in range(len(data)):
        changed = bytearray(data)
        changed[at] ^= 1
        with pytest.raises(InputError):
            PrivateKey.from_bytes(bytes(changed))
    longer = (data + b"\0", data + b"\0\0", b"\1\xff\xff" + data)
    for other in (data[:-1], data[:2], data[:1], *longer):
        with pytest.raises(InputError):
            PrivateKey.from_bytes(other)


def joined(modulo_p: int, modulo_q: int, p: int, q: int) -> int:
    """The number modulo pq that is one thing modulo p and another modulo q."""
    return int((modulo_p * q * gmpy2.invert(q, p) + modulo_q * p * gmpy2.invert(p, q)) % (p * q))


def test_bad_bases_are_refused_with_their_reason(short_key: PrivateKey) -> None:
    p, q = short_key.factors()
    n, h = short_key.public.n, short_key.public.base
    assert h is not None
    for base, says in (
        (0, "outside"),
        (1, "outside"),
        (n - 1, "outside"),
        (n + h, "outside"),
        (-h, "outside"),
        (p, "no unit"),
        (7 * q, "no unit"),
        (next(x for x in range(2, 100) if gmpy2.jacobi(x, n) == -1), "Jacobi"),
        (joined(1, q - 1, p, q), "Jacobi"),
        (joined(-1, h % q, p, q), "tiny order"),
        (joined(h % p, -1, p, q), "tiny order"),
    ):
        with pytest.raises(InputError, match=says) as caught:
            PublicKey(n, base)
        assert caught.value.field == "key.base"


def test_a_base_of_small_composite_order_is_refused(entropy_from) -> None:
    """A product of prime powers up to 4096, modulo one factor or both."""
    order = 2**12 * 3**7 * 4093
    entropy = entropy_from(1)
    q = generate_key(256, entropy).factors()[1]
    p = 0
    while not (p.bit_length() == 128 and gmpy2.is_prime(p) and (p * q).bit_length() == 256):
        p = int.from_bytes(entropy(12), "big") * order + 1
    small = pow(5, (p - 1) // order, p)
    assert small not in (1, p - 1)
    for base in (joined(small, 4, p, q), joined(small, 1, p, q)):
        signed = base if gmpy2.jacobi(base, p * q) == 1 else p * q - base  # q is 3 modulo 4
        with pytest.raises(InputError, match="tiny order"):
            PublicKey(p * q, signed)
    large = joined(pow(4, order, p), 4, p, q)  # whose order has large factors
    assert PublicKey(p * q, large).base == large


def test_bases_of_another_length_are_refused(short_key: PrivateKey) -> None:
    n, base = short_key.public.to_bytes(), short_key.public.base_bytes()
    for data in (base[:-1], b"\0" + base, b"\2"):
        with pytest.raises(InputError, match="the modulus 64") as caught:
            PublicKey.from_bytes(n, data)
        assert caught.value.field == "key.base"


def test_orders_that_do_not_fit_are_refused(short_key: PrivateKey) -> None:
    (p, q), short = short_key.factors(), short_key._short
    assert short is not None
    u, v, base = short.u, short.v, short.base
    near = int(gmpy2.next_prime(u))
    for changed, says in (
        (ShortOrder(u, u, base), "two different"),
        (ShortOrder(u, 2, base), "two different"),
        (ShortOrder(u, 3, base), "64 bits each"),
        (ShortOrder(u + 2, v, base), "not prime"),
        (ShortOrder(near, v, base), "does not divide"),
        (ShortOrder(v, u, base), "does not divide"),
        (ShortOrder(u, v, int(gmpy2.powmod(3, 2, p * q))), "order of h"),
    ):
        with pytest.raises(InputError, match=says):
            PrivateKey(p, q, changed)
