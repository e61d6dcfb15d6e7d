"""What is noted of an encoder can be read again, wherever it came from."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from node.home.home import Home
from node.perform.encoders import keeping

DIGEST = bytes(range(32))


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home(tmp_path / "home")
    made.create()
    return made


@pytest.mark.parametrize(
    "source",
    ["/srv/" + "ж" * 700, "/srv/" + "\x01" * 4090, "/srv/\udcff\udc80.onnx", '/srv/"\\"' * 500],
)
def test_a_note_is_read_as_it_was_written(home: Home, source: str) -> None:
    made = keeping.keep(home, DIGEST, 7, "ё" * 120, source)
    assert made.source == source
    assert keeping.all_of(home) == (made,)
    assert keeping.known(home, DIGEST)
    place = home.encoders / f"{DIGEST.hex()}.json"
    assert stat.S_IMODE(place.stat().st_mode) == 0o600
    # What a writer that died left behind is no note.
    (home.encoders / f".{place.name}.x1").write_bytes(b"{")
    assert keeping.all_of(home) == (made,)


def test_a_damaged_note_is_none_and_is_written_again(home: Home) -> None:
    keeping.keep(home, DIGEST, 7, "small", "/srv/small.assay")
    place = home.encoders / f"{DIGEST.hex()}.json"
    place.write_bytes(place.read_bytes()[:30])
    assert keeping.all_of(home) == ()
    again = keeping.keep(home, DIGEST, 7, "small", "/srv/small.assay")
    assert keeping.all_of(home) == (again,)
