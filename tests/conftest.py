"""What holds for every test."""

from __future__ import annotations

import gc
from collections.abc import Generator
from typing import Any

import pytest

# Before any kit is imported: their assertions explain themselves as those of test modules do.
pytest.register_assert_rewrite("kits")

from kits import examples, side_by_side  # noqa: E402

pytest_plugins = ["kits.keeping"]

examples.register()


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, Any, Any]:
    """What is imported and collected stays: looking through it for garbage is work for nothing."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    side_by_side.longest_waits_first(items)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    return side_by_side.scheduler(config, log)
