"""The figures of secure aggregation: masks, and a round's arithmetic, beside Flower's SecAgg+."""

from __future__ import annotations

from collections.abc import Sequence

from scripts.benchmarks.figures import Bar, Context, Figure, Measurement, On, Suite, shown
from scripts.benchmarks.harness import beside
from scripts.benchmarks.large import large, large_memory
from scripts.benchmarks.main_job import of_round, phases
from scripts.benchmarks.scale import owner, requester, scale

_FLOWER = ("flower", "flwr")

#: Mask values of one pair.
_MASKS = 1_000_000

#: A block of the largest size, 30 % of it gone; with 4 corrupt, 2t > n + c and t <= n - d - c.
_OWNERS, _DROPPED, _THRESHOLD = 32, 9, 19
_VALUES = 100_000

#: A round with Paillier takes the better part of a minute: as many runs as a median needs, and none
#: to warm up.
_PAILLIER_RUNS = 3


def masks(context: Context) -> Measurement:
    """Milliseconds for one pair's mask, where an owner makes all of its pairs' in a row."""
    alone = _masks(context, pairs=1)
    return _masks(
        context,
        pairs=_OWNERS - 1,
        notes=[
            f"each run makes the masks of {_OWNERS - 1} pairs, one after another, as an owner in a "
            f"block of {_OWNERS} does, and counts as their mean; ours adds each to what is masked, "
            "piece by piece, as the product does; the peer's are made alone",
            "a single mask, with cold caches and memory fresh from the system: ours "
            f"{shown(alone.ours)}, peer {shown(alone.peer)}, ratio {shown(alone.ratio)}",
            "assay expands a seed of 256 bits by AES, every value uniform; Flower folds its seed "
            "of 256 bits to 32 and draws from a Mersenne Twister",
        ],
    )


def _masks(context: Context, *, pairs: int, notes: Sequence[str] = ()) -> Measurement:
    ours, peer = context.side("assay"), context.side("flower")
    return beside(
        lambda: ours.call("masks", count=_MASKS, pairs=pairs),
        lambda: peer.call("masks", count=_MASKS, pairs=pairs),
        # A run takes a twentieth of a second at most: more of them cost nothing.
        4 * context.runs,
        scale=1000.0,
        notes=notes,
    )


def round_masks(context: Context) -> Measurement:
    """Seconds for a round of the `masks` envelope."""
    return _round(context, "masks", context.runs)


def round_paillier(context: Context) -> Measurement:
    """Seconds for a round of the `paillier` envelope, 3072 bits."""
    return _round(context, "paillier", min(context.runs, _PAILLIER_RUNS), warm=0)


def _round(context: Context, envelope: str, runs: int, *, warm: int = 1) -> Measurement:
    ours, peer = context.side("assay"), context.side("flower")
    size = {"owners": _OWNERS, "dropped": _DROPPED, "threshold": _THRESHOLD, "values": _VALUES}
    return beside(
        lambda: ours.call("round", **size, envelope=envelope),
        lambda: peer.call("round", **size),
        runs,
        warm=warm,
        notes=[
            f"all owners and the requester together, one thread; {_DROPPED} of {_OWNERS} vanish "
            f"after their shares are out; threshold {_THRESHOLD}; every run's opened sum was "
            "compared with the true one, on both sides"
        ],
    )


SUITE = Suite(
    name="secagg",
    title="Secure aggregation",
    figures=(
        Figure(
            name="masks",
            what="one million mask values for one pair",
            unit="ms",
            bar=Bar(On.RATIO, 5),
            measure=masks,
            peer=_FLOWER,
        ),
        Figure(
            name="round-masks",
            what="a round's arithmetic, 32 owners in one block, 100,000 values, 9 drop out; "
            "`masks` envelope",
            unit="s",
            bar=Bar(On.RATIO, 1),
            measure=round_masks,
            peer=_FLOWER,
        ),
        Figure(
            name="round-paillier",
            what="the same with the `paillier` envelope, 3072 bits; Flower's has no encryption",
            unit="s",
            bar=None,
            measure=round_paillier,
            peer=_FLOWER,
        ),
        Figure(
            name="scale",
            what="the requester's seconds, bytes sent and bytes stored against owners, 16 to "
            "4,096 in blocks of 16, disk and syncs included, and its arithmetic, simulated, to "
            "1,024: the largest exponent",
            unit="",
            bar=Bar(On.OURS, 1.05, at_most=True),
            measure=scale,
        ),
        Figure(
            name="owner",
            what="an owner's bytes a round at 1,024 owners, less its block's own traffic, per "
            "enrolled owner",
            unit="bytes",
            bar=Bar(On.OURS, 200, at_most=True),
            measure=owner,
        ),
        Figure(
            name="requester",
            what="the requester's bytes a round beside every batch exactly once, per owner, at "
            "1,024 owners",
            unit="bytes",
            bar=Bar(On.OURS, 5_000, at_most=True),
            measure=requester,
        ),
        Figure(
            name="phases",
            what="a round of the main job between real processes, by phase",
            unit="s",
            bar=None,
            measure=phases,
        ),
        Figure(
            name="round",
            what="the same less the chain's waiting",
            unit="s",
            bar=Bar(On.OURS, 0.6, at_most=True),
            measure=of_round,
        ),
        Figure(
            name="large",
            what="a round between real processes, a million parameters, `masks`, five owners, less "
            "the chain's waiting",
            unit="s",
            bar=Bar(On.OURS, 4, at_most=True),
            measure=large,
            peer=_FLOWER,
        ),
        Figure(
            name="large-memory",
            what="the most that its requester or an owner holds, workers included",
            unit="MB",
            bar=Bar(On.OURS, 400, at_most=True),
            measure=large_memory,
        ),
    ),
)
