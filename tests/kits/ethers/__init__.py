"""ethers, another implementation of the trees and of typed data, in JavaScript.

It comes from npm by the lock that stands here: its version, and the SHA-512 of each file.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

_HERE = Path(__file__).parent
_INSTALL_SECONDS = 300.0


def answer(place: Path, vectors: Path) -> dict[str, Any]:
    """What check.mjs says of our vectors, and vectors that it made; skips without npm."""
    npm, node = shutil.which("npm"), shutil.which("node")
    if npm is None or node is None:
        pytest.skip("ethers comes from npm, which is not here")
    for name in ("package.json", "package-lock.json", "check.mjs"):
        shutil.copy(_HERE / name, place)
    # No scripts of packages run.
    command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    subprocess.run(command, cwd=place, check=True, capture_output=True, timeout=_INSTALL_SECONDS)
    told = subprocess.run(
        [node, "check.mjs", str(vectors)], cwd=place, check=True, capture_output=True, timeout=60
    )
    found: dict[str, Any] = json.loads(told.stdout)
    return found
