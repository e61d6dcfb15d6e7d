"""What is compiled, checked in and shipped is what the source says."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from kits.paths import ROOT

import contracts
from contracts import build

ENTRIES = {"function", "event", "constructor"}


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The contract's package as a fresh clone has it, without an artifact."""
    copied = tmp_path / "contracts"
    shutil.copytree(build.FOLDER, copied, ignore=shutil.ignore_patterns("build", "__pycache__"))
    return copied


@pytest.mark.parametrize("name", build.CONTRACTS)
def test_the_interface_that_is_checked_in_is_the_compilers(name: str) -> None:
    compiled = build.compile_contract(build.FOLDER / f"{name}.vy")
    assert compiled["abi"] == json.loads((build.FOLDER / f"{name}.abi.json").read_text())
    assert compiled["compiler"].startswith("0.4.3")
    assert {entry["type"] for entry in compiled["abi"]} == ENTRIES


@pytest.mark.ci
def test_the_bytecode_fits_the_chains_limit_and_repeats(checkout: Path) -> None:
    here = build.compile_contract()["bytecode"]
    # EIP-170; the creation code is a little longer than what it leaves on the chain.
    assert len(bytes.fromhex(here[2:])) < 24_576
    assert build.compile_contract(checkout / "bounty.vy")["bytecode"] == here


def test_a_build_leaves_one_whole_artifact(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(build, "ARTIFACT", tmp_path / "build" / "bounty.json")
    artifact = json.loads(build.build().read_text())
    assert artifact["source"] == build.source_digest()
    assert artifact["abi"] == json.loads(build.CHECKED_IN.read_text())
    # Written beside and renamed: no half-written artifact, nothing left over.
    assert [path.name for path in (tmp_path / "build").iterdir()] == ["bounty.json"]


def test_a_missing_artifact_names_the_command_that_builds_it(checkout: Path) -> None:
    script = "import contracts; contracts.interface()"
    run = [sys.executable, "-c", script]
    missing = subprocess.run(run, cwd=checkout.parent, capture_output=True, text=True, check=False)
    assert missing.returncode == 1
    assert "is missing: run `python -m contracts.build`" in missing.stderr
    subprocess.run([sys.executable, "-m", "contracts.build"], cwd=checkout.parent, check=True)
    subprocess.run(run, cwd=checkout.parent, check=True)
    source = checkout / "trees.vy"
    source.write_text(source.read_text() + "\n# later\n")
    stale = subprocess.run(run, cwd=checkout.parent, capture_output=True, text=True, check=False)
    assert stale.returncode == 1
    assert "older than its source: run `python -m contracts.build`" in stale.stderr


def test_a_wheel_carries_the_compiled_contract(tmp_path: Path, checkout: Path) -> None:
    """Built where git ignores the artifact, as a fresh clone does."""
    from hatchling.builders.wheel import WheelBuilder

    project = checkout.parent
    text = (ROOT / "pyproject.toml").read_text()
    project.joinpath("pyproject.toml").write_text(text)
    project.joinpath("README.md").write_text("assay\n")
    shutil.copy(ROOT / ".gitignore", project)
    for package in ("node", "protocol"):
        (project / package).mkdir()
        (project / package / "__init__.py").touch()
    subprocess.run(["git", "init", "-q"], cwd=project, check=True)
    [wheel] = WheelBuilder(str(project)).build(directory=str(tmp_path / "d"), versions=["standard"])
    with zipfile.ZipFile(wheel) as archive:
        for name in build.CONTRACTS:
            shipped = json.loads(archive.read(f"contracts/build/{name}.json"))
            assert f"contracts/{name}.vy" in archive.namelist()
            checked_in = build.FOLDER / f"{name}.abi.json"
            assert shipped["abi"] == json.loads(checked_in.read_text())
            assert shipped["source"] == build.source_digest()


def test_the_interface_names_what_clients_call() -> None:
    names = {entry.get("name") for entry in json.loads(build.CHECKED_IN.read_text())}
    assert names >= {"post", "enrol", "commit", "finish", "cancel", "claim", "withdraw"}
    names = {entry.get("name") for entry in contracts.interface("channel").abi}
    assert names >= {"open", "redeem", "close", "channels"}


@pytest.mark.parametrize("path", sorted(build.FOLDER.glob("*.vy")), ids=lambda path: path.name)
def test_every_function_and_parameter_is_documented(path: Path) -> None:
    source = path.read_text()
    pattern = re.compile(
        r'^def (\w+)\(([^)]*)\)(?: -> [\w.\[\], ()]+)?:\n    """\n(.*?)\n    """', re.M | re.S
    )
    documented = {match[1]: match for match in pattern.finditer(source)}
    assert set(documented) == set(re.findall(r"^def (\w+)\(", source, re.M))
    for name, match in documented.items():
        for parameter in re.findall(r"(\w+):", match[2]):
            assert f"@param {parameter} " in match[3], f"{name}: {parameter}"
    assert "@title" in source
    assert all(len(line) <= 120 for line in source.splitlines())
