"""A job spec that holds, copies of it with another value, and specs of every family at random."""

from __future__ import annotations

import dataclasses
from typing import Any

from hypothesis import strategies as st

from protocol import params
from protocol.spec.gaps import (
    GapCategoryFeature,
    GapClassTarget,
    GapNumberFeature,
    GapNumberTarget,
    Missing,
)
from protocol.spec.job import (
    ETHER,
    CategoryFeature,
    ChainRef,
    ClassTarget,
    CohortSpec,
    EncryptionSpec,
    Envelope,
    Family,
    Feature,
    JobSpec,
    ModelSpec,
    NumberFeature,
    NumberTarget,
    Outside,
    Party,
    PaymentSpec,
    PrivacySpec,
    TimingSpec,
    TrainingSpec,
)

SPEC = JobSpec(
    version=1,
    title="Length of stay",
    purpose="research",
    features=(NumberFeature("age", 0.0, 120.0), CategoryFeature("ward", ("a", "b", "c"))),
    outside=Outside.CLIP,
    target=ClassTarget("stay", ("short", "long", "unknown")),
    model=ModelSpec(Family.SOFTMAX, 0),
    training=TrainingSpec(20, 100, 32, 1.0, 4.0, 0.01, 1.0, 0.5),
    privacy=PrivacySpec(None, 0.0, 0, 1, False),
    encryption=EncryptionSpec(Envelope.PAILLIER, 3072, 16),
    cohort=CohortSpec(5, 12, 5, (), False),
    payment=PaymentSpec(ETHER, 10**15, 10**17),
    timing=TimingSpec(600, 60, 300, 600, 30, 60, 3),
    salt=bytes(range(16)),
    requester=Party(b"\x11" * 20, b"\x22" * 38),
    chain=ChainRef(1337, b"\x33" * 20),
    seed=bytes(range(32)),
    modulus=((1 << 3071) + 1).to_bytes(384, "big"),
    expires_at=1_900_000_000,
)


def with_(path: str, value: Any, spec: Any = SPEC) -> Any:
    """A copy of `spec` in which the field at a dotted path has another value."""
    name, _, rest = path.partition(".")
    return dataclasses.replace(
        spec, **{name: with_(rest, value, getattr(spec, name)) if rest else value}
    )


numbers = st.floats(-1e6, 1e6).flatmap(
    lambda low: st.floats(0.001, 1e6).map(lambda width: (low, low + width))
)

names = st.lists(
    st.text("abcxyz_é 0189", min_size=1, max_size=20).filter(lambda name: name == name.strip()),
    min_size=3,
    max_size=12,
    unique=True,
)


@st.composite
def features_named(draw: st.DrawFn, name: str) -> Feature:
    """A column of either kind; in half of them the spec says what a gap becomes."""
    rule = draw(st.sampled_from((None, Missing.DROP_ROW, Missing.FILL)))
    gaps = tuple(draw(st.lists(st.sampled_from(("NA", "?", "-7", "-1e9")), unique=True)))
    indicator = rule is Missing.FILL and draw(st.booleans())
    if draw(st.booleans()):
        low, high = draw(numbers)
        if rule is None:
            return NumberFeature(name, low, high)
        number = draw(st.floats(low, high)) if rule is Missing.FILL else None
        return GapNumberFeature(name, low, high, gaps, rule, number, indicator)
    words = tuple(draw(names))
    if rule is None:
        return CategoryFeature(name, words)
    word = draw(st.sampled_from(words)) if rule is Missing.FILL else None
    return GapCategoryFeature(name, words, gaps, rule, word, indicator)


@st.composite
def specs(draw: st.DrawFn) -> JobSpec:
    """Specs of every family, with columns of both kinds."""
    target_name, *columns = draw(names)
    features = tuple(draw(features_named(name)) for name in columns)
    family = draw(st.sampled_from(Family))
    classes = tuple(draw(names))
    if family is Family.LINEAR:
        target: Any = NumberTarget(target_name, *draw(numbers))
        if draw(st.booleans()):
            target = GapNumberTarget(target.name, target.low, target.high, ("?",), Missing.REFUSE)
    else:
        target = ClassTarget(target_name, classes[:2] if family is Family.LOGISTIC else classes)
        if draw(st.booleans()):
            target = GapClassTarget(target.name, target.classes, (), Missing.DROP_ROW)
    block = draw(st.integers(params.MIN_BLOCK, 16))
    least = draw(st.integers(block, 100))
    noisy = draw(st.booleans())
    dropouts = draw(st.integers(0, (block - 1) // 4)) if noisy else 0
    bits = draw(st.sampled_from(params.KEY_BITS))
    rest = draw(st.integers(0, 2 ** (bits - 2) - 1))
    return JobSpec(
        version=params.PROTOCOL_VERSION,
        title=draw(st.text("abc é-", min_size=1, max_size=40).map(lambda text: f"T{text}.")),
        purpose=draw(st.sampled_from(["research", "quality-control", "x1"])),
        features=features,
        outside=draw(st.sampled_from(Outside)),
        target=target,
        model=ModelSpec(family, draw(st.integers(1, 300)) if family is Family.DENSE else 0),
        training=TrainingSpec(
            rounds=draw(st.integers(1, params.MAX_ROUNDS)),
            local_steps=1 if noisy else draw(st.integers(1, 10_000)),
            batch_rows=1024 if noisy else draw(st.integers(1, 65_536)),
            rate=draw(st.floats(1e-9, 10.0)),
            clip_norm=draw(st.floats(1e-9, 1e6)),
            ridge=draw(st.floats(0.0, 0.09)),
            server_rate=draw(st.floats(1e-9, 1e6)),
            momentum=draw(st.floats(0.0, 0.999)),
        ),
        privacy=PrivacySpec(
            draw(st.floats(0.5, 1e3)) if noisy else None,
            draw(st.floats(1e-9, 0.1)) if noisy else 0.0,
            dropouts,
            0 if dropouts else 1,
            False,
        ),
        encryption=EncryptionSpec(
            draw(st.sampled_from((Envelope.PAILLIER, Envelope.MASKS))),  # shares have rules
            bits,
            32 if noisy else draw(st.integers(*params.VALUE_BITS)),
        ),
        cohort=CohortSpec(
            least, draw(st.integers(least, 200)), block, (), noisy and draw(st.booleans())
        ),
        payment=PaymentSpec(
            draw(st.binary(min_size=20, max_size=20)),
            draw(st.integers(1, params.MAX_RATE)),
            draw(st.integers(0, 10**30)),
        ),
        timing=TimingSpec(*(draw(st.integers(1, 3600)) for _ in range(6)), draw(st.integers(0, 9))),
        salt=draw(st.binary(min_size=16, max_size=16)),
        requester=Party(b"\x01" + draw(st.binary(min_size=19, max_size=19)), b"peer"),
        chain=ChainRef(draw(st.integers(1, 2**63 - 1)), b"\x02" * 20),
        seed=draw(st.binary(min_size=32, max_size=32)),
        modulus=((1 << (bits - 1)) + 2 * rest + 1).to_bytes(bits // 8, "big"),
        expires_at=draw(st.integers(1, 2**40)),
        base=draw(st.sampled_from((b"", (2 + rest).to_bytes(bits // 8, "big")))),
    )
