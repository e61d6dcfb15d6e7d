"""`assay predict` and the model's file: what is documented, and what the product predicts."""

from __future__ import annotations

import dataclasses
import re
import runpy
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from kits.books import make_spec
from kits.paths import ROOT

from node.data.reading import Reading
from node.store.blobs import Blobs
from node.work import exporting, tasks
from node.work.files import asked, predictions
from node.work.files.stored_model import read_model
from protocol.arith.learning import models
from protocol.arith.numbers.vectors import Kind, encode_vector
from protocol.errors import InputError
from protocol.spec.gaps import GapNumberFeature, Missing
from protocol.spec.job import Family, JobSpec, ModelSpec, Outside, encode_spec
from protocol.spec.parts import CategoryFeature, ClassTarget, NumberFeature, NumberTarget, Target

WARDS = ("surgery", "oncology", "7")
CLASSES = ("weeks", "days", "months")
FEATURES = (
    NumberFeature("age", 10.0, 90.0),
    CategoryFeature("ward", WARDS),
    NumberFeature("pulse", 40.0, 160.0),
)
TARGETS: dict[Family, Target] = {
    Family.LINEAR: NumberTarget("stay", -5.0, 45.0),
    Family.LOGISTIC: ClassTarget("stay", CLASSES[:2]),
    Family.SOFTMAX: ClassTarget("stay", CLASSES),
    Family.DENSE: ClassTarget("stay", CLASSES),
}
ROWS = 200
READING = Reading()


def spec_of(family: Family, outside: Outside = Outside.CLIP) -> JobSpec:
    return dataclasses.replace(
        make_spec(),
        features=FEATURES,
        outside=outside,
        target=TARGETS[family],
        model=ModelSpec(family, 6 if family is Family.DENSE else 0),
    )


def exported(folder: Path, spec: JobSpec) -> tuple[Path, models.Floats]:
    """A model with weights of no meaning, as the daemon writes it."""
    model = tasks.model_of(spec)
    weights = np.random.default_rng(3).normal(size=model.parameter_count)
    (folder / "blobs").mkdir(exist_ok=True)
    blob = Blobs(folder / "blobs").put(encode_vector(Kind.MODEL, weights))
    path = folder / "model.npz"
    exporting.export_model(tasks.Work(folder / "blobs", encode_spec(spec)), b"", blob, path)
    return path, weights


def columns() -> dict[str, Any]:
    """Rows that can all be used; some ages lie outside of the declared range."""
    random = np.random.default_rng(7)
    return {
        "pulse": random.uniform(45, 155, ROWS),
        "age": random.uniform(0, 100, ROWS),
        "ward": np.array(WARDS)[random.integers(0, 3, ROWS)],
    }


def inputs(rows: dict[str, Any]) -> models.Floats:
    """The same rows as inputs, written out."""
    words = [rows["ward"] == word for word in WARDS]
    age = np.clip((rows["age"] - 10) / 80, 0, 1)
    return np.stack([age, *words, np.clip((rows["pulse"] - 40) / 120, 0, 1)], axis=1)


def predicted(model: Path, rows: dict[str, Any], folder: Path) -> pl.DataFrame:
    pl.DataFrame(rows).write_csv(folder / "rows.csv")
    told = asked.predict(model, folder / "rows.csv", READING, folder / "out.csv", True)
    found = pl.read_csv(folder / "out.csv", schema_overrides={"prediction": pl.String})
    assert (told.rows, told.unused, told.columns) == (ROWS, 0, tuple(found.columns))
    return found


def five_lines(family: Family) -> str:
    """The lines of docs/spec/model-file.md, as they stand there."""
    page = (ROOT / "docs" / "spec" / "model-file.md").read_text()
    (block,) = re.findall(r"^```python\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    assert len([line for line in block.splitlines() if line and "import" not in line]) == 5
    others = re.findall(r"`(predicted = [^`]*)`", page)
    last = {Family.LOGISTIC: others[0], Family.LINEAR: others[1]}
    *first, own = block.splitlines()
    return "\n".join([*first, last.get(family, own)])


@pytest.mark.parametrize("family", [Family.LINEAR, Family.LOGISTIC, Family.SOFTMAX])
def test_five_lines_of_numpy_predict_what_the_command_does(
    family: Family, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, _ = exported(tmp_path, spec_of(family))
    rows = columns()
    found = predicted(path, rows, tmp_path)["prediction"].to_list()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "lines.py").write_text(five_lines(family))
    known = runpy.run_path("lines.py", {"rows": rows})["predicted"]
    if family is Family.LINEAR:
        assert [float(each) for each in found] == pytest.approx(known.tolist())
    else:
        assert found == known.tolist()
        assert len(set(found)) > 1


@pytest.mark.parametrize("family", list(TARGETS))
def test_an_open_models_predictions_and_probabilities(family: Family, tmp_path: Path) -> None:
    spec = spec_of(family)
    path, weights = exported(tmp_path, spec)
    rows = columns()
    found = predicted(path, rows, tmp_path)
    model = tasks.model_of(spec)
    scores = models.scores(model, weights, inputs(rows))
    assert found["line"].to_list() == list(range(2, ROWS + 2))
    guide = ROOT / "docs" / "guides" / "sealed.md"
    (block,) = re.findall(r"^```python\n(.*?)^```$", guide.read_text(), re.DOTALL | re.MULTILINE)
    (tmp_path / "guide.py").write_text(block)
    by_guide = runpy.run_path(str(tmp_path / "guide.py"))["predict"](path, rows).tolist()
    if isinstance(spec.target, NumberTarget):
        assert found.columns == ["line", "prediction"]
        by_command = [float(each) for each in found["prediction"].to_list()]
        assert by_command == pytest.approx((50.0 * scores[:, 0] - 5.0).tolist())
        assert by_guide == pytest.approx(by_command)
        return
    shares = models.link(model, scores)
    shares = np.hstack([1 - shares, shares]) if family is Family.LOGISTIC else shares
    names = [f"probability_{name}" for name in spec.target.classes]
    assert found.columns == ["line", "prediction", *names]
    np.testing.assert_allclose(found.select(names).to_numpy(), shares, rtol=1e-12, atol=1e-12)
    known = [spec.target.classes[place] for place in shares.argmax(axis=1)]
    assert found["prediction"].to_list() == known == by_guide


@pytest.mark.parametrize(
    ("outside", "noisy", "empty"),
    [
        (Outside.CLIP, False, [3, 4, 5, 7]),
        (Outside.REFUSE, False, [3, 4, 5, 6, 7]),
        (Outside.REFUSE, True, [3, 4, 5, 7]),
    ],
)
def test_a_row_that_training_could_not_use_has_no_prediction(
    outside: Outside, noisy: bool, empty: list[int], tmp_path: Path
) -> None:
    spec = spec_of(Family.LOGISTIC, outside)
    if noisy:
        spec = dataclasses.replace(
            spec,
            privacy=dataclasses.replace(spec.privacy, epsilon=8.0, delta=1e-5),
            training=dataclasses.replace(spec.training, local_steps=1),
        )
    path, _ = exported(tmp_path, spec)
    (tmp_path / "rows.csv").write_text(
        "ward,age,pulse\n"
        "surgery,50,80\n"
        "surgery,,80\n"  # line 3: a gap
        "cardiology,50,80\n"  # no declared word
        "surgery,fifty,80\n"  # no number
        "surgery,95,80\n"  # outside of the range
        "7,50,NaN\n"
        "7.0,50,1e2\n"  # words of one value are one word
    )
    told = asked.predict(path, tmp_path / "rows.csv", READING, tmp_path / "out.csv", False)
    found = pl.read_csv(tmp_path / "out.csv")
    for column in ("prediction", "probability_weeks", "probability_days"):
        assert found.filter(pl.col(column).is_null())["line"].to_list() == empty
    assert (told.rows, told.unused) == (7, len(empty))
    assert told.why.startswith("rows.csv, line 3: the cell is empty; a number from 10 to 90 is")


def test_many_rows_are_predicted_some_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, _ = exported(tmp_path, spec_of(Family.DENSE))
    rows = columns()
    at_once = predicted(path, rows, tmp_path)
    monkeypatch.setattr(predictions, "_CELLS", 5 * 17)
    pieces = predicted(path, rows, tmp_path)
    assert pieces["prediction"].equals(at_once["prediction"])
    assert pieces["line"].equals(at_once["line"])


def test_a_file_that_exists_stays(tmp_path: Path) -> None:
    path, _ = exported(tmp_path, spec_of(Family.LINEAR))
    pl.DataFrame(columns()).write_csv(tmp_path / "rows.csv")
    out = tmp_path / "out.csv"
    out.write_text("mine")
    with pytest.raises(InputError, match="exists"):
        asked.predict(path, tmp_path / "rows.csv", READING, out, False)
    assert out.read_text() == "mine"
    # A file that does not fit leaves nothing, and nothing half done.
    pl.DataFrame({"age": [1.0]}).write_csv(tmp_path / "other.csv")
    with pytest.raises(InputError, match="has no column 'ward', 'pulse'"):
        asked.predict(path, tmp_path / "other.csv", READING, out, True)
    assert out.read_text() == "mine"
    names = {each.name for each in tmp_path.iterdir()}
    assert names == {"blobs", "model.npz", "rows.csv", "other.csv", "out.csv"}


def rewritten(path: Path, **changes: Any) -> Path:
    with np.load(path) as stored:
        arrays = {name: stored[name] for name in stored.files}
    arrays |= changes
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})
    return path


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"weights": np.zeros(3)}, "'weights' is float64 of shape"),
        ({"weights": None}, "is no model of assay"),
        ({"weights": np.full(10, np.nan)}, "not finite"),
        ({"spec": np.array("nonsense = [")}, "no valid TOML"),
        ({"spec": np.array([1.0])}, "one text is expected"),
        ({"spec": np.array("x" * 1_100_000)}, "one text is expected"),
        ({"weights": np.array([None] * 10, object)}, "float64 of shape"),
    ],
)
def test_a_file_that_is_no_model_is_refused(
    changes: dict[str, Any], fault: str, tmp_path: Path
) -> None:
    path, _ = exported(tmp_path, spec_of(Family.LINEAR))
    assert len(read_model(path).weights) == 6
    changes = {k: v if v is None or v.shape != (10,) else v[:6] for k, v in changes.items()}
    with pytest.raises(InputError, match=fault):
        read_model(rewritten(path, **changes))


def test_no_more_is_read_than_the_spec_says(tmp_path: Path) -> None:
    """A head that claims a terabyte is refused by its head."""
    path, _ = exported(tmp_path, spec_of(Family.LINEAR))
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            if name == "weights.npy":
                content = content.replace(b"(6,), }" + b" " * 12, b"(100000000000,), }" + b" ")
            archive.writestr(name, content)
    with pytest.raises(InputError, match=r"shape \(100000000000,\)"):
        read_model(path)
    path.write_bytes(b"PK nothing")
    with pytest.raises(InputError, match="is no model of assay"):
        read_model(path)
    with pytest.raises(InputError, match="cannot be read"):
        read_model(tmp_path / "none.npz")


def test_gaps_become_what_the_spec_says(tmp_path: Path) -> None:
    filled = GapNumberFeature("age", 10.0, 90.0, ("NA",), Missing.FILL, 50.0, True)
    dropped = GapNumberFeature("pulse", 40.0, 160.0, (), Missing.DROP_ROW, None, False)
    spec = dataclasses.replace(
        spec_of(Family.LINEAR), features=(filled, CategoryFeature("ward", WARDS), dropped)
    )
    path, weights = exported(tmp_path, spec)
    (tmp_path / "rows.csv").write_text(
        "age,ward,pulse\n30,7,100\n,7,100\nNA,7,100\n50,7,100\n30,7,\n"
    )
    told = asked.predict(path, tmp_path / "rows.csv", READING, tmp_path / "out.csv", False)
    found = pl.read_csv(tmp_path / "out.csv")["prediction"].to_list()
    assert (told.unused, found[4]) == (1, None)
    assert "a gap" in told.why
    assert found[1] == found[2] == pytest.approx(found[3] + 50.0 * weights[1])
    with np.load(path) as stored:
        assert stored["columns"].tolist() == ["age", "age", "ward", "ward", "ward", "pulse"]
        assert stored["words"].tolist() == ["", exporting.GAP, *WARDS, ""]
    rows = {"age": np.array([30.0, 50.0]), "ward": np.array(["7", "7"])}
    rows["pulse"] = np.array([100.0, 100.0])
    (tmp_path / "lines.py").write_text(five_lines(Family.LINEAR).replace("model.npz", str(path)))
    known = runpy.run_path(str(tmp_path / "lines.py"), {"rows": rows})["predicted"]
    assert known.tolist() == pytest.approx([found[0], found[3]])
