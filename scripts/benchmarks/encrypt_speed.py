"""How long encryption takes: whole gradients and single operations, beside the peers'."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from functools import cache, partial

from protocol.arith.paillier import cryptosystem as paillier
from protocol.arith.paillier.cryptosystem import PrivateKey
from scripts.benchmarks.figures import Context, Measurement, Reply, shown
from scripts.benchmarks.harness import compared, interleave, median_count, median_seconds

KEY_BITS = 3072

#: The gradient of every figure, and how its values travel.
VALUES, CLIP, VALUE_BITS, SUMMANDS = 100_000, 1.0, 16, 32

#: Values of the gradient that phe encrypts a run: all of them would take an hour.
_SAMPLE = 20

#: Operations in a run, which is their mean.
_SINGLE, _ADDITIONS = 20, 500

#: What every peer can encrypt: pypaillier keeps 20 bits of the modulus for sums.
_PLAINTEXT_BYTES = 375


@cache
def short_key() -> PrivateKey:
    """The short-order key of all figures where nothing else is said."""
    return paillier.generate_short_key(KEY_BITS, secrets.token_bytes)


@cache
def ordinary_key() -> PrivateKey:
    """A key whose exponents have half the modulus' length, as the peers' have."""
    return paillier.generate_key(KEY_BITS, secrets.token_bytes)


def of_assay(key: PrivateKey) -> dict[str, object]:
    """The argument that says a key to assay's side."""
    return {"key": key.to_bytes().hex()}


def of_peer(key: PrivateKey) -> dict[str, object]:
    """The arguments that say the same key to a peer's."""
    phe = key.to_phe()
    return {"p": int(phe.p), "q": int(phe.q)}


def layout(value_bits: int = VALUE_BITS) -> dict[str, object]:
    """The arguments that say to assay's side how the gradient travels."""
    return {"values": VALUES, "value_bits": value_bits, "summands": SUMMANDS}


def held(count: int) -> list[int]:
    """Plaintexts of full length: what is encrypted are ciphertexts of many lanes, not one value."""
    return [int.from_bytes(secrets.token_bytes(_PLAINTEXT_BYTES), "big") for _ in range(count)]


def sealed(key: PrivateKey, count: int) -> dict[str, object]:
    """The same ciphertexts for both sides, and what they hold."""
    plaintexts = held(count)
    ciphertexts = paillier.encrypt(key.public, plaintexts, secrets.token_bytes)
    return {"ciphertexts": ciphertexts, "plaintexts": plaintexts}


def cold(context: Context) -> Measurement:
    """Seconds for a gradient, no obfuscator drawn yet."""
    found, replies = _gradient(context, "cold")
    table = median_count(replies, "table seconds")
    ratio = None if found.peer is None else found.peer / (found.ours + table)
    return _noted(
        found,
        f"the table takes {shown(table)} s, "
        f"once a key and process: with it {shown(found.ours + table)} s, ratio {shown(ratio)}",
    )


def warm(context: Context) -> Measurement:
    """Seconds for a gradient whose obfuscators wait in the pool."""
    found, replies = _gradient(context, "warm")
    return _noted(
        found,
        f"filling the pool takes {shown(median_count(replies, 'fill seconds'))} s, while the node "
        "is idle",
    )


def _gradient(context: Context, start: str) -> tuple[Measurement, list[Reply]]:
    ours, peer, key = context.side("engine"), context.side("phe"), short_key()
    replies = interleave(
        {
            "ours": partial(ours.call, start, **of_assay(key), **layout(), clip=CLIP),
            "peer": partial(
                peer.call, "encrypt", **of_peer(key), values=VALUES, clip=CLIP, sample=_SAMPLE
            ),
        },
        context.runs,
    )
    count = median_count(replies["ours"], "ciphertexts")
    notes = [
        f"from floats to the bytes that are sent, {count} ciphertexts; every run's batch was "
        "decrypted and compared",
        f"phe encrypts value by value: each run {_SAMPLE} of the {VALUES:,} floats, evenly spread, "
        f"decrypted and compared, and the time taken {VALUES // _SAMPLE:,} times: extrapolated",
    ]
    return compared(replies["ours"], replies["peer"], notes=notes), replies["ours"]


def obfuscate_heu(context: Context) -> Measurement:
    """Milliseconds for one encryption beside sf-heu, which makes its own key."""
    return _obfuscated(context, "heu", {"bits": KEY_BITS})


def obfuscate_pypaillier(context: Context) -> Measurement:
    """Milliseconds for one encryption beside pypaillier, under the same key."""
    return _obfuscated(context, "pypaillier", of_peer(ordinary_key()))


def _obfuscated(context: Context, name: str, its_key: dict[str, object]) -> Measurement:
    ours, peer, plaintexts = context.side("engine"), context.side(name), held(_SINGLE)
    calls = {
        "ours": partial(ours.call, "obfuscate", **of_assay(ordinary_key()), plaintexts=plaintexts),
        "peer": partial(peer.call, "obfuscate", **its_key, plaintexts=plaintexts),
        "short": partial(ours.call, "obfuscate", **of_assay(short_key()), plaintexts=plaintexts),
    }
    # A run takes a twentieth of a second.
    replies = interleave(calls, 2 * context.runs + 1)
    mine, theirs, short = (median_count(replies[side], "exponent bits") for side in calls)
    # The peer's are looked at: the longest of many random ones lacks a bit or two at times.
    if not mine - 16 < theirs <= mine:
        raise ValueError(f"exponents of {mine} bits here and {theirs} there are not of one length")
    return compared(
        replies["ours"],
        replies["peer"],
        scale=1000.0,
        notes=[
            f"exponents of {mine} bits here, of {theirs} at the peer, whose are half the modulus' "
            "length and cannot be set: so assay's key is an ordinary one",
            f"the mean of {_SINGLE} in a row, tables standing (assay's has "
            f"{median_count(replies['ours'], 'table bytes') / 1e6:.1f} MB); plaintexts of "
            f"{8 * _PLAINTEXT_BYTES} bits; ciphertexts were decrypted and compared",
            f"with a short-order key, exponents of {short} bits: "
            f"{shown(1000 * median_seconds(replies['short']))} ms",
        ],
    )


def decrypt(context: Context) -> Measurement:
    """Milliseconds for one ciphertext."""
    ours, peer, key = context.side("engine"), context.side("phe"), short_key()
    given, ordinary = sealed(key, _SINGLE), sealed(ordinary_key(), _SINGLE)
    foreign = {**given, "ciphertexts": _by_phe(key, given["plaintexts"])}
    replies = interleave(
        {
            "ours": partial(ours.call, "decrypt", **of_assay(key), **given),
            "peer": partial(peer.call, "decrypt", **of_peer(key), **given),
            "foreign": partial(ours.call, "decrypt", **of_assay(key), **foreign),
            "ordinary": partial(ours.call, "decrypt", **of_assay(ordinary_key()), **ordinary),
        },
        context.runs,
    )
    own, others = (1000 * median_seconds(replies[side]) for side in ("foreign", "ordinary"))
    return compared(
        replies["ours"],
        replies["peer"],
        scale=1000.0,
        notes=[
            f"the mean of {_SINGLE}, the same key and ciphertexts on both sides, each plaintext "
            "compared; powers of the private key in constant time here, not at phe",
            f"what phe encrypted, under the same key: ours {shown(own)} ms; with an ordinary key: "
            f"ours {shown(others)} ms",
        ],
    )


def _by_phe(key: PrivateKey, plaintexts: object) -> list[int]:
    """Ciphertexts as phe makes them."""
    if not isinstance(plaintexts, list):
        raise TypeError("plaintexts are a list")
    public = key.public.to_phe()
    return [int(public.raw_encrypt(plaintext)) for plaintext in plaintexts]


def add(context: Context) -> Measurement:
    """Microseconds for one addition."""
    ours, peer, key = context.side("engine"), context.side("phe"), short_key()
    given = sealed(key, _ADDITIONS)
    replies = interleave(
        {
            "ours": partial(ours.call, "add", **of_assay(key), **given),
            "peer": partial(peer.call, "add", **of_peer(key), **given),
        },
        4 * context.runs + 1,
    )
    return compared(
        replies["ours"],
        replies["peer"],
        scale=1e6,
        notes=[
            f"the mean of {_ADDITIONS - 1}, the same key and ciphertexts on both sides, in memory "
            "as either keeps them: gmpy2's integers here, Python's at phe; every sum was decrypted "
            "and compared",
        ],
    )


def aggregate(context: Context) -> Measurement:
    """Milliseconds for a contribution."""
    ours, peer = context.side("engine"), context.side("heu")
    replies = interleave(
        {
            "ours": partial(ours.call, "aggregate", **of_assay(short_key()), **layout()),
            "peer": partial(peer.call, "aggregate", bits=KEY_BITS, values=VALUES),
        },
        context.runs,
    )
    count, theirs = (median_count(replies[side], "ciphertexts") for side in ("ours", "peer"))
    array, each = (
        shown(1000 * median_count(replies["peer"], way)) for way in ("by array", "a call a value")
    )
    alone, memory = (
        shown(1000 * median_count(replies["ours"], way)) for way in ("alone", "in memory")
    )
    return compared(
        replies["ours"],
        replies["peer"],
        scale=1000.0,
        notes=[
            f"assay sums a block of {SUMMANDS} from their bytes, {count} ciphertexts each, as the "
            "requester does: the time of one more, its range checked, units checked by column",
            f"one alone, from its bytes, every ciphertext's unit checked: {alone} ms; in memory, "
            f"nothing checked: {memory} ms; sf-heu adds in memory and checks nothing",
            f"sf-heu by its arrays {array} ms, by a call a value {each} ms: the faster counts; "
            f"{theirs} ciphertexts, each added to {VALUES / theirs:.0f} times",
            "every sum was decrypted and compared",
        ],
    )


def _noted(found: Measurement, *notes: str) -> Measurement:
    """The same measurement, with more to say."""
    more: Sequence[str] = (*found.notes, *notes)
    return Measurement(found.ours, found.peer, found.own_ratio, found.parts, more)
