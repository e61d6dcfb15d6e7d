"""The other Pythons of this machine: a wheel in an empty environment, and the quick start on it.

What is here is looked for by name, in pyenv's and in uv's folders; packages come from wherever pip
gets them.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from kits.paths import ROOT

from scripts.benchmarks.first_pay import Typed

pytestmark = pytest.mark.long

VERSIONS = ("3.11", "3.12", "3.13", "3.14")
#: Folders of managers of Pythons, below which there is one each.
MANAGERS = (
    Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions",
    Path.home() / ".local" / "share" / "uv" / "python",
)


def found(version: str) -> Path | None:
    """A Python of this version that makes environments."""
    for path in _candidates(f"python{version}"):
        command = [path, "-c", "import ensurepip, venv"]
        if subprocess.run(command, capture_output=True).returncode == 0:
            return path
    return None


def _candidates(name: str) -> Iterator[Path]:
    on_path = shutil.which(name)
    if on_path:
        yield Path(on_path)
    for folder in MANAGERS:
        yield from sorted(folder.glob(f"*/bin/{name}"))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q"]
    offline = ["--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*pip, "wheel", *offline, "-w", folder, ROOT], check=True)
    (built,) = folder.glob("assay-*.whl")
    return built


@pytest.mark.parametrize("version", VERSIONS)
def test_an_owner_is_paid_on_every_python_that_is_here(
    version: str, wheel: Path, tmp_path: Path
) -> None:
    python = found(version)
    if python is None:
        pytest.skip(f"this machine has no Python {version}")
    environment, folder = tmp_path / "environment", tmp_path / "quick"
    folder.mkdir()
    subprocess.run([python, "-m", "venv", environment], check=True)
    # As docs/guides/installing.md has it.
    pip = [environment / "bin" / "python", "-m", "pip", "--disable-pip-version-check", "-q"]
    lock = ROOT / "requirements.lock"
    subprocess.run([*pip, "install", "--no-deps", "-r", lock], check=True)
    subprocess.run([*pip, "install", "--no-deps", wheel], check=True)
    typed = Typed(folder, program=(str(environment / "bin" / "assay"),), tree=None)
    typed.all()
    assert "20 of 20" in typed.said("job watch")
    assert "0.05 ether" in typed.said("owner-1 account")
    assert "no fault" in typed.said("audit")
