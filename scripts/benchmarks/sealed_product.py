"""How long the encrypted matrix-vector product of sealed models takes, beside the peers'."""

from __future__ import annotations

import secrets
from functools import cache, partial

from protocol.arith.paillier import cryptosystem as paillier
from protocol.arith.paillier.cryptosystem import PrivateKey
from scripts.benchmarks.encrypt_speed import of_assay
from scripts.benchmarks.figures import Context, Measurement, shown
from scripts.benchmarks.harness import compared, interleave, median_count, median_seconds, spread_of
from scripts.benchmarks.sides import product

#: The product that the peers do too.
KEY_BITS, SIDE, CLASSES, ENTRY_BITS = 2048, 64, 10, 16

#: A lane holds a sum of 64 products of 16-bit values, and its sign.
_LANE_BITS = 40

#: The product of a model with 256 features and a bias: assay alone.
_LARGE_KEY_BITS, _LARGE_SIDE, _LARGE_ENTRY_BITS = 3072, 257, (16, 20)

#: sf-heu's two ways, as its side counts them.
_WAYS = ("at once", "by class")

#: sf-heu's takes some 20 s, twice a run.
_HEU_RUNS = 3

_WHERE = {"rows": SIDE, "columns": SIDE, "classes": CLASSES, "entry_bits": ENTRY_BITS}


@cache
def key(bits: int) -> PrivateKey:
    """One key for all runs."""
    return paillier.generate_short_key(bits, secrets.token_bytes)


def given(bits: int, side: int, entry_bits: int, lane_bits: int) -> dict[str, object]:
    """What assay's side is told: key, shape, and the weights encrypted, all classes in each."""
    private = key(bits)
    weights = product.weights(side, CLASSES, entry_bits)
    plaintexts = product.packed(weights, lane_bits)
    return {
        **of_assay(private),
        "ciphertexts": paillier.encrypt(private.public, plaintexts, secrets.token_bytes),
        "lane_bits": lane_bits,
        "rows": side,
        "columns": side,
        "classes": CLASSES,
        "entry_bits": entry_bits,
    }


def heu(context: Context) -> Measurement:
    """Milliseconds beside sf-heu's `matmul`, which makes its own key.

    Raises ValueError if the two results differ.
    """
    ours, peer = context.side("matvec"), context.side("heu-matvec")
    replies = interleave(
        {
            "ours": partial(ours.call, "multiply", **given(KEY_BITS, SIDE, ENTRY_BITS, _LANE_BITS)),
            "peer": partial(peer.call, "multiply", bits=KEY_BITS, **_WHERE),
        },
        min(context.runs, _HEU_RUNS),
    )
    digests = {reply.counts["digest"] for side in replies.values() for reply in side}
    if len(digests) != 1:
        raise ValueError("the two sides do not decrypt to the same product")
    helped = peer.call("helped", bits=KEY_BITS, lane_bits=_LANE_BITS, **_WHERE)
    mine = median_seconds(replies["ours"])
    at_once, by_class = (shown(median_count(replies["peer"], way)) for way in _WAYS)
    return compared(
        replies["ours"],
        replies["peer"],
        scale=1000.0,
        notes=[
            f"{CLASSES} classes: in the lanes of one ciphertext a column here, at sf-heu a "
            f"ciphertext each; all in one call {at_once} s, a call a class {by_class} s: the "
            "faster counts. Its encoder of two values in one is off by one where entries are "
            "negative",
            "the same numbers on both sides, results decrypted and compared; none blinded",
            f"negative entries take most of its time. A caller who makes entries "
            f"positive and takes off what that adds needs {shown(helped.seconds)} s (ratio "
            f"{shown(helped.seconds / mine)}); who packs the classes by hand too, "
            f"{shown(helped.counts['lanes'])} s (ratio {shown(helped.counts['lanes'] / mine)})",
        ],
    )


def naive(context: Context) -> Measurement:
    """Milliseconds beside gmpy2's powers, one an entry: the same ciphertexts."""
    ours, peer = context.side("matvec"), context.side("gmpy2-matvec")
    same = given(KEY_BITS, SIDE, ENTRY_BITS, _LANE_BITS)
    replies = interleave(
        {
            "ours": partial(ours.call, "multiply", **same),
            "peer": partial(peer.call, "powers", **same),
        },
        2 * context.runs + 1,
    )
    return compared(
        replies["ours"],
        replies["peer"],
        scale=1000.0,
        notes=[
            f"{CLASSES} classes in the lanes of one ciphertext a column on both sides, the same "
            "ciphertexts; every run's product was decrypted and compared",
            f"{median_count(replies['ours'], 'multiplications'):,} multiplications by numbers from "
            "tables here; gmpy2 takes a power for each entry, and an inverse for a negative one",
        ],
    )


def alone(context: Context) -> Measurement:
    """Seconds for a model of 256 features and a bias."""
    ours = context.side("matvec")
    calls = {
        bits: given(_LARGE_KEY_BITS, _LARGE_SIDE, bits, bits * 3) for bits in _LARGE_ENTRY_BITS
    }
    replies = interleave(
        {str(bits): partial(ours.call, "multiply", **call) for bits, call in calls.items()},
        context.runs,
    )
    first, second = (replies[str(bits)] for bits in _LARGE_ENTRY_BITS)
    return Measurement(
        median_seconds(first),
        notes=[
            f"entries of {_LARGE_ENTRY_BITS[1]} bits: {shown(median_seconds(second))} s",
            f"{spread_of(first)} (least to most of {len(first)} runs)",
        ],
    )
