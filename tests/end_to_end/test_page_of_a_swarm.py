"""The page among real daemons: a requester posts a job by it, an owner takes it and is paid."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TypeVar

import pytest
import trio
from kits.daemons import clouds
from kits.daemons.jobs import TAKES_ALL, add_data
from kits.daemons.processes import Swarm, until
from kits.web.served import page_of

from scripts.testing.browser import PACKAGES, Browser, browser, found

T = TypeVar("T")

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(
        found() is None and "CI" not in os.environ, reason=f"no browser; install {PACKAGES}"
    ),
]


@pytest.fixture
async def swarm(tmp_path: Path) -> AsyncIterator[Swarm]:
    swarm = Swarm(tmp_path, 5)
    try:
        await swarm.start()
        add_data(swarm)
        yield swarm
    finally:
        swarm.destroy()


async def act(what: Callable[[], T]) -> T:
    return await trio.to_thread.run_sync(what)


async def test_requester_and_owner_come_to_a_paid_job_by_the_page_alone(
    swarm: Swarm, tmp_path: Path
) -> None:
    owner = swarm.owners[0]
    owner.call("policy.set", dataset="clouds", changes={**TAKES_ALL, "accept": "ask"})
    held = clouds.write_csv(tmp_path / "held-out.csv", seed=98, rows=200)
    swarm.requester.call("data.add", name="held-out", path=str(held), holdout=True)
    async with (
        page_of(owner.home, tmp_path / "page.log") as (address, _),
        page_of(swarm.requester.home, tmp_path / "requesters.log") as (other, _),
    ):
        with browser() as seen:
            job = await act(lambda: _post(seen, other))
            await until(lambda: owner.call("status")["jobs_waiting"] == 1, 60, "a job waits")
            await act(lambda: _take(seen, address))
            await act(lambda: _follow(seen, job))
            await until(lambda: swarm.requester.state(job) == "finished", 120, "all is paid")
            await act(lambda: _money(seen, address))
            await act(lambda: _requester(seen, other, job))


def _post(seen: Browser, address: str) -> str:
    """The job's id."""
    seen.size(1200, 900)
    seen.go(address)
    seen.click(".aside .button")
    seen.click("main a[href='/post/spec']")
    write = "document.getElementById('text').value = arguments[0]"
    seen.run(write, clouds.spec(rounds=3))
    seen.type("#holdout", "held-out")
    seen.click("form button")
    costs = seen.until("return document.querySelector('.ask dl')?.textContent")
    assert "0.025 ether" in costs, "3 rounds of 5 contributions, and the merit"
    seen.click(".ask button.primary")
    seen.until("return location.pathname.startsWith('/job/')")
    assert "is posted" in seen.run("return document.querySelector('.notice').textContent")
    return str(seen.run("return location.pathname.split('/')[2]"))


def _take(seen: Browser, address: str) -> None:
    seen.size(1200, 900)
    seen.go(address)
    assert "Two clouds" in seen.run("return document.querySelector('.ask h3').textContent")
    assert "accept" in seen.run("return document.querySelector('.ask .rules').textContent")
    seen.click(".ask button.primary")
    seen.until("return document.querySelector('.notice')?.textContent.includes('clouds trains')")


def _follow(seen: Browser, job: str) -> None:
    """The view that is open comes to show every round, without being loaded again."""
    assert job in seen.run("return location.pathname")
    seen.run("window.same = true")
    seen.until("return document.querySelectorAll('#rounds tbody tr').length === 3", seconds=180)
    assert seen.run("return window.same")


def _money(seen: Browser, address: str) -> None:
    seen.go(address.partition("?")[0] + "money")
    seen.until("return document.querySelector('#money').textContent.includes('Two clouds')")
    seen.until("return document.querySelector('#money .facts').textContent.includes('paid')")
    bar = "const bar = document.querySelector('#money progress'); return bar.value === bar.max"
    seen.until(bar)


def _requester(seen: Browser, address: str, job: str) -> None:
    seen.go(address)
    seen.go(address.partition("?")[0] + f"job/{job}")
    curve = seen.run("return document.querySelector('.curve').getAttribute('aria-label')")
    assert curve.startswith("accuracy by round: ")
    assert curve.endswith("after round 3 of 3")
    seen.go(address.partition("?")[0] + f"job/{job}/history?check=1")
    seen.until("return document.getElementById('who').textContent.includes('WebCrypto')")
    links = "return document.querySelectorAll('.block').length"
    verdict = seen.run("return document.getElementById('verdict').textContent")
    assert verdict == f"All {seen.run(links)} links hold."
    assert "agree with the contract" in seen.run(
        "return document.getElementById('audit').textContent"
    )
