"""Rooms: names, and what rests on what, from imports alone."""

from __future__ import annotations

from pathlib import Path

import pytest
from kits.paths import ROOT

from scripts.testing.rooms import Rooms, UnknownRoom

FILES = {
    "node/__init__.py": "",
    "node/api.py": "from node.store.rows import load",
    "node/store/__init__.py": "",
    "node/store/rows.py": "from protocol.wire.codec import encode",
    "node/net/__init__.py": "",
    "node/net/swarm.py": "def late():\n    from . import frames",
    "node/net/frames.py": "import trio",
    "protocol/__init__.py": "",
    "protocol/wire/__init__.py": "",
    "protocol/wire/codec.py": "",
    "protocol/arith/sealed/__init__.py": "",
    "protocol/arith/noise/__init__.py": "",
    "contracts/__init__.py": "",
    "tests/node/store/test_rows.py": "",
    "tests/node/net/test_swarm.py": "",
    "tests/end_to_end/test_kill.py": "from kits.daemons import swarm",
    "tests/kits/daemons/swarm.py": "import node.net.swarm",
    "tests/simulator/test_world.py": "from protocol.wire import codec",
}


@pytest.fixture
def rooms(tmp_path: Path) -> Rooms:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return Rooms(tmp_path)


@pytest.mark.parametrize(
    ("name", "room"),
    [
        ("wire", "protocol/wire"),
        ("arith/sealed", "protocol/arith/sealed"),
        ("tests/node/net/", "node/net"),
        ("node", "node"),
        ("end_to_end", "end_to_end"),
        ("contract", "contract"),
    ],
)
def test_a_room_is_found_by_the_end_of_its_path(rooms: Rooms, name: str, room: str) -> None:
    assert rooms.find(name) == room


def test_an_unknown_room_is_told_with_all_there_are(rooms: Rooms) -> None:
    with pytest.raises(UnknownRoom, match=r"no room is called wires; rooms: .*protocol/wire"):
        rooms.find("wires")


def test_a_name_of_two_rooms_is_no_name(rooms: Rooms, tmp_path: Path) -> None:
    (tmp_path / "node" / "wire").mkdir()
    (tmp_path / "node" / "wire" / "__init__.py").touch()
    with pytest.raises(UnknownRoom, match="wire may be node/wire or protocol/wire"):
        Rooms(tmp_path).find("wire")


@pytest.mark.parametrize(
    ("asked", "dependents"),
    [
        ("protocol/wire", ["node", "node/store", "simulator"]),
        ("node/store", ["node"]),
        ("node/net", ["end_to_end"]),
        ("protocol/arith/noise", []),
    ],
)
def test_dependents_follow_imports_however_they_are_written(
    rooms: Rooms, asked: str, dependents: list[str]
) -> None:
    assert rooms.dependents([asked]) == dependents


def test_the_tests_of_a_room_are_its_own(rooms: Rooms) -> None:
    assert [path.name for path in rooms.tests("node/store")] == ["test_rows.py"]
    assert rooms.tests("node") == []


def test_every_test_of_this_checkout_is_in_a_room_or_of_the_whole_tree() -> None:
    rooms = Rooms(ROOT)
    in_rooms = {path for room in rooms.names for path in rooms.tests(room)}
    others = set((ROOT / "tests").rglob("test_*.py")) - in_rooms
    assert {path.parent for path in others} <= {ROOT / "tests"}


def test_every_folder_of_tests_has_a_room_of_the_product_or_is_known_to_have_none() -> None:
    rooms = Rooms(ROOT)
    alone = [room for room in rooms.names if rooms.tests(room) and not rooms._files(room)]
    assert alone == ["assumptions", "end_to_end", "simulator", "virtual"]
