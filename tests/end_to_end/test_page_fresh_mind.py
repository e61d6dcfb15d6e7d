"""A fresh mind, once as owner and once as requester, on the page alone: from nothing to a paid job.

Neither types a command or a spec. Four other owners are there already, as in any swarm.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Final, TypeVar

import pytest
import trio
from kits.daemons import clouds
from kits.daemons.jobs import TAKES_ALL
from kits.daemons.processes import Swarm, until
from kits.web.served import page_of

from node.home.home import PAGE_PREFIX
from scripts.testing.browser import PACKAGES, Browser, browser, found

T = TypeVar("T")

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(
        found() is None and "CI" not in os.environ, reason=f"no browser; install {PACKAGES}"
    ),
]

ROUNDS: Final = 6
_PICTURES: Final = os.environ.get("ASSAY_TEST_PICTURES")


@pytest.fixture
async def swarm(tmp_path: Path) -> AsyncIterator[Swarm]:
    swarm = Swarm(tmp_path, 5)
    try:
        await swarm.start()
        for number, owner in enumerate(swarm.owners[1:]):
            path = clouds.write_csv(tmp_path / f"other-{number}.csv", seed=number, rows=400)
            owner.call("data.add", name="points", path=str(path))
            owner.call("policy.set", dataset="points", changes=TAKES_ALL)
        yield swarm
    finally:
        swarm.destroy()


async def act(what: Callable[[], T]) -> T:
    return await trio.to_thread.run_sync(what)


async def test_owner_and_requester_come_from_nothing_to_a_paid_job(
    swarm: Swarm, tmp_path: Path
) -> None:
    owner, requester = swarm.owners[0], swarm.requester
    async with (
        page_of(owner.home, tmp_path / "page.log") as (owners, _),
        page_of(requester.home, tmp_path / "requesters.log") as (requesters, _),
    ):
        with browser() as seen:
            seen.size(1200, 900)
            await act(lambda: _adds_data(seen, owners, tmp_path))
            job = await act(lambda: _posts(seen, requesters, tmp_path))
            await until(lambda: owner.call("status")["jobs_waiting"] == 1, 60, "a job waits")
            await act(lambda: _consents(seen, owners))
            await act(lambda: _follows(seen, requesters, job))
            await until(lambda: requester.state(job) == "finished", 120, "all is paid")
            await act(lambda: _is_paid(seen, owners))
            await act(lambda: _predicts(seen, requesters, job, tmp_path))
    # What was handed over was gone once it was read. Predictions wait for their download.
    assert _left(owner.home.path) == []
    assert len(_left(requester.home.path)) == 1


def _left(home: Path) -> list[Path]:
    return [each for each in home.glob(f"{PAGE_PREFIX}*/**/*") if each.is_file()]


def _at(address: str, path: str) -> str:
    return address.partition("?")[0] + path.lstrip("/")


def _notice(seen: Browser) -> str:
    return str(seen.until("return document.querySelector('.notice')?.textContent"))


def _fill(seen: Browser, name: str, text: str) -> None:
    """A field's whole text: a person selects all of it and types."""
    element = f'[name="{name}"]'
    seen.run("document.querySelector(arguments[0]).select()", element)
    seen.type(element, text)


def _choose(seen: Browser, name: str, value: str) -> None:
    seen.click(f'select[name="{name}"] option[value="{value}"]')


def _submit(seen: Browser, form: str = "main form") -> None:
    seen.run("window.left = true")
    seen.click(f"{form} button.primary")
    seen.until("return !window.left && document.readyState === 'complete'", seconds=120)


def _picture(seen: Browser, name: str) -> None:
    if _PICTURES:
        (Path(_PICTURES) / f"{name}.png").write_bytes(seen.picture())


def _adds_data(seen: Browser, address: str, folder: Path) -> None:
    """A file that is handed over, looked into; then its policy, term by term."""
    table = clouds.write_csv(folder / "mine.csv", seed=77, rows=400)
    seen.go(address)
    seen.go(_at(address, "/data"))
    seen.click("main a[href='/data/add']")
    # First as people do it: a name that is none, and the error is beside its field.
    seen.type("[name=name]", "My points")
    seen.type("[name=file]", str(table))
    _submit(seen)
    assert "is no name" in seen.run("return document.getElementById('e-name').textContent")
    _picture(seen, "owner-add-wrong")
    _fill(seen, "name", "mine")
    seen.type("[name=file]", str(table))
    _submit(seen)
    assert "mine is added: 400 rows of 3 columns" in _notice(seen)
    assert seen.run("return location.pathname") == "/data/mine"
    columns = seen.run("return document.querySelector('[aria-labelledby=columns]').textContent")
    assert "x_0" in columns
    assert "side" in columns
    assert "handed over by the page: mine.csv" in seen.run("return document.body.textContent")
    _picture(seen, "owner-look")
    seen.click("main a[href='/data#policy-mine']")
    for term, value in (("price_floor", "0.0001 ether"), ("epsilon", "a lot"), ("epsilon", "20")):
        _fill_term(seen, term, value)
        if value == "a lot":
            fault = "return document.querySelector('#row-mine-epsilon .fault')?.textContent"
            assert "from 0 to 1000" in seen.until(fault)
            _picture(seen, "owner-policy-wrong")
    _fill_term(seen, "delta", "1e-5")
    seen.run("window.left = true")
    seen.click("#t-mine-accept option:nth-child(2)")
    seen.click("#row-mine-accept button")
    seen.until("return !window.left")
    assert "mine: accept is ask" in _notice(seen)
    _picture(seen, "owner-policy")


def _fill_term(seen: Browser, term: str, value: str) -> None:
    seen.run("document.querySelector('#policy-mine').open = true; window.left = true")
    field = f"#t-mine-{term}"
    seen.run("document.querySelector(arguments[0]).select()", field)
    seen.type(field, value)
    seen.press("\ue007")  # enter
    seen.until("return !window.left && document.readyState === 'complete'")


def _posts(seen: Browser, address: str, folder: Path) -> str:
    """Six steps from a table; the job's id."""
    pilot = clouds.write_csv(folder / "pilot.csv", seed=500, rows=40)
    held = clouds.write_csv(folder / "held-out.csv", seed=501, rows=200)
    seen.go(address)
    seen.click(".aside .button")
    _picture(seen, "post-1-table")
    seen.type("[name=path]", str(pilot))
    _submit(seen)
    seen.until("return location.pathname.endsWith('/columns')")
    _picture(seen, "post-2-columns")
    _choose(seen, "c2_use", "target")
    _fill(seen, "c0_low", "-5")
    _fill(seen, "c0_high", "five")
    _fill(seen, "c1_low", "-5")
    _fill(seen, "c1_high", "5")
    _submit(seen)
    wrong = "return document.getElementById('e-c0_high')?.textContent"
    assert "five" in seen.until(wrong)
    assert "population" in seen.run("return document.getElementById('e-declared').textContent")
    _picture(seen, "post-2-columns-wrong")
    _fill(seen, "c0_high", "5")
    seen.click("[name=declared]")
    _submit(seen)
    for name, value in (("training.rounds", str(ROUNDS)), ("training.rate", "16")):
        _fill(seen, name, value)
    for name, value in (("training.batch_rows", "200"), ("timing.finality_blocks", "1")):
        _fill(seen, name, value)
    _picture(seen, "post-3-model")
    _submit(seen)
    _fill(seen, "cohort.min_owners", "2")
    _submit(seen)
    few = "return document.getElementById('e-cohort.min_owners')?.textContent"
    assert seen.until(few)
    _picture(seen, "post-4-privacy-wrong")
    _fill(seen, "cohort.min_owners", "5")
    _submit(seen)
    seen.until("return location.pathname.endsWith('/payment')")
    seen.click("[name=then]")
    seen.until("return location.pathname === '/data/add'")
    seen.type("[name=name]", "held-out")
    seen.type("[name=file]", str(held))
    _submit(seen)
    assert "held-out is added" in _notice(seen)
    seen.until("return location.pathname.endsWith('/payment')")
    seen.type("[name=holdout]", "held-out")
    _picture(seen, "post-5-payment")
    _submit(seen)
    costs = seen.until("return document.querySelector('.ask dl')?.textContent")
    assert "0.05 ether" in costs, "6 rounds of 5 contributions, and the merit"
    assert "held-out" in costs
    _picture(seen, "post-6-costs")
    _submit(seen, ".ask")
    assert "is posted" in _notice(seen)
    return str(seen.run("return location.pathname.split('/')[2]"))


def _consents(seen: Browser, address: str) -> None:
    seen.go(address)
    _picture(seen, "owner-asked-first")
    rules = seen.until("return document.querySelector('.ask .rules')?.textContent")
    assert "accept" in rules
    _picture(seen, "owner-asked")
    seen.click(".ask .dataset a")
    fit = "return document.querySelector('[aria-labelledby=fit]').textContent"
    assert "400 of 400 rows can be used" in seen.run(fit)
    _picture(seen, "owner-fit")
    seen.go(_at(address, "/"))
    seen.until("return document.querySelector('.ask button.primary')")
    seen.click(".ask button.primary")
    assert "mine trains" in _notice(seen)


def _follows(seen: Browser, address: str, job: str) -> None:
    """The view that is open comes to show every round, without being loaded again."""
    seen.go(address)
    seen.go(_at(address, f"/job/{job}"))
    seen.run("window.same = true")
    rows = f"return document.querySelectorAll('#rounds tbody tr').length === {ROUNDS}"
    seen.until(rows, seconds=240)
    seen.until("return document.querySelector('.s-finished')", seconds=240)
    assert seen.run("return window.same")
    assert seen.run("return document.querySelector('.curve') !== null")
    _picture(seen, "requester-job")


def _is_paid(seen: Browser, address: str) -> None:
    """Paid, by a click where it was not claimed by itself; with a receipt, and a budget's bar."""
    seen.go(address)
    seen.go(_at(address, "/money"))
    bar = "const bar = document.querySelector('#money progress'); return bar.value === bar.max"
    seen.until("return document.querySelector('#money progress')")
    seen.until(bar)
    _picture(seen, "owner-money")
    receipts = seen.run(
        "return fetch('/money/receipts').then((each) => each.text()).then((each) => each.length)"
    )
    assert receipts > 100
    seen.go(_at(address, "/data"))
    assert seen.run("return document.querySelector('#set-mine .budget .spent') !== null")
    _picture(seen, "owner-privacy")


def _predicts(seen: Browser, address: str, job: str, folder: Path) -> None:
    new = folder / "new.csv"
    new.write_text("x_0,x_1\n-2,-2\n2,2\n,1\n")
    seen.go(address)
    seen.go(_at(address, f"/job/{job}"))
    seen.click("main a[href$='/predict']")
    seen.type("[name=file]", str(new))
    _submit(seen)
    rows = "[...document.querySelectorAll('#predictions tbody tr')]"
    read = f"return {rows}.map((each) => each.cells[1].textContent)"
    _picture(seen, "requester-predicted")
    assert seen.run(read) == ["0", "1", ""]
    assert "1 row without a prediction" in seen.run("return document.body.textContent")
    taken = "return fetch(document.querySelector('a.primary').href).then((each) => each.text())"
    assert str(seen.run(taken)).startswith("line,prediction,")
