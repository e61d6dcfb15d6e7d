"""Masks that cancel in a block's sum (Bonawitz et al., CCS 2017, section 4): keys, seeds, streams.

Each member p of a roster adds to its vector a self-mask, and for every other member j a mask that
both know: plus where p < j, minus where p > j. In the sum of all of them pairwise masks cancel.
`removal` computes the rest, from the seeds of the members that are present and the mask keys of
those that dropped out.

    mask key     X25519 (RFC 7748), fresh for an attempt
    seed         HKDF-SHA256 (RFC 5869), 32 bytes, bound to round, model, roster, modulus and keys
    stream       AES-256 in counter mode under a key derived from the seed: 256 bits all the way,
                 so that X25519's 128-bit security is the weakest link

Numbers are taken from the stream in one of two spaces: residues modulo n (`Residues`, what Paillier
encrypts) and words modulo 2^bits (`Words`, what the masks envelope sends). docs/spec/arithmetic.md.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final, Protocol, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt
from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext, algorithms, modes
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
from gmpy2 import mpz

from protocol.arith.numbers.entropy import checked_seed
from protocol.arith.secagg.agreement import agree, derive, public_of
from protocol.errors import FatalError, Malformed

WordArray: TypeAlias = npt.NDArray[np.unsignedinteger[Any]]

#: Bits drawn beyond a modulus' length: a number reduced modulo n is then uniform up to a
#: statistical distance of 2^-128.
SURPLUS_BITS: Final = 128

#: Keystream made at a time: stays in a core's second-level cache, and bounds scratch memory.
_CHUNK: Final = 1 << 18
_ZEROS: Final = bytes(_CHUNK)

_BINDING: Final = b"assay/1 mask binding\x00"
_PAIR: Final = b"assay/1 pair mask\x00"
_SELF: Final = b"assay/1 self mask\x00"
_STREAM: Final = b"assay/1 mask stream\x00"
_LAYOUT: Final = struct.Struct(">Q20s32sII32s32sI")


@dataclass(frozen=True)
class Binding:
    """All that a mask is for. Masks under two bindings have nothing in common, so a sum over
    contributions that disagree in any of these never opens (Pasquini et al. 2022: a requester who
    sends different models to different members).

    `contract` has 20 bytes, `job`, `model_digest` and `roster_digest` 32, `n` is the spec's modulus
    (big-endian). Raises FatalError on other lengths or a number out of range.
    """

    chain_id: int
    contract: bytes
    job: bytes
    round: int
    attempt: int
    model_digest: bytes
    roster_digest: bytes
    n: bytes

    def __post_init__(self) -> None:
        lengths = [len(part) for part in (self.contract, self.job)]
        lengths += [len(part) for part in (self.model_digest, self.roster_digest)]
        if lengths != [20, 32, 32, 32] or not self.n:
            raise FatalError(f"a mask's binding has parts of {lengths} and {len(self.n)} bytes")
        for number, bits in ((self.chain_id, 64), (self.round, 32), (self.attempt, 32)):
            if not 0 <= number < 1 << bits:
                raise FatalError(f"a mask's binding has {number} where {bits} bits fit")

    def digest(self) -> bytes:
        """SHA-256 of a tag and of all fields, big-endian, of fixed width but the last, n, which
        stands behind its length: no two bindings share an encoding."""
        layout = _LAYOUT.pack(
            self.chain_id,
            self.contract,
            self.job,
            self.round,
            self.attempt,
            self.model_digest,
            self.roster_digest,
            len(self.n),
        )
        return hashlib.sha256(_BINDING + layout + self.n).digest()


def pair_seed(private: bytes, peer_public: bytes, binding: Binding) -> bytes:
    """The seed of the mask that two members share: the same from either end.

    Raises Malformed, for the caller to name the member, on a bad public key.
    """
    first, second = sorted((public_of(private), peer_public))
    return derive(agree(private, peer_public), _PAIR + binding.digest() + first + second)


def self_seed(seed: bytes, public: bytes, binding: Binding) -> bytes:
    """The seed of a member's own mask, from the 32 bytes that it shares out, and its mask key."""
    return derive(checked_seed(seed), _SELF + binding.digest() + public)


def expand_words(seed: bytes, count: int, bits: int) -> WordArray:
    """`count` uniform words modulo 2^bits: uint32 up to 32 bits, uint64 above.

    Each is the low `bits` bits of a little-endian word of 32 or 64 bits. Raises FatalError unless
    `bits` is a multiple of 8 from 8 to 64.
    """
    return Words(bits).expand(seed, count)


V = TypeVar("V")


class Space(Protocol[V]):
    """Vectors of numbers modulo something, V; those given are in range, and not changed but where
    a method says so."""

    def zero(self, count: int) -> V:
        """The vector of `count` zeros."""

    def expand(self, seed: bytes, count: int) -> V:
        """The uniform vector that a seed of 32 bytes stands for."""

    def mix(self, total: V, seed: bytes, sign: int) -> None:
        """Changes `total` by what `seed` stands for, with a sign of 1 or -1, in constant memory.
        After the last of these call `reduced`."""

    def reduced(self, total: V) -> V:
        """`total`, brought into range after its mixes."""

    def add(self, left: V, right: V) -> V:
        """The sum."""

    def subtract(self, left: V, right: V) -> V:
        """The difference."""


@dataclass(frozen=True)
class Residues:
    """Vectors modulo n."""

    n: int
    _modulus: mpz = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.n < 2:
            raise FatalError(f"no residues modulo {self.n}")
        object.__setattr__(self, "_modulus", mpz(self.n))

    @cached_property
    def _size(self) -> int:
        return (self.n.bit_length() + SURPLUS_BITS + 7) // 8

    def zero(self, count: int) -> list[mpz]:
        return [mpz(0)] * count

    def expand(self, seed: bytes, count: int) -> list[mpz]:
        total = self.zero(count)
        self.mix(total, seed, 1)
        return total

    def mix(self, total: list[mpz], seed: bytes, sign: int) -> None:
        size, modulus = self._size, self._modulus
        cipher = _cipher(seed, 0, self.n.bit_length())
        zeros = bytes(size)
        for index, value in enumerate(total):
            total[index] = (value + sign * mpz.from_bytes(cipher.update(zeros), "big")) % modulus

    def reduced(self, total: list[mpz]) -> list[mpz]:
        return total

    def add(self, left: list[mpz], right: list[mpz]) -> list[mpz]:
        return [(a + b) % self._modulus for a, b in zip(left, right, strict=True)]

    def subtract(self, left: list[mpz], right: list[mpz]) -> list[mpz]:
        return [(a - b) % self._modulus for a, b in zip(left, right, strict=True)]


@dataclass(frozen=True)
class Words:
    """Vectors modulo 2^bits, in the next wider machine words: those wrap, and 2^bits divides what
    they wrap at, so that one cut at the end of a sum is enough."""

    bits: int

    def __post_init__(self) -> None:
        if self.bits % 8 or not 8 <= self.bits <= 64:
            raise FatalError(f"words of {self.bits} bits: a multiple of 8 from 8 to 64 is needed")

    @property
    def dtype(self) -> npt.DTypeLike:
        """Little-endian machine words that hold these."""
        return "<u4" if self.bits <= 32 else "<u8"

    def zero(self, count: int) -> WordArray:
        return np.zeros(count, dtype=self.dtype)

    def expand(self, seed: bytes, count: int) -> WordArray:
        words: WordArray = np.empty(count, dtype=self.dtype)
        cipher, step = _cipher(seed, 1, self.bits), _CHUNK // words.itemsize
        for start in range(0, count, step):
            part = words[start : start + step]
            _fill(cipher, part)
            self.cut(part)  # now, while it is in the cache
        return words

    def mix(self, total: WordArray, seed: bytes, sign: int) -> None:
        cipher = _cipher(seed, 1, self.bits)
        scratch: WordArray = np.empty(_CHUNK // total.itemsize, dtype=self.dtype)
        change = np.add if sign > 0 else np.subtract
        for start in range(0, total.size, scratch.size):
            part = total[start : start + scratch.size]
            words = scratch[: part.size]
            _fill(cipher, words)
            change(part, words, out=part)

    def reduced(self, total: WordArray) -> WordArray:
        return self.cut(total)

    def add(self, left: WordArray, right: WordArray) -> WordArray:
        return self.cut(np.add(left, right, dtype=self.dtype))

    def subtract(self, left: WordArray, right: WordArray) -> WordArray:
        return self.cut(np.subtract(left, right, dtype=self.dtype))

    def cut(self, words: WordArray) -> WordArray:
        """`words` itself, reduced modulo 2^bits in place."""
        if self.bits < 8 * words.itemsize:
            words &= words.dtype.type((1 << self.bits) - 1)
        return words


def contribution_mask(
    space: Space[V],
    count: int,
    private: bytes,
    seed: bytes,
    me: int,
    roster: Sequence[tuple[int, bytes]],
    binding: Binding,
) -> V:
    """The mask that member `me` adds to its `count` numbers.

    `roster` are (position in the block, mask key) of all members that take part, `me` among them.
    Raises Malformed, naming the member, if two positions or two keys are the same, a key is bad, or
    `me` does not stand there with the key of `private`.
    """
    keys = check_roster(roster)
    mine = public_of(private)
    if keys.get(me) != mine:
        raise Malformed(f"the roster does not hold member {me} with its own mask key")
    total = space.zero(count)
    space.mix(total, self_seed(seed, mine, binding), 1)
    for position, public in keys.items():
        if position != me:
            space.mix(total, _named(position, private, public, binding), 1 if me < position else -1)
    return space.reduced(total)


def removal(
    space: Space[V],
    count: int,
    binding: Binding,
    present: Sequence[tuple[int, bytes, bytes]],
    dropped: Sequence[tuple[int, bytes]],
) -> V:
    """What is to be subtracted from the sum of the present members' masked numbers.

    `present` are (position, mask key, seed) of those whose contributions are in the sum, `dropped`
    (position, private mask key) of the roster's others. Raises Malformed as `contribution_mask`.
    """
    roster = [(position, public) for position, public, _ in present]
    check_roster([*roster, *((position, public_of(private)) for position, private in dropped)])
    total = space.zero(count)
    for position, public, seed in present:
        space.mix(total, self_seed(seed, public, binding), 1)
        for missing, private in dropped:
            sign = 1 if position < missing else -1
            space.mix(total, _named(position, private, public, binding), sign)
    return space.reduced(total)


def check_roster(roster: Iterable[tuple[int, bytes]]) -> Mapping[int, bytes]:
    """Mask keys by position. Raises Malformed if a position or a key stands there twice, or fewer
    than two members do.

    A copied key is an attack, not an accident: a member's masks with the key's owner and with its
    copy cancel within its own contribution where one stands before it and one after. Enough copies
    would strip a contribution of all pairwise masks. (Bound into a pair's seed are both keys, byte
    by byte; a copy in another encoding of the same point therefore gives another mask.)
    """
    keys: dict[int, bytes] = {}
    owners: dict[bytes, int] = {}
    for position, public in roster:
        if position in keys:
            raise Malformed(f"the roster holds member {position} twice")
        if public in owners:
            raise Malformed(f"members {owners[public]} and {position} have the same mask key")
        keys[position] = public
        owners[public] = position
    if len(keys) < 2:
        raise Malformed(f"a roster of {len(keys)} hides nobody")
    return keys


def _named(position: int, private: bytes, public: bytes, binding: Binding) -> bytes:
    try:
        return pair_seed(private, public, binding)
    except Malformed as error:
        raise Malformed(f"member {position}: {error}") from None


def _cipher(seed: bytes, space: int, bits: int) -> CipherContext:
    """The stream of a seed: AES-256-CTR from counter block 2, by encrypting zeros.

    The key is this stream's alone, so that the counter may start anywhere; kind of space and width
    are in it, so that no two layouts share a stream. That start is where GCM's encryption with a
    zero nonce begins (SP 800-38D, section 7.1), so that either mode makes the same stream.
    """
    info = _STREAM + struct.pack(">BH", space, bits)
    key = HKDFExpand(SHA256(), 32, info).derive(checked_seed(seed))
    return Cipher(algorithms.AES256(key), _MODE).encryptor()


def _mode(machine: Mapping[str, Any]) -> modes.CTR | modes.GCM:
    """GCM, whose tag is never asked for, where a processor has AES in words of 512 bits (Ice Lake,
    Zen 4): OpenSSL's GCM uses them, its counter mode does not, and GCM is twice as fast. Elsewhere
    the tag costs as much as the stream: counter mode, from block 2.

    `machine` is numpy's account of it, which leaves out what is empty. GCM's bound of 64 GiB a key
    is far above the largest model.
    """
    found = machine.get("SIMD Extensions", {}).get("found", ())
    return modes.GCM(bytes(12)) if "AVX512_ICL" in found else modes.CTR((2).to_bytes(16, "big"))


_MODE: Final = _mode(np.show_config("dicts"))


def _fill(cipher: CipherContext, words: WordArray) -> None:
    """Overwrites `words` (contiguous, at most a chunk) with the stream's next bytes."""
    cipher.update_into(_ZEROS[: words.nbytes], words.view(np.uint8).data)
