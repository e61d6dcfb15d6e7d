"""Who may import whom, and what no product file does. Read from the syntax tree, nothing is run.

Imports under TYPE_CHECKING and inside functions count like any other: a type that is borrowed from
the floor above is knowledge of it, too.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PRODUCT = ("protocol", "node", "contracts")

#: Clocks, randomness, I/O: what would make a step depend on anything but its arguments.
_IMPURE = {
    "asyncio",
    "contracts",
    "datetime",
    "getpass",
    "glob",
    "io",
    "libp2p",
    "logging",
    "multiprocessing",
    "node",
    "os",
    "pathlib",
    "platform",
    "random",
    "secrets",
    "select",
    "signal",
    "socket",
    "sqlite3",
    "subprocess",
    "tempfile",
    "threading",
    "time",
    "trio",
    "trio_parallel",
    "urllib",
    "uuid",
    "web3",
}

#: Kernels' libraries: the upper floor decides, it does not compute.
_HEAVY = {"gmpy2", "numpy", "phe", "polars", "protocol.arith"}

#: (file, module): imports that break a rule for a stated reason.
_ALLOWED = {
    # Random choices of whom to dial and whom to name first: no secret hangs on them.
    ("node/net/peers.py", "random"),
}


@cache
def files(folder: str) -> tuple[Path, ...]:
    return tuple(sorted((ROOT / folder).rglob("*.py")))


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), filename=name_of(path))


def imports(path: Path) -> Iterator[tuple[str, int]]:
    """Every module that a file imports, with the line; `from a import b` may mean a.b as well."""
    package = name_of(path).removesuffix(".py").split("/")[:-1]
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*above, *([node.module] if node.module else [])])
            yield module, node.lineno
            for alias in node.names:
                yield f"{module}.{alias.name}", node.lineno


def breaches(paths: Iterator[Path] | tuple[Path, ...], forbidden: set[str]) -> list[str]:
    """Imports of a forbidden module or of anything in it."""
    found = set()
    for path in paths:
        for module, line in imports(path):
            for each in forbidden:
                inside = module == each or module.startswith(each + ".")
                if inside and (name_of(path), each) not in _ALLOWED:
                    found.add(f"{name_of(path)}:{line} imports {each}")
    return sorted(found)


def test_protocol_is_pure() -> None:
    assert breaches(files("protocol"), _IMPURE) == []


def test_the_upper_floor_computes_nothing() -> None:
    upper = tuple(path for path in files("protocol") if path.parent.name == "protocol")
    assert len(upper) > 30
    assert breaches(upper, _HEAVY) == []


def test_arithmetic_knows_no_protocol_above_it() -> None:
    """The ground floor stands on limits, errors, and the numbers that specs follow from alone."""
    upper = {
        f"protocol.{path.stem}" for path in files("protocol") if path.parent.name == "protocol"
    }
    numbers = {"protocol.layout.packing", "protocol.layout.noise", "protocol.layout.sealed"}
    below = {"protocol.errors", "protocol.params", *numbers}
    assert breaches(files("protocol/arith"), upper - below) == []


def test_contracts_know_nobody() -> None:
    assert breaches(files("contracts"), {"node", "protocol", "trio"}) == []


def test_what_starts_often_starts_light() -> None:
    """A worker, and a command that talks to a daemon, wait for no library (docs/adr/0401)."""
    for name in ("node.workers.worker", "node.console.client"):
        reached = closure(name)
        own = {module for module in reached if module.split(".")[0] in PRODUCT}
        assert {m for m in reached - own if m.split(".")[0] not in sys.stdlib_module_names} == set()
        assert {module for module in own if module.startswith("protocol")} == set()
        assert {"trio"} & reached == set()


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


def test_chance_is_nowhere_but_where_no_secret_hangs_on_it() -> None:
    """`random` repeats itself for whoever has seen enough of it: secrets come from `secrets`."""
    for folder in PRODUCT:
        assert breaches(files(folder), {"random"}) == []


def test_every_exception_to_the_rules_is_still_needed() -> None:
    for name, module in _ALLOWED:
        assert module in {found for found, _ in imports(ROOT / name)}


def test_tests_of_the_whole_tree_see_the_whole_tree() -> None:
    assert all(len(files(folder)) >= 3 for folder in PRODUCT)


@pytest.mark.parametrize("folder", PRODUCT)
def test_files_are_of_a_size_that_one_reads(folder: str) -> None:
    sizes = {name_of(path): len(path.read_text().splitlines()) for path in files(folder)}
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


def test_the_test_for_imports_bites(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Late imports, borrowed types and relative imports are seen."""
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    (tmp_path / "protocol").mkdir()
    bad = tmp_path / "protocol" / "bad.py"
    bad.write_text(
        "from typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n    import trio\n"
        "def f():\n    from . import arith\n"
        "from os.path import join\n"
    )
    assert breaches((bad,), {"trio", "os", "protocol.arith"}) == [
        "protocol/bad.py:3 imports trio",
        "protocol/bad.py:5 imports protocol.arith",
        "protocol/bad.py:6 imports os",
    ]


def test_no_test_file_stands_in_for_a_package() -> None:
    """pytest puts test folders on the path, and worker processes inherit it: a tests/*/node.py
    would be imported there in the place of the node package."""
    packages = {"node.py", "protocol.py", "contracts.py"}
    assert [path for path in (ROOT / "tests").rglob("*.py") if path.name in packages] == []
