"""docs/guides/encoders.md, typed as it stands there, among real daemons with a small network."""

from __future__ import annotations

import csv
import random
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import trio
from kits import encoders as small
from kits.daemons.processes import Swarm
from kits.guides import GUIDES, Reader

from node.encoders.package import pack
from node.store.blobs import Blobs
from protocol.spec.encoder import EncoderKind

pytestmark = pytest.mark.long


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
        writer.writerow(["", "no"])
    return path


@pytest.fixture
async def swarm(tmp_path: Path) -> AsyncIterator[Swarm]:
    swarm = Swarm(tmp_path, 5)
    try:
        await swarm.start()
        yield swarm
    finally:
        swarm.destroy()


async def test_the_guide_leads_from_notes_to_a_sealed_model_in_use(
    swarm: Swarm, tmp_path: Path
) -> None:
    network = small.text_model().SerializeToString(deterministic=True)
    said = replace(
        small.manifest(EncoderKind.TEXT, len(network), len(small.tokenizer())),
        title="notes.onnx",
        licence="",
        source="",
    )
    package = tmp_path / "notes.assay"
    package.write_bytes(pack(said, network, small.tokenizer()))
    recipe = small.recipe_of(package, said)
    digest = recipe.digest.hex()
    ward, *others = swarm.owners
    for number, owner in enumerate(others):
        path = write_notes(tmp_path / f"notes{number}.csv", number, 200)
        owner.call("data.add", name="notes", path=str(path))
        changes = {"accept": "auto", "sealed_models": True, "encoders": [digest]}
        owner.call("policy.set", dataset="notes", changes=changes)
    reader = Reader(
        tmp_path / "people",
        learns={"JOB": r"posted (0x[0-9a-f]{64})", "DIGEST": r"digest ([0-9a-f]{64})"},
        homes={"": swarm.requester.home.path, "ward": ward.home.path},
        until={"assay encoder list": "notes"},
    )
    place = reader.place("")
    (place / "notes.onnx").write_bytes(network)
    (place / "tokenizer.json").write_bytes(small.tokenizer())
    held_out = write_notes(place / "held-out.csv", 50, 200)
    held_out.write_text("\n".join(held_out.read_text().splitlines()[:-1]) + "\n")
    write_notes(place / "new.csv", 51, 100)
    write_notes(reader.place("ward") / "notes.csv", 52, 200)
    assert not Blobs(ward.home.blobs).size(recipe.digest)

    await trio.to_thread.run_sync(reader.read, GUIDES / "encoders.md")

    assert "assumed: pooling mean" in reader.said("assay encoder add")
    assert "no fault found" in reader.said("assay audit")
    assert "confined by" not in reader.said("assay encoder show")
    with (place / "urgent.csv").open(newline="") as told, (place / "new.csv").open() as asked:
        made = [row["prediction"] for row in csv.DictReader(told)]
        true = [row["urgent"] for row in csv.DictReader(asked)]
    assert made[-1] == ""  # the empty note
    right = sum(one == other for one, other in zip(made[:-1], true[:-1], strict=True))
    assert right >= 85
    # What the network made of the ward's notes lies beside its copy, and goes with it.
    kept = list((ward.home.datasets / "embeddings").rglob("*.f32"))
    assert len(kept) == 1
    assert Blobs(ward.home.blobs).size(recipe.digest) == recipe.package_bytes
    ward.call("data.remove", name="notes")
    assert not list((ward.home.datasets / "embeddings").rglob("*.f32"))
    ward.call("encoder.remove", encoder=digest)
    assert Blobs(ward.home.blobs).size(recipe.digest) is None
