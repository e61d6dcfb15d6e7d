"""docs/guides/requester.md, typed as it stands there, among real daemons."""

from __future__ import annotations

import csv
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio
from kits.daemons import clouds
from kits.daemons.jobs import TAKES_ALL
from kits.daemons.processes import Swarm, until
from kits.guides import GUIDES, Reader

pytestmark = pytest.mark.long

#: One owner more than the job needs: its policy's whole budget is smaller, and it says so.
CHARY = {"accept": "auto", "epsilon": 1.0, "explain_refusals": True}


@pytest.fixture
async def swarm(tmp_path: Path) -> AsyncIterator[Swarm]:
    swarm = Swarm(tmp_path, 6)
    try:
        await swarm.start()
        for number, owner in enumerate(swarm.owners):
            path = clouds.write_csv(tmp_path / f"rows{number}.csv", seed=number, rows=200)
            owner.call("data.add", name="clouds", path=str(path))
        swarm.owners[0].call("policy.set", dataset="clouds", changes=CHARY)
        yield swarm
    finally:
        swarm.destroy()


async def test_the_guide_leads_from_a_table_to_a_model_in_use(swarm: Swarm, tmp_path: Path) -> None:
    reader = Reader(
        tmp_path / "people",
        learns={"JOB": r"posted (0x[0-9a-f]{64})"},
        homes={"": swarm.requester.home.path},
        until={"assay job show JOB": r"refused: epsilon too large \(1\)|AUC"},
    )
    place = reader.place("")
    for name, seed, rows in (("pilot", 50, 60), ("held-out", 51, 200), ("new", 52, 100)):
        clouds.write_csv(place / f"{name}.csv", seed=seed, rows=rows)
    rows = (place / "new.csv").read_text().splitlines()
    (place / "new.csv").write_text("\n".join([*rows[:3], "?,1.0,", *rows[3:]]) + "\n")

    def owners_take_it() -> None:
        """The others decide only now, so that it was seen who is missing."""
        for owner in swarm.owners[1:]:
            owner.call("policy.set", dataset="clouds", changes=TAKES_ALL)

    async with trio.open_nursery() as nursery:

        async def wait_for_the_refusal() -> None:
            await until(lambda: _shown(reader), 120, "the refusal is shown")
            await trio.to_thread.run_sync(owners_take_it)

        nursery.start_soon(wait_for_the_refusal)
        await trio.to_thread.run_sync(reader.read, GUIDES / "requester.md")

    proposed = reader.said("assay job new")
    assert "declare what you know of the population" in proposed
    assert "by 1 owners, in their own words: epsilon too large (1)" in _shown(reader)
    last = reader.said("assay job show")
    for measure in ("accuracy", "log loss", "AUC", "recall after round 7"):
        assert measure in last
    assert "1 rows have an empty prediction; the first: new.csv, line 4" in reader.said(
        "assay predict model.npz"
    )
    with (place / "predictions.csv").open(newline="") as file:
        found = list(csv.DictReader(file))
    assert len(found) == 101
    assert (found[2]["line"], found[2]["prediction"]) == ("4", "")
    sides = [row.split(",")[2] for row in rows[1:]]
    told = [row["prediction"] for row in found if row["prediction"]]
    right = sum(one == other for one, other in zip(told, sides, strict=True))
    assert right >= 90
    assert "no fault found" in reader.said("assay audit")


def _shown(reader: Reader) -> str:
    """What the first `job show` said, once it ended well."""
    shown = [said for text, said in reader.typed if text.startswith("assay job show")]
    return shown[0] if shown else ""
