"""Shows the ends of all daemons' logs when a test fails."""

from __future__ import annotations

from collections.abc import Generator

import pytest
from kits.daemons.processes import Swarm


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    swarm = getattr(item, "funcargs", {}).get("swarm")
    if report.failed and isinstance(swarm, Swarm):
        report.sections.extend(swarm.tails())
    return report
