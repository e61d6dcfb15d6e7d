"""Sides run in processes of their own, and what goes wrong there is never a figure."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest

from scripts.benchmarks import environment
from scripts.benchmarks.drivers import SIDES, Driver
from scripts.benchmarks.figures import BenchError, Reply

SERVE = [sys.executable, "-P", "-m", "scripts.benchmarks.serve"]


@pytest.fixture
def driver() -> Iterator[Driver]:
    made = Driver("echo", [*SERVE, "tests.bench.bench_echo_side"])
    yield made
    made.close()


def test_a_side_answers_and_says_what_it_runs(driver: Driver) -> None:
    assert driver.versions == {"numpy": metadata.version("numpy")}
    assert driver.python == ".".join(map(str, sys.version_info[:3]))
    # What it prints meanwhile is not taken for the answer.
    assert driver.call("echo", seconds=0.25) == Reply(0.25, {"all": 0.25}, {"calls": 1})
    assert driver.call("echo", seconds=0.5) == Reply(0.5, {"all": 0.5}, {"calls": 1})


def test_sides_have_one_thread_and_phone_nobody(driver: Driver) -> None:
    assert driver.call("environment", name="OPENBLAS_NUM_THREADS").seconds == 1
    assert driver.call("environment", name="FLWR_TELEMETRY_ENABLED").seconds == 0


def test_sides_share_a_core(driver: Driver) -> None:
    other = Driver("echo", [*SERVE, "tests.bench.bench_echo_side"])
    other.close()
    assert other.core == driver.core


def test_a_wrong_result_is_an_error_and_no_figure(capfd: pytest.CaptureFixture[str]) -> None:
    driver = Driver("echo", [*SERVE, "tests.bench.bench_echo_side"])
    with pytest.raises(BenchError, match="echo has ended with exit code 1"):
        driver.call("wrong")
    assert "the sum is not the true one" in capfd.readouterr().err
    with pytest.raises(BenchError, match="echo has ended"):
        driver.call("echo", seconds=1.0)
    driver.close()


def test_a_side_that_cannot_start_is_an_error(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(BenchError, match="lost has ended"):
        Driver("lost", [*SERVE, "tests.bench.no_such_module"])
    assert "no_such_module" in capfd.readouterr().err


def test_every_side_is_there() -> None:
    for place in SIDES.values():
        assert (environment.ROOT / (place.module.replace(".", "/") + ".py")).is_file()
        if place.environment is not None:
            pins = (environment.LOCKS / f"{place.environment}.lock").read_text().splitlines()
            # Versions only: no addresses, no options.
            assert pins
            assert [pin for pin in pins if pin.count("==") != 1 or "/" in pin or "@" in pin] == []


def test_an_environment_is_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Made again only if its pins change, or if its last install did not end."""
    monkeypatch.setattr(environment, "LOCKS", tmp_path)
    monkeypatch.setattr(environment, "FOLDER", tmp_path / "environments")
    commands: list[list[str]] = []

    def carry_out(command: list[str], failure: str) -> None:
        commands.append(command)
        if "venv" in command:
            binary = Path(command[-1]) / "bin" / "python"
            binary.parent.mkdir(parents=True)
            binary.touch(0o755)
        elif fails:
            raise BenchError(failure)

    monkeypatch.setattr(environment, "_run", carry_out)
    (tmp_path / "peer.lock").write_text("peer==1\n")
    fails = True
    with pytest.raises(BenchError, match="pip failed"):
        environment.python("peer")
    fails = False
    made = environment.python("peer")
    assert len(commands) == 4
    assert environment.python("peer") == made
    assert len(commands) == 4
    (tmp_path / "peer.lock").write_text("peer==2\n")
    environment.python("peer")
    assert len(commands) == 6
