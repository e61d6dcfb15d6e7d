"""Keys from elsewhere: phe's JWK form, as its `pheutil genpkey` writes it.

    {"kty": "DAJ", "key_ops": ["decrypt"], "p": ..., "q": ..., "kid": ...,
     "pub": {"kty": "DAJ", "alg": "PAI-GN1", "key_ops": ["encrypt"], "n": ..., "kid": ...}}

Numbers are big-endian, base64url without padding. Such keys are ordinary ones.
"""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any, Final

from protocol.arith.paillier.private_key import PrivateKey
from protocol.arith.paillier.public_key import PublicKey
from protocol.errors import InputError
from protocol.params import ARITH_KEY_BITS

_KTY: Final = "DAJ"
_ALG: Final = "PAI-GN1"

#: Three numbers of the longest modulus in base64, and room for names and comments.
_MAX_CHARS: Final = ARITH_KEY_BITS[1] + 4096


def import_private(text: str) -> PrivateKey:
    """The private key of a JWK. Raises InputError naming the field that is wrong; a modulus that
    `pub` states must be the product of the factors."""
    key = _object(text)
    _expect(key, "kty", _KTY, "key")
    private = PrivateKey(_number(key, "p", "key"), _number(key, "q", "key"))
    if "pub" in key and _public(key["pub"], "key.pub") != private.public.n:
        raise InputError("is not the product of p and q", "key.pub.n")
    return private


def import_public(text: str) -> PublicKey:
    """The public key of a JWK. Raises InputError naming the field that is wrong."""
    return PublicKey(_public(_object(text), "key"))


def _public(key: object, where: str) -> int:
    if not isinstance(key, dict):
        raise InputError("is no JSON object", where)
    _expect(key, "kty", _KTY, where)
    _expect(key, "alg", _ALG, where)
    return _number(key, "n", where)


def _object(text: str) -> dict[str, Any]:
    if len(text) > _MAX_CHARS:
        raise InputError(f"has {len(text)} characters, {_MAX_CHARS} fit", "key")
    try:
        key = json.loads(text)
    except (ValueError, RecursionError):
        raise InputError("is no JSON", "key") from None
    if not isinstance(key, dict):
        raise InputError("is no JSON object", "key")
    return key


def _expect(key: dict[str, Any], name: str, value: str, where: str) -> None:
    if key.get(name) != value:
        raise InputError(f"is {key.get(name)!r}, phe's keys have {value!r}", f"{where}.{name}")


def _number(key: dict[str, Any], name: str, where: str) -> int:
    text = key.get(name)
    if not isinstance(text, str) or not text:
        raise InputError("is missing, or no text", f"{where}.{name}")
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (ValueError, binascii.Error):
        raise InputError("is no base64url", f"{where}.{name}") from None
    if len(data) * 8 > ARITH_KEY_BITS[1]:
        raise InputError(f"has {len(data)} bytes, {ARITH_KEY_BITS[1] // 8} fit", f"{where}.{name}")
    return int.from_bytes(data, "big")
