"""Tables as people have them, among real daemons: hospitals' gaps, and penguins in six formats."""

from __future__ import annotations

import csv
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import trio
from kits.daemons.jobs import TAKES_ALL, ends, paid_in_full
from kits.daemons.processes import Daemon, Swarm
from kits.paths import ROOT
from kits.postgres import PASSWORD, postgres
from kits.workbooks import as_xlsx

pytestmark = [pytest.mark.long, pytest.mark.waits(120)]

PEOPLE = ROOT / "tests" / "cases" / "people"
OWNERS = 6

#: What every job here needs beside its columns and model. `{}`: rounds, privacy, owners.
REST = """
[training]
rounds = {rounds}
local_steps = {steps}
batch_rows = {batch}
rate = 1.0
clip_norm = 2.0
{privacy}
[encryption]
envelope = "masks"
value_bits = 20

[cohort]
min_owners = {owners}
max_owners = {owners}
block_size = {owners}

[payment]
rate = "0.001 ether"

[timing]
enrol_seconds = 120
ready_seconds = 30
contribute_seconds = 30
commit_seconds = 300
unmask_seconds = 30
finality_blocks = 1
lifetime_days = 1
"""

LUNG = """
title = "Who lives"
purpose = "research"
outside = "clip"

[[features]]
name = "time"
low = 0
high = 1100

[[features]]
name = "age"
low = 20
high = 100

[[features]]
name = "sex"
categories = [1, 2]

[[features]]
name = "ph.ecog"
categories = [0, 1, 2, 3]
missing = 1

[[features]]
names = ["ph.karno", "pat.karno"]
low = 0
high = 100
missing = 80

[[features]]
name = "meal.cal"
low = 0
high = 3000
missing = 1000
indicator = true

[[features]]
name = "wt.loss"
low = -30
high = 80
missing = "drop-row"

[target]
name = "status"
classes = [0, 1]

[model]
family = "logistic"
"""

PENGUINS = """
title = "Which penguin"
purpose = "research"

[[features]]
name = "bill_length_mm"
low = 20
high = 70
gaps = ["NA"]
missing = 45
indicator = true

[[features]]
name = "bill_depth_mm"
low = 10
high = 30
gaps = ["NA"]
missing = 17

[[features]]
name = "flipper_length_mm"
low = 150
high = 250
gaps = ["NA"]
missing = 200

[[features]]
name = "body_mass_g"
low = 2000
high = 7000
gaps = ["NA"]
missing = 4200

[[features]]
name = "sex"
categories = ["female", "male"]
gaps = ["NA"]
missing = "female"
indicator = true

[target]
name = "species"
classes = ["Adelie", "Chinstrap", "Gentoo"]

[model]
family = "softmax"
"""

MEASURED = ("bill_length_mm", "bill_depth_mm", "flipper_length_mm", "body_mass_g")
KEPT = ("species", *MEASURED, "sex")

NOISE = "\n[privacy]\nepsilon = 8.0\ndelta = 1e-5\ndropouts = 1\n"


def rows_of(name: str) -> list[dict[str, str]]:
    with (PEOPLE / name).open(newline="") as file:
        return list(csv.DictReader(file))


def write_text(path: Path, rows: list[dict[str, str]], delimiter: str = ",") -> Path:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter=delimiter)
        writer.writeheader()
        writer.writerows(rows)
    return path


@pytest.fixture(scope="module")
def swarm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Swarm]:
    swarm = Swarm(tmp_path_factory.mktemp("people"), owners=OWNERS)
    try:
        trio.run(swarm.start)
        yield swarm
    finally:
        swarm.destroy()


@pytest.fixture(scope="module")
def hospitals(swarm: Swarm) -> Path:
    """The largest institutions are owners, each with its own rows; all others are the hold-out."""
    rows = rows_of("lung.csv")
    sizes = Counter(row["inst"] for row in rows if row["inst"])
    largest = [inst for inst, _ in sizes.most_common(OWNERS)]
    for owner, inst in zip(swarm.owners, largest, strict=True):
        own = [row for row in rows if row["inst"] == inst]
        assert any("" in row.values() for row in own), "a hospital without gaps shows nothing"
        path = write_text(swarm.folder / f"lung-{inst}.csv", own)
        owner.call("data.add", name="lung", path=str(path))
        owner.call("policy.set", dataset="lung", changes=TAKES_ALL)
    rest = [row for row in rows if row["inst"] not in largest]
    return write_text(swarm.folder / "lung-rest.csv", rest)


async def run_to_its_end(swarm: Swarm, spec: str, holdout: Path, rounds: int) -> list[Any]:
    """Post a job and follow it: every owner takes it, works in every round, and is paid."""
    job = str(swarm.requester.call("job.post", spec=spec, holdout=str(holdout))["job"])
    shown = await ends(swarm, job, 150)
    assert shown["summary"]["state"] == "finished", shown["summary"]
    assert len(shown["members"]) == OWNERS
    assert [each["contributors"] for each in shown["rounds"]] == [OWNERS] * rounds
    paid_in_full(swarm, job)
    return [each["accuracy"] for each in shown["rounds"]]


async def test_hospitals_train_without_noise(swarm: Swarm, hospitals: Path) -> None:
    """Each drops its rows with a gap in `wt.loss` and fills the others, by the spec alone."""
    rest = REST.format(rounds=4, steps=40, batch=16, privacy="", owners=OWNERS)
    accuracy = await run_to_its_end(swarm, LUNG + rest, hospitals, 4)
    assert accuracy[-1] > 0.7


async def test_hospitals_train_with_noise(swarm: Swarm, hospitals: Path) -> None:
    """Twenty rows beside this noise learn little: it is the whole way that is tested, not its
    accuracy; the budget of every hospital is charged."""
    rest = REST.format(rounds=2, steps=1, batch=8, privacy=NOISE, owners=OWNERS)
    accuracy = await run_to_its_end(swarm, LUNG + rest, hospitals, 2)
    assert all(0.0 <= each <= 1.0 for each in accuracy)
    for owner in swarm.owners:
        [budget] = owner.call("privacy", dataset="lung")
        charged = [job["charged"] for job in budget["jobs"] if job["noisy"]]
        assert charged == [2]
        assert 0 < budget["jobs"][0]["epsilon"] <= 8.0


def add_table(swarm: Swarm, owner: Daemon, kind: str, rows: list[dict[str, str]]) -> None:
    """Give an owner its penguins as its format holds them: NA, no cell, null, NULL."""
    path = swarm.folder / f"penguins.{kind}"
    if kind == "postgres":
        with postgres() as server:
            numbers = "".join(f", {name} double precision" for name in MEASURED)
            server.run(f"CREATE TABLE penguins (species text{numbers}, sex text)")
            values = ", ".join(f"({', '.join(map(_sql, row.items()))})" for row in rows)
            server.run(f"INSERT INTO penguins ({', '.join(rows[0])}) VALUES {values}")
            added = owner.call(
                "data.add_sql",
                name="penguins",
                sql="SELECT * FROM penguins",
                url=server.url,
                password=PASSWORD,
            )
    else:
        if kind == "xlsx":
            cells = [[_cell(name, value) for name, value in row.items()] for row in rows]
            path.write_bytes(as_xlsx([list(rows[0]), *cells]))
        elif kind in ("parquet", "arrow"):
            columns = {name: [_cell(name, row[name]) for row in rows] for name in rows[0]}
            frame = pl.DataFrame(columns)
            (frame.write_parquet if kind == "parquet" else frame.write_ipc)(path)
        else:
            write_text(path, rows, "\t" if kind == "tsv" else ",")
        added = owner.call("data.add", name="penguins", path=str(path))
    assert added["rows"] == len(rows)


def _cell(name: str, value: str) -> object:
    """A cell of a file that stores types; None where there is a gap."""
    if value in ("", "NA"):
        return None
    return float(value) if name in MEASURED else value


def _sql(item: tuple[str, str]) -> str:
    name, value = item
    cell = _cell(name, value)
    if cell is None:
        return "NULL"
    return str(cell) if name in MEASURED else "'" + str(cell).replace("'", "''") + "'"


async def test_penguins_train_from_every_format(swarm: Swarm) -> None:
    """One job, and a spec that means the same to owners whose gaps are written in their own way."""
    rows = [{name: row[name] or "NA" for name in KEPT} for row in rows_of("penguins.csv")]
    random.Random(5).shuffle(rows)
    gaps = [row for row in rows if "NA" in row.values()]
    whole = [row for row in rows if "NA" not in row.values()]
    holdout, whole = whole[:60], whole[60:]
    kinds = ("csv", "tsv", "xlsx", "parquet", "postgres", "arrow")
    for number, (owner, kind) in enumerate(zip(swarm.owners, kinds, strict=True)):
        own = [*gaps[number::OWNERS], *whole[number::OWNERS]]
        assert any("NA" in row.values() for row in own)
        add_table(swarm, owner, kind, own)
        owner.call("policy.set", dataset="penguins", changes=TAKES_ALL)
    rest = REST.format(rounds=4, steps=60, batch=16, privacy="", owners=OWNERS)
    path = write_text(swarm.folder / "penguins-holdout.csv", holdout)
    accuracy = await run_to_its_end(swarm, PENGUINS + rest, path, 4)
    assert accuracy[-1] > 0.85
