"""A job in six steps: columns proposed, each fault beside its field, a spec that holds."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from html import unescape
from pathlib import Path

import pytest
from kits.web.served import Answer, Site, site

from node.control.cards import examples as cx
from node.web.drafts.draft import Column, Draft, of_spec, of_table
from node.web.drafts.fields import FIELDS, STEPS
from node.work.files.proposal import Column as Sketched
from node.work.files.proposal import Kind
from protocol.spec.job import ETHER
from protocol.spec.parts import CategoryFeature, ClassTarget, NumberFeature
from protocol.spec.toml import parse_toml
from protocol.tokens import NO_TOKENS

WARDS = (b"A", b'"B, ""east"""')
TABLE = b"age,ward,lactate,sepsis\n" + b"".join(
    b"%d,%b,%b,%b\n" % (20 + 7 * n % 41, WARDS[n % 2], lactate, (b"no", b"yes")[n % 2])
    for n in range(40)
    for lactate in [b"" if n % 9 == 0 else b"1.5" if n % 3 else b"2"]
)


@pytest.fixture
async def page(tmp_path: Path) -> AsyncIterator[Site]:
    async with site(tmp_path) as page:
        yield page


def typed(answer: Answer) -> dict[str, str]:
    """What a form's fields hold."""
    text = answer.text.split("<main")[1]
    found = {
        name: unescape(value)
        for name, value in re.findall(r'<input [^>]*?name="([^"]+)"[^>]*?value="([^"]*)"', text)
    }
    for name, body in re.findall(r'<select [^>]*?name="([^"]+)"[^>]*>(.*?)</select>', text, re.S):
        chosen = re.search(r'<option value="([^"]*)" selected', body)
        found[name] = chosen[1] if chosen else ""
    found.pop("declared", None)
    return found


def fault(answer: Answer, name: str) -> str:
    return unescape(answer.text.split(f'id="e-{name}"')[1].split("</p>")[0])


async def test_what_is_typed_stays_while_a_hold_out_is_added(page: Site) -> None:
    begun = await page.upload("/post/table", ("wards.csv", TABLE))
    at = begun.headers["location"].replace("columns", "payment")
    answer = await page.post(
        at, **typed(await page.ask(at)) | {"payment.merit": "0.07 ether", "then": "holdout"}
    )
    assert answer.status == 303
    assert answer.headers["location"] == f"/data/add?holdout=1&back={at}"
    assert typed(await page.ask(at))["payment.merit"] == "0.07 ether"


async def test_six_steps_from_a_table_to_a_posted_job(page: Site) -> None:
    assert [name for name, _ in STEPS] == ["table", *FIELDS, "costs"]
    begun = await page.upload("/post/table", ("wards.csv", TABLE))
    assert begun.status == 303, begun.text
    at = begun.headers["location"]
    columns = await page.ask(at)
    form = typed(columns)
    assert form["title"] == "sepsis from wards"
    assert (form["c0_use"], form["c0_kind"], form["c3_use"]) == ("feature", "number", "target")
    assert form["c1_words"] == 'A,"B, ""east"""'
    assert "empty in 5 rows" in columns.text
    # Nothing is declared yet, and an end of a range is none.
    wrong = await page.post(at, **form | {"c0_high": "old"})
    assert wrong.status == 400
    assert "is 'old'; allowed is a number" in fault(wrong, "c0_high")
    assert "population" in fault(wrong, "declared")
    form = typed(wrong) | {
        "declared": "yes",
        "c0_low": "0",
        "c0_high": "120",
        "c2_missing": "fill",
        "c2_fill": "7",
    }
    wrong = await page.post(at, **form)
    assert "a number from" in fault(wrong, "c2_missing")
    for step, changes in (
        ("columns", form | {"c2_fill": "1.5"}),
        ("model", {"training.rounds": "3"}),
        ("privacy", {}),
        ("payment", {"payment.rate": "0.002 ether", "holdout_path": "/srv/held.csv"}),
    ):
        here = at.replace("columns", step)
        answer = await page.post(here, **typed(await page.ask(here)) | changes)
        assert answer.status == 303, answer.text
    assert answer.headers["location"].endswith("/costs")
    assert page.running.node.posted == []
    costs = await page.ask(answer.headers["location"])
    assert "at most 0.000681 ether now" in costs.text
    found = re.search(r'name="mark" value="([^"]+)"', costs.text)
    assert found is not None
    assert (await page.post("/post", mark=found[1])).status == 303
    ((spec, holdout),) = page.running.node.posted
    assert holdout == "/srv/held.csv"
    terms = parse_toml(spec).terms
    assert [each.name for each in terms.features] == ["age", "ward", "lactate"]
    age, ward, _ = terms.features
    assert isinstance(age, NumberFeature)
    assert (age.low, age.high) == (0, 120)
    assert isinstance(ward, CategoryFeature)
    assert ward.categories == ("A", 'B, "east"')
    assert isinstance(terms.target, ClassTarget)
    assert terms.target.classes == ("no", "yes")
    assert (terms.training.rounds, terms.privacy.epsilon) == (3, 8.0)
    assert (terms.payment.token, terms.payment.rate) == (ETHER, 2 * 10**15)


@pytest.mark.parametrize(
    ("step", "field", "value", "why"),
    [
        ("columns", "title", "", "title"),
        ("columns", "purpose", "Two words", "purpose"),
        ("model", "training.rounds", "many", "is 'many'"),
        ("model", "training.momentum", "1", "is 1"),
        ("model", "timing.lifetime_days", "1e9", "is 1000000000"),
        ("privacy", "privacy.epsilon", "1e9", "is 1000000000"),
        ("privacy", "privacy.delta", "", "is 0; with epsilon"),
        ("privacy", "cohort.min_owners", "2", "is 2"),
        ("payment", "payment.rate", "free", "free"),
        ("payment", "payment.token", "USDC", "USDC"),
        ("payment", "holdout_path", "held.csv/", "absolute"),
    ],
)
def test_a_fault_stands_beside_the_field_that_it_is_about(
    step: str, field: str, value: str, why: str
) -> None:
    draft = whole()
    assert draft.faults(NO_TOKENS) == {}
    draft.take(step, {field: value, "declared": "yes"})
    found = draft.faults(NO_TOKENS)
    assert list(found) == [field]
    assert why in found[field] or why == field


def whole() -> Draft:
    columns = (
        Sketched("age", Kind.NUMBER, 0.0, 100.0),
        Sketched("id", Kind.OTHER, why="counts the rows"),
        Sketched("sepsis", Kind.WORDS, words=("no", "yes")),
    )
    draft = of_table("d", "wards", columns, "sepsis", ())
    draft.declared = True
    return draft


def test_one_column_is_predicted_and_the_model_follows_it() -> None:
    draft = whole()
    draft.take("columns", {"c0_use": "target", "declared": "yes"})
    assert "2 columns are to be predicted" in draft.faults(NO_TOKENS)["target"]
    draft.take("columns", {"c2_use": "feature", "declared": "yes"})
    assert draft.faults(NO_TOKENS) == {}
    assert draft.values["model.family"] == "linear"
    draft.take("columns", {"c0_use": "out", "declared": "yes"})
    assert "0 columns are to be predicted" in draft.faults(NO_TOKENS)["target"]


def test_a_job_without_noise_says_nothing_of_it() -> None:
    draft = whole()
    draft.take("privacy", {"noise": "no"})
    assert draft.faults(NO_TOKENS) == {}
    assert parse_toml(draft.spec()).terms.privacy.epsilon is None


@pytest.mark.parametrize("text", ['"', "\\", "\x00", "\x7f", "a\nb", "'''", "\ud800", "é€😀"])
def test_no_text_ends_its_string_in_the_spec(text: str) -> None:
    draft = whole()
    draft.take("columns", {"title": f"x{text}y\nrounds = 9", "declared": "yes"})
    draft.columns.append(Column(text or "n", dict(draft.columns[0].typed)))
    spec = draft.spec()
    assert "\nrounds = 9" not in spec
    found = draft.faults(NO_TOKENS)
    assert set(found) <= {"title", "c3_use", "c3_words"}


async def test_a_card_begins_a_draft_and_what_it_lacks_is_asked_for(page: Site) -> None:
    begun = await page.ask("/post")
    assert f'value="0x{cx.OFFER.card.hex()}"' in begun.text
    answer = await page.post("/post/card", card="0x3f5a9c02")
    assert answer.status == 303
    assert (await page.post("/post/card", card="0xffff")).status == 400


def test_a_cards_proposal_lacks_ranges_and_that_is_said_of_each() -> None:
    text = """
title = "Visits"
[[features]]
names = "x_{0..1}"
[[features]]
name = "sex"
categories = ["f", "m"]
[target]
name = "stay"
low = 0
high = 99.5
[payment]
rate = "0.003 ether"
"""
    draft = of_spec("d", "card", text)
    draft.declared = True
    assert [each.name for each in draft.columns] == ["x_0", "x_1", "sex", "stay"]
    assert draft.values["payment.rate"] == "0.003 ether"
    assert draft.values["model.family"] == "linear"
    assert {name[:2] for name in draft.faults(NO_TOKENS)} == {"c0", "c1"}


def test_a_cards_words_are_cleaned_and_odd_shapes_are_not_proposed() -> None:
    text = 'title = "<b>\\u202e"\nfeatures = [1, {names = 7}]\n[target]\nname = "y"\n'
    draft = of_spec("d", "card", text)
    assert draft.values["title"] == "<b>\ufffd"
    assert [each.name for each in draft.columns] == ["y"]


async def test_a_table_that_makes_no_draft_is_told_beside_its_field(page: Site) -> None:
    for given in ({"path": "/nowhere/at/all.csv"}, {"path": "rows.csv"}):
        answer = await page.upload("/post/table", **given)
        assert answer.status == 400
        assert fault(answer, "path")
    answer = await page.upload("/post/table", ("rows.csv", b"\x00\x01\x02"))
    assert answer.status == 400
    assert "choose it again" in answer.text


async def test_a_draft_that_is_not_kept_is_told(page: Site) -> None:
    for path in ("/post/draft/unknown/columns", "/post/draft/unknown/costs"):
        assert (await page.ask(path)).status == 404
    begun = await page.upload("/post/table", ("wards.csv", TABLE))
    at = begun.headers["location"]
    assert (await page.ask(at.replace("columns", "table"))).status == 404
    # What is not whole cannot come to its costs: the first step that lacks something is shown.
    costs = await page.ask(at.replace("columns", "costs"))
    assert costs.status == 400
    assert "population" in fault(costs, "declared")
