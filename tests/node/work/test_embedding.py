"""Rows whose features an encoder makes: through training's own way, one by one, computed once."""

from __future__ import annotations

import dataclasses
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from kits import encoders as small
from kits.books import make_spec
from polars.testing import assert_frame_equal

from node.data.datasets import import_file
from node.data.readers import read_file
from node.data.rows import kept
from node.data.view.fitting import fit_of
from node.encoders import running
from node.store.blobs import Blobs
from node.work import tasks
from node.work.embedding import Encoders
from node.work.files import predictions as in_parts
from node.work.files.predictions import predictions
from node.work.files.stored_model import StoredModel
from protocol.errors import FatalError, InputError
from protocol.spec.encoder import Encoder, EncoderKind
from protocol.spec.gaps import Missing
from protocol.spec.job import Envelope, JobSpec, Terms, encode_spec

NOTES = 'cell,mood\na b c,low\nd,high\n,low\n42,high\n"e f, g",high\n'


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    yield
    tasks.noised_rows.cache_clear()
    tasks.matrix_of.cache_clear()


@dataclasses.dataclass
class Place:
    """A home's folders, with one small encoder in it."""

    folder: Path
    encoder: Encoder

    @property
    def encoders(self) -> Encoders:
        return Encoders(self.folder / "blobs")

    def rows(self, content: str | pl.DataFrame, **encoders: Any) -> tasks.Rows:
        file = self.folder / ("rows.csv" if isinstance(content, str) else "rows.parquet")
        if isinstance(content, str):
            file.write_text(content)
        else:
            content.write_parquet(file)
        copies = self.folder / "datasets"
        copies.mkdir(exist_ok=True)
        digest = import_file(file, copies).copy.digest
        made = dataclasses.replace(self.encoders, **encoders)
        return tasks.Rows(copies, digest, "rows", encoders=made)

    def kept(self) -> list[Path]:
        return sorted((self.folder / "datasets" / "embeddings").rglob("*.f32"))


def place(folder: Path, kind: EncoderKind = EncoderKind.TEXT, **changes: Any) -> Place:
    path, recipe = small.write(folder, kind)
    (folder / "blobs").mkdir()
    ref = Blobs(folder / "blobs").put(path.read_bytes())
    assert ref.digest == recipe.digest
    return Place(folder, dataclasses.replace(recipe, **changes))


def job(encoder: Encoder, noisy: bool = True, sealed: bool = False) -> JobSpec:
    base = small.spec_of(encoder)
    model = base.model
    if sealed:
        model = dataclasses.replace(model, bias=0.5, weight_limit=8.0)
    return dataclasses.replace(
        base,
        model=model,
        encryption=dataclasses.replace(
            base.encryption, envelope=Envelope.PAILLIER if sealed else Envelope.MASKS
        ),
        privacy=dataclasses.replace(make_spec(noisy=noisy).privacy, sealed=sealed),
        proof=bytes(8 * 384) if sealed else b"",
    )


def terms_of(spec: JobSpec) -> Terms:
    return Terms(**{f.name: getattr(spec, f.name) for f in dataclasses.fields(Terms)})


def test_a_text_becomes_what_the_network_makes_of_it(tmp_path: Path) -> None:
    here = place(tmp_path)
    rows, spec = here.rows(NOTES), job(here.encoder)
    x, y, used = tasks.noised_rows(encode_spec(spec), rows)
    assert used.tolist() == [True, True, False, False, True]
    table = small.table().astype(np.float64)
    expected = np.float64(np.float32(table[1:4].mean(axis=0)))
    norm = max(1.0, float(np.linalg.norm(expected)))
    np.testing.assert_allclose(x[0], expected / norm, rtol=1e-5)
    assert not x[2:4].any()
    assert not y[2:4].any()
    assert (np.linalg.norm(x, axis=1) <= 1.0).all()


def test_the_owner_is_told_how_many_rows_are_used_and_why_not_the_others(tmp_path: Path) -> None:
    here = place(tmp_path)
    rows, terms = here.rows(NOTES), terms_of(job(here.encoder))
    found = tasks.fits(rows, terms, True)
    assert (found.rows, found.usable) == (5, 3)
    assert "line 4: the cell is empty" in found.why
    shown = fit_of(Blobs(rows.directory).path(rows.digest), "", terms)
    assert (shown.rows, shown.usable, shown.refused) == (5, 3, "")
    idle = dataclasses.replace(rows, encoders=Encoders(tmp_path / "nowhere", idle=True))
    assert tasks.fits(idle, terms, True).usable == 3


@pytest.mark.parametrize("missing", [Missing.REFUSE, Missing.DROP_ROW])
def test_without_noise_a_gap_is_met_as_the_spec_says(tmp_path: Path, missing: Missing) -> None:
    here = place(tmp_path, missing=missing)
    rows = here.rows("cell,mood\na,low\n,high\nb,high\n")
    spec = job(here.encoder, noisy=False)
    if missing is Missing.REFUSE:
        with pytest.raises(InputError, match="line 3: the cell is empty"):
            tasks.matrix_of(encode_spec(spec), rows)
        assert here.folder.joinpath("datasets/embeddings").exists() is False  # nothing was run
        return
    x, y = tasks.matrix_of(encode_spec(spec), rows)
    assert (x.shape, y.tolist()) == ((2, small.SIZE), [0.0, 1.0])
    assert tasks.left_out(spec, rows) == 1


def test_a_number_among_texts_is_refused_where_it_stands(tmp_path: Path) -> None:
    here = place(tmp_path)
    rows = here.rows("cell,mood\na,low\n42,high\n")
    with pytest.raises(InputError, match=r"line 3: '42'; a text is needed that is no number"):
        tasks.matrix_of(encode_spec(job(here.encoder, noisy=False)), rows)


def test_a_column_of_another_kind_is_refused_whatever_the_job(tmp_path: Path) -> None:
    here = place(tmp_path)
    frame = pl.DataFrame({"cell": [1.0, 2.0], "mood": ["low", "high"]})
    with pytest.raises(InputError, match="the column holds numbers; texts are needed"):
        tasks.noised_rows(encode_spec(job(here.encoder)), here.rows(frame))


def test_a_rows_features_depend_on_that_row_alone(tmp_path: Path) -> None:
    here = place(tmp_path)
    spec = encode_spec(job(here.encoder, sealed=True))
    lines = ["a b,low", "c,high", "d e f g,high", "42,low"]
    alone = []
    for line in lines:
        tasks.noised_rows.cache_clear()
        x, _, _ = tasks.noised_rows(spec, here.rows(f"cell,mood\n{line}\n"))
        alone.append(x[0].tobytes())
    tasks.noised_rows.cache_clear()
    x, _, _ = tasks.noised_rows(spec, here.rows("cell,mood\n" + "\n".join(lines) + "\n"))
    assert [row.tobytes() for row in x] == alone


def flipped(content: bytes, at: int) -> bytes:
    """One bit of one byte is another."""
    changed = bytearray(content)
    changed[at] ^= 1
    return bytes(changed)


def test_what_was_made_is_kept_privately_and_goes_with_the_copy(tmp_path: Path) -> None:
    here = place(tmp_path)
    rows, spec = here.rows(NOTES), encode_spec(job(here.encoder))
    first = tasks.noised_rows(spec, rows)[0]
    [file] = here.kept()
    assert file.parent == kept.folder(rows.directory, rows.digest)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    # The network is not needed again, and what is damaged is made again.
    tasks.noised_rows.cache_clear()
    gone = dataclasses.replace(rows, encoders=Encoders(tmp_path / "nowhere"))
    assert (tasks.noised_rows(spec, gone)[0] == first).all()
    whole = file.read_bytes()
    for damaged in (b"", whole[:40], whole + b"\0", *(flipped(whole, at) for at in (0, 33, -1))):
        file.write_bytes(damaged)
        tasks.noised_rows.cache_clear()
        assert (tasks.noised_rows(spec, rows)[0] == first).all()
        assert file.read_bytes() == whole
    kept.clear(rows.directory, [rows.digest])
    assert here.kept() == [file]
    kept.forget(rows.directory, rows.digest)
    assert here.kept() == []


def test_an_encoder_that_is_not_here_is_named_with_the_next_command(tmp_path: Path) -> None:
    here = place(tmp_path)
    rows = here.rows(NOTES)
    Blobs(tmp_path / "blobs").delete(here.encoder.digest)
    with pytest.raises(InputError, match=here.encoder.digest.hex()) as caught:
        tasks.noised_rows(encode_spec(job(here.encoder)), rows)
    assert "assay encoder add" in caught.value.__notes__[0]
    bare = dataclasses.replace(rows, encoders=None)
    with pytest.raises(FatalError, match="nothing here runs the encoder"):
        tasks.noised_rows(encode_spec(job(here.encoder)), bare)


def test_images_of_a_parquet_file_one_of_them_none(tmp_path: Path) -> None:
    here = place(tmp_path, EncoderKind.IMAGE)
    cells = [small.picture(seed=1), b"GIF89a no picture", None, small.picture(seed=2)]
    frame = pl.DataFrame({"cell": cells, "mood": ["low", "high", "low", "high"]})
    rows, spec = here.rows(frame), job(here.encoder)
    x, _, used = tasks.noised_rows(encode_spec(spec), rows)
    assert used.tolist() == [True, False, False, True]
    assert x[0].any()
    assert not x[1:3].any()
    found = tasks.fits(rows, terms_of(spec), True)
    assert (found.rows, found.usable) == (4, 2)
    with pytest.raises(InputError, match="17 bytes that are no picture"):
        tasks.matrix_of(encode_spec(job(here.encoder, noisy=False)), rows)


def test_numbers_reach_the_network_as_they_are_within_their_range(tmp_path: Path) -> None:
    here = place(tmp_path, EncoderKind.NUMBERS, low=0.0, high=2.0)
    rows = here.rows("x0,x1,x2,x3,mood\n0.5,0,0,0,low\n9,0,0,-9,high\n1,much,1,1,high\n")
    x, _, used = tasks.noised_rows(encode_spec(job(here.encoder)), rows)
    assert used.tolist() == [True, True, False]
    np.testing.assert_allclose(x[:2], [[0.5, 0, 0, 0], [1, 0, 0, 0]], atol=1e-9)


def test_predictions_of_an_open_and_a_sealed_model(tmp_path: Path) -> None:
    here = place(tmp_path)
    (tmp_path / "new.csv").write_text(NOTES)
    table = read_file(tmp_path / "new.csv")
    for sealed in (False, True):
        spec = job(here.encoder, sealed=sealed)
        mapped = tasks.feature_map_of(spec) if sealed else None
        weights = np.random.default_rng(1).normal(size=spec.parameter_count)
        if sealed:
            weights = weights.reshape(spec.feature_count, spec.outputs)
        stored = StoredModel(terms_of(spec), weights, mapped)
        [(frame, unused, why)] = predictions(stored, table, here.encoders)
        assert unused == 2
        assert "line 4" in why
        made = frame["prediction"].to_list()
        assert made[2:4] == [None, None]
        x, _, _ = tasks.noised_rows(encode_spec(spec), here.rows(NOTES))
        scores = x @ weights if sealed else x @ weights[:8].reshape(4, 2) + weights[8:]
        assert made[0] == ("low", "high")[int(scores[0].argmax())]
        assert made[4] == ("low", "high")[int(scores[4].argmax())]


def test_a_file_in_parts_is_embedded_by_one_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To start an encoder takes seconds, and a large file is read a few thousand rows at a time."""
    here = place(tmp_path)
    (tmp_path / "new.csv").write_text(NOTES)
    (tmp_path / "told").write_bytes(b"")
    table = read_file(tmp_path / "new.csv")
    spec = job(here.encoder)
    weights = np.random.default_rng(1).normal(size=spec.parameter_count)
    stored = StoredModel(terms_of(spec), weights, None)
    [(whole, _, _)] = predictions(stored, table, here.encoders)
    started = starts(monkeypatch)
    monkeypatch.setattr(in_parts, "_MOST_ROWS", 2)
    told = dataclasses.replace(here.encoders, told=tmp_path / "told")
    parts = [frame for frame, _, _ in predictions(stored, table, told)]
    assert [len(each) for each in parts] == [2, 2, 1]
    assert_frame_equal(pl.concat(parts), whole)
    assert len(started) == 1
    assert (tmp_path / "told").read_text().strip() == "embedding: 3 of 5 rows"


def starts(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Grows by one with each encoder that is started."""
    begun: list[object] = []
    start = running.subprocess.Popen

    def counted(*given: Any, **named: Any) -> Any:
        begun.append(given)
        return start(*given, **named)

    monkeypatch.setattr(running.subprocess, "Popen", counted)
    return begun
