"""docs/ARCHITECTURE.md shows the rooms as they are, docs/MAP.md every file."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGE = DOCS / "ARCHITECTURE.md"

_ROOM = re.compile(r"^\| `((?:node|protocol)/[\w/]*)/` \| [^|]+ \| ([^|]*)\|$", re.MULTILINE)


def listed() -> dict[str, set[str]]:
    """The rooms of the page, and what each is said to import."""
    rows = _ROOM.findall(PAGE.read_text())
    assert len(rows) == len({room for room, _ in rows})
    return {room.replace("/", "."): set(re.findall(r"\w+", says)) for room, says in rows}


def rooms() -> set[str]:
    """The rooms of node, protocol and protocol/arith: folders with an `__init__`."""
    parents = (ROOT / "node", ROOT / "protocol", ROOT / "protocol" / "arith")
    folders = [path.parent for parent in parents for path in parent.glob("*/__init__.py")]
    return {path.relative_to(ROOT).as_posix().replace("/", ".") for path in folders}


def test_the_page_lists_every_room_and_no_other() -> None:
    assert set(listed()) == rooms()


def test_the_page_says_what_each_room_imports() -> None:
    graph = grimp.build_graph("node", "protocol", cache_dir=None)
    for room, says in listed().items():
        package = room.rpartition(".")[0]
        inside = {room, *graph.find_descendants(room)}
        imported = {each for m in inside for each in graph.find_modules_directly_imported_by(m)}
        neighbours = {
            other
            for other in rooms() - {room}
            if other.rpartition(".")[0] == package
            and any(f"{each}.".startswith(f"{other}.") for each in imported)
        }
        assert says == {other.rpartition(".")[2] for other in neighbours}, room


def test_the_page_is_one_page() -> None:
    assert len(PAGE.read_text().splitlines()) <= 120


def test_the_map_is_what_the_files_say() -> None:
    found = subprocess.run(
        [sys.executable, ROOT / "scripts" / "map", "--check"], capture_output=True, text=True
    )
    assert found.returncode == 0, found.stderr


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ('"""Another file, which the map does not know yet."""\n', "is out of date"),
        ("", "node/new.py: its first sentence has 0 characters"),
        ('"""' + "w" * 161 + '."""\n', "has 162 characters"),
    ],
    ids=["unknown", "silent", "long"],
)
def test_the_map_is_checked(text: str, error: str, tmp_path: Path) -> None:
    for folder in ("node", "docs", "scripts"):
        (tmp_path / folder).mkdir()
    shutil.copy(ROOT / "scripts" / "map", tmp_path / "scripts")
    script = [sys.executable, tmp_path / "scripts" / "map"]
    subprocess.run(script, check=True)
    assert subprocess.run([*script, "--check"]).returncode == 0
    (tmp_path / "node" / "new.py").write_text(text)
    found = subprocess.run([*script, "--check"], capture_output=True, text=True)
    assert found.returncode == 1
    assert error in found.stderr


def test_every_decision_and_every_page_is_listed() -> None:
    for folder in ("adr", "spec"):
        index = (DOCS / folder / "README.md").read_text()
        pages = [path.name for path in (DOCS / folder).glob("*.md") if path.name != "README.md"]
        assert [name for name in sorted(pages) if f"]({name})" not in index] == []
