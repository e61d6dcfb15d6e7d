"""What a user waits for: the stub answers what is asked of it, and a base install is the base's."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.benchmarks import user
from scripts.benchmarks.figures import BenchError
from scripts.testing.browser import found


class Once:
    """A context of one run."""

    runs = 1

    def side(self, name: str) -> object:
        raise AssertionError("nothing is compared")

    def say(self, text: str) -> None:
        pass


def test_commands_are_answered_by_the_stub() -> None:
    measured = user.command(Once(), "jobs")  # type: ignore[arg-type]
    assert measured.ours > 0


def test_a_command_that_fails_is_no_measurement() -> None:
    with pytest.raises(BenchError, match="assay peers failed"):
        user.command(Once(), "peers")  # type: ignore[arg-type]


@pytest.mark.skipif(found() is None, reason="no browser")
def test_the_page_loads_before_the_stub() -> None:
    assert user.page(Once()).ours > 0  # type: ignore[arg-type]
    assert 0 < user.page_bytes(Once()).ours < 300  # type: ignore[arg-type]


@pytest.mark.skipif(found() is None, reason="no browser")
def test_the_page_shows_what_the_stub_changes() -> None:
    measured = user.page_live(Once())  # type: ignore[arg-type]
    # Two frames, and what the page waits for events that come together.
    assert 0.15 < measured.ours < 30


def test_a_base_install_has_what_a_node_needs_and_no_tests() -> None:
    base = user._base()
    assert {"assay", "libp2p", "numpy", "polars"} <= base
    assert not base & {"pytest", "mypy", "scikit-learn", "py-evm"}


def test_a_packages_bytes_are_its_files_without_bytecode(tmp_path: Path) -> None:
    assert 10_000 < user._bytes("starlette") < 2_000_000


def test_what_is_large_has_a_reason() -> None:
    (note,) = user.install(Once()).notes  # type: ignore[arg-type]
    assert "(training runs on it)" in note
    assert "no reason" not in note
