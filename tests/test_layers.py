"""Who may import whom (import-linter, pyproject.toml), and what no product file does.

Files are read as text or as syntax trees; none of them is run.
"""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PRODUCT = ("protocol", "node", "contracts")

#: Lines that break a contract, by the file that they are added to, and the contract's name.
_BREACHES = {
    "protocol/wire/codec.py": ("import time", "protocol is pure"),
    "protocol/wire/messages.py": (
        "def f():\n    from protocol.spec.job import JobSpec",
        "the rooms of protocol, from the two roles down",
    ),
    "protocol/owner/pay.py": (
        "import numpy",
        "protocol decides and does not compute: kernels' libraries are arith's",
    ),
    "protocol/arith/numbers/shape.py": (
        "from protocol.arith.paillier import batch",
        "the rooms of arith, from what workers call down",
    ),
    "protocol/arith/secagg/masks.py": (
        "from protocol.wire.codec import Wire",
        "arith knows layouts and limits, and nothing that decides",
    ),
    "protocol/spec/parts.py": (
        "from protocol.spec import render",
        "no circle among modules, rooms or packages",
    ),
    "protocol/params.py": (
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from node.home.home import Home",
        "node stands on protocol and contracts, which do not know each other",
    ),
    "node/store/records.py": (
        "def f():\n    from node.engine import engine",
        "the rooms of node, from the command line down",
    ),
    "node/home/keys.py": ("import random", "chance is nowhere but where no secret hangs on it"),
    "contracts/build.py": ("import trio", "contracts stand alone"),
}


@cache
def files(folder: str) -> tuple[Path, ...]:
    return tuple(sorted((ROOT / folder).rglob("*.py")))


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), filename=name_of(path))


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    """What import-linter says of the packages in a folder."""
    command = "from importlinter.cli import lint_imports_command as lint; lint(['--no-cache'])"
    return subprocess.run(
        [sys.executable, "-c", command],
        cwd=folder,
        env={"PYTHONPATH": str(folder), "COLUMNS": "200"},
        capture_output=True,
        text=True,
    )


def test_everyone_imports_only_from_below() -> None:
    found = lint(ROOT)
    assert found.returncode == 0, found.stdout + found.stderr


def test_every_contract_bites(tmp_path: Path) -> None:
    """Late imports, borrowed types and what a neighbour imports are seen."""
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for folder in PRODUCT:
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("*.pyc"))
    for name, (lines, _) in _BREACHES.items():
        with (tmp_path / name).open("a") as file:
            file.write(f"\n\n{lines}\n")
    found = lint(tmp_path)
    assert found.returncode == 1, found.stdout + found.stderr
    contracts = {contract["name"] for contract in linter()["contracts"]}
    assert {contract for _, contract in _BREACHES.values()} == contracts
    assert {name for name in contracts if f"{name} BROKEN" in found.stdout} == contracts


def test_the_contracts_name_every_part_of_protocol() -> None:
    """A new room would otherwise be free to compute: `exhaustive` is for layers alone."""
    upper = next(
        c for c in linter()["contracts"] if "protocol.owner" in c.get("source_modules", ())
    )
    parts = {path.stem for path in (ROOT / "protocol").iterdir() if is_part(path)}
    assert set(upper["source_modules"]) == {f"protocol.{part}" for part in parts - {"arith"}}


def linter() -> dict[str, list[dict[str, str]]]:
    tool: dict[str, dict[str, list[dict[str, str]]]]
    tool = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]
    return tool["importlinter"]


def is_part(path: Path) -> bool:
    """A module or a room, but no `__init__`."""
    if path.is_dir():
        return (path / "__init__.py").is_file()
    return path.suffix == ".py" and path.stem != "__init__"


def rooms() -> list[Path]:
    """Every folder with a file of the product."""
    return sorted({path.parent for folder in PRODUCT for path in files(folder)})


def modules_in(room: Path) -> int:
    return sum(path.suffix == ".py" and is_part(path) for path in room.iterdir())


def test_a_folder_shows_the_system() -> None:
    """Few files stand at a root, and about a dozen in a room: who has only `ls` sees the rooms."""
    assert modules_in(ROOT / "node") <= 4
    assert modules_in(ROOT / "protocol") <= 6
    counts = {room.relative_to(ROOT).as_posix(): modules_in(room) for room in rooms()}
    assert {name: count for name, count in counts.items() if count > 14} == {}


@pytest.mark.parametrize("room", rooms(), ids=lambda room: room.relative_to(ROOT).as_posix())
def test_a_room_says_what_it_is_for(room: Path) -> None:
    """What lives there, and what it imports or does not."""
    said = ast.get_docstring(ast.parse((room / "__init__.py").read_text()))
    assert said is not None
    assert 3 <= len(said.splitlines()) <= 6
    assert "import" in said


def test_what_starts_often_starts_light() -> None:
    """A worker, and a command that talks to a daemon, wait for no library (docs/adr/0401)."""
    for name in ("node.workers.worker", "node.console.client"):
        reached = closure(name)
        own = {module for module in reached if module.split(".")[0] in PRODUCT}
        assert {m for m in reached - own if m.split(".")[0] not in sys.stdlib_module_names} == set()
        assert {module for module in own if module.startswith("protocol")} == set()


def closure(module: str) -> set[str]:
    """Every module that is imported when `module` is, as far as our own files lead."""
    reached: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name in reached:
            continue
        reached.add(name)
        path = ROOT / (name.replace(".", "/") + ".py")
        package = ROOT / name.replace(".", "/") / "__init__.py"
        for each in (path, package):
            if each.is_file():
                waiting += at_once(each)
    return reached


def at_once(path: Path) -> Iterator[str]:
    """Modules that a file imports when it is imported: neither in functions nor for types only."""
    for statement in tree(path).body:
        if isinstance(statement, ast.Import):
            yield from (alias.name for alias in statement.names)
        elif isinstance(statement, ast.ImportFrom) and statement.module:
            yield statement.module
            for alias in statement.names:
                if (ROOT / statement.module.replace(".", "/") / f"{alias.name}.py").is_file():
                    yield f"{statement.module}.{alias.name}"


def test_tests_of_the_whole_tree_see_the_whole_tree() -> None:
    assert all(len(files(folder)) >= 3 for folder in PRODUCT)


@pytest.mark.parametrize("folder", PRODUCT)
def test_files_are_of_a_size_that_one_reads(folder: str) -> None:
    # What a script writes, and nobody reads from end to end, may be longer.
    texts = {name_of(path): path.read_text().splitlines() for path in files(folder)}
    written = {name for name, lines in texts.items() if "written by scripts/" in "".join(lines[:1])}
    sizes = {name: len(lines) for name, lines in texts.items() if name not in written}
    assert {name: size for name, size in sizes.items() if size > 420} == {}


@pytest.mark.parametrize("folder", PRODUCT)
def test_nothing_is_swallowed(folder: str) -> None:
    """A handler of everything does something about it."""
    found = [
        f"{name_of(path)}:{handler.lineno}"
        for path in files(folder)
        for handler in ast.walk(tree(path))
        if isinstance(handler, ast.ExceptHandler) and catches_all(handler) and is_idle(handler)
    ]
    assert found == []


def catches_all(handler: ast.ExceptHandler) -> bool:
    """`except:`, `except Exception`, `except BaseException`, alone or among others."""
    if handler.type is None:
        return True
    names = {node.id for node in ast.walk(handler.type) if isinstance(node, ast.Name)}
    return bool(names & {"Exception", "BaseException"})


def is_idle(handler: ast.ExceptHandler) -> bool:
    """Nothing but `pass`, `...`, `continue` or a bare constant in its body."""
    return all(
        isinstance(statement, ast.Pass | ast.Continue)
        or (isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant))
        for statement in handler.body
    )


@pytest.mark.parametrize(
    ("source", "idle"),
    [
        ("try:\n f()\nexcept Exception:\n pass", True),
        ("try:\n f()\nexcept (ValueError, Exception):\n ...", True),
        ("for _ in x:\n try:\n  f()\n except:\n  continue", True),
        ("try:\n f()\nexcept Exception:\n log(1)", False),
        ("try:\n f()\nexcept OSError:\n pass", False),
    ],
)
def test_the_test_for_swallowing_bites(source: str, idle: bool) -> None:
    handlers = [n for n in ast.walk(ast.parse(source)) if isinstance(n, ast.ExceptHandler)]
    assert [catches_all(h) and is_idle(h) for h in handlers] == [idle]


def test_no_test_file_stands_in_for_a_package() -> None:
    """pytest puts test folders on the path, and worker processes inherit it: a tests/*/node.py
    would be imported there in the place of the node package."""
    packages = {"node.py", "protocol.py", "contracts.py"}
    assert [path for path in (ROOT / "tests").rglob("*.py") if path.name in packages] == []
