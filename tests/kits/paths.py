"""Where tests find the checkout and what lies in it."""

from __future__ import annotations

from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
ROOT = TESTS.parent
VECTORS = TESTS / "vectors"
