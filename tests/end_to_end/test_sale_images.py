"""Pictures from their files on: a sealed head on an image encoder, trained, sold and bought.

Everything is typed as people type it. Owners have tables of paths, one of them a Parquet file of
the files' bytes; the buyer fetches the encoder from its seller.
"""

from __future__ import annotations

import csv
import io
import json
import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import trio
from kits import encoders as small
from kits.chain.devnet import ETHER
from kits.daemons.jobs import ends
from kits.daemons.processes import Daemon, Swarm, run, until
from kits.head_jobs import head_job
from PIL import Image

pytestmark = [pytest.mark.ci, pytest.mark.waits(120)]

OWNERS, ROWS, PICTURES = 5, 5, 60
PRICE = "0.0001 ether"


def picture(chance: random.Random, above: bool, form: str) -> bytes:
    """Larger than the network reads, and brighter in one half."""
    noise = np.random.default_rng(chance.randrange(2**32)).integers(0, 60, (32, 24), np.uint8)
    noise[:16] += 150 if above else 0
    noise[16:] += 0 if above else 150
    file = io.BytesIO()
    Image.fromarray(noise).save(file, form)
    return file.getvalue()


def pictures(folder: Path, seed: int, rows: int) -> tuple[Path, list[str]]:
    """A folder of scans with its table, `scans.csv`; and the table's answers."""
    chance, answers = random.Random(seed), []
    (folder / "scans").mkdir(parents=True)
    with (folder / "scans.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["picture", "above"])
        for row in range(rows):
            above, form = chance.random() < 0.5, chance.choice(["PNG", "BMP", "WEBP"])
            name = f"scans/{row}.{form.lower()}"
            (folder / name).write_bytes(picture(chance, above, form))
            answers.append("yes" if above else "no")
            writer.writerow([name, answers[-1]])
    return folder / "scans.csv", answers


def typed(daemon: Daemon, *words: str, code: int = 0) -> str:
    """A command, to its end, which must be `code`; what it said."""
    ended = run("--home", str(daemon.home.path), *words)
    assert ended.returncode == code, ended
    return ended.stdout + ended.stderr


@pytest.fixture(scope="module")
def swarm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Swarm]:
    swarm = Swarm(tmp_path_factory.mktemp("sale-images"), owners=OWNERS + 1)
    swarm.sells = True
    try:
        trio.run(swarm.start)
        yield swarm
    finally:
        swarm.destroy()


def test_from_files_of_pictures_to_predictions_that_are_paid(swarm: Swarm, tmp_path: Path) -> None:
    seller, buyer = swarm.requester, swarm.owners[OWNERS]
    network = tmp_path / "eyes.onnx"
    network.write_bytes(small.image_model().SerializeToString(deterministic=True))
    added = ("encoder", "add", str(network), "--name", "eyes", "--mean", "0.5", "--deviation", "1")
    typed(seller, *added)
    (encoder,) = seller.call("encoder.list")
    assert (encoder["kind"], encoder["size"]) == ("image", small.SIZE)

    for number, owner in enumerate(swarm.owners[:OWNERS]):
        file, _ = pictures(tmp_path / f"owner{number}", number, PICTURES)
        named: tuple[str, ...] = ("--images", "picture")
        if number == 0:
            frame = pl.read_csv(file)
            read = [(file.parent / name).read_bytes() for name in frame["picture"]]
            file = file.with_suffix(".parquet")
            frame.with_columns(pl.Series("picture", read, pl.Binary)).write_parquet(file)
            named = ()
        typed(owner, "data", "add", "scans", str(file), *named)
        terms = ("accept=auto", "sealed_models=true", f"encoders={encoder['digest']}")
        typed(owner, "policy", "set", "scans", *terms)
        # What jobs train on is the copy: the folder may go.
        for path in (file.parent / "scans").iterdir():
            path.unlink()

    held, _ = pictures(tmp_path / "held", 50, PICTURES)
    typed(seller, "data", "add", "held", str(held), "--images", "picture", "--holdout")
    job_file = tmp_path / "job.toml"
    job_file.write_text(
        head_job(
            "Which scans are bright above",
            "above",
            60,
            typed(seller, "encoder", "show", "eyes", "--toml"),
        )
    )
    typed(seller, "job", "check", str(job_file))
    posted = typed(seller, "--json", "job", "post", str(job_file), "--holdout", "held", "--yes")
    job = str(json.loads(posted)["job"])
    shown = trio.run(ends, swarm, job, 200)
    assert shown["summary"]["state"] == "finished", shown["summary"]

    account = swarm.accounts[f"owner{OWNERS}"]
    swarm.chain.rpc("assay_fund", "0x" + account.hex(), hex(ETHER))
    sold = json.loads(typed(seller, "--json", "offer", job, "--price", PRICE, "--yes"))
    offer = sold["offer"]["offer"][:18]
    trio.run(until, lambda: offer in typed(buyer, "--json", "offers"), 60, "it is found")

    rows, truth = pictures(tmp_path / "new", 51, ROWS)
    buys = ("predict", offer, str(rows), "--images", "picture", "--budget", "0.01 ether", "--yes")
    bought, own = tmp_path / "bought.csv", tmp_path / "own.csv"
    assert f"assay encoder fetch {offer}" in typed(buyer, *buys, "-o", str(bought), code=2)
    typed(buyer, "encoder", "fetch", offer, "--digest", encoder["digest"])
    # Without the word that these are paths, nothing is bought, and it says what to type.
    plain = [word for word in buys if word not in ("--images", "picture")]
    assert "--images picture" in typed(buyer, *plain, "-o", str(bought), code=2)
    with rows.open("a") as file:
        file.write("../outside.png,no\n")
    said = typed(buyer, *buys, "-o", str(bought), code=2)
    assert f"scans.csv, line {ROWS + 2}: column 'picture': '../outside.png' leaves" in said
    assert buyer.call("sale.channels")["channels"] == []
    rows.write_text(rows.read_text().replace("../outside.png", ""))

    typed(buyer, *buys, "-o", str(bought))
    local = ("predict", job, str(rows), "--images", "picture", "-o", str(own))
    typed(seller, *local)
    found = [
        [row["prediction"] for row in csv.DictReader(path.open(newline=""))]
        for path in (bought, own)
    ]
    assert found[0] == found[1]
    assert found[0][-1] == ""  # the row without a picture costs nothing
    right = sum(one == other for one, other in zip(found[0], truth, strict=False))
    assert right >= ROWS - 1
    (channel,) = buyer.call("sale.channels")["channels"]
    assert (channel["answers"], channel["granted"]) == (ROWS, str(ROWS * 10**14))
