"""The figures of contributions that prove their norm: a proof, a check, their bytes, a round.

A round's arithmetic is measured beside Flower's SecAgg+, the main job beside itself under masks.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from scripts.benchmarks.figures import Bar, Context, Figure, Measurement, On, Suite
from scripts.benchmarks.harness import (
    beside,
    interleave,
    median_count,
    median_parts,
    median_seconds,
    spread_of,
)
from scripts.benchmarks.main_job import of_proof

_FLOWER = ("flower", "flwr")

#: Values, owners in a block and threshold: digits with softmax, digits with a dense layer of 256,
#: and more. The first is without noise, so that nobody may drop out; two may in the others.
_SMALL, _MAIN, _LARGE = (650, 5, 4), (19_210, 8, 5), (100_000, 8, 5)


def one_owner(call: str, size: tuple[int, int, int], context: Context) -> Measurement:
    """Seconds for one owner to prove, or for one member to check one other."""
    side, (values, owners, threshold) = context.side("proofs"), size
    # A run takes a tenth of a second at most: more of them cost nothing.
    replies = interleave(
        {call: lambda: side.call(call, values=values, owners=owners, threshold=threshold)},
        4 * context.runs,
    )[call]
    parts = median_parts(replies)
    return Measurement(
        ours=median_seconds(replies),
        parts={name: (seconds, None) for name, seconds in parts.items()},
        notes=[f"ours {spread_of(replies)} (least to most of {len(replies)} runs)"],
    )


def proof_bytes(context: Context) -> Measurement:
    """Bytes of one owner's proof to its block, and of all words on it, over those of its shares."""
    values, owners, threshold = _MAIN
    side = context.side("proofs")
    reply = side.call("verify", values=values, owners=owners, threshold=threshold)
    shares, proofs, words = (median_count([reply], name) for name in ("shares", "proofs", "words"))
    return Measurement(
        ours=(proofs + words) / shares,
        notes=[
            f"shares {shares:,} bytes, proofs and commitments {proofs:,}, words {words:,}: each "
            "once, though every member is told every word"
        ],
    )


def round_shares(context: Context) -> Measurement:
    """Seconds for a round of shares, with proofs, beside a round of Flower's, without."""
    ours, peer = context.side("proofs"), context.side("flower")
    values, owners, threshold = _MAIN
    size = {"owners": owners, "dropped": 2, "threshold": threshold, "values": values}
    return beside(
        lambda: ours.call("round", **size),
        lambda: peer.call("round", **size),
        context.runs,
        notes=[
            f"all owners and the requester together, one thread; 2 of {owners} vanish after their "
            f"shares are out; threshold {threshold}; every run's opened sum was compared with the "
            "true one, on both sides",
            "ours proves every vector's norm, and every member and the requester decides on every "
            "proof; Flower's checks nothing",
        ],
    )


def _sized(
    call: str, what: str, bars: tuple[float, float, float]
) -> list[tuple[str, str, float, Callable[[Context], Measurement]]]:
    sizes = ((f"{call}-650", _SMALL), (call, _MAIN), (f"{call}-100000", _LARGE))
    return [
        (
            name,
            f"{what}: {size[0]:,} values, a block of {size[1]}",
            bar,
            partial(one_owner, call, size),
        )
        for (name, size), bar in zip(sizes, bars, strict=True)
    ]


SUITE = Suite(
    name="proof",
    title="Contributions that prove their norm",
    figures=(
        *(
            Figure(name, what, "s", Bar(On.OURS, bar, at_most=True), measure)
            for name, what, bar, measure in (
                *_sized("prove", "one owner shares its vector and proves its norm", (0.1, 1, 5)),
                *_sized("verify", "one member checks one other", (0.02, 0.2, 1)),
            )
        ),
        Figure(
            name="proof-bytes",
            what="all bytes of proofs and words over the bytes of the shares, 19,210 values",
            unit="",
            bar=Bar(On.OURS, 0.1, at_most=True),
            measure=proof_bytes,
        ),
        Figure(
            name="round-shares",
            what="a round's arithmetic, 8 owners in one block, 19,210 values, 2 vanish after "
            "sharing; shares and proofs",
            unit="s",
            bar=Bar(On.RATIO, 1 / 3),
            measure=round_shares,
            peer=_FLOWER,
        ),
        Figure(
            name="demo-proof",
            what="`scripts/demo --proof norm`: seconds of training over those with masks",
            unit="",
            bar=Bar(On.OURS, 1.5, at_most=True),
            measure=of_proof,
        ),
    ),
)
