"""The page in a real Chromium, where there is one: clicks, keys, live changes, hostile texts."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest
import trio
from kits.control.fake import serving
from kits.web.served import Site, site

from node.control import examples as ex
from node.control.sale import examples as sx
from node.home.home import Home
from protocol.errors import StateError
from scripts.testing.browser import PACKAGES, Browser, browser, found

T = TypeVar("T")

# CI installs one (.ci/run): there it is a failure if it is missing.
pytestmark = pytest.mark.skipif(
    found() is None and "CI" not in os.environ, reason=f"no browser; install {PACKAGES}"
)

VIEWS = (
    "/",
    f"/job/{ex.JOB}",
    f"/job/{ex.JOB}/history",
    f"/job/{ex.JOB}/predict",
    "/post",
    "/post/spec",
    "/data",
    "/data/add",
    f"/data/ward-3?job={ex.JOB}",
    "/money",
    "/sale",
    f"/sale/new?job={ex.JOB}",
    f"/sale/offer/{sx.OFFER.offer.hex()}",
    "/network",
)
HOSTILE = "<img src=x onerror='window.taken=1'><script>window.taken=1</script>\u202e" + "A" * 10_000


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as opened:
        yield opened


@pytest.fixture
async def page(tmp_path: Path) -> AsyncIterator[Site]:
    async with site(tmp_path) as page:
        yield page


async def use(act: Callable[[], T]) -> T:
    """What a browser does takes its time, and the fake daemon must answer meanwhile."""
    return await trio.to_thread.run_sync(act)


def show(page: Site, **changes: object) -> None:
    summary = dataclasses.replace(ex.SUMMARY, **changes)  # type: ignore[arg-type]
    page.running.node.jobs_known[ex.JOB] = dataclasses.replace(ex.DETAIL, summary=summary)


async def test_the_printed_address_opens_it_and_leaves_no_token_behind(
    page: Site, chromium: Browser
) -> None:
    def act() -> tuple[str, str, str]:
        chromium.go(page.address)
        return (
            chromium.run("return location.href"),
            chromium.run("return document.cookie"),
            chromium.run("return document.querySelector('h1').textContent"),
        )

    assert await use(act) == (f"{page.origin}/", "", "Jobs")


async def test_a_click_takes_a_job_and_the_keyboard_reaches_the_button(
    page: Site, chromium: Browser
) -> None:
    show(page, state="waiting", dataset="")

    def act() -> str:
        chromium.go(page.address)
        chromium.until("return document.querySelector('#pulse').textContent === 'live'")
        for _ in range(60):
            chromium.press("\ue004")  # the tabulator
            if chromium.run("return document.activeElement.className") == "primary":
                break
        outline = chromium.run("return getComputedStyle(document.activeElement).outlineStyle")
        assert outline == "solid", "where the focus is must be seen"
        chromium.press("\ue007")  # enter
        chromium.until("return location.pathname.startsWith('/job/')")
        return str(chromium.until("return document.querySelector('.notice')?.textContent"))

    assert "ward-3 trains this job" in await use(act)


async def test_it_shows_what_happens_without_losing_what_the_reader_had_open(
    page: Site, chromium: Browser
) -> None:
    def opened() -> None:
        chromium.go(page.address)
        chromium.go(f"{page.origin}/job/{ex.JOB}")
        chromium.until("return document.querySelector('#pulse').textContent === 'live'")
        chromium.run("document.querySelector('#spec').open = true")
        chromium.run("document.querySelector('#head a').focus()")
        assert chromium.run("return document.querySelector('progress').value") == 1

    await use(opened)
    show(page, round=7)
    page.running.bus.publish("round-applied", "round 7 <b>of</b> 20", job=ex.JOB)

    def seen() -> tuple[bool, str, str]:
        chromium.until("return document.querySelector('progress').value === 7")
        return (
            chromium.run("return document.querySelector('#spec').open"),
            chromium.run("return document.activeElement.textContent"),
            chromium.run("return document.querySelector('#events bdi').textContent"),
        )

    assert await use(seen) == (True, "Jobs", "round-applied: round 7 <b>of</b> 20")


async def test_a_form_that_is_sent_twice_is_sent_once(page: Site, chromium: Browser) -> None:
    asked: list[str] = []
    show(page, state="waiting", dataset="")

    async def slow(job: str, dataset: str) -> object:
        asked.append(job)
        await trio.sleep(1)
        raise StateError("slow")

    page.running.node.job_consent = slow  # type: ignore[method-assign,assignment]

    def press() -> None:
        chromium.go(page.address)
        chromium.until("return document.querySelector('#pulse').textContent === 'live'")
        chromium.until("return document.querySelector('form[action$=consent] button')")
        press = "document.querySelector('form[action$=consent] button').click()"
        chromium.run(f"{press}; setTimeout(() => {press}, 300)")
        chromium.until("return document.title === 'assay'")

    await use(press)
    assert asked == [ex.JOB]


async def test_a_view_that_found_no_daemon_comes_back_by_itself(
    page: Site, chromium: Browser, tmp_path: Path
) -> None:
    page.running.scope.cancel()

    def lost() -> None:
        chromium.go(page.address)
        chromium.until("return document.querySelector('#down') || (location.reload(), false)")

    await use(lost)
    async with serving(Home(tmp_path / "home").socket_path()):
        await use(lambda: chromium.until("return document.title.includes('Jobs')"))


async def test_the_enter_key_goes_on_and_adds_no_hold_out(
    page: Site, chromium: Browser, tmp_path: Path
) -> None:
    table = tmp_path / "wards.csv"
    table.write_text("age,sepsis\n" + "".join(f"{20 + n},{n % 2}\n" for n in range(30)))

    def press() -> tuple[str, str]:
        chromium.go(page.address)
        chromium.go(f"{page.origin}/post")
        chromium.type("[name=path]", str(table))
        chromium.click("main form button.primary")
        chromium.until("return location.pathname.endsWith('/columns')")
        at = str(chromium.run("return location.pathname")).replace("columns", "payment")
        chromium.go(page.origin + at)
        chromium.run("document.querySelector('[name=\"payment.merit\"]').focus()")
        chromium.press("\ue007")
        chromium.until(f"return location.pathname !== '{at}'")
        by_enter = str(chromium.run("return location.pathname"))
        chromium.go(page.origin + at)
        chromium.click("[name=then]")
        chromium.until("return location.pathname === '/data/add'")
        return by_enter, str(chromium.run("return document.querySelector('[name=back]').value"))

    by_enter, back = await use(press)
    assert by_enter.endswith("/costs")
    assert back.endswith("/payment")


async def test_hostile_texts_act_on_nothing(page: Site, chromium: Browser) -> None:
    show(page, title=HOSTILE, reason=HOSTILE)

    def act() -> None:
        chromium.size(1200, 800)
        chromium.go(page.address)
        for path in VIEWS:
            chromium.go(page.origin + path)
            chromium.until("return document.querySelector('#pulse').textContent === 'live'")
            assert chromium.run("return window.taken") is None
            odd = "return document.querySelectorAll('main img, main script').length"
            assert chromium.run(odd) == 0
            assert chromium.run("return document.documentElement.scrollWidth") <= 1200
        chromium.complaints()

    await use(act)
    page.running.bus.publish("waiting", HOSTILE, job=ex.JOB)
    shown = "return document.querySelector('#pulse').textContent.includes('<img src=x')"
    await use(lambda: chromium.until(shown))
    assert await use(lambda: chromium.run("return window.taken")) is None


async def test_a_script_that_slipped_in_would_not_run(page: Site, chromium: Browser) -> None:
    """The policy of last resort, without which this test sets the mark."""
    ways = (
        "document.body.innerHTML += `<img src=x onerror='window.taken=1'>`",
        "document.createElement('img').setAttribute('onerror', 'window.taken=1')",
        "setTimeout('window.taken=1')",
        "const made = document.createElement('script');"
        " made.append('window.taken=1'); document.body.append(made)",
        "const made = document.createElement('script');"
        " made.src = 'data:text/javascript,window.taken=1'; document.body.append(made)",
    )
    refused = "try { %s } catch (error) { return error.name }"

    def act() -> object:
        chromium.go(page.address)
        found = [chromium.run(refused % way) for way in ways]
        assert found[:3] + found[4:] == ["TypeError"] * 4, "trusted types are asked for"
        chromium.run("return fetch('/static/page.css').then(() => 0)")
        return chromium.run("return window.taken")

    assert await use(act) is None


async def test_every_view_asks_this_page_alone_and_complains_of_nothing(
    page: Site, chromium: Browser
) -> None:
    def act() -> None:
        chromium.go(page.address)
        chromium.complaints()
        for path in VIEWS:
            chromium.go(page.origin + path)
            chromium.until("return document.querySelector('#pulse').textContent === 'live'")
            asked = "return performance.getEntriesByType('resource').map((each) => each.name)"
            assert all(name.startswith(page.origin) for name in chromium.run(asked)), path
        assert chromium.complaints() == []

    await use(act)


async def test_every_view_is_labelled_and_fits_a_narrow_screen(
    page: Site, chromium: Browser
) -> None:
    show(page, state="waiting", dataset="")
    page.running.node.datasets["main"] = dataclasses.replace(ex.DATASET, name="main")
    unlabelled = """
        return [...document.querySelectorAll('input:not([type=hidden]), textarea, button, summary')]
            .filter((each) => !(each.labels?.length || each.textContent.trim()))
            .map((each) => each.outerHTML)
    """

    twice = """
        const ids = [...document.querySelectorAll('[id]')].map((each) => each.id);
        return ids.filter((each, place) => ids.indexOf(each) !== place)
    """

    def act() -> None:
        chromium.size(360, 740)
        chromium.go(page.address)
        for path in VIEWS:
            chromium.go(page.origin + path)
            assert chromium.run(unlabelled) == [], path
            assert chromium.run("return document.querySelectorAll('h1').length") == 1
            assert chromium.run("return document.documentElement.lang") == "en"
            assert chromium.run(twice) == [], path
            wide = chromium.run("return document.documentElement.scrollWidth")
            assert wide <= 360, f"{path} is {wide} wide"

    await use(act)


async def test_what_can_be_redeemed_is_in_sight_on_a_narrow_screen(
    page: Site, chromium: Browser
) -> None:
    def look() -> None:
        chromium.size(390, 800)
        chromium.go(page.address)
        chromium.go(f"{page.origin}/sale")
        edge = "return document.querySelector('form[action=\"/sale/redeem\"] button')"
        assert chromium.run(f"{edge}.getBoundingClientRect().right") <= 390

    await use(look)


async def test_links_are_verified_in_the_browser_and_a_changed_byte_breaks_them(
    page: Site, chromium: Browser
) -> None:
    def links() -> list[str]:
        read = "return [...document.querySelectorAll('.link')].map((each) => each.textContent)"
        return [str(each)[0] for each in chromium.run(read)]

    def verdict(word: str) -> None:
        chromium.until(
            "return document.getElementById('verdict').textContent.includes(arguments[0])", word
        )

    def act() -> None:
        chromium.size(1200, 900)
        chromium.go(page.address)
        chromium.go(f"{page.origin}/job/{ex.JOB}/history")
        chromium.until("return document.getElementById('who').textContent.includes('WebCrypto')")
        assert links() == ["✓", "✓", "✓"]
        chromium.click("#block-0 .acts button")
        verdict("1 of 3 links is broken")
        assert links() == ["✓", "✕", "–"]
        chromium.click("#block-0 .acts button + button")
        verdict("the last digest is another")
        assert links() == ["✓", "✓", "✓"]
        chromium.click("#tools button")
        verdict("All 3 links hold.")
        chromium.type("#text-1", "x")
        verdict("2 of 3 links are broken")

    await use(act)


async def test_a_drafts_columns_fit_narrow_screens_and_hide_what_says_nothing(
    page: Site, chromium: Browser
) -> None:
    odd = "<img src=x onerror='window.taken=1'>" + "w" * 60
    table = f"{odd},sepsis\n".encode() + b"".join(
        b"%d.5,%b\n" % (n, b"ny"[n % 2 :]) for n in range(30)
    )
    answer = await page.upload("/post/table", ("wards.csv", table))
    at = answer.headers["location"]

    def shown(selector: str) -> bool:
        script = "return document.querySelector(arguments[0]).checkVisibility()"
        return bool(chromium.run(script, selector))

    def act() -> None:
        chromium.size(360, 740)
        chromium.go(page.address)
        chromium.go(page.origin + at)
        assert chromium.run("return document.documentElement.scrollWidth") <= 360
        assert chromium.run("return window.taken") is None
        assert (shown("[name=c0_low]"), shown("[name=c0_words]")) == (True, False)
        chromium.click("[name=c0_kind] option[value=words]")
        assert (shown("[name=c0_low]"), shown("[name=c0_words]")) == (False, True)
        chromium.click("[name=c0_use] option[value=out]")
        assert not shown("[name=c0_words]")
        assert not shown("[name=c1_fill]")
        chromium.click("main form button.primary")
        told = "return document.getElementById('e-declared')?.textContent"
        assert "population" in chromium.until(told)
        # The summary leads to the field that it is about.
        chromium.click("#faults a")
        assert chromium.run("return document.getElementById(location.hash.slice(1)) !== null")
        chromium.complaints()  # that the answer was 400

    await use(act)


async def test_every_view_says_how_many_jobs_wait_and_a_notice_only_if_asked_for(
    page: Site, chromium: Browser
) -> None:
    def status(waiting: int) -> None:
        page.running.node.state = dataclasses.replace(ex.STATUS, jobs_waiting=waiting)

    status(0)

    def opened() -> None:
        chromium.size(1200, 800)
        chromium.go(page.address)
        chromium.go(f"{page.origin}/data/add")
        chromium.until("return document.querySelector('#pulse').textContent === 'live'")
        assert chromium.run("return document.querySelector('#waits').textContent") == ""
        chromium.type("[name=name]", "half-typed")
        # A window that is not looked at, whose reader has asked for notices.
        chromium.run(
            "window.told = []; window.Notification = class {"
            " static permission = 'granted';"
            " constructor(title, more) { window.told.push(more.body) } };"
            " Object.defineProperty(document, 'hidden', {get: () => true})"
        )

    await use(opened)
    status(2)
    page.running.bus.publish("waiting", HOSTILE, job=ex.JOB)

    def seen() -> tuple[object, object]:
        chromium.until("return document.querySelector('#waits').textContent === '2 jobs wait'")
        return (
            chromium.run("return window.told"),
            chromium.run("return document.querySelector('[name=name]').value"),
        )

    assert await use(seen) == (["2 jobs wait for you"], "half-typed")
    assert "(2) Add data" in (await page.ask("/data/add")).text
