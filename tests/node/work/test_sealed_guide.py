"""The guide's lines that use a downloaded model predict what the product does."""

from __future__ import annotations

import dataclasses
import re
import runpy
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from kits.books import make_spec
from kits.paths import ROOT

from node.data.matrix import table_matrix
from node.data.readers import read_file
from node.data.reading import Reading
from node.work import apply as apply_tasks
from node.work import exporting, tasks
from node.work import sealed as sealed_tasks
from node.work.files import asked
from protocol.arith.learning.models import check_rows
from protocol.arith.numbers.vectors import Kind, encode_vector
from protocol.arith.paillier.cryptosystem import PrivateKey
from protocol.arith.sealed import affine, statistics
from protocol.spec.job import ClassTarget, Family, FeatureMap, JobSpec, ModelSpec, encode_spec
from protocol.spec.parts import CategoryFeature, NumberFeature, NumberTarget
from protocol.spec.render import render_toml
from protocol.spec.toml import parse_toml

GUIDE = ROOT / "docs" / "guides" / "sealed.md"
WARDS, STAYS = ("surgery", "oncology", "all others"), ("weeks", "days", "months")
COLUMNS = (
    NumberFeature("age", 10.0, 90.0),
    CategoryFeature("ward", WARDS),
    NumberFeature("pulse_1", 40.0, 160.0),
    NumberFeature("pulse_2", 40.0, 160.0),
)
TARGETS: dict[Family, NumberTarget | ClassTarget] = {
    Family.LINEAR: NumberTarget("target", -5.0, 45.0),
    Family.LOGISTIC: ClassTarget("target", STAYS[:2]),
    Family.SOFTMAX: ClassTarget("target", STAYS),
}
Columns = dict[str, list[Any]]


@pytest.fixture(scope="module")
def key() -> tasks.JobKey:
    return tasks.generate_key(2048, True)


@pytest.fixture(scope="module")
def predict(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path, Columns], Any]:
    """The function in the guide, as it stands there."""
    (block,) = re.findall(r"^```python\n(.*?)^```$", GUIDE.read_text(), re.DOTALL | re.MULTILINE)
    file = tmp_path_factory.mktemp("guide") / "predict.py"
    file.write_text(block)
    function: Callable[[Path, Columns], Any] = runpy.run_path(str(file))["predict"]
    return function


def columns(family: Family) -> Columns:
    """300 rows as their owner has them; some ages lie outside of the declared range."""
    random = np.random.default_rng(7)
    age, ward = random.uniform(0, 100, 300), random.integers(0, 3, 300)
    pulses = random.uniform(45, 155, (2, 300))
    number = np.clip(age / 2 - 6 * ward + pulses[0] / 20 - 6, -5, 45)
    target: list[Any] = number.tolist()
    declared = TARGETS[family]
    if isinstance(declared, ClassTarget):
        classes = declared.classes
        cuts = np.quantile(number, np.linspace(0, 1, len(classes) + 1)[1:-1])
        target = [classes[place] for place in np.searchsorted(cuts, number)]
    return {
        "age": age.tolist(),
        "ward": [WARDS[place] for place in ward],
        "pulse_1": pulses[0].tolist(),
        "pulse_2": pulses[1].tolist(),
        "target": target,
    }


def spec_of(key: tasks.JobKey, family: Family, map_: FeatureMap) -> JobSpec:
    base, width = make_spec(), 0 if map_ is FeatureMap.NONE else 24
    scale = 1.5 if width else 0.0
    return dataclasses.replace(
        base,
        features=COLUMNS,
        target=TARGETS[family],
        model=ModelSpec(family, 0, map_, width, scale, 0.375, 0.25, 64.0),
        training=dataclasses.replace(
            base.training, batch_rows=1000, clip_norm=0.8, rate=1e3, local_steps=300, momentum=0.0
        ),
        privacy=dataclasses.replace(base.privacy, sealed=True),
        encryption=dataclasses.replace(base.encryption, key_bits=2048),
        modulus=key.modulus,
        base=key.base,
        proof=key.proof,
    )


@pytest.mark.parametrize("map_", [m for m in FeatureMap if m is not FeatureMap.ENCODER])
@pytest.mark.parametrize("family", list(TARGETS))
def test_the_guides_lines_predict_as_the_product_measures(
    key: tasks.JobKey,
    family: Family,
    map_: FeatureMap,
    predict: Callable[[Path, Columns], Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    spec, held = spec_of(key, family, map_), columns(family)
    lines = [",".join(held), *(",".join(map(str, row)) for row in zip(*held.values(), strict=True))]
    (tmp_path / "rows.csv").write_text("\n".join(lines) + "\n")
    target = held.pop("target")
    work = tasks.Work(tmp_path, encode_spec(spec))
    table = read_file(tmp_path / "rows.csv")
    x, y = table_matrix(table, spec.features, spec.target, spec.outside)
    monkeypatch.setattr("node.work.tasks.load_matrix", lambda *_: (x, y))
    tasks.matrix_of.cache_clear()
    # One owner's step in the clear makes a model worth measuring; from there on all is the node's.
    model, told = tasks.model_of(spec), spec.training
    u, y = check_rows(model, tasks.feature_map_of(spec).rows(x), y)
    step = affine.local_map(
        model, statistics.exact(model, u, y), told.local_steps, told.rate, told.ridge
    )
    learned = np.concatenate([step.offset.reshape(-1), np.zeros(spec.outputs)])
    sealed, state = sealed_tasks.seal(
        work, PrivateKey.from_bytes(key.private), 1, encode_vector(Kind.MODEL, learned), None
    )
    rows = tasks.Rows(tmp_path, bytes(32), "rows")
    done = apply_tasks.apply(work, key.private, 1, sealed, state, None, (), rows)
    tasks.matrix_of.cache_clear()
    assert done.blob is not None
    file = tmp_path / "model.npz"
    exporting.export_model(work, key.private, done.blob, file)

    facts = dict(done.facts)
    found = predict(file, held)
    measured = facts["r_squared" if family is Family.LINEAR else "accuracy"]
    told = asked.predict(file, tmp_path / "rows.csv", Reading(), tmp_path / "out.csv", False)
    assert (told.rows, told.unused) == (len(target), 0)
    by_command = pl.read_csv(tmp_path / "out.csv", schema_overrides={"prediction": pl.String})
    if family is Family.LINEAR:
        known = np.array(target)
        fit = 1 - np.sum((known - found) ** 2) / np.sum((known - known.mean()) ** 2)
        assert fit == pytest.approx(measured, abs=1e-3)  # the file's weights are fixed point
        assert measured > 0.4
    else:
        assert np.mean(found == np.array(target)) == pytest.approx(measured, abs=1.01 / len(target))
        assert measured > 1.5 / len(STAYS)
    with np.load(file, allow_pickle=False) as arrays:
        scores = u @ arrays["weights"]
    said = by_command["prediction"].to_list()
    if family is Family.LINEAR:
        assert [float(each) for each in said] == pytest.approx(found.tolist())
        assert facts["rmse"] == pytest.approx(
            np.sqrt(np.mean((np.array(target) - found) ** 2)), 0.01
        )
    else:
        assert said == found.tolist()
        named = TARGETS[family].classes[1 if family is Family.LOGISTIC else 0 :]
        raw = by_command.select(f"score_{name}" for name in named).to_numpy()
        np.testing.assert_allclose(raw, scores, rtol=1e-9, atol=1e-9)
        assert {f"recall_{k}" for k in range(len(TARGETS[family].classes))} < set(facts)
    if family is Family.LINEAR:
        assert found == pytest.approx(50.0 * scores[:, 0] - 5.0)
    elif family is Family.LOGISTIC:
        assert found.tolist() == [STAYS[int(score > 0)] for score in scores[:, 0]]
    else:
        assert found.tolist() == [STAYS[place] for place in scores.argmax(axis=1)]


@pytest.mark.parametrize("sealed", [True, False])
def test_a_file_says_of_which_job_it_is(key: tasks.JobKey, sealed: bool, tmp_path: Path) -> None:
    spec = spec_of(key, Family.SOFTMAX, FeatureMap.DENSE) if sealed else make_spec()
    work, file = tasks.Work(tmp_path, encode_spec(spec)), tmp_path / "model.npz"
    model = sealed_tasks.initial_model(work) if sealed else tasks.initial_model(work)
    assert model.blob is not None
    exporting.export_model(work, key.private if sealed else b"", model.blob, file)
    with np.load(file, allow_pickle=False) as arrays:
        text, names = str(arrays["spec"]), set(arrays.files)
        assert arrays["spec"].shape == ()
    assert text == render_toml(spec)
    assert parse_toml(text).terms.model == spec.model
    assert tomllib.loads(text)["training"]["clip_norm"] == spec.training.clip_norm
    maps = {"map_matrix", "map_offsets"} if sealed else {"layer0_weights", "layer0_bias"}
    inputs = {"columns", "words", "low", "high", "classes"}
    assert names == {"weights", "spec"} | inputs | maps
