"""Fixtures of the sale's tests that need a chain."""

from __future__ import annotations

from pathlib import Path

import pytest
from kits.chain.fixtures import contract, limit, shared, signer, store

__all__ = ["contract", "shared", "signer", "store"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    limit(items, Path(__file__).parent)
