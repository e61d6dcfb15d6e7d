"""Whether an owner takes part in a job with noise follows from no value in its rows."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, reject
from hypothesis import strategies as st
from kits.books import make_spec
from kits.examples import examples

from node.data.datasets import import_file
from node.store.blobs import Blobs
from node.work import noisy as noisy_tasks
from node.work import sealed as sealed_tasks
from node.work import tasks
from protocol.arith.learning.models import Family
from protocol.arith.learning.models import Model as Architecture
from protocol.arith.sealed import statistics
from protocol.errors import InputError
from protocol.layout.noise import NoisePlan
from protocol.spec.job import (
    CategoryFeature,
    Envelope,
    JobSpec,
    ModelSpec,
    NumberFeature,
    Outside,
    Terms,
    encode_spec,
)
from protocol.spec.job import Family as SpecFamily

#: A job that takes 'age' from 0 to 120, a ward, and a stay that is short or long; with noise.
NOISY = dataclasses.replace(
    make_spec(noisy=True),
    features=(NumberFeature("age", 0.0, 120.0), CategoryFeature("ward", ("a", "b"))),
    outside=Outside.REFUSE,
    encryption=dataclasses.replace(make_spec().encryption, envelope=Envelope.MASKS),
)
SEALED = dataclasses.replace(
    NOISY,
    encryption=make_spec().encryption,
    model=ModelSpec(SpecFamily.SOFTMAX, 0, bias=0.5, weight_limit=8.0),
    privacy=dataclasses.replace(NOISY.privacy, sealed=True),
    proof=bytes(8 * 384),
)


def terms_of(spec: JobSpec) -> Terms:
    """The terms alone: the key of these specs is none."""
    return Terms(**{f.name: getattr(spec, f.name) for f in dataclasses.fields(Terms)})


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    yield
    tasks.noised_rows.cache_clear()
    noisy_tasks._rows.cache_clear()


def rows_of(folder: Path, text: str) -> tasks.Rows:
    """A data set of these lines."""
    folder.mkdir(exist_ok=True)
    file = folder / "ward.csv"
    file.write_text("age,ward,stay\n" + text)
    copies = folder / "copies"
    copies.mkdir(exist_ok=True)
    return tasks.Rows(copies, import_file(file, copies).copy.digest, "ward")


BAD = "130,a,short\n,b,long\n44,z,short\n50,a,forever\n60,b,long\n"

cell = st.sampled_from(["", "0", "120", "120.0001", "-3", "1e300", "nan", "much", "a", "b", "z"])
stay = st.sampled_from(["", "short", "long", "7", "forever"])
line = st.tuples(cell, cell, stay).map(",".join)


@pytest.mark.parametrize("spec", [NOISY, SEALED], ids=["open", "sealed"])
@given(lines=st.lists(line, min_size=1, max_size=6))
@examples(0.6, allow=[HealthCheck.function_scoped_fixture])
def test_no_value_keeps_an_owner_out(spec: JobSpec, lines: list[str], tmp_path: Path) -> None:
    text = "".join(each + "\n" for each in lines)
    try:
        rows = rows_of(tmp_path / hashlib.sha256(text.encode()).hexdigest(), text)
    except InputError:
        reject()  # no data set at all, long before there is a job
    assert tasks.fits(rows, terms_of(spec), True).rows == sum(any(e.split(",")) for e in lines)
    x, y, _ = tasks.noised_rows(encode_spec(spec), rows)
    assert np.isfinite(x).all()
    assert np.isfinite(y).all()
    assert len(x) == sum(any(each.split(",")) for each in lines)  # as many as it declared


def test_the_owner_alone_is_told_what_is_not_used(tmp_path: Path) -> None:
    found = tasks.fits(rows_of(tmp_path, BAD), terms_of(NOISY), True)
    assert (found.rows, found.usable) == (5, 2)
    assert found.why.startswith("3 of 5 rows cannot be used: ")
    assert "line 3: the cell is empty" in found.why
    whole = tasks.fits(rows_of(tmp_path, "1,a,short\n"), terms_of(NOISY), True)
    assert whole == tasks.Fitted(1, 1, "")


def test_without_noise_and_of_a_hold_out_set_every_value_must_fit(tmp_path: Path) -> None:
    rows = rows_of(tmp_path, BAD)
    plain = dataclasses.replace(
        make_spec(), features=NOISY.features, outside=Outside.REFUSE, base=b""
    )
    for terms, owner in ((terms_of(plain), True), (terms_of(NOISY), False)):
        with pytest.raises(InputError, match="a number from 0 to 120 is declared"):
            tasks.fits(rows, terms, owner)


def test_a_hold_out_set_is_measured_as_its_owners_rows_are_read(tmp_path: Path) -> None:
    """And as `assay predict` reads it: with noise a number outside is clipped."""
    rows = rows_of(tmp_path, "130,a,short\n-7,b,long\n")
    assert tasks.fits(rows, terms_of(NOISY), False).why == ""
    tasks.matrix_of.cache_clear()
    x, _ = tasks.matrix_of(encode_spec(NOISY), rows)
    assert x[:, 0].tolist() == [1.0, 0.0]
    tasks.matrix_of.cache_clear()


def test_columns_must_be_there_with_noise_too(tmp_path: Path) -> None:
    other = dataclasses.replace(NOISY, features=(NumberFeature("weight", 0.0, 300.0),))
    with pytest.raises(InputError, match="no column 'weight'"):
        tasks.fits(rows_of(tmp_path, BAD), terms_of(other), True)


def test_numbers_outside_count_as_the_nearer_end_and_faulty_rows_not_at_all(
    tmp_path: Path,
) -> None:
    rows = rows_of(tmp_path, BAD)
    x, y, used = tasks.noised_rows(encode_spec(NOISY), rows)
    assert used.tolist() == [True, False, False, False, True]
    assert x[used].tolist() == [[1.0, 1.0, 0.0], [0.5, 0.0, 1.0]]
    assert y[used].tolist() == [0.0, 1.0]
    assert not x[~used].any()
    assert not y[~used].any()


def test_a_faulty_row_adds_nothing_to_sealed_statistics_and_still_counts(tmp_path: Path) -> None:
    model = Architecture(Family.SOFTMAX, SEALED.feature_count, 2)
    whole = statistics.exact(
        model, *tasks.noised_rows(encode_spec(SEALED), rows_of(tmp_path / "one", BAD))[:2]
    )
    good = statistics.exact(
        model,
        *tasks.noised_rows(
            encode_spec(SEALED), rows_of(tmp_path / "two", "120,a,short\n60,b,long\n")
        )[:2],
    )
    assert (whole.numbers == good.numbers).all()
    assert (whole.rows, good.rows) == (5, 2)


def test_an_owner_without_a_usable_row_sends_noise_like_all_others(tmp_path: Path) -> None:
    rows = rows_of(tmp_path, "130,z,short\n,a,long\n")
    for spec in (NOISY, SEALED):
        work = tasks.Work(tmp_path, encode_spec(spec))
        if spec.privacy.sealed:
            drawn = sealed_tasks.noised_statistics(work, rows, NoisePlan(1.0, 1.0))
            assert drawn
            continue
        from protocol.arith import kernels

        model = Blobs(tmp_path).put(kernels.initial_model(tasks.model_of(spec), spec.seed))
        drawn, _ = noisy_tasks.noisy_gradient(work, rows, model, NoisePlan(0.5, 1.0))
        assert np.frombuffer(drawn, dtype="<i8").any()
