"""How a run side by side ends when one of its workers does not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]

CONFTEST = """
from kits import side_by_side

def pytest_xdist_make_scheduler(config, log):
    return side_by_side.scheduler(config, log)
"""

#: A module whose third test ends its worker without a word, as a fault in native code does.
CRASH = """
import os, pytest

@pytest.mark.parametrize("number", range({tests}))
def test_it(number):
    if number == {deadly}:
        os._exit(11)
"""
FINE = "def test_fine(): pass\n"


def run(folder: Path) -> str:
    (folder / "conftest.py").write_text(CONFTEST)
    command = [sys.executable, "-m", "pytest", "-n", "2", "-p", "no:cacheprovider", "-q"]
    done = subprocess.run(
        [*command, f"--rootdir={folder}", str(folder)],
        env={"PYTHONPATH": str(TESTS), "PATH": ""},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize(("tests", "deadly"), [(1, 0), (5, 2), (5, 4)])
def test_a_worker_that_dies_fails_its_test_and_no_other(
    tmp_path: Path, tests: int, deadly: int
) -> None:
    """The run goes on to its end: what was left of the module is done by another worker."""
    for number in range(4):
        (tmp_path / f"test_{number}.py").write_text(FINE)
    (tmp_path / "test_zz.py").write_text(CRASH.format(tests=tests, deadly=deadly))
    output = run(tmp_path)
    assert f"1 failed, {4 + tests - 1} passed" in output
    assert output.count("node down") == 1


def test_the_last_module_of_all(tmp_path: Path) -> None:
    """One test is left when its worker dies, and nothing follows it."""
    (tmp_path / "test_a.py").write_text(CRASH.format(tests=2, deadly=0))
    (tmp_path / "test_b.py").write_text(FINE)
    assert "1 failed, 2 passed" in run(tmp_path)


#: The first run of its first test ends the worker; whoever collects it later finds more tests.
GROWS = """
import os, pathlib, pytest

mark = pathlib.Path(__file__).with_name("died")
if mark.exists():
    mark.with_name("again").touch()

@pytest.mark.parametrize("number", range(2 + mark.exists()))
def test_it(number):
    if number == 0:
        mark.touch()
        os._exit(11)
"""
#: The other worker is at work until that has come to pass.
WAITS = """
import pathlib, time

def test_fine():
    while not pathlib.Path(__file__).with_name("again").exists():
        time.sleep(0.01)
"""


def test_a_worker_that_collects_other_tests_ends_the_run_and_not_itself(tmp_path: Path) -> None:
    """It is given nothing, and the run neither waits for it nor breaks: others do what is left."""
    (tmp_path / "test_a.py").write_text(GROWS)
    for number in range(6):
        (tmp_path / f"test_b{number}.py").write_text(WAITS)
    output = run(tmp_path)
    assert "INTERNALERROR" not in output
    assert "crashed while running" in output
