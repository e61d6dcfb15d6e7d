"""The figures of a model's sale: encoders, private queries, and gas of payment channels.

No command sells or buys yet: figures are of the arithmetic and the contract.
"""

from __future__ import annotations

import secrets
from functools import partial

from protocol.arith.paillier import cryptosystem as paillier
from scripts.benchmarks import channel_gas, sealed_product
from scripts.benchmarks.encode import TOKENS, encode
from scripts.benchmarks.encrypt_speed import of_assay
from scripts.benchmarks.figures import Bar, Context, Figure, Measurement, On, Suite
from scripts.benchmarks.harness import (
    compared,
    interleave,
    median_count,
    median_parts,
    median_seconds,
    spread_of,
)
from scripts.benchmarks.sides import product

#: The head on a sentence encoder that the issue names.
FEATURES, CLASSES, KEY_BITS = 384, 10, 3072

#: sf-heu's product takes seconds; it is measured at the key's length that the others are.
_HEU_BITS, _HEU_RUNS, _ENTRY_BITS, _LANE_BITS = 2048, 3, 16, 48

_SIZE = {"features": FEATURES, "classes": CLASSES, "bits": KEY_BITS}


def scores(side: str, context: Context) -> Measurement:
    """Seconds of one side (`buyer`, `seller`), or all bytes (`bytes`)."""
    ours = context.side("queries")
    replies = interleave({"ours": partial(ours.call, "scores", **_SIZE)}, 2 * context.runs + 1)
    found = replies["ours"]
    parts = median_parts(found)
    up, down = (median_count(found, name) for name in ("up", "down"))
    notes = [
        f"{up:,} bytes up, {down:,} down; every run's scores were compared with the model's",
        "the key is made, and its proof checked, once a seller: some 2 s and 0.07 s more",
    ]
    if side == "bytes":
        return Measurement((up + down) / 1000, notes=notes)
    return Measurement(
        parts[side],
        parts={name: (seconds, None) for name, seconds in parts.items()},
        notes=[*notes, f"both sides together {spread_of(found)} s (of {len(found)} runs)"],
    )


def label(context: Context) -> Measurement:
    """Seconds of both sides of one label, one after the other."""
    ours = context.side("queries")
    replies = interleave({"ours": partial(ours.call, "label", **_SIZE)}, 2 * context.runs + 1)
    found = replies["ours"]
    up, down = (median_count(found, name) for name in ("up", "down"))
    return Measurement(
        median_seconds(found),
        parts={name: (seconds, None) for name, seconds in median_parts(found).items()},
        notes=[
            f"four messages, {up:,} bytes up, {down:,} down; no network between the two sides",
            f"{spread_of(found)} s (least to most of {len(found)} runs)",
        ],
    )


def heu(context: Context) -> Measurement:
    """Milliseconds of the encrypted product beside sf-heu's `matmul`, features encrypted. Raises
    ValueError if the two results differ."""
    ours, peer = context.side("matvec"), context.side("heu-matvec")
    shape = {"rows": CLASSES, "columns": FEATURES, "classes": 1, "entry_bits": _ENTRY_BITS}
    private = sealed_product.key(_HEU_BITS)
    plain = product.packed(product.weights(FEATURES, 1, _ENTRY_BITS), _LANE_BITS)
    given = {
        **of_assay(private),
        **shape,
        "ciphertexts": paillier.encrypt(private.public, plain, secrets.token_bytes),
        "lane_bits": _LANE_BITS,
    }
    replies = interleave(
        {
            "ours": partial(ours.call, "multiply", **given),
            "peer": partial(peer.call, "multiply", bits=_HEU_BITS, **shape),
        },
        min(context.runs, _HEU_RUNS),
    )
    digests = {reply.counts["digest"] for side in replies.values() for reply in side}
    if len(digests) != 1:
        raise ValueError("the two sides do not decrypt to the same product")
    return compared(
        replies["ours"],
        replies["peer"],
        scale=1000.0,
        notes=["the same numbers on both sides, results decrypted and compared; none blinded"],
    )


def gas(call: str, _: Context) -> Measurement:
    """The dearest of a call's forms, as deployed."""
    rows = {"legacy": channel_gas.row(False), "venom": channel_gas.row(True)}
    parts = {
        f"{name}, {generator}": (found, None)
        for generator, row in rows.items()
        for name, found in row.items()
        if name.startswith(call)
    }
    most = max(found for name, found in rows["legacy"].items() if name.startswith(call))
    return Measurement(most, parts=parts, notes=("py-evm, Prague rules; legacy code is deployed",))


_WHAT = f"{FEATURES} features, {CLASSES} classes, {KEY_BITS} bits"

SUITE = Suite(
    name="sale",
    title="Selling a model's use (no command sells yet)",
    figures=(
        Figure(
            "encode",
            f"one sentence of {TOKENS} tokens in a confined process, over onnxruntime called bare",
            "ms",
            Bar(On.RATIO, 1.3, at_most=True),
            encode,
        ),
        Figure(
            "query-scores",
            f"a query answered with scores, {_WHAT}: the buyer encrypts and opens",
            "s",
            Bar(On.OURS, 0.3, at_most=True),
            partial(scores, "buyer"),
        ),
        Figure(
            "query-scores-seller",
            "the same: the seller checks, multiplies and blinds",
            "s",
            Bar(On.OURS, 0.3, at_most=True),
            partial(scores, "seller"),
        ),
        Figure(
            "query-scores-bytes",
            "the same: bytes up and down",
            "kB",
            Bar(On.OURS, 400, at_most=True),
            partial(scores, "bytes"),
        ),
        Figure(
            "query-label",
            "the same, the class alone: both sides of the whole exchange",
            "s",
            Bar(On.OURS, 1.5, at_most=True),
            label,
        ),
        Figure(
            "query-heu",
            f"the encrypted product alone, {CLASSES} x {FEATURES} signed 16-bit weights, "
            f"{_HEU_BITS} bits",
            "ms",
            Bar(On.RATIO, 100),
            heu,
            ("heu-matvec", "sf-heu"),
        ),
        *(
            Figure(
                f"gas-channel-{call}",
                f"{call} of a payment channel in ether, the dearest",
                "gas",
                Bar(On.OURS, bar, at_most=True),
                partial(gas, call),
            )
            for call, bar in (("open", 75_000), ("redeem", 60_000), ("close", 50_000))
        ),
    ),
)
