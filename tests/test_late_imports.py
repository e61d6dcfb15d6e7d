"""Imports inside functions are for what is heavy or optional (tests/late_imports.toml)."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PRODUCT = ("protocol", "node", "contracts")


def listed() -> list[tuple[str, str]]:
    """(file or room, module) of every row."""
    rows = tomllib.loads(Path(__file__).with_name("late_imports.toml").read_text())["late"]
    assert all(len(row["why"].split()) >= 3 for row in rows)
    return [(row["where"], module) for row in rows for module in row["imports"]]


def late_imports(name: str, source: str) -> Iterator[tuple[int, str]]:
    """Line and module of each import in a function; `from room import module` names the module."""
    package = name.removesuffix(".py").split("/")[:-1]
    for function in ast.walk(ast.parse(source)):
        if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        for node in ast.walk(function):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    yield node.lineno, alias.name
            elif isinstance(node, ast.ImportFrom):
                above = package[: len(package) - node.level + 1] if node.level else []
                base = ".".join([*above, *([node.module] if node.module else [])])
                for alias in node.names:
                    full = f"{base}.{alias.name}"
                    file = ROOT / (full.replace(".", "/") + ".py")
                    yield node.lineno, full if file.is_file() else base


def covers(row: tuple[str, str], name: str, module: str) -> bool:
    where, listed_module = row
    here = name == where or name.startswith(where + "/")
    return here and (module == listed_module or module.startswith(listed_module + "."))


def found() -> list[tuple[str, int, str]]:
    """(file, line, module) of every late import in the product."""
    files = sorted(path for folder in PRODUCT for path in (ROOT / folder).rglob("*.py"))
    return [
        (name, line, module)
        for name, path in ((path.relative_to(ROOT).as_posix(), path) for path in files)
        for line, module in late_imports(name, path.read_text())
    ]


def test_every_late_import_has_a_reason() -> None:
    rows = listed()
    assert [
        f"{name}:{line} imports {module} late"
        for name, line, module in found()
        if not any(covers(row, name, module) for row in rows)
    ] == [], "move these to the top of their files, or give a reason in tests/late_imports.toml"


def test_every_reason_is_still_needed() -> None:
    late = {(name, module) for name, _, module in found()}
    assert [
        row for row in listed() if not any(covers(row, name, module) for name, module in late)
    ] == []


def test_the_daemon_starts_without_what_is_heavy() -> None:
    """What its workers compute with, and what it imports in a thread once it is up."""
    heavy = ("dp_accounting", "eth_account", "gmpy2", "libp2p", "numpy", "opendp", "phe", "polars")
    code = f"import sys, node.daemon; print([m for m in {(*heavy, 'web3')} if m in sys.modules])"
    found = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert found.stdout == "[]\n"


def test_the_walk_sees_every_way_to_import_late() -> None:
    source = (
        "import numpy\n"
        "class A:\n def f(self):\n  import web3, trio.abc\n"
        "async def g():\n if True:\n  from . import blobs\n"
        "  from node.store import store, missing\n"
    )
    assert set(late_imports("node/store/jobs.py", source)) == {
        (4, "web3"),
        (4, "trio.abc"),
        (7, "node.store.blobs"),
        (8, "node.store.store"),
        (8, "node.store"),
    }
