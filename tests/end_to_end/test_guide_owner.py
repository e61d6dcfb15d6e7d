"""docs/guides/owner.md, command by command, against real daemons: from a file to a payment."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import trio
from kits.daemons.jobs import TAKES_ALL
from kits.daemons.processes import Swarm, until
from kits.guides import GUIDES, Reader

pytestmark = pytest.mark.long

SPEC = """
title = "Length of stay"
purpose = "research"

[[features]]
name = "age"
low = 0
high = 120

[[features]]
name = "weight_kg"
low = 0
high = 250

[[features]]
name = "occupancy"
low = 0
high = 1

[[features]]
name = "gender"
categories = ["female", "male"]

[target]
name = "stay"
classes = ["long", "short"]

[model]
family = "softmax"

[training]
rounds = 2
local_steps = 1
batch_rows = 16
rate = 1.0
clip_norm = 2.0

[privacy]
epsilon = 4.0
delta = 1e-5

[encryption]
envelope = "masks"

[cohort]
min_owners = 5
max_owners = 5
block_size = 5

[payment]
rate = "0.001 ether"
merit = "0.01 ether"
merit_by = "equal"

[timing]
enrol_seconds = 600
ready_seconds = 30
contribute_seconds = 30
commit_seconds = 300
unmask_seconds = 30
finality_blocks = 1
lifetime_days = 1
"""


def write_ward(path: Path, seed: int, hospital: bool) -> Path:
    """Rows as the guide's hospital has them, two of them without an age; or as the job has them."""
    random = np.random.default_rng(seed)
    lines = ["age,weight_lb,sex,full,stay" if hospital else "age,weight_kg,gender,occupancy,stay"]
    for row in range(80):
        age, kilos = int(random.integers(18, 90)), float(random.uniform(50, 110))
        female, full = bool(random.integers(2)), int(random.integers(10, 100))
        stay = "long" if age + random.normal(0, 10) > 60 else "short"
        if hospital:
            shown = "" if row in (3, 40) else str(age)
            lines.append(f"{shown},{kilos / 0.45359237:.1f},{'FM'[not female]},{full} %,{stay}")
        else:
            gender = "female" if female else "male"
            lines.append(f"{age},{kilos:.1f},{gender},{full / 100},{stay}")
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture(scope="module")
def swarm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Swarm]:
    """Four owners that take any job, and a requester: the fifth owner reads the guide."""
    swarm = Swarm(tmp_path_factory.mktemp("guide"), owners=4)
    try:
        trio.run(swarm.start)
        for number, owner in enumerate(swarm.owners):
            path = write_ward(swarm.folder / f"ward{number}.csv", number, hospital=False)
            owner.call("data.add", name="ward", path=str(path))
            owner.call("policy.set", dataset="ward", changes=TAKES_ALL)
        yield swarm
    finally:
        swarm.destroy()


async def test_an_owner_is_paid_as_the_guide_says(swarm: Swarm, tmp_path: Path) -> None:
    line = swarm.requester.call("status")["join_line"]
    job = swarm.requester.call("job.post", spec=SPEC)["job"]
    reader = Reader(
        tmp_path,
        words={"LINE": line, "URL": swarm.chain.url},
        learns={"JOB": r"(0x[0-9a-f]{8})…[0-9a-f]{4} +Length of stay"},
        until={
            "assay peers": "12D3",
            "assay jobs": r"Length of stay .*waiting .*rows cannot be used",
            "assay account": r"\n0\.0\d+ ether",
        },
    )
    place = reader.place("")
    write_ward(place / "ward.csv", 90, hospital=True)
    write_ward(place / "next.csv", 91, hospital=True)
    assert (place / "ward.csv").read_text().startswith("age,weight_lb,sex,full,stay\n")
    try:
        await trio.to_thread.run_sync(partial(reader.read, GUIDES / "owner.md"))
    finally:
        await trio.to_thread.run_sync(partial(reader.end, "assay down"))
    assert reader.words["JOB"] == job[:10]
    shown = reader.said("assay data show ward --job")
    assert "can use 78 of 80 rows" in shown
    assert "5, 42" in shown
    assert "2 of 80 rows cannot be used" in reader.said("assay policy explain")
    assert "ward: 2 of 80 rows cannot be used" in reader.said("assay jobs")
    assert "ward: 2 of 80 rows cannot be used" in reader.said("assay train")
    assert "no fault" in reader.said("assay audit")
    assert "finds its budget again" in reader.said("assay data remove")
    await until(lambda: swarm.requester.state(job) == "finished", 120, "the job is finished")
    members = swarm.requester.show(job)["members"]
    assert [member["contributions"] for member in members] == [2] * 5
    for private in ("0x" + "1" * 40, "weight_lb", "gender"):
        assert private not in str(members)
