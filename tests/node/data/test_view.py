"""What an owner sees of its data: columns as they are, and why rows do not fit a job."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
from kits.books import make_spec

from node.data.datasets import columns_in, fit_in, import_file
from node.data.maps.declared import encode_map, parse_map
from node.data.matrix import owned_rows, table_matrix
from node.data.readers import read_file
from node.data.view.columns import SHOWN_COLUMNS
from protocol.errors import InputError
from protocol.spec.job import JobSpec
from protocol.spec.parts import CategoryFeature, ClassTarget, NumberFeature, Outside

CSV = (
    "age,ward,stay\n"
    "130,a,short\n"  # 2: outside, which noise clips
    ",b,long\n"  # 3: empty
    "44,z,short\n"  # 4: no ward
    "NA,a,forever\n"  # 5: two faults
    "60,b,long\n"
)
NOISY = dataclasses.replace(
    make_spec(noisy=True),
    features=(NumberFeature("age", 0.0, 120.0), CategoryFeature("ward", ("a", "b"))),
    target=ClassTarget("stay", ("short", "long")),
    outside=Outside.REFUSE,
)
PLAIN = dataclasses.replace(NOISY, privacy=make_spec().privacy)


@pytest.fixture
def digest(tmp_path: Path) -> bytes:
    (tmp_path / "ward.csv").write_text(CSV)
    return import_file(tmp_path / "ward.csv", tmp_path).copy.digest


def test_columns_are_shown_as_they_are(tmp_path: Path, digest: bytes) -> None:
    age, ward, stay = columns_in(tmp_path, digest, "")
    assert (age.name, age.kind, age.gaps, age.numbers) == ("age", "number", 2, 3)
    assert (age.low, age.high, age.distinct) == (44.0, 130.0, 4)
    assert (ward.kind, ward.distinct, ward.words) == ("text", 3, (("a", 2), ("b", 2), ("z", 1)))
    assert math.isnan(stay.low)
    assert stay.words[0] == ("long", 2)


def test_columns_are_shown_as_jobs_see_them(tmp_path: Path, digest: bytes) -> None:
    renames = encode_map(
        parse_map('[columns]\nage = { name = "years", multiply = 0.5 }\nward = "unit"\n')
    )
    years, unit, _ = columns_in(tmp_path, digest, renames)
    assert (years.name, years.column, years.low, years.high) == ("years", "age", 22.0, 65.0)
    assert (unit.name, unit.column) == ("unit", "ward")


def test_a_wide_file_is_shown_in_part_and_long_cells_are_cut(tmp_path: Path) -> None:
    names = ",".join(f"c{number}" for number in range(SHOWN_COLUMNS + 5))
    row = ",".join(["x" * 500] * (SHOWN_COLUMNS + 5))
    (tmp_path / "wide.csv").write_text(f"{names}\n{row}\n")
    found = import_file(tmp_path / "wide.csv", tmp_path)
    seen = columns_in(tmp_path, found.copy.digest, "")
    assert len(seen) == SHOWN_COLUMNS
    assert seen[0].words == (("x" * 60, 1),)


def test_how_a_file_was_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "w.csv").write_bytes("a;b\n1,5;\xe4\n".encode("latin-1"))
    found = import_file(tmp_path / "w.csv", tmp_path)
    assert dict(found.written) == {
        "file": "csv",
        "separator": "semicolon",
        "decimal mark": ". or ,",
        "encoding": "utf-8, other lines windows-1252",
    }
    np.savez(tmp_path / "w.npz", x=np.ones(3))
    assert import_file(tmp_path / "w.npz", tmp_path).written == (("file", "npz"),)


def test_rows_that_do_not_fit_are_counted_by_column_and_reason(
    tmp_path: Path, digest: bytes
) -> None:
    found = fit_in(tmp_path, digest, "", NOISY)
    assert (found.rows, found.usable, found.refused, found.unit) == (5, 2, "", "line")
    told = {
        (each.column, each.empty): (each.rows, each.lines, each.cells) for each in found.misfits
    }
    assert told == {
        ("age", True): (1, (3,), ()),
        ("age", False): (1, (5,), ("NA",)),
        ("ward", False): (1, (4,), ("z",)),
        ("stay", False): (1, (5,), ("forever",)),
    }
    # Without noise the spec says what a number outside of its range is.
    assert fit_in(tmp_path, digest, "", PLAIN).usable == 1


@pytest.mark.parametrize("spec", [NOISY, PLAIN], ids=["noisy", "plain"])
def test_the_report_counts_what_training_uses(tmp_path: Path, digest: bytes, spec: JobSpec) -> None:
    found = fit_in(tmp_path, digest, "", spec)
    if spec is NOISY:
        held = owned_rows(tmp_path / digest.hex(), spec.features, spec.target)
        assert found.usable == int((~held.unused).sum())
        return
    lines = CSV.splitlines()
    fits = 0
    for line in lines[1:]:
        (tmp_path / "one.csv").write_text(f"{lines[0]}\n{line}\n")
        try:
            table_matrix(read_file(tmp_path / "one.csv"), spec.features, spec.target, spec.outside)
            fits += 1
        except InputError:
            pass
    assert found.usable == fits


def test_columns_that_are_missing_are_said_and_a_map_mends_it(
    tmp_path: Path, digest: bytes
) -> None:
    other = dataclasses.replace(NOISY, features=(NumberFeature("years", 0.0, 120.0),))
    found = fit_in(tmp_path, digest, "", other)
    assert found.usable == 0
    assert "has no column 'years'" in found.refused
    renames = encode_map(parse_map('[columns]\nage = "years"\n'))
    assert fit_in(tmp_path, digest, renames, other).usable == 3
