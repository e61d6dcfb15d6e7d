"""The proof that gcd(n, phi(n)) = 1: honest keys have one, others none, and forgers know it."""

from __future__ import annotations

import json
from math import sqrt

import gmpy2
import pytest
from gmpy2 import mpz
from hypothesis import given
from hypothesis import strategies as st
from kits import paths
from kits.examples import examples

from protocol.arith.paillier.cryptosystem import PrivateKey, PublicKey, generate_key
from protocol.arith.paillier.key_proof import challenge, proof_bytes, prove, verify
from protocol.arith.paillier.public_key import small_primes
from protocol.errors import FatalError, InputError
from protocol.params import ARITH_KEY_BITS, KEY_PROOF_ALPHA, KEY_PROOF_ROOTS
from scripts.attacks.crafted import SharedKey, forged_proof, shared_key

VECTORS = json.loads((paths.VECTORS / "arith" / "key_proof.json").read_text())

#: 65537 times a number with no small factor: the challenge at index 2 is divisible by 65537.
MEETS_ITS_FACTOR = 107551822986161474610833028365725703684390516014238947547225636841469045913099


@pytest.fixture(params=["small_key", "medium_key", "short_key", "full_key"])
def key(request: pytest.FixtureRequest) -> PrivateKey:
    return request.getfixturevalue(request.param)


def numbers(key: PrivateKey, proof: bytes) -> list[int]:
    size = key.public.bits // 8
    return [int.from_bytes(proof[i : i + size], "big") for i in range(0, len(proof), size)]


def test_an_honest_key_has_a_proof(key: PrivateKey) -> None:
    proof = prove(key)
    assert len(proof) == proof_bytes(key.public.bits) == KEY_PROOF_ROOTS * key.public.bits // 8
    verify(key.public, proof)
    assert prove(key) == proof
    n = key.public.n
    for index, root in enumerate(numbers(key, proof)):
        assert pow(root, n, n) == challenge(n, index)


def test_the_base_plays_no_part(short_key: PrivateKey) -> None:
    ordinary = PrivateKey(*short_key.factors())
    assert prove(ordinary) == prove(short_key)


def test_enough_roots_for_the_primes_that_are_tried() -> None:
    assert small_primes() == gmpy2.primorial(KEY_PROOF_ALPHA)
    assert KEY_PROOF_ALPHA**KEY_PROOF_ROOTS >= 2**128
    assert KEY_PROOF_ALPHA ** (KEY_PROOF_ROOTS - 1) < 2**128


@pytest.mark.parametrize("case", VECTORS["keys"], ids=lambda case: case["bits"])
def test_vectors(case: dict) -> None:
    key = PrivateKey.from_bytes(bytes.fromhex(case["private"]))
    public = PublicKey.from_bytes(bytes.fromhex(case["n"]))
    assert key.public == public
    rhos = numbers(key, bytes.fromhex(case["challenges"]))
    assert [challenge(public.n, index) for index in range(KEY_PROOF_ROOTS)] == rhos
    proof = bytes.fromhex(case["proof"])
    assert prove(key) == proof
    verify(public, proof)
    for refused in case["refused"]:
        with pytest.raises(InputError, match=refused["why"]) as caught:
            verify(public, bytes.fromhex(refused["proof"]))
        assert caught.value.field == "key.proof"


@pytest.mark.parametrize("case", VECTORS["refused"], ids=lambda case: f"{len(case['n']) * 4} bits")
def test_vectors_of_bad_keys(case: dict) -> None:
    public = PublicKey.from_bytes(bytes.fromhex(case["n"]))
    with pytest.raises(InputError, match=case["why"]):
        verify(public, bytes.fromhex(case["proof"]))


@given(data=st.data())
@examples(0.4)
def test_there_is_no_second_proof(small_key: PrivateKey, data: st.DataObject) -> None:
    proof = bytearray(prove(small_key))
    position = data.draw(st.integers(0, len(proof) - 1))
    proof[position] ^= data.draw(st.integers(1, 255))
    with pytest.raises(InputError):
        verify(small_key.public, bytes(proof))


@given(proof=st.binary(max_size=2 * 256))
def test_any_bytes_at_all(small_key: PrivateKey, proof: bytes) -> None:
    with pytest.raises(InputError) as caught:
        verify(small_key.public, proof)
    assert caught.value.field == "key.proof"


def test_the_edges_of_a_root_s_range(small_key: PrivateKey) -> None:
    size, n = small_key.public.bits // 8, small_key.public.n
    proof = prove(small_key)
    for root, why in [
        (0, "root 7 lies outside"),
        (1, "root 7 is none"),
        (n - 1, "root 7 is none"),
        (n, "root 7 lies outside"),
        (2 ** (8 * size) - 1, "root 7 lies outside"),
    ]:
        with pytest.raises(InputError, match=why):
            verify(small_key.public, proof[:-size] + root.to_bytes(size, "big"))


def test_a_root_has_one_form(entropy_from) -> None:
    """The same root plus n fits the bytes where n is small for its length: refused."""
    seed = 0
    while True:
        key = generate_key(256, entropy_from(seed))
        n, proof = key.public.n, prove(key)
        index, root = min(enumerate(numbers(key, proof)), key=lambda pair: pair[1])
        if root + n < 2**256:
            break
        seed += 1
    longer = proof[: 32 * index] + (root + n).to_bytes(32, "big") + proof[32 * (index + 1) :]
    with pytest.raises(InputError, match=f"root {index} lies outside"):
        verify(key.public, longer)


def test_another_key_s_proof(entropy_from) -> None:
    one, other = (generate_key(256, entropy_from(seed)) for seed in (1, 2))
    size = one.public.bits // 8
    small = b"".join(
        (root % one.public.n).to_bytes(size, "big") for root in numbers(other, prove(other))
    )
    with pytest.raises(InputError, match="root 0 is none: the proof is another key's"):
        verify(one.public, small)


def test_a_fault_while_proving_does_not_leave(
    small_key: PrivateKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One root that is wrong modulo one factor would give both factors away."""
    right, calls = gmpy2.powmod_sec, []

    def faulty(base: mpz, exponent: mpz, modulus: mpz) -> mpz:
        calls.append(modulus)
        power = right(base, exponent, modulus)
        return power ^ 2 if len(calls) == 5 else power

    monkeypatch.setattr(gmpy2, "powmod_sec", faulty)
    with pytest.raises(FatalError, match="root 2 is none"):
        prove(small_key)
    assert len(calls) == 2 * KEY_PROOF_ROOTS


@pytest.mark.parametrize("bits", [256, 1024])
def test_a_forger_with_the_smallest_common_factor_there_can_be(entropy_from, bits: int) -> None:
    key = shared_key(bits, [65537], entropy_from(bits))
    assert gmpy2.gcd(key.public.n, (key.q - 1) * 65536) == 65537
    proof, right = forged_proof(key)
    assert right == 0  # 8 chances of 1 in 65537
    with pytest.raises(InputError, match="is none"):
        verify(key.public, proof)


def test_a_forger_s_proof_is_right_where_it_can_be() -> None:
    """The forger above is as good as can be: where there is a proof, it finds it."""
    p, q = (gmpy2.next_prime(mpz(2) ** 127 + 2**126 + k) for k in (10**30, 10**35))
    assert gmpy2.gcd(p * q, (p - 1) * (q - 1)) == 1
    coprime = SharedKey(PublicKey(int(p * q)), [p], q, ())
    proof, right = forged_proof(coprime)
    assert right == KEY_PROOF_ROOTS
    verify(coprime.public, proof)


@pytest.mark.parametrize("common", [7, 17, 101])
def test_how_often_a_forger_can_answer(common: int) -> None:
    """One challenge in l has a root where l divides n and phi(n): counted with an l far too small
    to be accepted, so that there is something to count."""
    q = mpz(2) ** 200 // (2 * common) * 2 * common + 1
    while not gmpy2.is_prime(q):
        q += 2 * common
    n, tries = int(q) * common, 20_000
    answered = sum(
        gmpy2.powmod(challenge(n, index), (q - 1) // common, q) == 1 for index in range(tries)
    )
    expected = tries / common
    assert abs(answered - expected) < 5 * sqrt(expected)


def test_a_square_among_the_factors() -> None:
    """n = p^2 q: only p-th powers modulo p^2 have roots."""
    p, q = gmpy2.next_prime(70_000), gmpy2.next_prime(mpz(2) ** 223 + 2**222)
    n = int(p * p * q)
    public = PublicKey(n)
    square, d_p, d_q = p * p, gmpy2.invert(n, p - 1), gmpy2.invert(n, q - 1)
    roots, right = [], 0
    for index in range(KEY_PROOF_ROOTS):
        rho = challenge(n, index)
        at_square, at_q = gmpy2.powmod(rho, d_p, square), gmpy2.powmod(rho, d_q, q)
        root = at_square + (at_q - at_square) * gmpy2.invert(square, q) % q * square
        assert gmpy2.powmod(root, n, n) % q == rho % q
        right += gmpy2.powmod(root, n, n) == rho
        roots.append(int(root).to_bytes(public.bits // 8, "big"))
    assert right == 0
    with pytest.raises(InputError, match="is none"):
        verify(public, b"".join(roots))


@pytest.mark.parametrize(
    ("n", "why"),
    [
        (gmpy2.next_prime(mpz(3) << 126) ** 2, "perfect power"),
        (gmpy2.next_prime(mpz(15) << 60) ** 4, "perfect power"),
        (65521 * gmpy2.next_prime(mpz(7) << 237), "prime factor below 65536"),
        (gmpy2.next_prime(mpz(3) << 254), "is prime"),
    ],
)
def test_what_never_gets_as_far_as_a_proof(n: mpz, why: str) -> None:
    with pytest.raises(InputError, match=why):
        PublicKey(int(n))


def test_a_challenge_that_meets_a_factor() -> None:
    """Such a challenge has a root more often than 1 in ALPHA, so it does not count as one."""
    public = PublicKey(MEETS_ITS_FACTOR)
    assert challenge(public.n, 2) % 65537 == 0
    proof = b"".join((1).to_bytes(32, "big") for _ in range(KEY_PROOF_ROOTS))
    with pytest.raises(InputError, match="a challenge has a factor in common"):
        verify(public, proof)


@pytest.mark.parametrize("bits", ARITH_KEY_BITS)
def test_challenges_fill_their_range(bits: int) -> None:
    """At the shortest and the longest modulus: each quarter gets its share of 400."""
    n = (1 << bits) - 1
    drawn = [challenge(n, index) for index in range(400)]
    assert len(set(drawn)) == 400
    for quarter in range(4):
        assert 60 < sum(4 * rho // n == quarter for rho in drawn) < 140
