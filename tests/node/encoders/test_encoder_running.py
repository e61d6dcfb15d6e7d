"""Encoders run by real confined processes: row by row, and what goes wrong ends in words."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kits import encoders
from onnx import helper

from node.encoders import libraries, limits, running
from node.encoders.piping import EncoderFailed
from node.encoders.running import RowRefused, embed, inspect
from protocol.errors import AssayError, InputError
from protocol.spec.encoder import EncoderKind, Pooling

TEXT, NUMBERS, IMAGE = EncoderKind.TEXT, EncoderKind.NUMBERS, EncoderKind.IMAGE


def children() -> list[int]:
    """Processes that this one started and that still run."""
    if sys.platform != "linux":
        pytest.skip("children are told by Linux' /proc")
    return [
        int(each)
        for task in Path("/proc/self/task").iterdir()
        for each in (task / "children").read_text().split()
    ]


def test_a_texts_row_is_the_mean_over_its_tokens(tmp_path: Path) -> None:
    path, recipe = encoders.write(tmp_path, TEXT)
    told: list[tuple[int, int]] = []
    before = set(children())
    rows = embed(
        path, recipe, ["a b c", "A  b\nC", "g", "nothing known"], lambda *n: told.append(n)
    )
    table = encoders.table()
    assert rows.dtype == np.float32
    assert rows.shape == (4, encoders.SIZE)
    assert np.allclose(rows[0], table[[1, 2, 3]].mean(axis=0), atol=1e-6)
    assert (rows[1] == rows[0]).all()
    assert (rows[2] == table[7]).all()
    assert (rows[3] == table[0]).all()
    assert told == [(4, 4)]
    assert set(children()) == before


def test_pooling_by_the_first_token_and_the_cut(tmp_path: Path) -> None:
    path, recipe = encoders.write(tmp_path, TEXT, pooling=Pooling.CLS)
    rows = embed(path, recipe, ["c a a"])
    assert (rows[0] == encoders.table()[3]).all()
    path, recipe = encoders.write(tmp_path, TEXT, max_tokens=2)
    rows = embed(path, recipe, ["a b c d e f g", "a b"])
    assert (rows[0] == rows[1]).all()


def test_a_row_depends_on_itself_alone_to_the_last_bit(tmp_path: Path) -> None:
    """Alone, in any order, beside any neighbours, in another process."""
    rng = np.random.default_rng(3)
    weights = {"w": rng.normal(size=(encoders.SIZE, 64)), "v": rng.normal(size=(64, encoders.SIZE))}
    network = encoders.model(
        [
            helper.make_node("Gather", ["table", "input_ids"], ["e"]),
            helper.make_node("MatMul", ["e", "w"], ["h"]),
            helper.make_node("Tanh", ["h"], ["t"]),
            helper.make_node("MatMul", ["t", "v"], ["m"]),
            helper.make_node("Softmax", ["m"], ["out"], axis=1),
        ],
        [helper.make_tensor_value_info("input_ids", encoders.INT64, [1, "tokens"])],
        helper.make_tensor_value_info("out", encoders.FLOAT, [1, "tokens", encoders.SIZE]),
        {"table": encoders.table(), **{k: v.astype(np.float32) for k, v in weights.items()}},
    )
    path, recipe = encoders.write(tmp_path, TEXT, network)
    texts = [" ".join(rng.choice(encoders.WORDS, rng.integers(1, 16))) for _ in range(150)]
    whole = embed(path, recipe, texts)
    order = rng.permutation(len(texts))
    assert embed(path, recipe, [texts[each] for each in order]).tobytes() == whole[order].tobytes()
    for each in (0, 64, 149):
        assert embed(path, recipe, [texts[each]]).tobytes() == whole[each].tobytes()
        beside = embed(path, recipe, ["a" * 10_000, texts[each], "b " * 900, texts[each]])
        assert beside[1].tobytes() == beside[3].tobytes() == whole[each].tobytes()


def test_images_and_numbers(tmp_path: Path) -> None:
    path, recipe = encoders.write(tmp_path, IMAGE)
    black = encoders.picture()
    rows = embed(path, recipe, [black, encoders.picture("BMP"), encoders.picture("PNG", (80, 40))])
    assert (rows[0] == rows[1]).all()
    assert np.isfinite(rows).all()
    path, recipe = encoders.write(tmp_path, NUMBERS)
    rows = embed(path, recipe, [(1, -2, 0.1, 4), [0.0, 0.0, 0.0, 1e-30]])
    assert rows.tolist() == [
        [1.0, 0.0, float(np.float32(0.1)), 4.0],
        [0, 0, 0, float(np.float32(1e-30))],
    ]


def test_nothing_to_embed(tmp_path: Path) -> None:
    path, recipe = encoders.write(tmp_path, NUMBERS)
    assert embed(path, recipe, []).shape == (0, encoders.SIZE)


@pytest.mark.parametrize(
    ("kind", "cells", "index", "words"),
    [
        (TEXT, ["a", ""], 1, "no token"),
        (TEXT, ["a", b"a"], 1, "no text"),
        (TEXT, ["a", "\ud800"], 1, "no Unicode"),
        (IMAGE, [b"", b"x"], 0, "no picture"),
        (IMAGE, [b"GIF89a" + bytes(50)], 0, "formats are PNG"),
        (IMAGE, ["a.png"], 0, "no picture's bytes"),
        (NUMBERS, [(1, 2, 3)], 0, "list of 4 numbers"),
        (NUMBERS, [(1, 2, 3, 4), (1, 2, 3, float("nan"))], 1, "not finite"),
        (NUMBERS, [(1, 2, 3, 1e39)], 0, "not finite"),
    ],
)
def test_a_cell_that_cannot_be_read_names_its_row(
    tmp_path: Path, kind: EncoderKind, cells: list[Any], index: int, words: str
) -> None:
    path, recipe = encoders.write(tmp_path, kind)
    with pytest.raises(RowRefused, match=words) as caught:
        embed(path, recipe, cells)
    assert caught.value.index == index
    assert f"row {index + 1} " in str(caught.value)


def test_what_is_not_finite_is_refused(tmp_path: Path) -> None:
    path, recipe = encoders.write(
        tmp_path, NUMBERS, encoders.numbers_model(helper.make_node("Log", ["x"], ["out"]))
    )
    assert np.allclose(embed(path, recipe, [(1, 1, 1, 1)]), 0)
    for row in ((1, 1, 1, -1), (1, 1, 1, 0)):
        with pytest.raises(RowRefused, match="NaN or an infinity"):
            embed(path, recipe, [(1, 1, 1, 1), row])


def test_another_package_than_the_jobs_is_refused(tmp_path: Path) -> None:
    path, recipe = encoders.write(tmp_path, TEXT)
    content = bytearray(path.read_bytes())
    content[-200] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match="the job names"):
        embed(path, recipe, ["a"])


def test_what_a_package_holds_is_told(tmp_path: Path) -> None:
    path, _ = encoders.write(tmp_path, TEXT)
    found = inspect(path)
    assert found.operators == (("Gather", 1),)
    assert found.inputs == ("input_ids",)
    assert (found.output, found.opset, found.weights) == ("out", 17, 32)
    assert found.manifest.kind is TEXT
    assert "limits" in found.walls


def test_memory_that_a_network_asks_for_while_it_runs(tmp_path: Path) -> None:
    """No shape of the file says it: 2^36 numbers appear between two operators."""
    network = encoders.numbers_model(
        helper.make_node("ConstantOfShape", ["huge"], ["h"]),
        helper.make_node("ReduceSum", ["h"], ["s"], keepdims=0),
        helper.make_node("Add", ["x", "s"], ["out"]),
        weights={"huge": np.array([2**18, 2**18], np.int64)},
    )
    path, recipe = encoders.write(tmp_path, NUMBERS, network)
    with pytest.raises(InputError, match=r"row 1 makes the network fail|row 1 needs more than"):
        embed(path, recipe, [(1, 2, 3, 4)])


def slow(tmp_path: Path) -> Any:
    """A package that multiplies large matrices for hours: each operator is allowed."""
    nodes = [helper.make_node("ConstantOfShape", ["size"], ["m0"])]
    nodes += [helper.make_node("MatMul", [f"m{i}", "m0"], [f"m{i + 1}"]) for i in range(4000)]
    nodes += [
        helper.make_node("ReduceSum", ["m4000"], ["s"], keepdims=0),
        helper.make_node("Add", ["x", "s"], ["z"]),
        helper.make_node("Expand", ["side", "shape"], ["wide"]),
        helper.make_node("Sub", ["z", "x"], ["out"]),
    ]
    weights = {"size": np.array([3000, 3000], np.int64), "side": np.float32(1), "shape": [1, 4]}
    weights["shape"] = np.array([1, 4], np.int64)
    return encoders.write(tmp_path, NUMBERS, encoders.numbers_model(*nodes, weights=weights))


def test_a_network_that_takes_for_ever_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, recipe = slow(tmp_path)
    monkeypatch.setattr(limits, "ENCODER_ROW_SECONDS", 2)
    monkeypatch.setattr(limits, "ENCODER_START_SECONDS", 4)
    before = set(children())
    began = time.monotonic()
    with pytest.raises(EncoderFailed, match=r"within|processor time"):
        embed(path, recipe, [(1, 2, 3, 4)])
    assert time.monotonic() - began < 60
    assert set(children()) == before


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGTERM])
def test_a_process_that_ends_says_how(tmp_path: Path, number: signal.Signals) -> None:
    path, recipe = encoders.write(tmp_path, NUMBERS)

    def end(done: int, total: int) -> None:
        for each in set(children()) - before:
            os.kill(each, number)

    before = set(children())
    with pytest.raises(EncoderFailed, match=number.name):
        embed(path, recipe, [(1, 2, 3, 4)] * 1000, end)
    assert set(children()) == before


def test_the_missing_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, recipe = encoders.write(tmp_path, NUMBERS)
    monkeypatch.setattr(libraries, "_NEEDED", ("numpy", "no_such_library"))
    with pytest.raises(InputError, match=r"no_such_library.*assay\[encoders\]"):
        embed(path, recipe, [(1, 2, 3, 4)])


@settings(max_examples=8)
@given(st.data())
def test_a_spoiled_package_never_harms_its_reader(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Bytes changed, cut out or put in: numbers as before, or words."""
    folder = tmp_path_factory.mktemp("spoiled")
    path, _ = encoders.write(folder, TEXT)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content) - 1))
        content[at] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    try:
        said = running.manifest_of(path)
        recipe = encoders.recipe_of(path, said)
        cell: Any = {TEXT: "a b", IMAGE: encoders.picture(), NUMBERS: [0.0] * said.inputs}
        rows = embed(path, recipe, [cell[said.kind]])
    except AssayError:
        return
    assert np.isfinite(rows).all()


@given(
    st.recursive(
        st.none() | st.integers(-5, 5) | st.floats() | st.text(max_size=3) | st.binary(max_size=3),
        lambda inner: st.lists(inner, max_size=6),
        max_leaves=30,
    )
)
def test_what_a_process_says_of_a_package_is_never_believed(said: Any) -> None:
    """It ran somebody else's program: garbage is an error, words are shown as words."""
    given = said if isinstance(said, list) else [said]
    manifest = encoders.manifest(NUMBERS, 1)
    good = [["limits"], 17, 32, ["x\x1b[2J"], "out", [["Relu", 1]]]
    assert running._found(good, manifest).inputs == ("x?[2J",)
    for each in (given, [*good[:5], given], [given, *good[1:]], [*good[:3], given, *good[4:]]):
        try:
            found = running._found(each, manifest)
        except EncoderFailed:
            continue
        assert "".join((*found.walls, *found.inputs, found.output)).isprintable()
