"""docs/guides/quick-start.md, typed as it stands: from an empty folder to an owner's pay."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from kits.paths import ROOT

from scripts.benchmarks.first_pay import GUIDE, Typed


@pytest.mark.long
def test_an_owner_is_paid_after_the_quick_start(tmp_path: Path) -> None:
    typed = Typed(tmp_path)
    typed.all()
    assert "20 of 20" in typed.said("job watch")
    assert "0.05 ether" in typed.said("owner-1 account")
    assert "no fault" in typed.said("audit")
    assert (tmp_path / "model.npz").exists()
    assert "test_an_owner_is_paid_after_the_quick_start" in GUIDE.read_text()


def test_the_data_that_ship_are_what_the_script_writes() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "example-data", "--check"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
