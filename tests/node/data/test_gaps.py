"""What becomes of gaps: by a job's spec, with noise and without, open and sealed."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from kits.books import make_spec
from kits.paths import ROOT

from node.data import matrix
from node.data.datasets import import_file
from node.data.matrix import KeptRows, OwnedRows, build_kept_rows, owned_rows
from node.store.blobs import Blobs
from node.work import noisy as noisy_tasks
from node.work import sealed as sealed_tasks
from node.work import tasks
from protocol.arith import kernels
from protocol.errors import InputError
from protocol.layout.noise import NoisePlan
from protocol.spec.gaps import GapCategoryFeature, GapClassTarget, GapNumberFeature, Missing
from protocol.spec.job import (
    ClassTarget,
    EncryptionSpec,
    Envelope,
    Family,
    JobSpec,
    ModelSpec,
    NumberFeature,
    encode_spec,
)
from protocol.spec.parts import Feature, Target
from protocol.spec.toml import parse_toml

#: tests/cases/data: NA, ? and nothing are its gaps, in three of its four rows.
FILE = Path(__file__).parents[2] / "cases" / "data" / "gaps.csv"
WORDS = ("NA", "?")
OUTCOME = ClassTarget("outcome", ("0", "1"))


def columns(missing: Missing, *, indicator: bool = False) -> tuple[Feature, ...]:
    """age and dose, with one rule for both."""
    fill = missing is Missing.FILL
    return (
        GapNumberFeature("age", 0.0, 100.0, WORDS, missing, 50.0 if fill else None, indicator),
        GapNumberFeature("dose", 0.0, 10.0, WORDS, missing, 0.0 if fill else None, indicator),
    )


REFUSED, DROPPED = columns(Missing.REFUSE), columns(Missing.DROP_ROW)
FILLED, SHOWN = columns(Missing.FILL), columns(Missing.FILL, indicator=True)


def rows_of(folder: Path, content: str | Path) -> tasks.Rows:
    file = content
    if not isinstance(content, Path):
        file = folder / "in.csv"
        file.write_text(content)
    copies = folder / "copies"
    copies.mkdir(exist_ok=True)
    return tasks.Rows(copies, import_file(Path(file), copies).copy.digest, "ward")


def noisy(folder: Path, features: tuple[Feature, ...], target: Target = OUTCOME) -> OwnedRows:
    rows = rows_of(folder, FILE)
    return owned_rows(Blobs(rows.directory).path(rows.digest), features, target)


def plain(
    folder: Path,
    features: tuple[Feature, ...],
    target: Target = OUTCOME,
    content: str | Path = FILE,
) -> KeptRows:
    rows = rows_of(folder, content)
    return build_kept_rows(Blobs(rows.directory).path(rows.digest), features, target)


def test_refused_gaps_keep_a_data_set_out_without_noise(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"line 3: the cell is empty; a number from 0 to 100"):
        plain(tmp_path, REFUSED)


def test_with_noise_a_row_is_not_used_whether_it_is_refused_or_dropped(tmp_path: Path) -> None:
    for features in (REFUSED, DROPPED):
        held = noisy(tmp_path, features)
        assert held.unused.tolist() == [True, True, True, False]
        assert held.features.tolist() == [[0, 0], [0, 0], [0, 0], [0.48, 0.1]]
        assert held.target.tolist() == [0, 0, 0, 0]
        assert "gaps.csv, line " in held.why


def test_rows_are_left_out_without_noise(tmp_path: Path) -> None:
    held = plain(tmp_path, DROPPED)
    assert held.features.tolist() == [[0.48, 0.1]]
    assert held.target.tolist() == [0.0]
    assert held.left_out.tolist() == [True, True, True, False]
    assert held.why == (
        'gaps.csv, line 3: the cell is empty; a gap, and missing = "drop-row" is declared'
    )


@pytest.mark.parametrize("indicator", [False, True])
def test_gaps_are_filled_with_what_is_declared(tmp_path: Path, indicator: bool) -> None:
    features = SHOWN if indicator else FILLED
    numbers = [[0.61, 0.0], [0.5, 0.25], [0.55, 0.0], [0.48, 0.1]]
    flags = [[0.0, 1.0], [1.0, 0.0], [0.0, 1.0], [0.0, 0.0]]
    expected = [
        [age, a, dose, d] if indicator else [age, dose]
        for (age, dose), (a, d) in zip(numbers, flags, strict=True)
    ]
    assert plain(tmp_path, features).features.tolist() == expected
    held = noisy(tmp_path, features)
    assert held.features.tolist() == expected
    assert not held.unused.any()
    assert held.target.tolist() == [1, 0, 1, 0]


def test_a_row_without_gaps_must_fit_as_ever(tmp_path: Path) -> None:
    """Words that nobody declared are no gaps."""
    with pytest.raises(InputError, match=r"line 2: 'n/a'; a number from 0 to 100 is declared"):
        plain(tmp_path, DROPPED, content="age,dose,outcome\nn/a,1,1\n")
    with pytest.raises(InputError, match="line 2: '101'"):
        plain(tmp_path, FILLED, content="age,dose,outcome\n101,1,1\n")
    # A row that is left out need not fit elsewhere: nothing of it is used.
    held = plain(tmp_path, DROPPED, content="age,dose,outcome\n101,NA,x\n1,1,1\n")
    assert held.left_out.tolist() == [True, False]
    with pytest.raises(InputError, match=r"no row is left of in\.csv: .*: 'NA'; a gap"):
        plain(tmp_path, DROPPED, content="age,dose,outcome\n1,NA,1\n")


def test_words_are_gaps_by_spelling_or_by_value_before_anything_else(tmp_path: Path) -> None:
    age = GapNumberFeature("age", 0.0, 100.0, ("-1", "99"), Missing.FILL, 7.0, True)
    ward = GapCategoryFeature("ward", ("a", "2"), ("-1", "unknown"), Missing.FILL, "2", True)
    target = GapClassTarget("y", ("0", "1"), ("9",), Missing.DROP_ROW)
    content = "age,ward,y\n-1.0,a,0\n99,unknown,1\n98,2.0,1\n5,-1e0,1.0\n5,,0\n5,a,9.00\n5,a,\n"
    held = plain(tmp_path, (age, ward), target, content)
    assert held.left_out.tolist() == [False] * 5 + [True] * 2
    assert held.features.tolist() == [
        [0.07, 1, 1, 0, 0],
        [0.07, 1, 0, 1, 1],
        [0.98, 0, 0, 1, 0],
        [0.05, 0, 0, 1, 1],
        [0.05, 0, 0, 1, 1],
    ]
    assert held.target.tolist() == [0, 1, 1, 1, 0]


def test_stored_numbers_have_gaps_too(tmp_path: Path) -> None:
    """NaN and null of Parquet, which pandas makes of one another; and -1 stored as a float."""
    frame = pl.DataFrame({"age": [61.0, None, float("nan"), -1.0], "ward": [1.0, 2.0, None, 3.0]})
    frame = frame.with_columns(pl.Series("y", [0, 1, 1, None]))
    out = io.BytesIO()
    frame.write_parquet(out)
    path = tmp_path / "in.parquet"
    path.write_bytes(out.getvalue())
    features = (
        GapNumberFeature("age", 0.0, 100.0, ("-1",), Missing.FILL, 0.0, True),
        GapCategoryFeature("ward", ("1", "2", "4"), ("3",), Missing.FILL, "4", False),
    )
    target = GapClassTarget("y", ("0", "1"), (), Missing.DROP_ROW)
    held = plain(tmp_path, features, target, path)
    assert held.features.tolist() == [[0.61, 0, 1, 0, 0], [0, 1, 0, 1, 0], [0, 1, 0, 0, 1]]
    assert held.left_out.tolist() == [False, False, False, True]


@pytest.mark.parametrize("most", [1, 10_000, 1 << 24])
def test_many_rows_are_written_as_few_are(
    tmp_path: Path, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A matrix is written in blocks of rows, some columns at a time: neither shows."""
    monkeypatch.setattr(matrix._Waiting, "_MOST", most)
    ward = GapCategoryFeature("ward", ("a", "b", "c"), (), Missing.FILL, "c", True)
    features = (*SHOWN, ward, NumberFeature("visits", 0.0, 10.0))
    head = "age,dose,ward,visits,outcome\n"
    lines = "61,NA,a,1,1\n,2.5,b,2,0\n55,?,,3,1\n48,1.0,c,4,0\n5,5,a,5,1\n"
    few = plain(tmp_path, features, content=head + lines).features
    many = plain(tmp_path, features, content=head + 1001 * lines).features
    assert np.array_equal(many, np.tile(few, (1001, 1)))


PENGUINS = """species,island,bill_length_mm,bill_depth_mm,flipper_length_mm,body_mass_g,sex,year
Adelie,Torgersen,39.1,18.7,181,3750,male,2007
Adelie,Torgersen,NA,NA,NA,NA,NA,2007
Gentoo,Biscoe,44.5,14.3,216,NA,NA,2007
"""


def test_the_example_takes_a_table_as_it_is(tmp_path: Path) -> None:
    terms = parse_toml((ROOT / "docs" / "examples" / "penguins.toml").read_text()).terms
    held = plain(tmp_path, terms.features, terms.target, PENGUINS)
    assert held.left_out.tolist() == [False, True, False]
    assert held.target.tolist() == [0.0, 2.0]
    assert held.features.shape == (2, terms.inputs)
    # Mass and its indicator, the island, the sex.
    assert held.features[:, 3:].tolist() == [
        [0.3125, 0, 0, 0, 1, 0, 1, 0],
        [0.425, 1, 1, 0, 0, 0, 0, 1],
    ]


# Jobs on it


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    yield
    for kept in (tasks.matrix_of, tasks.noised_rows, noisy_tasks._rows, sealed_tasks._quantised):
        kept.cache_clear()


def job(features: tuple[Feature, ...], *, noise: bool = False, sealed: bool = False) -> JobSpec:
    base = make_spec(noisy=noise)
    envelope = Envelope.PAILLIER if sealed else Envelope.MASKS
    return dataclasses.replace(
        base,
        features=features,
        target=OUTCOME,
        model=ModelSpec(Family.LOGISTIC, 0, bias=0.5, weight_limit=8.0)
        if sealed
        else ModelSpec(Family.LOGISTIC, 0),
        privacy=dataclasses.replace(base.privacy, sealed=sealed),
        encryption=EncryptionSpec(envelope, base.encryption.key_bits, base.encryption.value_bits),
        training=dataclasses.replace(base.training, clip_norm=1.0),
        proof=bytes(8 * len(base.modulus)) if sealed else b"",
    )


@pytest.mark.parametrize("features", [DROPPED, FILLED, SHOWN], ids=["dropped", "filled", "shown"])
def test_every_rule_trains_without_noise(tmp_path: Path, features: tuple[Feature, ...]) -> None:
    spec = job(features)
    work, rows = tasks.Work(tmp_path, encode_spec(spec)), rows_of(tmp_path, FILE)
    why = tasks.fits(rows, spec, True).why
    left_out = "3 of 4 rows are left out: gaps.csv, line 3: the cell is empty; a gap"
    assert why.startswith(left_out) if features is DROPPED else why == ""
    model = tasks.put(work, kernels.initial_model(tasks.model_of(spec), spec.seed))
    integers, _ = tasks.integers_of(work, tasks.Gradient(rows, model, bytes(32)))
    assert len(integers) == spec.parameter_count == spec.inputs + 1
    assert integers.any()


def test_refused_gaps_do_not(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the cell is empty"):
        tasks.fits(rows_of(tmp_path, FILE), job(REFUSED), True)


@pytest.mark.parametrize("features", [REFUSED, DROPPED, FILLED, SHOWN])
@pytest.mark.parametrize("sealed", [False, True], ids=["open", "sealed"])
def test_every_rule_trains_with_noise(
    tmp_path: Path, features: tuple[Feature, ...], sealed: bool
) -> None:
    spec = job(features, noise=True, sealed=sealed)
    work, rows = tasks.Work(tmp_path, encode_spec(spec)), rows_of(tmp_path, FILE)
    if sealed:
        assert sealed_tasks.noised_statistics(work, rows, NoisePlan(1.0, 1.0))
    else:
        model = tasks.put(work, kernels.initial_model(tasks.model_of(spec), spec.seed))
        drawn, _ = noisy_tasks.noisy_gradient(work, rows, model, NoisePlan(1.0, 1.0))
        assert len(drawn) == 8 * spec.parameter_count
    x, _, used = tasks.noised_rows(work.spec, rows)
    assert len(x) == 4  # as many as were declared, in any case
    assert int(used.sum()) == (1 if features in (REFUSED, DROPPED) else 4)


def test_a_sealed_step_without_noise_shows_the_declared_number_of_rows(tmp_path: Path) -> None:
    """Rows that are left out add zeros: whoever knows the step learns no other number."""
    rows = rows_of(tmp_path, FILE)
    spec = job(DROPPED, sealed=True)
    told = sealed_tasks._statistics(spec, encode_spec(spec), rows, None)
    assert told.rows == 4
    one = "age,dose,outcome\n48,1.0,0\n"
    alone = sealed_tasks._statistics(spec, encode_spec(spec), rows_of(tmp_path, one), None)
    assert alone.rows == 1
    assert np.array_equal(told.numbers, alone.numbers)
    plain_columns = (NumberFeature("age", 0.0, 100.0), NumberFeature("dose", 0.0, 10.0))
    said_nothing = job(plain_columns, sealed=True)
    same = sealed_tasks._statistics(
        said_nothing, encode_spec(said_nothing), rows_of(tmp_path, one), None
    )
    assert np.array_equal(same.numbers, alone.numbers)
