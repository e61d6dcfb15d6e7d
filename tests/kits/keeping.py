"""A plugin: no process outlives the run of tests that started it, however the run ends."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from scripts.testing.keeper import kept

_stack = ExitStack()


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):  # a worker of a run side by side ends with the run
        _stack.enter_context(kept())


def pytest_unconfigure() -> None:
    _stack.close()
