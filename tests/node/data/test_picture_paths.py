"""Pictures that a column of paths names: read from beside the table, and from nowhere else."""

from __future__ import annotations

import io
import os
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kits import encoders as small
from PIL import Image

from node.bounds import pictures
from node.data.matrix import input_rows
from node.data.readers import read_file
from node.data.reading import Reading, declared
from node.data.table import encode_table, read_table
from protocol import params
from protocol.errors import InputError
from protocol.spec.encoder import EncoderKind
from protocol.spec.job import Outside

PICTURED = Reading(images=("picture",))


def table(folder: Path, *paths: str, ending: str = "csv") -> Path:
    file = folder / f"ward.{ending}"
    frame = pl.DataFrame({"picture": list(paths), "sick": ["yes"] * len(paths)})
    if ending == "csv":
        frame.write_csv(file)
    else:
        frame.write_parquet(file)
    return file


def refused(folder: Path, *paths: str, row: int = 2) -> str:
    file = table(folder, *paths)
    with pytest.raises(InputError) as told:
        read_file(file, PICTURED)
    said = str(told.value)
    assert said.startswith(f"data: ward.csv, line {row}: column 'picture': ")
    return said


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "ward"
    (place / "scans" / "deep").mkdir(parents=True)
    (place / "one.png").write_bytes(small.picture(seed=1))
    (place / "scans" / "two.jpg").write_bytes(small.picture("JPEG", seed=2))
    (place / "scans" / "deep" / "drei \u00e4.bmp").write_bytes(small.picture("BMP", seed=3))
    (tmp_path / "outside.png").write_bytes(small.picture(seed=9))
    return place


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_pictures_lie_beside_the_table_and_stay_with_its_copy(folder: Path, ending: str) -> None:
    names = ("one.png", "./scans//two.jpg", "scans/deep/drei \u00e4.bmp", "one.png")
    file = table(folder, *names, ending=ending)
    found = read_file(file, PICTURED)
    content = [(folder / name).read_bytes() for name in names]
    assert found.images["picture"].to_list() == content
    assert list(found.texts) == ["sick"]
    assert ("images", "picture") in found.written
    copy = folder / "copy"
    copy.write_bytes(b"".join(encode_table(found)))
    for name in set(names):
        (folder / name).unlink(missing_ok=True)
    assert read_table(copy).images["picture"].to_list() == content


def test_an_empty_cell_is_a_gap(folder: Path) -> None:
    (folder / "ward.csv").write_text("picture,sick\none.png,yes\n,no\n")
    found = read_file(folder / "ward.csv", PICTURED)
    assert found.images["picture"].is_null().to_list() == [False, True]


def test_paths_that_leave_the_folder(folder: Path) -> None:
    outside = folder.parent / "outside.png"
    assert "is an absolute path" in refused(folder, str(outside))
    for path in ("../outside.png", "scans/../../outside.png", "..", "scans/.."):
        assert "leaves the table's own folder" in refused(folder, "one.png", path, row=3)
    assert "names no file" in refused(folder, ".")
    assert "is not there; paths are relative" in refused(folder, "three.png")
    # A backslash is a character of a name here.
    assert "is not there" in refused(folder, "..\\outside.png")


def test_links_are_not_followed(folder: Path) -> None:
    (folder / "link.png").symlink_to(folder / "one.png")
    (folder / "out.png").symlink_to(folder.parent / "outside.png")
    (folder / "up").symlink_to(folder.parent)
    (folder / "gone.png").symlink_to("nowhere")
    for path in ("link.png", "out.png", "up/outside.png", "gone.png"):
        assert "leads over a symbolic link" in refused(folder, path)


def test_what_is_no_file_is_not_waited_for(folder: Path) -> None:
    os.mkfifo(folder / "pipe.png")
    assert "is no plain file" in refused(folder, "pipe.png")
    assert "is no plain file" in refused(folder, "scans")
    assert "cannot be read" in refused(folder, "one.png/two.png")
    assert "cannot be read" in refused(folder, 300 * "x" + ".png")
    (folder / "shut.png").write_bytes(small.picture())
    (folder / "shut.png").chmod(0)
    if os.geteuid():  # nothing is shut to root
        assert "cannot be read" in refused(folder, "shut.png")


def bomb(width: int, height: int) -> bytes:
    """A PNG of few bytes that says so many pixels."""
    head = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunk = struct.pack(">I", len(head) - 4) + head + struct.pack(">I", zlib.crc32(head))
    return b"\x89PNG\r\n\x1a\n" + chunk


def test_files_that_are_no_pictures_or_too_large_ones(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "note.png").write_text("a note")
    (folder / "empty.png").touch()
    (folder / "vector.svg").write_text("<svg/>")
    (folder / "scan.gif").write_bytes(small.picture("GIF"))
    (folder / "huge.png").write_bytes(bomb(10_000, 10_000))
    formats = "no picture of the formats PNG, JPEG, WEBP, BMP"
    for name in ("note.png", "empty.png", "vector.svg", "scan.gif"):
        assert formats in refused(folder, "one.png", "one.png", name, row=4)
    said = refused(folder, "huge.png")
    assert "a picture of 10000 x 10000 pixels; at most 50000000 are decoded" in said
    size = (folder / "one.png").stat().st_size
    monkeypatch.setattr(params, "MAX_DATASET_FILE_BYTES", 10 * size)
    assert "one picture too many" in refused(folder, *["one.png"] * 11, row=12)
    monkeypatch.setattr(pictures, "MAX_IMAGE_BYTES", size - 1)
    assert f"is a file of {size} bytes; at most {size - 1} are read" in refused(folder, "one.png")


def test_columns_that_name_no_pictures(folder: Path) -> None:
    file = table(folder, "one.png")
    with pytest.raises(InputError, match="has no column 'scan'; it has 'picture', 'sick'"):
        read_file(file, Reading(images=("scan",)))
    pl.DataFrame({"x": [1.5], "picture": ["one.png"]}).write_parquet(folder / "x.parquet")
    with pytest.raises(InputError, match="column 'x' holds numbers"):
        read_file(folder / "x.parquet", Reading(images=("x",)))
    assert declared(None, None, None, None, (), (" picture", "picture")).images == ("picture",)


def test_a_parquet_files_rows_without_a_picture_are_told_by_row_and_column(
    folder: Path, tmp_path: Path
) -> None:
    _, recipe = small.write(tmp_path, EncoderKind.IMAGE)
    cells = [small.picture(), b"a note", None, bomb(10_000, 10_000)]
    pl.DataFrame({"cell": cells}, schema={"cell": pl.Binary}).write_parquet(folder / "x.parquet")
    found = read_file(folder / "x.parquet")
    seen: list[Any] = []

    def embed(_: Any, given: Any) -> Any:
        seen.extend(given)
        return np.zeros((len(given), small.SIZE), np.float32)

    made = input_rows(found, (recipe,), Outside.CLIP, embed)
    assert seen == cells[:1]  # the network's process never sees the others
    assert made.unused.tolist() == [False, True, True, True]
    assert made.why.startswith("x.parquet, row 2: column 'cell': 6 bytes that are no picture of")
    last = found.part(3, 4)
    why = input_rows(last, (recipe,), Outside.CLIP, embed).why
    assert "row 4: column 'cell': a picture of 10000 x 10000 pixels" in why


def test_a_column_of_paths_that_was_not_declared_says_what_to_type(
    folder: Path, tmp_path: Path
) -> None:
    _, recipe = small.write(tmp_path, EncoderKind.IMAGE)
    file = folder / "x.csv"
    file.write_text("cell\none.png\n")
    with pytest.raises(InputError, match="holds texts; images are needed") as told:
        input_rows(read_file(file), (recipe,), Outside.CLIP, lambda *_: np.zeros((1, 4)))
    (note,) = told.value.__notes__
    assert note.endswith("assay data add NAME FILE --images cell")


@pytest.mark.parametrize("shape", [(5, 8, 8), (5, 8, 8, 3)])
def test_an_array_of_pictures_is_refused_with_what_to_type(
    tmp_path: Path, shape: tuple[int, ...]
) -> None:
    np.savez(tmp_path / "scans.npz", scans=np.zeros(shape, np.uint8))
    with pytest.raises(InputError, match="dimensions; 1 or 2 are allowed") as told:
        read_file(tmp_path / "scans.npz")
    (note,) = told.value.__notes__
    assert note.endswith("assay data add NAME FILE --images COLUMN")
    np.savez(tmp_path / "bytes.npz", scans=np.array([b"abc"]))
    with pytest.raises(InputError, match="numbers or text needed") as told:
        read_file(tmp_path / "bytes.npz")
    assert "--images" in told.value.__notes__[0]


def test_paths_in_an_npz(folder: Path) -> None:
    np.savez(folder / "scans.npz", picture=np.array(["one.png"]), age=np.array([3.0]))
    found = read_file(folder / "scans.npz", PICTURED)
    assert found.images["picture"].to_list() == [(folder / "one.png").read_bytes()]


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "BMP"])
@pytest.mark.parametrize("size", [(1, 1), (7, 300), (640, 2)])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_a_heads_sides_are_those_that_pillow_reads(
    form: str, size: tuple[int, int], mode: str
) -> None:
    data = small.picture(form, size, mode)
    assert pictures.sides_of(data) == size
    assert pictures.fault_of(data) == ""


@pytest.mark.parametrize(
    "options",
    [
        {"format": "WEBP", "lossless": True},
        {"format": "WEBP", "exif": b"Exif\0\0MM\0*\0\0\0\x08\0\0"},
        {"format": "JPEG", "progressive": True},
        {"format": "JPEG", "comment": b"\xff\xc0" * 400},
        {"format": "PNG", "optimize": True},
    ],
)
def test_other_heads_of_the_same_formats(options: dict[str, Any]) -> None:
    file = io.BytesIO()
    Image.fromarray(np.zeros((33, 44, 3), np.uint8)).save(file, **options)
    assert pictures.sides_of(file.getvalue()) == (44, 33)


@given(st.sampled_from(["PNG", "JPEG", "WEBP", "BMP"]), st.data())
def test_a_head_never_refuses_what_pillow_would_decode(form: str, data: st.DataObject) -> None:
    content = bytearray(small.picture(form, (12, 9)))
    for _ in range(data.draw(st.integers(0, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(content[: data.draw(st.integers(0, len(content)))])
    sides = pictures.sides_of(cut)
    try:
        with Image.open(io.BytesIO(cut), formats=pictures.FORMATS) as image:
            size = image.size
    except Exception:  # noqa: BLE001 - decoders raise whatever a broken file leads them to
        return
    small_enough = size[0] * size[1] <= pictures.MAX_IMAGE_PIXELS
    assert not small_enough or pictures.fault_of(cut) == "" or sides is None


@given(st.binary(max_size=64))
def test_any_bytes_have_a_head_or_none(data: bytes) -> None:
    for start in (b"", b"\xff\xd8\xff", b"BM", b"\x89PNG\r\n\x1a\n", b"RIFF....WEBPVP8X"):
        pictures.fault_of(start + data)
