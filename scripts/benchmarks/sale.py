"""The figures of a model's sale: encoders, private queries, and gas of payment channels.

Figures are of arithmetic, bookkeeping and the contract, without a network between the two sides.
"""

from __future__ import annotations

import secrets
from functools import partial

from protocol.arith.paillier import cryptosystem as paillier
from scripts.benchmarks import channel_gas, head, sealed_product
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

#: The logistic model of the comparison with Concrete ML, and its quantisation there.
_LOGISTIC, _CONCRETE_BITS = 30, 8

#: Queries of one run of the bookkeeping, a channel, and channels at once.
_KEPT_QUERIES, _AT_ONCE = 10, 16

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
        "the key is made, and its proof checked, once a seller: some 2 s and 0.07 s more; the "
        "buyer's table of powers once a key and process: 0.1 s",
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


def concrete(what: str, context: Context) -> Measurement:
    """One query of a logistic model beside Concrete ML's encrypted inference: milliseconds of both
    sides (`seconds`), or kB up and down (`bytes`)."""
    ours, peer = context.side("queries"), context.side("concrete")
    small = {"features": _LOGISTIC, "classes": 2, "bits": KEY_BITS}
    row = iter(range(4 * context.runs + 4))
    replies = interleave(
        {
            "ours": partial(ours.call, "scores", **small),
            "peer": lambda: peer.call("score", bits=_CONCRETE_BITS, row=next(row)),
        },
        2 * context.runs + 1,
        warm=2,
    )
    mine, theirs = replies["ours"], replies["peer"]
    label = interleave({"label": partial(ours.call, "label", **small)}, context.runs)["label"]
    if what == "bytes":
        sizes = {
            name: (median_count(mine, name) / 1000, median_count(theirs, name) / 1000)
            for name in ("up", "down")
        }
        return Measurement(
            sum(up for up, _ in sizes.values()),
            sum(down for _, down in sizes.values()),
            parts=sizes,
            notes=("Concrete sends a seed and one word a feature up, and its answer uncompressed",),
        )
    return compared(
        mine,
        theirs,
        scale=1000.0,
        notes=(
            f"scores on both sides, opened and compared with the model's; {_CONCRETE_BITS} bits at "
            f"Concrete ML (breast cancer data), 16 here; the class alone takes "
            f"{1000 * median_seconds(label):.0f} ms here; keys, and what is made of a key alone, "
            "stand on both sides",
            "not the same promise: here the key is proven and every answer blinded, so that a "
            "buyer that crafts keys or ciphertexts reads no more than scores; Concrete ML hides "
            "the query, and claims nothing for the model against its client",
        ),
    )


def bookkeeping(context: Context) -> Measurement:
    """Queries a second of both sides' machines and stores, without the queries' crypto: labels,
    over many channels at once; its parts, other ways to ask."""
    ours = context.side("channels")
    labels: dict[str, object] = {
        "mode": "label",
        "channels": _AT_ONCE,
        "whole": False,
        "each": False,
    }
    ways = {
        "labels": labels,
        "labels, one channel": labels | {"channels": 1},
        "labels, with their bytes": labels | {"whole": True},
        "labels, each with a receipt": labels | {"each": True},
        "scores": labels | {"mode": "scores"},
    }
    replies = interleave(
        {
            name: partial(ours.call, "keep", queries=_KEPT_QUERIES, **way)
            for name, way in ways.items()
        },
        context.runs,
    )
    asked = {name: _KEPT_QUERIES * (_AT_ONCE if "one" not in name else 1) for name in ways}
    rates = {name: asked[name] / median_seconds(found) for name, found in replies.items()}
    commits = {
        name: median_count(found, "commits") / asked[name] for name, found in replies.items()
    }
    first, *others = ways
    return Measurement(
        rates[first],
        parts={name: (rates[name], None) for name in others},
        notes=(
            f"{_AT_ONCE} channels at once between two homes on one disk, {_KEPT_QUERIES} queries "
            f"each; {commits[first]:.1f} steps stored a label, {commits['scores']:.1f} for scores, "
            "on both sides together, each on disk (fsync) before what follows from it is said; "
            "steps of several channels that wait share a commit",
            "a voucher goes with the next query, as a buyer's does, and the last one alone; where "
            f"each is said alone and received, {commits['labels, each with a receipt']:.0f} steps",
            f"{spread_of(replies[first])} s for {asked[first]} labels (of {context.runs} runs)",
        ),
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
    title="Selling a model's use",
    figures=(
        Figure(
            "encode",
            f"one sentence of {TOKENS} tokens in a confined process, over onnxruntime called bare",
            "ms",
            Bar(On.RATIO, 1.3, at_most=True),
            encode,
        ),
        Figure(
            "head-accuracy",
            "a sealed head on sentence embeddings, without noise: points behind the same in the "
            "clear",
            "points",
            Bar(On.OURS, 0.5, at_most=True),
            partial(head.gap, None),
        ),
        Figure(
            "head-accuracy-noise",
            "the same at epsilon 8",
            "points",
            Bar(On.OURS, 0.5, at_most=True),
            partial(head.gap, 8.0),
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
        Figure(
            "query-concrete",
            f"a logistic model of {_LOGISTIC} features beside Concrete ML's encrypted inference: "
            "both sides",
            "ms",
            Bar(On.RATIO, 1),
            partial(concrete, "seconds"),
            ("concrete", "concrete-ml"),
        ),
        Figure(
            "query-concrete-bytes",
            "the same: bytes up and down",
            "kB",
            Bar(On.RATIO, 1),
            partial(concrete, "bytes"),
            ("concrete", "concrete-ml"),
        ),
        Figure(
            "voucher",
            "queries a second that a channel's bookkeeping alone sustains, durably on both sides",
            "queries/s",
            Bar(On.OURS, 200),
            bookkeeping,
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
