"""sf-heu's side: its Z-Paillier, (1 + m n) h^r with a table for h and an exponent of half the
modulus' length, in C++. It has no call that takes a key's factors, so the key is its own."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cache

import heu.numpy as hnp
import numpy as np
from heu import phe

PACKAGES = ("sf-heu", "numpy")

_SCHEMA = phe.SchemaType.ZPaillier

#: How often one vector is added to the other: encrypting 100,000 values would take minutes, and so
#: would decrypting them.
_TURNS = 500

#: Exponents that are looked at to tell their length: that all of them are 8 bits shorter than what
#: they are drawn from is a chance of 2^-128.
_EXPONENTS = 16


@cache
def arrays(bits: int) -> hnp.HeKit:
    """A key, and the table of its base: made once."""
    return hnp.setup(_SCHEMA, bits)


@cache
def scalars(bits: int) -> phe.HeKit:
    """The same key for single values."""
    return phe.setup(arrays(bits).public_key(), arrays(bits).secret_key())


@cache
def exponent_bits(bits: int) -> int:
    """The length of its exponents, found rather than believed.

    With 1 + n in the place of the public base an encryption of 0 is (1 + n)^r = 1 + r n, and
    decrypts to the exponent r itself. Raises ValueError if such a key cannot be written.
    """
    public = arrays(bits).public_key()
    fields = dict(re.findall(r"(n|h_s)=([0-9A-F]+)", str(public)))
    n, base = int(fields["n"], 16), int(fields["h_s"], 16)
    blob = public.serialize()
    tail = blob[-8:]
    if _public_blob(n, base, tail) != blob:
        raise ValueError("sf-heu's public keys have another form: its exponents cannot be told")
    told = phe.setup(phe.PublicKey.load_from(_public_blob(n, n + 1, tail))).encryptor()
    decrypt = scalars(bits).decryptor().decrypt_raw
    return max(int(decrypt(told.encrypt_raw(0))).bit_length() for _ in range(_EXPONENTS))


def _public_blob(n: int, base: int, tail: bytes) -> bytes:
    """msgpack: an array of two byte strings, each a number, little-endian in two's complement."""
    parts = [number.to_bytes(number.bit_length() // 8 + 1, "little") for number in (n, base)]
    strings = b"".join(b"\xda" + len(part).to_bytes(2, "big") + part for part in parts)
    return b"\x92" + strings + tail


def obfuscate(bits: int, plaintexts: Sequence[int]) -> dict[str, object]:
    """One encryption: the mean of `plaintexts`, of magnitude below n / 2.

    Raises ValueError if one does not decrypt to what it was.
    """
    tools = scalars(bits)
    encrypt, decryptor = tools.encryptor().encrypt, tools.decryptor()
    encoded = [phe.Plaintext(_SCHEMA, plaintext) for plaintext in plaintexts]
    began = time.perf_counter()
    encrypted = [encrypt(plaintext) for plaintext in encoded]
    seconds = time.perf_counter() - began
    if [int(decryptor.decrypt(ciphertext)) for ciphertext in encrypted] != list(plaintexts):
        raise ValueError("a ciphertext does not decrypt to its plaintext")
    return {
        "seconds": seconds / len(encrypted),
        "counts": {"exponent bits": exponent_bits(bits)},
    }


@cache
def encrypted(bits: int, size: int, factor: int) -> hnp.CiphertextArray:
    """`size` ciphertexts: of 0, `factor`, twice that, and so on."""
    tools = arrays(bits)
    return tools.encryptor().encrypt(tools.array(factor * np.arange(size)))


def aggregate(bits: int, values: int) -> dict[str, object]:
    """Adding a contribution of `values` values to a sum: fewer ciphertexts, many times over.

    Both by its arrays and by a call a value; the seconds are the faster's. Raises ValueError if a
    sum does not decrypt to what it should be.
    """
    size = values // _TURNS
    total, contribution = encrypted(bits, size, 1), encrypted(bits, size, 7)
    ones, others = ([array[k] for k in range(size)] for array in (total, contribution))
    expected = [(1 + 7 * _TURNS) * index for index in range(size)]

    add_arrays = arrays(bits).evaluator().add
    began = time.perf_counter()
    for _ in range(_TURNS):
        total = add_arrays(total, contribution)
    by_array = time.perf_counter() - began
    if list(arrays(bits).decryptor().decrypt(total).to_numpy()) != expected:
        raise ValueError("a sum of arrays does not decrypt to what it should be")

    add_inplace = scalars(bits).evaluator().add_inplace
    began = time.perf_counter()
    for _ in range(_TURNS):
        for one, other in zip(ones, others, strict=True):
            add_inplace(one, other)
    by_value = time.perf_counter() - began
    decrypt = scalars(bits).decryptor().decrypt_raw
    if [decrypt(one) for one in ones] != expected:
        raise ValueError("a sum does not decrypt to what it should be")
    return {
        "seconds": min(by_array, by_value),
        "counts": {"by array": by_array, "a call a value": by_value, "ciphertexts": size},
    }


CALLS: Mapping[str, Callable[..., dict[str, object]]] = {
    "obfuscate": obfuscate,
    "aggregate": aggregate,
}
