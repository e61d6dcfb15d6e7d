"""The figures of encryption: assay's engine beside phe, sf-heu, pypaillier and TenSEAL's CKKS."""

from __future__ import annotations

from functools import partial

from scripts.benchmarks import encrypt_room, encrypt_speed
from scripts.benchmarks.figures import Bar, Figure, On, Suite

_PHE = ("phe", "phe")
_HEU = ("heu", "sf-heu")

SUITE = Suite(
    name="encrypt",
    title="Encryption",
    figures=(
        Figure(
            name="encrypt-cold",
            what="a gradient of 100,000 values, 16 bits, 32 summands; 3072 bits, short-order key; "
            "table built, pool empty",
            unit="s",
            bar=Bar(On.RATIO, 6_000),
            measure=encrypt_speed.cold,
            peer=_PHE,
        ),
        Figure(
            name="encrypt-warm",
            what="the same, pool full",
            unit="s",
            bar=Bar(On.RATIO, 100_000),
            measure=encrypt_speed.warm,
            peer=_PHE,
        ),
        Figure(
            name="obfuscate-heu",
            what="one obfuscated encryption, exponents of equal length",
            unit="ms",
            bar=Bar(On.RATIO, 1.3),
            measure=encrypt_speed.obfuscate_heu,
            peer=_HEU,
        ),
        Figure(
            name="obfuscate-pypaillier",
            what="the same",
            unit="ms",
            bar=Bar(On.RATIO, 1),
            measure=encrypt_speed.obfuscate_pypaillier,
            peer=("pypaillier", "pypaillier"),
        ),
        Figure(
            name="decrypt",
            what="one ciphertext",
            unit="ms",
            bar=Bar(On.RATIO, 3),
            measure=encrypt_speed.decrypt,
            peer=_PHE,
        ),
        Figure(
            name="add",
            what="one addition of ciphertexts",
            unit="µs",
            bar=Bar(On.RATIO, 1.4),
            measure=encrypt_speed.add,
            peer=_PHE,
        ),
        Figure(
            name="aggregate",
            what="add a contribution of 100,000 values to a sum, at the peer value by value",
            unit="ms",
            bar=Bar(On.RATIO, 100),
            measure=encrypt_speed.aggregate,
            peer=_HEU,
        ),
        Figure(
            name="bytes-16",
            what="bytes a parameter, 16-bit values, 32 summands",
            unit="bytes",
            bar=Bar(On.OURS, 5.5, at_most=True),
            measure=partial(encrypt_room.per_parameter, 16),
            peer=_PHE,
        ),
        Figure(
            name="bytes-8",
            what="bytes a parameter, 8-bit values, 32 summands",
            unit="bytes",
            bar=Bar(On.OURS, 3.5, at_most=True),
            measure=partial(encrypt_room.per_parameter, 8),
            peer=_PHE,
        ),
        Figure(
            name="ckks-bytes",
            what="bytes of a contribution of 100,000 values, 16 bits, 32 summands, beside CKKS of "
            "degree 8192",
            unit="bytes",
            bar=Bar(On.RATIO, 8),
            measure=encrypt_room.ckks,
            peer=("tenseal", "tenseal"),
        ),
        Figure(
            name="overhead",
            what="the engine's time over that of the GMP multiplications that it needs",
            unit="",
            bar=Bar(On.OURS, 1.15, at_most=True),
            measure=encrypt_room.overhead,
        ),
        Figure(
            name="cores",
            what="how many times faster two cores encrypt a gradient than one",
            unit="",
            bar=Bar(On.OURS, 1.8),
            measure=encrypt_room.cores,
        ),
        Figure(
            name="memory",
            what="the most memory while one million parameters are encrypted",
            unit="MB",
            bar=Bar(On.OURS, 300, at_most=True),
            measure=encrypt_room.memory,
        ),
    ),
)
