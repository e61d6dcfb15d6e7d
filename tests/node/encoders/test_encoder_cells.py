"""Tokenizers' files and pictures: what is read, and what is refused before it costs anything."""

from __future__ import annotations

import io
import json
import struct
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kits import encoders
from PIL import Image

from node.encoders import limits
from node.encoders.picturing import pixels
from node.encoders.tokenizing import TextReader
from protocol.errors import InputError
from protocol.spec.encoder import Encoder, EncoderKind

LONG = {"type": "Replace", "pattern": {"Regex": "(a+)+$"}, "content": ""}


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "no JSON"),
        (b"[]", "no tokenizer.json"),
        (b'{"model": 1}', "no tokenizer.json"),
        (b"[" * 100_000, "nests deeper"),
        (b'{"a":' * 60_000, "nests deeper"),
        (b" " * (limits.MAX_TOKENIZER_BYTES + 1), "at most"),
        (encoders.tokenizer()[:-20], "no JSON"),
        (encoders.tokenizer(extra=1), "'extra', which is not known"),
        (encoders.tokenizer(model={"type": "Neural"}), "'Neural'; allowed are"),
        (encoders.tokenizer(model={"type": "BPE", "vocab": {}, "dropout": 0.5}), "draws numbers"),
        (encoders.tokenizer(model={"type": "WordLevel", "vocab": 7}), "cannot read it"),
        (encoders.tokenizer(normalizer=LONG), "normalizer has a regular expression"),
        (
            encoders.tokenizer(
                pre_tokenizer={
                    "type": "Sequence",
                    "pretokenizers": [
                        {"type": "Split", "pattern": {"Regex": "x"}, "behavior": "Removed"}
                    ],
                }
            ),
            "pre_tokenizer has a regular expression",
        ),
        (encoders.tokenizer(normalizer={"type": "Precompiled"}), "not on the list"),
        (encoders.tokenizer(post_processor="x"), "'x', which is not on the list"),
        (
            encoders.tokenizer(
                normalizer={
                    "type": "Sequence",
                    "normalizers": [{"type": "Sequence", "normalizers": [LONG]}],
                }
            ),
            "regular expression",
        ),
    ],
)
def test_a_tokenizer_that_is_refused(data: bytes, words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        TextReader(data, 8)
    assert caught.value.field == "encoder.tokenizer"
    assert len(str(caught.value)) < 400


def test_a_million_words_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_TOKENIZER_ENTRIES", 7)
    with pytest.raises(InputError, match="8 words and merges"):
        TextReader(encoders.tokenizer(), 8)


def test_brackets_in_words_do_not_nest() -> None:
    vocab = {"[" * 40: 0, '"{' * 30: 1, "[UNK]": 2}
    model = {"type": "WordLevel", "vocab": vocab, "unk_token": "[UNK]"}
    assert TextReader(encoders.tokenizer(model=model), 8).ids("[" * 40)[0] == [0]


def test_padding_and_truncation_are_the_recipes() -> None:
    cut = {"max_length": 1, "strategy": "LongestFirst", "stride": 0, "direction": "Left"}
    reader = TextReader(encoders.tokenizer(truncation=cut), 3)
    assert reader.ids("a") == ([1], [0])
    assert reader.ids("a b c d e")[0] == [1, 2, 3]


def test_a_text_is_cut_before_it_is_read() -> None:
    reader = TextReader(encoders.tokenizer(), 512)
    text = "a " * limits.MAX_ENCODER_CHARACTERS
    assert reader.ids(text) == reader.ids("a " * 600)


@given(st.text())
def test_any_text_is_tokens_or_words(text: str) -> None:
    reader = TextReader(encoders.tokenizer(), 5)
    try:
        ids, kinds = reader.ids(text)
    except InputError:
        assert not text.split()
        return
    assert 1 <= len(ids) == len(kinds) <= 5


def recipe(tmp_path: Path, **changes: Any) -> Encoder:
    made = encoders.write(tmp_path, EncoderKind.IMAGE)[1]
    return replace(made, **changes) if changes else made


def test_a_picture_is_scaled_and_turned(tmp_path: Path) -> None:
    rgb = recipe(
        tmp_path, channels=3, width=2, height=1, mean=(0.0, 0.5, 1.0), deviation=(1.0, 0.5, 0.25)
    )
    file = io.BytesIO()
    Image.fromarray(np.array([[[255, 0, 51], [0, 255, 0]]], np.uint8)).save(file, "PNG")
    found = pixels(file.getvalue(), rgb)
    assert found.shape == (1, 3, 1, 2)
    assert found.dtype == np.float32
    assert np.allclose(found[0, :, 0, 0], [1.0, -1.0, -3.2])
    assert np.allclose(found[0, :, 0, 1], [0.0, 1.0, -4.0])


@pytest.mark.parametrize("form", ["PNG", "BMP", "WEBP", "JPEG"])
@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
def test_formats_and_forms_of_pixels(tmp_path: Path, form: str, mode: str) -> None:
    if (form, mode) == ("JPEG", "RGBA"):
        pytest.skip("JPEG has no transparency")
    found = pixels(encoders.picture(form, (30, 20), mode), recipe(tmp_path))
    assert found.shape == (1, 1, 8, 8)
    assert np.isfinite(found).all()


def test_transparency_lies_on_white(tmp_path: Path) -> None:
    file = io.BytesIO()
    Image.new("RGBA", (8, 8), (0, 0, 0, 0)).save(file, "PNG")
    assert np.allclose(pixels(file.getvalue(), recipe(tmp_path)), (1.0 - 0.5) / 0.25)


def bomb(width: int, height: int, depth: int = 8) -> bytes:
    """A PNG whose first chunk promises so many pixels; few bytes follow."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + check

    head = struct.pack(">IIBBBBB", width, height, depth, 0, 0, 0, 0)
    body = zlib.compress(bytes(100_000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "no picture"),
        (b"not a picture", "no picture"),
        (bomb(10_000, 10_000), "10000 x 10000 pixels; at most 50000000"),
        (bomb(2**31 - 1, 2**31 - 1), "pixels; at most|no picture|broken"),
        (bomb(3000, 3000), "broken or cut off"),
        (bomb(0, 10), "no picture|broken"),
        (bomb(8, 8, depth=16), "form I;16"),
        (encoders.picture("PNG", (300, 300))[:-5000], "broken or cut off"),
        (encoders.picture("JPEG", (300, 300))[:-5000], "broken or cut off"),
        (encoders.picture("GIF"), "formats are PNG, JPEG, WEBP, BMP"),
        (encoders.picture("TIFF"), "formats are PNG, JPEG, WEBP, BMP"),
        (encoders.picture("PPM"), "formats are PNG, JPEG, WEBP, BMP"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n(/etc/passwd) run", "no picture"),
    ],
)
def test_a_picture_that_is_refused(tmp_path: Path, data: bytes, words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        pixels(data, recipe(tmp_path))
    assert len(str(caught.value)) < 300


def test_a_file_of_many_bytes_is_not_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "MAX_IMAGE_BYTES", 10)
    with pytest.raises(InputError, match="at most 10 are read"):
        pixels(encoders.picture(), recipe(tmp_path))


@given(st.data())
def test_spoiled_pictures_are_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    content = bytearray(
        encoders.picture(data.draw(st.sampled_from(["PNG", "JPEG", "WEBP", "BMP"])))
    )
    for _ in range(data.draw(st.integers(1, 5))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    made = recipe(tmp_path_factory.mktemp("spoiled"))
    try:
        found = pixels(bytes(content), made)
    except InputError:
        return
    assert found.shape == (1, 1, 8, 8)
    assert np.isfinite(found).all()


def test_a_tokenizer_json_as_the_library_writes_it_is_read() -> None:
    """What `Tokenizer.to_str` of today writes has no part that is not known here."""
    from tokenizers import Tokenizer

    said = Tokenizer.from_str(encoders.tokenizer().decode()).to_str()
    assert json.loads(said)["version"] == "1.0"
    assert TextReader(said.encode(), 8).ids("a b")[0] == [1, 2]
