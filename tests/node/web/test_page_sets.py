"""Data sets on the page: what was typed and is wrong is said beside its field, and kept."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import AsyncIterator
from html import unescape
from pathlib import Path

import pytest
from kits.web.served import Site, site

from node.control import examples as ex


@pytest.fixture
async def page(tmp_path: Path) -> AsyncIterator[Site]:
    async with site(tmp_path) as page:
        yield page


async def test_a_file_is_named_by_its_path_with_all_that_data_add_takes(page: Site) -> None:
    answer = await page.upload(
        "/data/add",
        name="held-out",
        path="/srv/held.csv",
        holdout="yes",
        separator="semicolon",
        decimal=",",
        encoding="latin-1",
        columns='[rename]\nage = "Alter"\n',
    )
    assert answer.status == 303
    added = page.running.node.datasets["held-out"]
    assert (added.path, added.holdout) == ("/srv/held.csv", True)
    told = (await page.ask("/data/held-out")).text
    for each in ("held-out is added: 4,120 rows", "read with semicolon", "read with latin-1"):
        assert each in told


@pytest.mark.parametrize(
    ("given", "field", "why"),
    [
        ({"name": "My ward", "path": "/srv/x.csv"}, "name", "is no name"),
        ({"name": "ward-3", "path": "/srv/x.csv"}, "name", "is taken"),
        ({"name": "other", "path": "x.csv"}, "path", "must be an absolute path"),
        ({"name": "other"}, "path", "name a file on this machine"),
    ],
)
async def test_what_is_wrong_is_said_beside_its_field_and_what_was_typed_is_kept(
    page: Site, given: dict[str, str], field: str, why: str
) -> None:
    answer = await page.upload("/data/add", **given)
    assert answer.status == 400
    said = unescape(answer.text.split(f'id="e-{field}"')[1].split("</p>")[0])
    assert why in said
    for text in given.values():
        assert f'value="{text}"' in answer.text
    assert set(page.running.node.datasets) == {"ward-3"}


async def test_the_inside_of_a_data_set_is_shown_and_held_against_a_job(page: Site) -> None:
    text = (await page.ask(f"/data/ward-3?job={ex.JOB}")).text
    for each in (
        "lactate",
        "in the file",
        "0.4",
        "17.2",
        "3,900",
        "4,108 of 4,120 rows",
        "semicol",
    ):
        assert each in text, each
    assert "a number from 0 to 120 is declared" in text
    assert (await page.ask("/data/ward-9")).status == 404


async def test_a_data_set_is_mapped_replaced_and_removed(page: Site) -> None:
    node = page.running.node
    assert (await page.post("/data/ward-3/map", columns="[rename]\r\na = 'b'\r\n")).status == 303
    assert node.maps["ward-3"] == "[rename]\na = 'b'"
    assert (await page.post("/data/ward-3/map", columns=" ")).status == 303
    assert node.maps["ward-3"] is None
    assert (await page.upload("/data/ward-3/replace", path="/srv/new.csv")).status == 303
    assert node.datasets["ward-3"].path == "/srv/new.csv"
    node.needed.add("ward-3")
    assert (await page.post("/data/ward-3/remove")).status == 409
    node.needed.clear()
    assert (await page.post("/data/ward-3/remove")).status == 303
    assert "ward-3" not in node.datasets
    assert 'href="/data/add"' in (await page.ask("/data")).text


async def test_a_hold_out_that_a_draft_wants_leads_back_to_it_and_nowhere_else(page: Site) -> None:
    back = "/post/draft/abcdefgh12345678/payment"
    form = await page.ask(f"/data/add?holdout=1&back={back}")
    assert f'name="back" value="{back}"' in form.text
    answer = await page.upload("/data/add", name="held", path="/srv/x.csv", back=back)
    assert answer.headers["location"] == back
    for number, other in enumerate(("//evil.example", "https://evil.example/post/draft/a/payment")):
        assert other not in (await page.ask(f"/data/add?back={other}")).text
        answer = await page.upload("/data/add", name=f"n{number}", path="/srv/x.csv", back=other)
        assert answer.headers["location"] == f"/data/n{number}"


async def test_a_form_that_a_browser_sends_twice_adds_one_data_set(page: Site) -> None:
    found = re.search(r'name="mark" value="([^"]+)"', (await page.ask("/data/add")).text)
    assert found is not None
    sent = {"name": "held", "path": "/srv/x.csv", "mark": found[1]}
    first, again = [await page.upload("/data/add", **sent) for _ in range(2)]
    assert (first.status, again.status) == (303, 303)
    assert first.headers["location"] == again.headers["location"] == "/data/held"
    # Another form with that name is another matter.
    assert (await page.upload("/data/add", name="held", path="/srv/x.csv")).status == 400


async def test_a_term_that_was_set_says_so_beside_it_and_those_of_before_fold(page: Site) -> None:
    term = page.running.node.policy["min_rate"]
    page.running.node.policy["purposes"] = dataclasses.replace(term, name="purposes", value=[])
    text = (await page.ask("/data")).text
    assert text.index('id="row-ward-3-accept"') < text.index('id="more-ward-3"')
    assert text.index('id="more-ward-3"') < text.index('id="row-ward-3-purposes"')
    assert '"[]"' not in text
    await page.post("/policy/ward-3", term="purposes", value="research, teaching")
    assert page.running.node.policy["purposes"].value in (
        ["research", "teaching"],
        ("research", "teaching"),
    )
    text = (await page.ask("/data")).text
    row = text.split('id="row-ward-3-purposes"')[1].split("</tr>")[0]
    assert "✓ set" in row
    assert 'value="research, teaching"' in row
    assert 'id="more-ward-3" open' in text
    assert "✓ set" not in (await page.ask("/data")).text, "it is said once"


async def test_a_term_that_is_refused_says_why_beside_it(page: Site) -> None:
    async def refused(dataset: str, changes: object) -> object:
        from protocol.errors import InputError

        raise InputError("is 'a <b>lot</b>'; allowed is a number from 0 to 1000", "min_rate")

    page.running.node.policy_set = refused  # type: ignore[method-assign,assignment]
    term = next(iter(page.running.node.policy))
    answer = await page.post("/policy/ward-3", term=term, value="a <b>lot</b>")
    assert answer.headers["location"] == f"/data#row-ward-3-{term}"
    text = (await page.ask("/data")).text
    assert "allowed is a number" in text.split(f'id="row-ward-3-{term}"')[1].split("</tr>")[0]
    assert "<b>lot" not in text
    assert "allowed is a number" not in (await page.ask("/data")).text, "it is said once"


async def test_hostile_names_of_columns_are_words(page: Site) -> None:
    odd = "<script>window.taken=1</script>\u202e" + "x" * 5000
    column = dataclasses.replace(ex.DATASET_VIEW.columns[0], name=odd, column=odd)
    page.running.node.view = dataclasses.replace(ex.DATASET_VIEW, columns=(column,))
    text = (await page.ask("/data/ward-3")).text
    assert "<script>window" not in text
    assert "\u202e" not in text


async def test_a_budget_is_shown_over_time_as_bars_and_as_numbers(page: Site) -> None:
    text = (await page.ask("/data/ward-3")).text
    chart = text.split('<svg class="chart past"')[1].split("</svg>")[0]
    heights = dict(re.findall(r'<rect class="(\w+)"[^>]* height="([0-9.]+)"', chart))
    # 0.2 spent and 3.6 reserved of 8: of 250 pixels.
    assert {name: float(value) for name, value in heights.items()} == {
        "spent": pytest.approx(6.2, abs=0.1),
        "reserved": pytest.approx(112.5, abs=0.1),
        "left": pytest.approx(131.2, abs=0.1),
    }
    numbers = text.split('id="moments"')[1].split("</details>")[0]
    assert re.findall(r'<td class="num">([^<]+)</td>', numbers) == ["0.2", "3.6", "4.2"]
