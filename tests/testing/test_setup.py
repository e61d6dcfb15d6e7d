"""scripts/make-venv says how far it is, and passes on what pip could not do."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from kits.paths import ROOT

PACKAGES = "lib/python3/site-packages"

#: Stands in for the environment's Python: it is given pip's words, and does what a test wants.
_PIP = """#!{python}
import os, sys, time
assert sys.argv[1:4] == ["-m", "pip", "install"]
for name in ("one", "two"):
    print(f"Collecting {{name}}==1 (from -r requirements.lock)", flush=True)
    time.sleep(0.4)
print("Installing collected packages: one, two", flush=True)
os.makedirs("{packages}/one.dist-info")
time.sleep(0.6)
sys.exit({code})
"""


@pytest.fixture
def making(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    loader = importlib.machinery.SourceFileLoader("making", str(ROOT / "scripts" / "make-venv"))
    spec = importlib.util.spec_from_loader("making", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    monkeypatch.setattr(module, "VENV", tmp_path)
    monkeypatch.setattr(module, "PYTHON", tmp_path / "python")
    monkeypatch.setattr(module, "SAY_SECONDS", 0.1)
    for name in ("pip", "setuptools", "wheel"):
        (tmp_path / PACKAGES / f"{name}.dist-info").mkdir(parents=True)
    return module


def pip(making: Any, code: int) -> None:
    making.PYTHON.write_text(
        _PIP.format(python=sys.executable, code=code, packages=making.VENV / PACKAGES)
    )
    making.PYTHON.chmod(0o700)


def test_it_says_what_is_fetched_and_then_what_is_installed(
    making: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    pip(making, 0)
    # The lock has lines for other systems, which pip does not fetch.
    making.install_locked(5)
    said = capsys.readouterr().err
    assert re.search(r"^setup: [01] fetched, of at most 5, after \d+ s$", said, re.MULTILINE)
    assert re.search(r"^setup: 1 installed, of 2, after \d+ s$", said, re.MULTILINE)


def test_what_pip_could_not_do_is_an_error(making: Any) -> None:
    pip(making, 1)
    with pytest.raises(making.Problem, match="pip failed"):
        making.install_locked(2)
