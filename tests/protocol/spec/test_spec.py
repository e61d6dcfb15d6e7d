"""The job spec: what cannot be built, what cannot be read, and what follows from its numbers."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kits import paths
from kits.specs import SPEC, specs, with_

from protocol import params
from protocol.errors import Malformed
from protocol.spec.job import (
    ETHER,
    CategoryFeature,
    ClassTarget,
    CohortSpec,
    Family,
    Faulty,
    FeatureMap,
    JobSpec,
    MeritBy,
    ModelSpec,
    NumberFeature,
    NumberTarget,
    PaymentSpec,
    PrivacySpec,
    Terms,
    decode_spec,
    encode_spec,
    spec_digest,
)
from protocol.spec.merit import telling_rounds
from protocol.spec.read import SpecError
from protocol.spec.toml import parse_toml
from protocol.wire.codec import encode

VECTORS = paths.VECTORS / "spec"
SPEC_TERMS = Terms(**{each.name: getattr(SPEC, each.name) for each in dataclasses.fields(Terms)})


@given(specs())
def test_a_spec_survives_its_bytes(spec: JobSpec) -> None:
    data = encode_spec(spec)
    assert decode_spec(data) == spec
    assert encode_spec(decode_spec(data)) == data


@given(specs(), st.data())
def test_a_spec_with_a_changed_byte_is_another_or_none(spec: JobSpec, draw: st.DataObject) -> None:
    data = bytearray(encode_spec(spec))
    data[draw.draw(st.integers(0, len(data) - 1))] ^= draw.draw(st.integers(1, 255))
    try:
        found = decode_spec(bytes(data))
    except Malformed:
        return
    assert encode_spec(found) == bytes(data)
    assert spec_digest(bytes(data)) != spec_digest(encode_spec(spec))


def test_the_digest_is_that_of_the_bytes() -> None:
    data = encode_spec(SPEC)
    assert spec_digest(data) == hashlib.sha256(data).digest()
    assert spec_digest(encode_spec(with_("salt", bytes(16)))) != spec_digest(data)


# Each rule between fields: what breaks it, the field that is blamed, words of the reason.
BROKEN = [
    ("privacy.sealed", True, "model.weight_limit", "a sealed model's weights need a range"),
    ("model.map", FeatureMap.FOURIER, "ModelSpec.map_width", "makes at least 2 features"),
    ("model.map_width", 4, "ModelSpec.map_width", "without a map it is 0"),
    ("model.map_scale", 0.5, "ModelSpec.map_scale", "without a map it is 0"),
    ("model.center", 0.5, "model.center", "only a sealed model has it"),
    ("model.bias", 0.5, "model.bias", "only a sealed model has it"),
    ("model.weight_limit", 0.5, "model.weight_limit", "only a sealed model has it"),
    ("proof", bytes(3072), "JobSpec.proof", "an open job's has 0"),
    ("privacy.epsilon", 8.0, "PrivacySpec.delta", "with epsilon it is above 0"),
    ("privacy.delta", 1e-6, "PrivacySpec.delta", "without epsilon it is 0"),
    ("privacy.dropouts", 1, "PrivacySpec.dropouts", "without epsilon"),
    ("privacy.corrupt", 2, "privacy.corrupt", "4 shares rebuild a secret"),
    ("cohort.shuffle", True, "cohort.shuffle", "blocks stay fixed"),
    ("model.family", Family.LINEAR, "model.family", "a number, not classes"),
    ("model.family", Family.LOGISTIC, "model.family", "takes 2 classes, not 3"),
    ("model.family", Family.DENSE, "ModelSpec.hidden", "at least 1"),
    ("model.hidden", 8, "ModelSpec.hidden", "has none"),
    ("target", NumberTarget("stay", 0.0, 9.0), "model.family", "classes, not a number"),
    ("target", ClassTarget("age", ("a", "b")), "target.name", "a feature is 'age' already"),
    ("features", (NumberFeature("a", 0.0, 1.0),) * 2, "features[1].name", "another feature"),
    ("training.ridge", 1.0, "training.ridge", "below 1 / rate"),
    ("encryption.key_bits", 3073, "EncryptionSpec.key_bits", "2048, 3072, 4096, 7680"),
    ("encryption.key_bits", 2048, "modulus", "has 3072 bits; key_bits is 2048"),
    ("modulus", (1 << 3071).to_bytes(384, "big"), "modulus", "is even"),
    ("modulus", b"\0" + SPEC.modulus, "modulus", "key_bits is 3072"),
    ("base", b"\2", "base", "has 1 bytes; the modulus has 384"),
    ("base", bytes(383) + b"\1", "base", "lies outside (1, n - 1)"),
    ("base", (1 << 3071).to_bytes(384, "big"), "base", "lies outside (1, n - 1)"),
    ("cohort.min_owners", 13, "CohortSpec.min_owners", "above max_owners"),
    ("cohort.block_size", 6, "CohortSpec.min_owners", "a block has 6"),
    ("cohort.admission", (b"\2" * 20, b"\1" * 20), "CohortSpec.admission", "ascend"),
    ("cohort.admission", (b"\2" * 20,) * 2, "CohortSpec.admission", "ascend"),
    ("cohort.admission", (b"\2" * 20,), "CohortSpec.admission", "lists 1; min_owners is 5"),
    ("payment.rate", 0, "PaymentSpec.rate", "at least 1"),
    ("payment.rate", 2**96, "PaymentSpec.rate", "at most 2^96 - 1"),
    ("payment.merit", 2**128, "payment", "escrow"),
    ("title", " x", "title", "begins or ends with a space"),
    ("title", "a\x1b[2J", "title", "do not print"),
    ("title", "a\u202eb", "title", "do not print"),
    ("purpose", "Research", "purpose", "lower-case"),
    ("purpose", "a--b", "purpose", "lower-case"),
    ("requester.account", bytes(20), "Party.account", "zero address"),
    ("chain.contract", bytes(20), "ChainRef.contract", "zero address"),
]


@pytest.mark.parametrize(("path", "value", "blamed", "reason"), BROKEN)
def test_a_spec_that_breaks_a_rule_cannot_be_built(
    path: str, value: Any, blamed: str, reason: str
) -> None:
    with pytest.raises(Faulty) as caught:
        with_(path, value)
    assert blamed in str(caught.value)
    assert reason in str(caught.value)


@pytest.mark.parametrize(
    ("build", "reason"),
    [
        (lambda: NumberFeature("a", 1.0, 1.0), "above low"),
        (lambda: NumberFeature("a", -1.7e308, 1.7e308), "too wide"),
        (lambda: NumberFeature("a", 0.0, float("inf")), "finite"),
        (lambda: NumberFeature("", 0.0, 1.0), "length 0"),
        (lambda: CategoryFeature("a", ("x", "y", "x")), r"categories\[2\]: 'x' stands here twice"),
        (lambda: CategoryFeature("a", ("x",)), "length 1"),
        (lambda: ClassTarget("a", ("x", "\x00")), r"classes\[1\]"),
        (lambda: NumberTarget("a\n", 0.0, 1.0), "do not print"),
    ],
)
def test_a_column_that_makes_no_sense_cannot_be_built(
    build: Callable[[], object], reason: str
) -> None:
    with pytest.raises(Malformed, match=reason):
        build()


@pytest.mark.parametrize(
    ("path", "fits", "beyond"),
    [
        ("version", [1], [0, 2]),
        ("timing.unmask_seconds", [1, 7 * 86_400], [0, 7 * 86_400 + 1]),
        ("title", ["a" * params.MAX_TITLE_BYTES], ["", "a" * (params.MAX_TITLE_BYTES + 1)]),
        ("purpose", ["a" * 32], ["a" * 33]),
        ("training.rounds", [1, params.MAX_ROUNDS], [0, params.MAX_ROUNDS + 1]),
        ("training.local_steps", [1, 10_000], [0, 10_001]),
        ("training.batch_rows", [1, 65_536], [0, 65_537]),
        ("training.rate", [1e-9], [0.0, -1.0, 1e7]),
        ("training.clip_norm", [1e-9, 1e6], [0.0, 2e6]),
        ("training.momentum", [0.0, 0.999999], [-0.1, 1.0]),
        ("encryption.value_bits", [*params.VALUE_BITS], [3, 33]),
        ("cohort.max_owners", [params.MAX_COHORT], [params.MAX_COHORT + 1]),
        ("cohort.block_size", [params.MIN_BLOCK], [params.MIN_BLOCK - 1, params.MAX_BLOCK + 1]),
        ("timing.commit_seconds", [params.MAX_COMMIT_SECONDS], [0, params.MAX_COMMIT_SECONDS + 1]),
        ("timing.finality_blocks", [0, params.MAX_FINALITY_BLOCKS], [-1, 1025]),
        ("salt", [bytes(16)], [bytes(15), bytes(17)]),
        ("seed", [bytes(32)], [bytes(31), bytes(33)]),
        ("requester.peer_id", [b"a", b"a" * 64], [b"", b"a" * 65]),
        ("expires_at", [1, 2**40], [0, 2**40 + 1]),
    ],
)
def test_each_field_stands_at_its_limit_and_not_past_it(
    path: str, fits: list[Any], beyond: list[Any]
) -> None:
    for value in fits:
        spec = with_(path, value)
        assert decode_spec(encode_spec(spec)) == spec
    for value in beyond:
        with pytest.raises(Malformed):
            with_(path, value)


def test_columns_and_inputs_are_bounded() -> None:
    columns = tuple(NumberFeature(f"c{i}", 0.0, 1.0) for i in range(params.MAX_FEATURES + 1))
    assert with_("features", columns[:-1]).inputs == params.MAX_FEATURES
    with pytest.raises(Malformed, match="length 4097"):
        with_("features", columns)
    words = tuple(str(i) for i in range(params.MAX_CATEGORIES))
    wide = tuple(CategoryFeature(f"c{i}", words) for i in range(16))
    assert with_("features", wide).inputs == params.MAX_INPUTS
    with pytest.raises(Faulty, match="make 16386 inputs, 16384"):
        with_("features", (*wide, CategoryFeature("more", ("a", "b"))))


def test_a_model_that_no_blob_holds_is_refused() -> None:
    columns = tuple(NumberFeature(f"c{i}", 0.0, 1.0) for i in range(4000))
    wide = with_("features", columns)
    dense = dataclasses.replace(wide, model=ModelSpec(Family.DENSE, 10_000))
    assert dense.parameter_count == 40_040_003
    with pytest.raises(Faulty, match="80080003 parameters, 80000000"):
        dataclasses.replace(wide, model=ModelSpec(Family.DENSE, 20_000))
    most = dataclasses.replace(wide, model=ModelSpec(Family.DENSE, 19_900))
    with pytest.raises(Faulty, match="make contributions of"):
        with_("encryption.value_bits", 32, most)


def test_a_step_that_would_exhaust_an_owners_memory_is_refused() -> None:
    dense = with_("model", ModelSpec(Family.DENSE, 4096))
    width = dense.inputs + 4096 + dense.outputs
    most = params.MAX_STEP_CELLS // width
    assert with_("training.batch_rows", most, dense).training.batch_rows == most
    with pytest.raises(Faulty, match=f"batch_rows: is {most + 1}: .* {params.MAX_STEP_CELLS} are"):
        with_("training.batch_rows", most + 1, dense)


def test_a_spec_above_the_limit_is_neither_written_nor_read() -> None:
    long = tuple(NumberFeature(f"{i:064d}", 0.0, 1.0) for i in range(2900))
    spec = with_("features", long)
    assert len(encode(spec)) > params.MAX_SPEC_BYTES
    with pytest.raises(Malformed, match="262144 are allowed"):
        encode_spec(spec)
    with pytest.raises(Malformed, match="at most 262144"):
        decode_spec(encode(spec))


def test_another_version_is_told_from_garbage() -> None:
    data = encode_spec(SPEC)
    assert data[:4] == b"\xdc\x00\x16\x01"
    with pytest.raises(Malformed, match="is 2, this version of assay reads 1"):
        decode_spec(b"\xdc\x00\x20\x02" + data[4:])
    with pytest.raises(Malformed, match="is 3, this version"):
        decode_spec(b"\x93\x03\xc0\xc0")
    for garbage in (b"", b"\xdc", b"\x91", b"\xc0", b"\xdc\x00\x14", data[:-1]):
        with pytest.raises(Malformed):
            decode_spec(garbage)


WORTH = PaymentSpec(ETHER, 1, 1, MeritBy.WORTH)
OWNERS = CohortSpec(15, 20, 5, (), False)
LARGE = dataclasses.replace(SPEC_TERMS, cohort=OWNERS, payment=WORTH)


@pytest.mark.parametrize("by", [MeritBy.WORTH, MeritBy.DISCRETION])
def test_a_pot_that_cannot_be_measured_is_equal_or_none(by: MeritBy) -> None:
    """Three blocks from the start; each fault says what to do."""
    assert with_("payment.merit_by", by, LARGE)
    few = CohortSpec(14, 20, 5, (), False)
    with pytest.raises(
        Faulty, match=rf"is {by}, which is measured from 3 blocks on; min_owners 14"
    ):
        with_("cohort", few, with_("payment.merit_by", by, LARGE))
    assert with_("cohort", few, with_("payment.merit_by", MeritBy.EQUAL, LARGE))
    assert with_("cohort", few, with_("payment", PaymentSpec(ETHER, 1, 0, by), LARGE))


@pytest.mark.parametrize(("least", "most", "rounds"), [(15, 15, 8), (15, 20, 10), (50, 50, 6)])
def test_blocks_that_change_need_rounds_that_tell_owners_apart(
    least: int, most: int, rounds: int
) -> None:
    """19 owners in three blocks give two equations a round."""
    noisy = dataclasses.replace(
        LARGE,
        privacy=PrivacySpec(8.0, 1e-5, 0, 1, False),
        training=dataclasses.replace(LARGE.training, local_steps=1, rounds=rounds),
        encryption=dataclasses.replace(LARGE.encryption, value_bits=32),
        cohort=CohortSpec(least, most, 5, (), True),
    )
    assert telling_rounds(noisy.cohort) == rounds
    with pytest.raises(Faulty, match=rf"{rounds - 1} rounds do not tell up to {most} owners"):
        with_("training.rounds", rounds - 1, noisy)


def test_what_is_published_shows_no_sealed_weights_and_fits_a_blob() -> None:
    file = (paths.ROOT / "docs" / "examples" / "digits-sealed.toml").read_text()
    file = file.replace("owners = 5", "owners = 15")
    assert parse_toml(file.replace('"equal"', '"discretion"')).terms.payment.measures
    with pytest.raises(SpecError, match="they would show a sealed model's weights"):
        parse_toml(file.replace('"equal"', '"worth"'))
    dense = dataclasses.replace(
        with_("training.batch_rows", 1, LARGE), model=ModelSpec(Family.DENSE, 65_536)
    )
    with pytest.raises(Faulty, match=r"sums are published: \d+ bytes, 671088640 are allowed"):
        with_("cohort", CohortSpec(15, 1_000, 5, (), False), dense)


def test_the_holdout_is_named_where_it_is_published_and_nowhere_else() -> None:
    with pytest.raises(Faulty, match="holdout: has 32 bytes; any other has 0"):
        with_("holdout", bytes(32))
    named = {"cohort": LARGE.cohort, "payment": WORTH}
    assert dataclasses.replace(SPEC, **named, holdout=bytes(32))
    for wrong in (b"", bytes(31)):
        with pytest.raises(Faulty, match=r"worth has 32"):
            dataclasses.replace(SPEC, **named, holdout=wrong)


def test_the_wire_obeys_the_same_rules() -> None:
    data = encode_spec(SPEC)
    assert data.count(b"\xa8research") == 1
    with pytest.raises(Malformed, match="purpose: is 'Research'; lower-case"):
        decode_spec(data.replace(b"\xa8research", b"\xa8Research"))
    with pytest.raises(Malformed, match=r"target\.name: a feature is 'age'"):
        decode_spec(data.replace(b"\xa4stay", b"\xa3age"))


@pytest.mark.parametrize(
    ("family", "hidden", "target", "outputs", "parameters"),
    [
        (Family.LINEAR, 0, NumberTarget("t", 0.0, 1.0), 1, 5),
        (Family.LOGISTIC, 0, ClassTarget("t", ("a", "b")), 1, 5),
        (Family.SOFTMAX, 0, ClassTarget("t", ("a", "b", "c")), 3, 15),
        (Family.DENSE, 7, ClassTarget("t", ("a", "b", "c")), 3, 5 * 7 + 8 * 3),
    ],
)
def test_shapes_are_those_of_the_kernels(
    family: Family, hidden: int, target: Any, outputs: int, parameters: int
) -> None:
    from protocol.arith.learning.models import Family as KernelFamily
    from protocol.arith.learning.models import Model

    spec = dataclasses.replace(SPEC, model=ModelSpec(family, hidden), target=target)
    assert (spec.inputs, spec.outputs, spec.parameter_count) == (4, outputs, parameters)
    model = Model(KernelFamily(family.value), spec.inputs, spec.outputs, hidden)
    assert model.parameter_count == parameters
    assert spec.columns == ("age", "ward", "t")


def test_money_and_time_add_up() -> None:
    assert SPEC.escrow == 20 * 12 * 10**15 + 10**17
    assert SPEC.least_lifetime == 600 + 20 * (60 + 300 + 600 + 30 + 60)
    assert SPEC.block_count == 2
    assert SPEC.n == (1 << 3071) + 1


@given(st.integers(5, 32), st.integers(0, 60), st.integers(0, 200))
def test_blocks_hold_everybody_and_stay_in_their_limits(block: int, more: int, span: int) -> None:
    least, most = block + more, block + more + span
    allowed = range(least, most + 1)
    if any(-(-owners // (owners // block)) > params.MAX_BLOCK for owners in allowed):
        with pytest.raises(Faulty, match="makes a block of"):
            CohortSpec(least, most, block, (), False)
        return
    cohort = CohortSpec(least, most, block, (), False)
    largest = 0
    for owners in allowed:
        sizes = cohort.blocks(owners)
        assert sum(sizes) == owners
        assert max(sizes) - min(sizes) <= 1
        assert min(sizes) >= block
        largest = max(largest, *sizes)
    assert largest == cohort.largest_block <= params.MAX_BLOCK
    assert cohort.blocks(block - 1) == ()


def vectors(name: str) -> list[dict[str, Any]]:
    return json.loads((VECTORS / name).read_text())["cases"]  # type: ignore[no-any-return]


@pytest.mark.parametrize("case", vectors("bytes.json"), ids=lambda case: case["name"])
def test_byte_vectors(case: dict[str, Any]) -> None:
    data = bytes.fromhex(case["hex"])
    if "error" in case:
        with pytest.raises(Malformed, match=case["error"]):
            decode_spec(data)
        return
    spec = decode_spec(data)
    assert encode_spec(spec) == data
    assert spec_digest(data).hex() == case["digest"]
    found = {name: getattr(spec, name) for name in case["derived"]}
    assert found == case["derived"]
