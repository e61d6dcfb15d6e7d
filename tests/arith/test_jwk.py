"""phe's JWK form, as its command line writes it (phe/command_line.py)."""

from __future__ import annotations

import json

import pytest
from phe.paillier import generate_paillier_keypair
from phe.util import int_to_base64

from protocol.arith.jwk import import_private, import_public
from protocol.arith.paillier.cryptosystem import PrivateKey
from protocol.errors import InputError
from protocol.params import ARITH_KEY_BITS


def jwk(key: PrivateKey) -> dict:
    p, q = key.factors()
    public = {"kty": "DAJ", "alg": "PAI-GN1", "n": int_to_base64(key.public.n)}
    return {"kty": "DAJ", "p": int_to_base64(p), "q": int_to_base64(q), "pub": public}


def test_phe_s_keys_come_in_and_read_what_phe_encrypts() -> None:
    public, private = generate_paillier_keypair(n_length=512)
    named = {"kty": "DAJ", "alg": "PAI-GN1", "key_ops": ["encrypt"], "n": int_to_base64(public.n)}
    whole = {"kty": "DAJ", "key_ops": ["decrypt"], "kid": "as pheutil names it", "pub": named}
    whole |= {"p": int_to_base64(private.p), "q": int_to_base64(private.q)}
    key = import_private(json.dumps(whole))
    assert import_public(json.dumps(named)) == key.public
    assert key.decrypt([public.encrypt(42).ciphertext()]) == [42]
    del whole["pub"]
    assert import_private(json.dumps(whole)) == key


def test_a_short_order_modulus_comes_in_as_an_ordinary_key(short_key: PrivateKey) -> None:
    key = import_private(json.dumps(jwk(short_key)))
    assert key.public.n == short_key.public.n
    assert key.public.base is None


@pytest.mark.parametrize(
    ("change", "field", "says"),
    [
        ({"kty": "RSA"}, "key.kty", "is 'RSA'"),
        ({"p": None}, "key.p", "missing"),
        ({"p": "a b"}, "key.p", "no base64url"),
        ({"p": "A" * 5}, "key.p", "no base64url"),
        ({"q": "A" * 2000}, "key.q", "bytes"),
        ({"q": "AQ"}, "key", "two different odd primes"),
        ({"pub": 7}, "key.pub", "no JSON object"),
        ({"pub": {"kty": "DAJ", "alg": "RSA"}}, "key.pub.alg", "is 'RSA'"),
        ({"pub": {"kty": "DAJ", "alg": "PAI-GN1", "n": "AQAB"}}, "key.pub.n", "product"),
    ],
)
def test_what_is_no_such_key_is_refused(
    small_key: PrivateKey, change: dict, field: str, says: str
) -> None:
    with pytest.raises(InputError, match=says) as caught:
        import_private(json.dumps(jwk(small_key) | change))
    assert caught.value.field == field


@pytest.mark.parametrize("text", ["", "[", "[]", "7", "[" * 10000, " " * (ARITH_KEY_BITS[1] * 2)])
def test_text_that_is_no_object_is_refused(text: str) -> None:
    for read in (import_private, import_public):
        with pytest.raises(InputError):
            read(text)
