"""What workers run for a sale, whole: a model put on sale, a file's rows, queries, the CSV."""

from __future__ import annotations

import csv
import dataclasses
import random
import struct
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kits.books import make_spec

from node.data.reading import Reading
from node.store.blobs import BlobRef, Blobs
from node.work import exporting, tasks
from node.work.embedding import Encoders
from node.work.files import asked
from node.work.sale import models as on_sale
from node.work.sale import purchases, queries
from node.work.sale.models import ForSale, for_sale, layout_of
from node.work.sale.purchases import Prepared, feature_count, prepare, write_bought
from protocol import params
from protocol.arith.numbers.vectors import Kind, encode_vector
from protocol.arith.paillier.cryptosystem import PrivateKey, generate_short_key
from protocol.arith.queries.ask import introduce
from protocol.errors import InputError, Malformed
from protocol.layout.queries import Mode
from protocol.sale import limits
from protocol.spec.job import Family, JobSpec, ModelSpec, Outside, encode_spec
from protocol.spec.parts import CategoryFeature, ClassTarget, NumberFeature, NumberTarget, Target

BITS = 2048
FEATURES = (
    NumberFeature("age", 10.0, 90.0),
    CategoryFeature("ward", ("surgery", "oncology")),
)
TARGETS: dict[Family, Target] = {
    Family.LINEAR: NumberTarget("stay", -5.0, 45.0),
    Family.LOGISTIC: ClassTarget("stay", ("weeks", "days")),
    Family.SOFTMAX: ClassTarget("stay", ("weeks", "days", "months")),
    Family.DENSE: ClassTarget("stay", ("weeks", "days")),
}
ROWS = "ward,age\nsurgery,50\noncology,12.5\nsurgery,\nsurgery,88\n"
SOLD = [
    (Family.LINEAR, Mode.SCORES),
    (Family.LOGISTIC, Mode.SCORES),
    (Family.SOFTMAX, Mode.SCORES),
    (Family.LOGISTIC, Mode.LABEL),
    (Family.SOFTMAX, Mode.LABEL),
]


def spec_of(family: Family, **changes: Any) -> JobSpec:
    base = dataclasses.replace(
        make_spec(),
        features=FEATURES,
        outside=Outside.CLIP,
        target=TARGETS[family],
        model=ModelSpec(family, 6 if family is Family.DENSE else 0),
    )
    return dataclasses.replace(base, **changes)


def trained(folder: Path, spec: JobSpec) -> tuple[tasks.Work, BlobRef]:
    """A model with weights of no meaning, among the blobs of a home."""
    folder.mkdir(exist_ok=True)
    count = tasks.model_of(spec).parameter_count
    weights = np.random.default_rng(3).normal(size=count)
    blob = Blobs(folder).put(encode_vector(Kind.MODEL, weights))
    return tasks.Work(folder, encode_spec(spec)), blob


def sold(folder: Path, spec: JobSpec, mode: Mode) -> ForSale:
    work, blob = trained(folder, spec)
    return for_sale(work, b"", blob, mode, BITS)


def made(folder: Path, spec: JobSpec, text: str = ROWS, most: int = 100) -> tuple[Prepared, Path]:
    file, out = folder / "rows.csv", folder / "features"
    file.write_text(text)
    given_ = encode_spec(spec), file, Reading(), most, out
    return prepare(*given_, Encoders(folder / "blobs")), out


@pytest.fixture(scope="module")
def short_key() -> PrivateKey:
    """Shorter than a spec allows: the product is the same."""
    return generate_short_key(512, random.Random(512).randbytes)


@pytest.fixture(scope="module")
def buyer(short_key: PrivateKey) -> queries.BuyerKey:
    return queries.BuyerKey(short_key.to_bytes(), introduce(short_key))


def answered(
    model: ForSale, key: queries.BuyerKey, row: bytes, bits: int, number: int = 0
) -> tuple[int, ...]:
    """One query, each side with what it knows alone."""
    name, seed = bytes([number]) * 32, b"b" * 32
    layout = dataclasses.replace(model.layout, key_bits=bits)
    n = queries.check_key(key.introduction, bits)
    buying = queries.Buying(layout, key.private, name, seed)
    selling = queries.Selling(layout, n, name, b"s" * 32, model.model)
    query = queries.make_query(buying, row)
    assert query == queries.make_query(buying, row)  # after a crash the same bytes
    reply = queries.make_reply(selling, query)
    assert reply == queries.make_reply(selling, query)
    if layout.mode is Mode.SCORES:
        return queries.read_answer(buying, b"", reply)
    choices = queries.make_choices(buying, reply)
    blind = dataclasses.replace(selling, model=b"")
    circuit = queries.make_circuit(blind, sha256(query).digest(), choices)
    return queries.read_answer(buying, reply, circuit)


@pytest.mark.parametrize(("family", "mode"), SOLD)
def test_what_is_bought_is_what_the_seller_would_say(
    family: Family, mode: Mode, tmp_path: Path, buyer: queries.BuyerKey, short_key: PrivateKey
) -> None:
    spec = spec_of(family)
    work, blob = trained(tmp_path / "blobs", spec)
    model = for_sale(work, b"", blob, mode, BITS)
    prepared, out = made(tmp_path, spec)
    width = 8 * feature_count(spec)
    content = out.read_bytes()
    assert (len(content), out.stat().st_mode & 0o777) == (4 * width, 0o600)
    assert (prepared.lines, prepared.unit, prepared.unused) == ((2, 3, 4, 5), "line", 1)
    assert prepared.digests[64:96] == bytes(32)
    rows = [content[width * at : width * (at + 1)] for at in range(4)]
    bits = short_key.public.bits
    results = [
        None if at == 2 else answered(model, buyer, row, bits, at) for at, row in enumerate(rows)
    ]
    bought = tmp_path / "bought.csv"
    told = write_bought(encode_spec(spec), mode, model.unit, prepared, results, bought)
    exporting.export_model(work, b"", blob, tmp_path / "model.npz")
    own = tmp_path / "own.csv"
    asked.predict(tmp_path / "model.npz", tmp_path / "rows.csv", Reading(), own, False)
    one, other = pl.read_csv(bought), pl.read_csv(own)
    assert (told.empty, told.columns) == (1, tuple(one.columns))
    assert one["line"].to_list() == [2, 3, 4, 5]
    assert one["prediction"][2] is None
    if family is Family.LINEAR:
        known = pytest.approx(other["prediction"].drop_nulls().to_list(), abs=1e-2)
        assert one["prediction"].drop_nulls().to_list() == known
    else:
        assert one["prediction"].to_list() == other["prediction"].to_list()
        scores = [each for each in one.columns if each.startswith("score_")]
        classes = spec.target.classes[1:] if family is Family.LOGISTIC else spec.target.classes  # type: ignore[union-attr]
        assert scores == ([f"score_{each}" for each in classes] if mode is Mode.SCORES else [])


def test_scores_are_the_models_own_in_its_units(
    tmp_path: Path, buyer: queries.BuyerKey, short_key: PrivateKey
) -> None:
    spec = spec_of(Family.SOFTMAX)
    model = sold(tmp_path / "blobs", spec, Mode.SCORES)
    weights, bias = on_sale.unpack(model.model)
    _, out = made(tmp_path, spec)
    row = out.read_bytes()[: 8 * feature_count(spec)]
    found = answered(model, buyer, row, short_key.public.bits)
    true = np.frombuffer(row, "<f8") @ weights + bias
    assert np.array(found) * model.unit == pytest.approx(true, abs=1e-3)


@pytest.mark.parametrize(
    ("family", "mode", "words"),
    [
        (Family.DENSE, Mode.LABEL, "hidden layer"),
        (Family.LINEAR, Mode.LABEL, "--scores sells it"),
    ],
)
def test_a_model_that_cannot_be_sold_so(
    family: Family, mode: Mode, words: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=words):
        sold(tmp_path / "blobs", spec_of(family), mode)


def test_too_many_features_or_classes() -> None:
    many = tuple(NumberFeature(f"x{each}", 0.0, 1.0) for each in range(1025))
    with pytest.raises(InputError, match="1025 features; 1024 can be asked for"):
        layout_of(spec_of(Family.LOGISTIC, features=many), Mode.LABEL, BITS)
    classes = tuple(f"c{each}" for each in range(params.MAX_QUERY_CLASSES + 1))
    with pytest.raises(InputError, match="classes; "):
        layout_of(spec_of(Family.SOFTMAX, target=ClassTarget("stay", classes)), Mode.SCORES, BITS)
    # Two words of a logistic model's are two classes of a label, and one score.
    assert layout_of(spec_of(Family.LOGISTIC), Mode.LABEL, BITS).classes == 2
    assert layout_of(spec_of(Family.LOGISTIC), Mode.SCORES, BITS).classes == 1


@given(st.integers(1, 6), st.integers(1, 4), st.booleans(), st.data())
def test_a_model_is_packed_whole(p: int, c: int, biased: bool, data: st.DataObject) -> None:
    floats = st.floats(allow_nan=False, allow_infinity=False)
    weights = np.array(data.draw(st.lists(floats, min_size=p * c, max_size=p * c))).reshape(p, c)
    bias = np.array(data.draw(st.lists(floats, min_size=c, max_size=c))) if biased else None
    packed = on_sale.pack(weights, bias)
    found, offsets = on_sale.unpack(packed)
    assert np.array_equal(found, weights)
    assert np.array_equal(offsets, np.zeros(c) if bias is None else bias)
    with pytest.raises(Malformed):
        on_sale.unpack(packed + b"\0")
    with pytest.raises(Malformed):
        on_sale.unpack(packed[: data.draw(st.integers(8, len(packed) - 1))])


def test_a_packed_model_of_more_than_it_has() -> None:
    with pytest.raises(Malformed, match="another length"):
        on_sale.unpack(struct.pack("<II", 2**32 - 1, 2**32 - 1) + bytes(64))


@pytest.mark.parametrize(
    "bad", [b"", b"\0" * 48, b"\xff" * 600, b"assay/1 paillier batch" + bytes(500)]
)
def test_hostile_bytes_are_refused_on_either_side(
    bad: bytes, tmp_path: Path, buyer: queries.BuyerKey, short_key: PrivateKey
) -> None:
    bits = short_key.public.bits
    model = sold(tmp_path / "blobs", spec_of(Family.SOFTMAX), Mode.LABEL)
    layout = dataclasses.replace(model.layout, key_bits=bits)
    n = queries.check_key(buyer.introduction, bits)
    name = bytes(32)
    selling = queries.Selling(layout, n, name, b"s" * 32, model.model)
    buying = queries.Buying(layout, buyer.private, name, b"b" * 32)
    for call in (
        lambda: queries.make_reply(selling, bad),
        lambda: queries.make_circuit(selling, bytes(32), bad),
        lambda: queries.make_choices(buying, bad),
        lambda: queries.read_answer(buying, bad, bad),
        lambda: queries.check_key(bad, bits),
    ):
        with pytest.raises(Malformed):
            call()


def test_a_key_is_met_at_its_own_length_alone(
    buyer: queries.BuyerKey, short_key: PrivateKey
) -> None:
    bits = short_key.public.bits
    assert int.from_bytes(queries.check_key(buyer.introduction, bits), "big") == short_key.public.n
    with pytest.raises(Malformed):
        queries.check_key(buyer.introduction, bits + 8)
    spoiled = bytearray(buyer.introduction)
    spoiled[-1] ^= 1
    with pytest.raises(Malformed):
        queries.check_key(bytes(spoiled), bits)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1.5, -1.1])
def test_a_feature_that_is_none_is_not_encrypted(
    value: float, tmp_path: Path, buyer: queries.BuyerKey, short_key: PrivateKey
) -> None:
    spec = spec_of(Family.SOFTMAX)
    model = sold(tmp_path / "blobs", spec, Mode.SCORES)
    layout = dataclasses.replace(model.layout, key_bits=short_key.public.bits)
    row = np.full(feature_count(spec), 0.5)
    row[1] = value
    buying = queries.Buying(layout, buyer.private, bytes(32), bytes(32))
    with pytest.raises(InputError):
        queries.make_query(buying, row.astype("<f8").tobytes())


def test_a_file_of_too_many_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = spec_of(Family.SOFTMAX)
    with pytest.raises(InputError, match=r"rows.csv has 4 rows; 3 of .* split it"):
        made(tmp_path, spec, most=3)
    assert not (tmp_path / "features").exists()
    monkeypatch.setattr(limits, "MAX_PURCHASE_CELLS", 3 * feature_count(spec))
    with pytest.raises(InputError, match="3 of"):
        made(tmp_path, spec)


def test_rows_are_made_some_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = spec_of(Family.SOFTMAX)
    whole, out = made(tmp_path, spec)
    content = out.read_bytes()
    monkeypatch.setattr(purchases, "_STEP", 1)
    pieces, out = made(tmp_path, spec)
    assert (pieces, out.read_bytes()) == (whole, content)
    # A row stands for itself alone: its digest is the same in another file.
    alone, _ = made(tmp_path, spec, "age,ward\n88,surgery\n")
    assert alone.digests == whole.digests[-32:]


@pytest.mark.parametrize(
    ("result", "told"), [((0,), "weeks"), ((2,), "months"), ((3,), ""), ((255,), "")]
)
def test_a_label_that_is_none_of_the_jobs_is_no_prediction(
    result: tuple[int, ...], told: str, tmp_path: Path
) -> None:
    prepared = Prepared(bytes(32), (2,), "line", 0, "", ())
    spec = encode_spec(spec_of(Family.SOFTMAX))
    out = tmp_path / "out.csv"
    write_bought(spec, Mode.LABEL, 0.0, prepared, [result], out)
    with out.open(newline="") as file:
        assert [row["prediction"] for row in csv.DictReader(file)] == [told]
    assert [each.name for each in tmp_path.iterdir()] == ["out.csv"]
