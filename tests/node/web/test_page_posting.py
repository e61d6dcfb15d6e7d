"""A requester's forms: the costs come first, and a form that is sent twice posts once."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import AsyncIterator
from html import unescape
from pathlib import Path

import pytest
from kits.web.served import Answer, Site, site

from node.control import examples as ex
from node.control.money import examples as mx
from protocol.errors import InputError
from protocol.params import MAX_SPEC_BYTES

SPEC = 'title = "Täglich & <b>mehr</b>"\r\nrounds = 3\r\n'


@pytest.fixture
async def page(tmp_path: Path) -> AsyncIterator[Site]:
    async with site(tmp_path) as page:
        held = dataclasses.replace(ex.DATASET, name="held-out", holdout=True)
        page.running.node.datasets["held-out"] = held
        yield page


def mark(answer: Answer) -> str:
    """What the button that posts sends along."""
    found = re.search(r'name="mark" value="([^"]+)"', answer.text)
    assert found is not None
    return found[1]


async def test_a_job_is_posted_after_its_costs_were_shown_and_once(page: Site) -> None:
    assert "<option>held-out</option>" in (await page.ask("/post/spec")).text
    quoted = await page.post("/post/quote", spec=SPEC, holdout="held-out")
    assert "2500000 units of" in quoted.text
    assert "at most 0.000681 ether now" in quoted.text
    assert page.running.node.posted == []
    posted = await page.post("/post", mark=mark(quoted))
    assert (posted.status, posted.headers["location"]) == (303, f"/job/{ex.JOB}")
    # Lines of a form end with two characters; those of the file that was written do not.
    assert page.running.node.posted == [(SPEC.replace("\r\n", "\n"), "held-out")]
    assert page.running.node.fees == [int(mx.QUOTE.fee)]
    again = await page.post("/post", mark=mark(quoted))
    assert again.status == 409
    assert "nothing was posted now" in again.text
    assert len(page.running.node.posted) == 1


@pytest.mark.parametrize("given", ["", "made-up"])
async def test_nothing_is_posted_that_was_not_quoted(page: Site, given: str) -> None:
    assert (await page.post("/post", mark=given, spec=SPEC)).status == 409
    assert page.running.node.posted == []


async def test_what_cannot_be_paid_for_has_no_button(page: Site) -> None:
    page.running.node.quote = dataclasses.replace(mx.QUOTE, problem="the account holds 0 ether")
    quoted = await page.post("/post/quote", spec=SPEC)
    assert "the account holds 0 ether" in quoted.text
    assert 'name="mark"' not in quoted.text


async def test_a_fault_of_the_spec_is_told_with_its_field_and_the_text_is_kept(page: Site) -> None:
    async def wrong(spec: str, no_noise: bool = False) -> object:
        raise InputError("must be from 1 to 10000", "training.rounds")

    page.running.node.job_quote = wrong  # type: ignore[method-assign,assignment]
    answer = await page.post("/post/quote", spec=SPEC, holdout="held-out")
    assert answer.status == 400
    assert "training.rounds" in answer.text
    assert "must be from 1 to 10000" in answer.text
    (kept,) = re.findall(r"<textarea[^>]*>\n(.*?)</textarea>", answer.text, re.DOTALL)
    assert unescape(kept) == SPEC.replace("\r\n", "\n")
    assert "<option selected>held-out</option>" in answer.text


async def test_the_largest_spec_fits_into_the_form(page: Site) -> None:
    """Each of its bytes as the form writes what it cannot: in three."""
    spec = "\n" * MAX_SPEC_BYTES
    assert (await page.post("/post/quote", spec=spec)).status == 200


async def test_a_card_gives_a_spec_to_start_from(page: Site) -> None:
    text = (await page.ask("/post/spec?card=0x3f5a9c02")).text
    assert "[[features]]" in unescape(text) or "title" in unescape(text)
    assert (await page.ask("/post/spec?card=0xffff")).status == 404


async def test_a_requester_cancels_its_job_and_an_owner_has_no_button(page: Site) -> None:
    assert "Cancel this job" not in (await page.ask(f"/job/{ex.JOB}")).text
    own = dataclasses.replace(ex.SUMMARY, role="requester")
    page.running.node.jobs_known[ex.JOB] = dataclasses.replace(ex.DETAIL, summary=own)
    assert "Cancel this job" in (await page.ask(f"/job/{ex.JOB}")).text
    assert (await page.post(f"/job/{ex.JOB}/cancel")).status == 303
    assert page.running.node.cancelled is not None
    assert "It is being cancelled" in (await page.ask(f"/job/{ex.JOB}")).text
