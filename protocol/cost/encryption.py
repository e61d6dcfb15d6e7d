"""Paillier's cost, and the parameters that reach a goal: key length, lanes, bytes, seconds.

Seconds are rough: measured on one shared core at 2.5 GHz with short-order keys of 3072 bits.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from protocol import params
from protocol.errors import InputError
from protocol.layout.packing import PAILLIER, Packing

# Modular products grow with about the square of the key's length in this range (gmpy2 2.3), and
# there are more of them as exponents grow.
_REFERENCE_BITS: Final = 3072
_GROWTH: Final = 2.5
_TABLE_SECONDS: Final = 0.1  # an encryption's fixed-base table
_ENCRYPT_SECONDS: Final = 0.000_5  # one ciphertext
_DECRYPT_SECONDS: Final = 0.003
_ADD_SECONDS: Final = 0.000_02  # one ciphertext of one batch, its checks included

#: Bits of security by key length (NIST SP 800-57 part 1, table 2; 4096 by FIPS 140's formula).
SECURITY_BITS: Final = {2048: 112, 3072: 128, 4096: 149, 7680: 192}


def encrypt_seconds(key_bits: int, ciphertexts: int) -> float:
    """One batch on one core, nothing made ahead."""
    return _scale(key_bits) * (_TABLE_SECONDS + ciphertexts * _ENCRYPT_SECONDS)


def add_seconds(key_bits: int, ciphertexts: int) -> float:
    """So many ciphertexts, read, checked and added to a sum."""
    return _scale(key_bits) * ciphertexts * _ADD_SECONDS


def decrypt_seconds(key_bits: int, ciphertexts: int) -> float:
    """So many ciphertexts on one core."""
    return _scale(key_bits) * ciphertexts * _DECRYPT_SECONDS


def _scale(key_bits: int) -> float:
    return float((key_bits / _REFERENCE_BITS) ** _GROWTH)


@dataclass(frozen=True, slots=True)
class Goals:
    """What is wanted of a job's encryption.

    `parameters` of the model, `owners` of a block (whose contributions one sum holds), `clip` (the
    largest magnitude of a value), `precision` (the largest distance of neighbouring values, in the
    same unit), `security` in bits.
    """

    parameters: int
    owners: int
    clip: float
    precision: float
    security: int = 128

    def __post_init__(self) -> None:
        for name, value, high in (
            ("parameters", self.parameters, params.MAX_PARAMETERS),
            ("owners", self.owners, params.MAX_COHORT),
            ("security", self.security, max(SECURITY_BITS.values())),
        ):
            if not 1 <= value <= high:
                raise InputError(f"is {value}, 1 to {high} are allowed", name)
        for name, real in (("clip", self.clip), ("precision", self.precision)):
            if not (math.isfinite(real) and real > 0.0):
                raise InputError(f"is {real}, must be above 0", name)


@dataclass(frozen=True, slots=True)
class Choice:
    """The least parameters that reach the goals, and what a contribution costs with them.

    `lane_bits` of a lane; `lanes` in a ciphertext; `headroom`: how many contributions fit a sum;
    `precision` as it comes out; bytes of a whole contribution and by parameter; seconds of an
    owner's encryption with nothing made ahead, of adding one contribution, and of decrypting a sum.
    """

    key_bits: int
    value_bits: int
    lane_bits: int
    lanes: int
    headroom: int
    ciphertexts: int
    precision: float
    contribution_bytes: int
    bytes_per_parameter: float
    encrypt_seconds: float
    add_seconds: float
    decrypt_seconds: float


def choose(goals: Goals) -> Choice:
    """The shortest key and the narrowest values that reach the goals.

    Raises InputError where no width that fits the wire is as precise.
    """
    low, high = params.VALUE_BITS
    # clip / (2^(b - 1) - 1) <= precision
    steps = goals.clip / goals.precision
    widths = (bits for bits in range(low, high + 1) if (1 << (bits - 1)) - 1 >= steps)
    value_bits = next(widths, 0)
    if not value_bits:
        finest = goals.clip / ((1 << (high - 1)) - 1)
        raise InputError(
            f"is {goals.precision:g}; with a clip of {goals.clip:g} and {high} bits a value "
            f"neighbours are {finest:g} apart",
            "precision",
        )
    key_bits = min(bits for bits, security in SECURITY_BITS.items() if security >= goals.security)
    packing = Packing(value_bits, goals.owners, key_bits, PAILLIER)
    ciphertexts, size = packing.ciphertexts(goals.parameters), packing.batch_bytes(goals.parameters)
    return Choice(
        key_bits=key_bits,
        value_bits=value_bits,
        lane_bits=packing.lane_bits,
        lanes=packing.lanes,
        headroom=packing.headroom,
        ciphertexts=ciphertexts,
        precision=goals.clip / packing.max_int,
        contribution_bytes=size,
        bytes_per_parameter=size / goals.parameters,
        encrypt_seconds=encrypt_seconds(key_bits, ciphertexts),
        add_seconds=add_seconds(key_bits, ciphertexts),
        decrypt_seconds=decrypt_seconds(key_bits, ciphertexts),
    )
