"""A sealed head on a text encoder sold between real daemons: labels for ether, scores for a token.

The buyer is a stranger to the job: a sixth node, without data, which has never had the encoder.
"""

from __future__ import annotations

import csv
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import trio
from kits import encoders as small
from kits.chain.devnet import ETHER, SIGNERS
from kits.chain.purses import MINT, command, deploy_mock, read
from kits.daemons.jobs import ends
from kits.daemons.processes import Daemon, Swarm, run, until
from kits.head_jobs import head_job

from node.store.blobs import Blobs
from protocol.addresses import to_checksum
from protocol.spec.encoder import Encoder, EncoderKind

pytestmark = [pytest.mark.ci, pytest.mark.waits(120)]

OWNERS, ROWS = 5, 6
#: Of a row: a label in wei, scores in units of the token.
PRICE, UNITS = 10**14, 250_000


@dataclass
class Market:
    """A swarm with a finished sealed job, whose model is on sale twice."""

    swarm: Swarm
    package: Path
    recipe: Encoder
    job: str
    labels: str
    scores: str
    token: bytes

    @property
    def seller(self) -> Daemon:
        return self.swarm.requester

    @property
    def buyer(self) -> Daemon:
        return self.swarm.owners[OWNERS]


def write_notes(path: Path, seed: int, rows: int) -> Path:
    """Notes of small words: those of urgent ones are a, b and c."""
    chance = random.Random(seed)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["note", "urgent"])
        for _ in range(rows):
            urgent = chance.random() < 0.5
            words = chance.choices("abc" if urgent else "efg", k=chance.randint(2, 9))
            writer.writerow([" ".join(words), "yes" if urgent else "no"])
    return path


def predict(daemon: Daemon, model: str, rows: Path, out: Path, *words: str) -> list[dict[str, str]]:
    """`assay predict`, to its end: the rows that it wrote."""
    typed = ("--home", str(daemon.home.path), "predict", model, str(rows), "-o", str(out), *words)
    ended = run(*typed)
    assert ended.returncode == 0, ended
    with out.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Market]:
    swarm = Swarm(tmp_path_factory.mktemp("sale-encoder"), owners=OWNERS + 1)
    swarm.sells = True
    try:
        yield _market(swarm)
    finally:
        swarm.destroy()


def _market(swarm: Swarm) -> Market:
    trio.run(swarm.start)
    package, recipe = small.write(swarm.folder, EncoderKind.TEXT)
    seller, digest = swarm.requester, recipe.digest.hex()
    for number, owner in enumerate(swarm.owners[:OWNERS]):
        path = write_notes(swarm.folder / f"notes{number}.csv", number, 100)
        owner.call("data.add", name="notes", path=str(path))
        changes = {"accept": "auto", "sealed_models": True, "encoders": [digest]}
        owner.call("policy.set", dataset="notes", changes=changes)
    seller.call("encoder.add", path=str(package), name="notes")
    held = write_notes(swarm.folder / "held-out.csv", 50, 100)
    seller.call("data.add", name="holdout", path=str(held))
    spec = head_job(
        "Which notes are urgent",
        "urgent",
        100,
        seller.call("encoder.show", encoder="notes")["toml"],
    )
    job = str(seller.call("job.post", spec=spec, holdout="holdout")["job"])
    shown = trio.run(ends, swarm, job, 120)
    assert shown["summary"]["state"] == "finished", shown["summary"]

    chain, buyer = swarm.chain, swarm.accounts[f"owner{OWNERS}"]
    for account in (SIGNERS[8].account, buyer):
        chain.rpc("assay_fund", "0x" + account.hex(), hex(ETHER))
    chain.rpc("evm_mine")
    token = deploy_mock(chain, "token_mock")
    command(chain, token, MINT, buyer, 10 * UNITS)
    labels = seller.call("sale.offer", job=job, price=str(PRICE))
    scores = seller.call(
        "sale.offer", job=job, price=str(UNITS), scores=True, token=to_checksum(token)
    )
    offers = (labels["offer"]["offer"], scores["offer"]["offer"])
    return Market(swarm, package, recipe, job, *offers, token)


def test_the_buyer_is_told_which_encoder_it_lacks_and_pays_nothing(
    market: Market, tmp_path: Path
) -> None:
    shown = market.buyer.call("sale.show", offer=market.labels)
    assert shown["encoder"] == market.recipe.digest.hex()
    assert (shown["columns"], shown["sealed"], shown["epsilon"]) == (["note"], True, 8.0)
    rows = write_notes(tmp_path / "new.csv", 51, ROWS)
    words = ("predict", market.labels[:14], str(rows), "-o", str(tmp_path / "out.csv"))
    home = ("--home", str(market.buyer.home.path))
    refused = run(*home, *words, "--budget", "0.01 ether", "--yes")
    assert refused.returncode != 0
    assert f"the encoder {market.recipe.digest.hex()} is not here" in refused.stderr
    assert f"assay encoder fetch {market.labels[:18]}" in refused.stderr
    assert market.buyer.call("sale.channels")["channels"] == []
    assert market.buyer.call("encoder.list") == []


def test_the_encoder_is_fetched_from_its_seller_once_the_buyer_names_it(market: Market) -> None:
    home, digest = ("--home", str(market.buyer.home.path)), market.recipe.digest.hex()
    fetch = (*home, "encoder", "fetch", market.labels[:18])
    unnamed = run(*fetch)
    assert unnamed.returncode == 2, unnamed
    assert digest in unnamed.stderr
    assert f"assay encoder fetch {market.labels[:18]} --digest DIGEST" in unnamed.stderr
    wrong = run(*fetch, "--digest", digest[:-1] + "0" if digest[-1] != "0" else digest[:-1] + "1")
    assert wrong.returncode == 2, wrong
    assert market.buyer.call("encoder.list") == []
    assert not Blobs(market.buyer.home.blobs).size(market.recipe.digest)

    fetched = run(*fetch, "--digest", digest)
    assert fetched.returncode == 0, fetched
    assert "was fetched" in fetched.stdout
    (kept,) = market.buyer.call("encoder.list")
    assert (kept["digest"], kept["origin"]) == (digest, f"offer {market.labels[:18]}")
    assert "was here before" in run(*fetch, "--digest", "0x" + digest.upper()).stdout


def test_labels_of_texts_are_bought_and_are_the_sellers_own(market: Market, tmp_path: Path) -> None:
    rows = write_notes(tmp_path / "new.csv", 51, ROWS)
    truth = [line.rpartition(",")[2] for line in rows.read_text().splitlines()[1:]]
    # A note that training could not have used costs nothing.
    rows.write_text(rows.read_text() + ",no\n")
    words = ("--budget", "0.01 ether", "--yes")
    bought = predict(market.buyer, market.labels[:14], rows, tmp_path / "bought.csv", *words)
    own = predict(market.seller, market.job, rows, tmp_path / "own.csv")
    assert [row["prediction"] for row in bought] == [row["prediction"] for row in own]
    assert bought[-1]["prediction"] == ""
    right = sum(row["prediction"] == true for row, true in zip(bought, truth, strict=False))
    assert right >= ROWS - 1
    (channel,) = market.buyer.call("sale.channels")["channels"]
    assert (channel["answers"], channel["granted"]) == (ROWS, str(ROWS * PRICE))


def test_scores_are_bought_for_a_token_and_redeemed(market: Market, tmp_path: Path) -> None:
    chain, token = market.swarm.chain, market.token
    seller, buyer = market.swarm.account, market.swarm.accounts[f"owner{OWNERS}"]
    rows = write_notes(tmp_path / "new.csv", 52, ROWS)
    words = ("--budget", f"{(ROWS + 1) * UNITS} units", "--yes")
    bought = predict(market.buyer, market.scores[:14], rows, tmp_path / "bought.csv", *words)
    own = predict(market.seller, market.job, rows, tmp_path / "own.csv")
    assert [row["prediction"] for row in bought] == [row["prediction"] for row in own]
    for mine, theirs in zip(bought, own, strict=True):
        assert float(mine["score_yes"]) == pytest.approx(float(theirs["score_yes"]), abs=1e-3)
    assert {row["score_yes"] for row in bought} != {"0.0"}

    def granted() -> bool:
        channels = market.seller.call("sale.channels")["channels"]
        return [int(each["granted"]) for each in channels if each["token"]] == [ROWS * UNITS]

    trio.run(until, granted, 60, "the seller holds the last voucher")
    assert read(chain, token, "balanceOf(address)", buyer) == (10 - ROWS) * UNITS
    told = run("--home", str(market.seller.home.path), "--json", "redeem")
    assert told.returncode == 0, told
    redeemed = [c for c in json.loads(told.stdout)["channels"] if c["token"]]
    assert [c["redeemed"] for c in redeemed] == [str(ROWS * UNITS)]
    assert read(chain, token, "balanceOf(address)", seller) == ROWS * UNITS
    assert read(chain, token, "balanceOf(address)", market.swarm.channels) == 0
