"""Predictions on the page: a real model and a real worker, the results shown and handed out."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
from kits.books import make_spec
from kits.web.served import Answer, Site, site

from node.control import examples as ex
from node.home.home import PAGE_PREFIX
from node.store.blobs import Blobs
from node.work import exporting, tasks
from protocol.arith.numbers.vectors import Kind, encode_vector
from protocol.spec.job import encode_spec

ROWS = b"age,stay\n34,short\n71,long\n,short\n"
AT = f"/job/{ex.JOB}/predict"


@pytest.fixture
async def page(tmp_path: Path) -> AsyncIterator[Site]:
    """The page of a home whose job has a model of `age` that finds the old long."""
    (tmp_path / "blobs").mkdir()
    weights = np.array([-4.0, 4.0, 2.0, -2.0])
    blob = Blobs(tmp_path / "blobs").put(encode_vector(Kind.MODEL, weights))
    work = tasks.Work(tmp_path / "blobs", encode_spec(make_spec()))
    exporting.export_model(work, b"", blob, tmp_path / "model.npz")
    async with site(tmp_path) as page:
        page.running.node.model_path = str(tmp_path / "model.npz")
        yield page


def shown(answer: Answer) -> list[list[str]]:
    """The table's cells, without their marks."""
    table = answer.text.split('<table id="predictions">')[1].split("</table>")[0]
    rows = re.findall(r"<tr>(.*?)</tr>", table)
    cells = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in rows]
    return [[re.sub("<[^>]+>", "", each) for each in row] for row in cells]


async def test_rows_are_predicted_shown_and_handed_out(page: Site, tmp_path: Path) -> None:
    assert f'href="{AT}"' in (await page.ask(f"/job/{ex.JOB}")).text
    answer = await page.upload(AT, ("ward.csv", ROWS))
    assert answer.status == 200
    assert "2 of 3 rows predicted" in answer.text
    assert "1 row without a prediction; the first: " in answer.text
    predictions = [row[1] for row in shown(answer)[1:]]
    assert predictions == ["short", "long", ""]
    found = re.search(r'href="(/predictions/[\w-]+)"', answer.text)
    assert found is not None
    file = await page.ask(found[1])
    assert file.headers["content-disposition"] == 'attachment; filename="ward-predicted.csv"'
    assert file.text.splitlines()[0] == "line,prediction,probability_short,probability_long"
    assert len(file.text.splitlines()) == 4
    # Of what was handed over nothing is left: the predictions alone are.
    (left,) = [each for each in (tmp_path / "home").glob(f"{PAGE_PREFIX}*/**/*") if each.is_file()]
    assert left.read_text() == file.text


async def test_only_the_newest_predictions_are_kept(page: Site, tmp_path: Path) -> None:
    (tmp_path / "ward.csv").write_bytes(ROWS)
    addresses = []
    for _ in range(5):
        answer = await page.upload(AT, path=str(tmp_path / "ward.csv"))
        addresses += re.findall(r'href="(/predictions/[\w-]+)"', answer.text)
    statuses = [(await page.ask(each)).status for each in addresses]
    assert statuses == [404, 200, 200, 200, 200]
    assert (tmp_path / "ward.csv").read_bytes() == ROWS, "a file that is named stays"


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"path": "/nowhere/at/all.csv"}, "all.csv"),
        ({}, "name a file"),
        ({"path": "/srv/x.csv", "separator": "snow"}, "snow"),
    ],
)
async def test_what_cannot_be_read_is_said_beside_its_field(
    page: Site, given: dict[str, str], why: str
) -> None:
    answer = await page.upload(AT, **given)
    assert answer.status == 400
    field = "separator" if "separator" in given else "path"
    assert why in answer.text.split(f'id="e-{field}"')[1].split("</p>")[0]


async def test_cells_of_a_file_are_words(page: Site) -> None:
    odd = "<script>1</script>.csv"
    answer = await page.upload(AT, (odd, b"age,<img src=x>\n34,<b>\n"))
    assert "<script>1" not in answer.text
    assert "<img" not in answer.text.split("<main")[1]
