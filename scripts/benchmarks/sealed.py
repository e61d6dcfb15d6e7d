"""The figures of sealed models: the encrypted product, an owner's round, accuracy, noise."""

from __future__ import annotations

from scripts.benchmarks import sealed_accuracy, sealed_product, sealed_seconds
from scripts.benchmarks.figures import Bar, Figure, On, Suite

SUITE = Suite(
    name="sealed",
    title="Sealed models",
    figures=(
        Figure(
            name="sealed-heu",
            what="encrypted matrix-vector product, signed 16-bit entries, 64 x 64, 10 classes, "
            "2048 bits, blinding left out on both sides",
            unit="ms",
            bar=Bar(On.RATIO, 200),
            measure=sealed_product.heu,
            peer=("heu-matvec", "sf-heu"),
        ),
        Figure(
            name="sealed-naive",
            what="the same product, the peer a power for each entry",
            unit="ms",
            bar=Bar(On.RATIO, 4),
            measure=sealed_product.naive,
            peer=("gmpy2-matvec", "gmpy2"),
        ),
        Figure(
            name="sealed-product",
            what="encrypted product of 257 x 257 entries of 16 bits, 10 classes, 3072 bits",
            unit="s",
            bar=None,
            measure=sealed_product.alone,
        ),
        Figure(
            name="sealed-digits",
            what="digits, 256 random Fourier features, six owners, 3072 bits, two cores: an "
            "owner's round, pool of blinders empty",
            unit="s",
            bar=Bar(On.OURS, 20, at_most=True),
            measure=sealed_seconds.digits_empty,
        ),
        Figure(
            name="sealed-digits-full",
            what="the same, pool full",
            unit="s",
            bar=Bar(On.OURS, 10, at_most=True),
            measure=sealed_seconds.digits_full,
        ),
        Figure(
            name="sealed-accuracy",
            what="accuracy there without noise",
            unit="%",
            bar=Bar(On.OURS, 96),
            measure=sealed_accuracy.digits_reached,
        ),
        Figure(
            name="sealed-accuracy-gap",
            what="between that and the same training in the clear",
            unit="points",
            bar=Bar(On.OURS, 0.5, at_most=True),
            measure=sealed_accuracy.digits_gap,
        ),
        Figure(
            name="sealed-binary",
            what="breast cancer, 30 columns and a bias, six owners, 3072 bits, two cores: an "
            "owner's round, pool empty",
            unit="s",
            bar=Bar(On.OURS, 2, at_most=True),
            measure=sealed_seconds.binary,
        ),
        Figure(
            name="sealed-binary-gap",
            what="breast cancer's accuracy without noise, against the same training in the clear",
            unit="points",
            bar=Bar(On.OURS, 0.5, at_most=True),
            measure=sealed_accuracy.binary_gap,
        ),
        Figure(
            name="sealed-steps",
            what="an owner's round at 500 local steps over one at 1",
            unit="",
            bar=Bar(On.OURS, 1.05, at_most=True),
            measure=sealed_seconds.steps,
        ),
        Figure(
            name="sealed-epsilon",
            what="accuracy over epsilon: the least lead over a first try with hindsight",
            unit="points",
            bar=Bar(On.OURS, 0),
            measure=sealed_accuracy.lead,
        ),
    ),
)
