"""What shares a pot is said wherever the pot is shown, and before anything is published."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from kits.paths import ROOT

from node.cli import money_views
from node.console import currency
from node.control import examples as ex
from node.control.codes import SHARED, Exit

DIGITS = (ROOT / "docs" / "examples" / "digits.toml").read_text()
LARGE = DIGITS.replace("owners = 5", "owners = 15")


def write(folder: Path, text: str, by: str) -> str:
    assert text.count('merit_by = "equal"') == 1
    path = folder / "job.toml"
    path.write_text(text.replace('merit_by = "equal"', f'merit_by = "{by}"'))
    return str(path)


async def flat(assay: Any, *words: str) -> str:
    ended = await assay(*words)
    assert ended.code == Exit.OK, ended.err
    return " ".join(ended.out.split())


async def test_a_check_says_what_is_published_before_it_is(assay: Any, tmp_path: Path) -> None:
    path = write(tmp_path, LARGE, "worth")
    said = await flat(assay, "job", "check", path)
    assert SHARED["worth"] in said
    assert money_views.PUBLISHES in said
    assert money_views.SUMS_ALONE in said, "the example adds no noise"
    assert "job post needs --holdout" in said
    held = tmp_path / "held.csv"
    held.write_text("a\n1\n")
    assert "needs --holdout" not in await flat(assay, "job", "check", path, "--holdout", str(held))


async def test_a_check_says_where_the_hold_out_stays_closed_or_idle(
    assay: Any, tmp_path: Path
) -> None:
    said = await flat(assay, "job", "check", write(tmp_path, LARGE, "discretion"))
    assert "discretionary: by worth that only the requester can measure" in said
    assert "published" not in said
    held = tmp_path / "held.csv"
    held.write_text("a\n1\n")
    path = write(tmp_path, LARGE, "equal")
    said = await flat(assay, "job", "check", path, "--holdout", str(held))
    assert money_views.HOLDOUT_IDLE in said
    assert money_views.HOLDOUT_IDLE not in await flat(assay, "job", "check", path)


@pytest.mark.parametrize("by", ["worth", "discretion"])
async def test_a_pot_that_cannot_be_measured_is_refused(
    assay: Any, tmp_path: Path, by: str
) -> None:
    ended = await assay("job", "check", write(tmp_path, DIGITS, by))
    assert ended.code == Exit.USAGE
    assert "payment.merit_by" in ended.out
    assert 'say merit_by = "equal", or min_owners = 15' in " ".join(ended.out.split())


@pytest.mark.parametrize(
    ("by", "word"), [("worth", "by worth"), ("discretion", "discretionary"), ("equal", "equal")]
)
async def test_jobs_and_their_pages_say_what_shares_the_pot(assay: Any, by: Any, word: str) -> None:
    async with assay.daemon() as running:
        summary = dataclasses.replace(ex.SUMMARY, merit_by=by)
        running.node.jobs_known[ex.JOB] = dataclasses.replace(ex.DETAIL, summary=summary)
        assert f"0.1 ether ({word})" in await flat(assay, "jobs")
        assert f"0.1 ether, {SHARED[by]}" in await flat(assay, "job", "show", ex.JOB)


def test_no_pot_is_shared_by_nothing() -> None:
    assert currency.pot("0", "worth", None) == currency.brief_pot("0", "worth", None) == "0 ether"


async def test_a_posting_says_what_becomes_of_its_hold_out(assay: Any, tmp_path: Path) -> None:
    (tmp_path / "job.toml").write_text('[job]\ntitle = "a"\n')
    async with assay.daemon():
        said = await flat(assay, "job", "post", "job.toml", "--holdout", "ward-3", "--yes")
    assert f"merit is by worth: {money_views.PUBLISHES}" in said


@pytest.mark.parametrize(("by", "told"), [("worth", True), ("discretion", False), ("equal", False)])
def test_who_is_asked_to_agree_is_told_first(by: Any, told: bool) -> None:
    quote: Any = {
        "token": None,
        "escrow": "1",
        "merit": "1",
        "merit_by": by,
        "balance": "1",
        "approves": False,
        "gas": 1,
        "fee": "1",
        "coin": "1",
    }
    assert (money_views.PUBLISHES in money_views.quoted(quote)) == told
    assert money_views.PUBLISHES not in money_views.quoted({**quote, "merit": "0"})
