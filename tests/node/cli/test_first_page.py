"""`assay --help` without the parser: the parser's own page, by every letter and colour."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from kits.paths import ROOT

from node.cli.app import build, run
from node.cli.menu import front
from node.cli.menu.table import SECTIONS, Command
from node.control.codes import Exit

#: Each command starts from nothing here (conftest.py).
FRESH = True

#: Where names and sentences get little room, where lines just fit, and where there is much.
WIDTHS = (40, 41, 47, 53, 60, 66, 72, 79, 80, 81, 100, 120, 200, 400)


def of_parser(width: int, coloured: bool, monkeypatch: Any, capsys: Any) -> str:
    monkeypatch.setenv("COLUMNS", str(width))
    if coloured:
        monkeypatch.setenv("FORCE_COLOR", "1")
        monkeypatch.setenv("TERM", "xterm-256color")
    assert run(["--help"], []) == Exit.OK
    text: str = capsys.readouterr().out
    return text


def cells(text: str) -> list[list[tuple[str, str]]]:
    """Each line's characters with their style; of a space only that it is there, at a line's end
    not even that."""
    lines = []
    for line in text.split("\n"):
        style, row = "", list[tuple[str, str]]()
        for part in re.split(r"(\x1b\[[\d;]*m)", line):
            if part.startswith("\x1b"):
                style = part[2:-1].removeprefix("0")
            else:
                row += [(each, "" if each == " " else style) for each in part]
        while row and row[-1] == (" ", ""):
            row.pop()
        lines.append(row)
    return lines


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("coloured", [False, True], ids=["plain", "coloured"])
def test_it_is_the_parsers_page(width: int, coloured: bool, monkeypatch: Any, capsys: Any) -> None:
    page = front.page(width, coloured)
    assert cells(page) == cells(of_parser(width, coloured, monkeypatch, capsys))
    assert ("\x1b" in page) is coloured


def test_no_width_is_left_out() -> None:
    """No word of the page is longer than the narrowest column."""
    for width in range(40, 140):
        lines = front.page(width, coloured=False).splitlines()
        assert max(map(len, lines)) == width
        assert all(len(line) == width for line in lines if line.startswith("│"))


def test_the_sentences_are_those_of_the_commands() -> None:
    script = ROOT / "scripts" / "menu"
    found = subprocess.run([sys.executable, script, "--check"], capture_output=True, text=True)
    assert found.returncode == 0, found.stderr


def test_a_parser_of_all_commands_says_the_same_of_each() -> None:
    whole, bare = build(), build(())
    for name in (each.name for section in SECTIONS for each in section.entries):
        first = " ".join(whole[name].help.partition("\n\n")[0].split())
        assert first == bare[name].help
        assert whole[name].group == bare[name].group


@pytest.mark.parametrize(
    ("environment", "short"),
    [
        ({}, True),
        ({"COLUMNS": "40"}, True),
        ({"COLUMNS": "39"}, False),
        ({"COLUMNS": "wide"}, True),
        ({"NO_COLOR": "1"}, False),
        ({"FORCE_COLOR": "1"}, False),
        ({"PYTHONIOENCODING": "latin-1"}, False),
    ],
    ids=str,
)
def test_what_is_unusual_is_left_to_the_parser(environment: dict[str, str], short: bool) -> None:
    script = (
        "import sys; from node.cli.main import main; code = main(['--help']);"
        "print(code, 'cyclopts' in sys.modules, file=sys.stderr)"
    )
    bare = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, env={**bare, **environment}
    )
    assert done.stderr.decode().split() == ["0", str(not short)]
    assert b"assay COMMAND [OPTIONS]" in done.stdout


def test_it_imports_nothing_heavy() -> None:
    script = (
        "import sys; from node.cli.main import main; code = main([]);"
        "heavy = {'trio', 'protocol', 'cyclopts', 'rich', 'numpy', 'web3', 'asyncio'};"
        "print(sorted(heavy & set(sys.modules)), code, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT)
    assert done.stderr == "[] 0\n"


def test_a_reader_that_has_gone_gets_no_traceback() -> None:
    reads, writes = os.pipe()
    os.close(reads)
    command = [sys.executable, "-m", "node.cli.main", "--help"]
    with os.fdopen(writes, "wb") as gone:
        done = subprocess.run(command, stdout=gone, stderr=subprocess.PIPE, cwd=ROOT)
    assert done.stderr == b""


@pytest.mark.parametrize(
    ("words", "module"),
    [("jobs", "jobs"), ("data list", "data"), ("offers", "sale.selling"), ("rpc x", "rpc")],
)
def test_a_command_does_not_wait_for_others(words: str, module: str, tmp_path: Path) -> None:
    """Of modules that the table names only those that the line names are imported."""
    script = (
        "import sys; from node.cli.main import main; main(sys.argv[1:]);"
        "print([m for m in sys.modules if m.startswith('node.cli.commands.')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *words.split()],
        capture_output=True,
        text=True,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "ASSAY_HOME": str(tmp_path)},
    )
    imported = set(re.findall(r"node\.cli\.commands\.([\w.]+)", done.stdout))
    assert module in imported
    named = {
        function.partition(":")[0]
        for section in SECTIONS
        for each in section.entries
        for function in (
            [each.function]
            if isinstance(each, Command)
            else [each.function, *(below.function for below in each.commands)]
        )
    }
    beside = {"data": {"datasets"}}.get(module, set())
    assert imported & named == {module} | beside


@pytest.mark.parametrize(
    ("words", "near"), [("jbos", "jobs"), ("job shwo", "show"), ("polcy set", "policy")]
)
async def test_a_wrong_word_is_met_with_the_nearest(words: str, near: str, assay: Any) -> None:
    ended = await assay(*words.split())
    assert ended.code == Exit.USAGE
    assert f'Did you mean "{near}"?' in ended.err


@pytest.mark.parametrize("words", ["jobs", "job", "job show", "offer", "offer withdraw", "rpc"])
async def test_each_page_of_help_is_whole(words: str, assay: Any) -> None:
    """It shows what a parser of all commands shows."""
    ended = await assay(*words.split(), "--help")
    assert ended.code == 0
    for told in ("--home", "--json", f"Usage: assay {words}"):
        assert told in ended.out
