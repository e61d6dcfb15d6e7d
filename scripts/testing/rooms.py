"""Rooms: what they are called, where their tests lie, and which of them rest on which.

Rooms lie directly in node/, protocol/ and protocol/arith/; the modules at the root of each of these
three are a room as well. A room's tests have the room's path, under tests/. All that rests on a
room is read from the imports of the files: nobody writes it down.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Final

#: Folders whose packages are rooms, and whose own modules are one.
HOUSES: Final = ("node", "protocol", "protocol/arith")

#: Tests whose product lies elsewhere.
ELSEWHERE: Final = {
    "contract": "contracts",
    "bench": "scripts/benchmarks",
    "attacks": "scripts/attacks",
    "testing": "scripts/testing",
}


class UnknownRoom(Exception):
    """No room, or more than one, has such a name."""


class Rooms:
    """The rooms of one checkout."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.names = sorted(self._product | self._tested)

    @cached_property
    def _product(self) -> set[str]:
        packages = {
            path.parent.relative_to(self.root).as_posix()
            for house in HOUSES
            for path in (self.root / house).glob("*/__init__.py")
        }
        return packages | set(HOUSES) | set(ELSEWHERE)

    @cached_property
    def _tested(self) -> set[str]:
        """Folders of tests: their names are their paths under tests/."""
        tests = self.root / "tests"
        folders = {path.parent.relative_to(tests).as_posix() for path in tests.rglob("test_*.py")}
        return folders - {"."}

    def find(self, name: str) -> str:
        """The room whose path ends in `name`. Raises UnknownRoom, with all there are."""
        wanted = name.strip("/").removeprefix("tests/")
        if wanted in self.names:
            return wanted
        found = [room for room in self.names if f"/{room}".endswith(f"/{wanted}")]
        if len(found) == 1:
            return found[0]
        why = f"{name} may be {' or '.join(found)}" if found else f"no room is called {name}"
        raise UnknownRoom(f"{why}; rooms: {', '.join(self.names)}")

    def tests(self, room: str) -> list[Path]:
        """Test modules of a room, without those of rooms inside it."""
        return sorted((self.root / "tests" / room).glob("test_*.py"))

    def dependents(self, rooms: Iterable[str]) -> list[str]:
        """Other rooms that import these, or import what imports them, and so on."""
        asked = set(rooms)
        files = {file for room in asked for file in self._files(room)}
        waiting = list(files)
        while waiting:
            for importer in self._importers[waiting.pop()] - files:
                files.add(importer)
                waiting.append(importer)
        return [room for room in self.names if room not in asked and self._meets(room, files)]

    def _meets(self, room: str, files: set[Path]) -> bool:
        return not files.isdisjoint(self._files(room) or self.tests(room))

    def _files(self, room: str) -> list[Path]:
        """Product files of a room; none, where it has tests alone."""
        folder = self.root / ELSEWHERE.get(room, room)
        if room in HOUSES:
            return sorted(folder.glob("*.py"))
        return sorted(folder.rglob("*.py")) if room in self._product else []

    @cached_property
    def _importers(self) -> defaultdict[Path, set[Path]]:
        """For each file those that import it, anywhere in their text."""
        importers: defaultdict[Path, set[Path]] = defaultdict(set)
        for folder in ("node", "protocol", "contracts", "scripts", "tests"):
            for path in (self.root / folder).rglob("*.py"):
                for name in imported(path, self._module(path)):
                    for each in self._resolve(name):
                        importers[each].add(path)
        return importers

    def _module(self, path: Path) -> tuple[str, ...]:
        """The package that a file's relative imports start from."""
        return path.parent.relative_to(self.root).parts

    def _resolve(self, name: str) -> list[Path]:
        """Files that are run when a module is imported; what tests import may lie in tests/."""
        found = []
        for base in (self.root, self.root / "tests"):
            path = base.joinpath(*name.split("."))
            for each in (path.with_suffix(".py"), path / "__init__.py"):
                if each.is_file():
                    found.append(each)
        return found


def imported(path: Path, package: tuple[str, ...]) -> set[str]:
    """Modules that a file imports, in functions and for types as well; packages on the way too."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            start = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*start, *([node.module] if node.module else [])])
            names |= {module, *(f"{module}.{alias.name}" for alias in node.names)}
    return names
