"""An owner killed while it fetches an encoder and while its rows are embedded: it goes on.

Its daemon ends by SIGKILL at a chosen step, and is started again: the job ends well, the owner is
charged once, and what the network made of its rows is kept whole.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import trio
from kits import encoders as small
from kits.daemons.jobs import ends
from kits.daemons.processes import Daemon, Swarm, until
from kits.daemons.sealed_clouds import TAKES_NOISY, charges
from kits.head_jobs import head_job

from node.data.rows import kept
from node.encoders.running import embed
from node.store.blobs import Blobs
from protocol.spec.encoder import Encoder, EncoderKind

pytestmark = [pytest.mark.ci, pytest.mark.waits(200)]

OWNERS, ROWS = 5, 60

#: Run before all else in the victim's daemon and in its workers.
SITE = """
import os, signal
from node.data.rows import kept
from node.store import blobs
from node.work import embedding

MARK = {mark!r}

def due(step):
    try:
        return open(MARK).read() == step
    except OSError:
        return False

def die(daemon):
    os.unlink(MARK)
    os.kill(daemon, signal.SIGKILL)
    os._exit(1)  # its worker goes with it

write, finish = blobs.PartialBlob.write, blobs.PartialBlob.finish
leave, save = embedding.leave, kept.save

def written(self, offset, data):
    write(self, offset, data)
    if self._ref.size > 2 * len(data) and due("fetching"):
        die(os.getpid())

def finished(self):
    finish(self)
    if self._ref.size > 1 << 20 and due("fetched"):
        die(os.getpid())

def left(place, line):
    leave(place, line)
    if line.startswith("embedding") and due("embedding"):
        die(os.getppid())

def saved(place, made):
    if due("embedded"):
        die(os.getppid())
    save(place, made)
    if due("kept"):
        die(os.getppid())

blobs.PartialBlob.write, blobs.PartialBlob.finish = written, finished
embedding.leave, kept.save = left, saved
"""

NOW = ["fetching", "embedding"]
LATER = ["fetched", "embedded", "kept"]
STEPS = [*NOW, *(pytest.param(step, marks=pytest.mark.long) for step in LATER)]


@dataclass
class Hospital:
    """A swarm whose first owner is the victim; `mark` says where it kills itself."""

    swarm: Swarm
    package: Path
    recipe: Encoder
    mark: Path

    @property
    def victim(self) -> Daemon:
        return self.swarm.owners[0]

    @property
    def files(self) -> list[Path]:
        """What the victim keeps of what the network made."""
        return [each for each in self.embeddings.rglob("*") if each.is_file()]

    @property
    def embeddings(self) -> Path:
        return self.victim.home.datasets / "embeddings"


def notes(seed: int) -> list[str]:
    return [" ".join("abcefg"[(seed + row * k) % 6] for k in range(1, 6)) for row in range(ROWS)]


def add_notes(owner: Daemon, folder: Path, seed: int, digest: str) -> None:
    """A data set of its own for each job, that takes it; the one before takes none any more."""
    file = folder / f"{owner.home.path.name}-{seed}.csv"
    rows = [f"{note},{'yes' if note[0] in 'abc' else 'no'}" for note in notes(seed)]
    file.write_text("\n".join(["note,urgent", *rows]) + "\n")
    for old in owner.call("data.list"):
        owner.call("policy.set", dataset=old["name"], changes={"accept": "ask"})
    name = f"notes-{seed}"
    owner.call("data.add", name=name, path=str(file))
    owner.call("policy.set", dataset=name, changes=TAKES_NOISY | {"encoders": [digest]})


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hospital]:
    folder = tmp_path_factory.mktemp("encoder-kill")
    swarm = Swarm(folder, OWNERS)
    mark, site = folder / "mark", folder / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(SITE.format(mark=str(mark)))
    swarm.owners[0].site = site
    # Several pieces of a blob: words that nobody writes have vectors, too.
    network = small.text_model()
    table = np.vstack([small.table(), np.zeros((200_000, small.SIZE), np.float32)])
    network.graph.initializer[0].CopyFrom(small.numpy_helper.from_array(table, "table"))
    package, recipe = small.write(folder, EncoderKind.TEXT, network)
    try:
        trio.run(swarm.start)
        swarm.requester.call("encoder.add", path=str(package), name="notes")
        yield Hospital(swarm, package, recipe, mark)
    finally:
        swarm.destroy()


@pytest.mark.parametrize("step", STEPS)
async def test_a_killed_owner_goes_on_and_is_charged_once(
    hospital: Hospital, tmp_path: Path, step: str
) -> None:
    swarm, victim, digest = hospital.swarm, hospital.victim, hospital.recipe.digest.hex()
    seed = 10 * (1 + [*NOW, *LATER].index(step))
    if victim.call("encoder.list"):
        victim.call("encoder.remove", encoder=digest)
    known = set(hospital.files)
    for number, owner in enumerate(swarm.owners):
        add_notes(owner, tmp_path, seed + number, digest)
    hospital.mark.write_text(step)
    toml = swarm.requester.call("encoder.show", encoder="notes")["toml"]
    job = str(
        swarm.requester.call(
            "job.post", spec=head_job("Which notes are urgent", "urgent", 60, toml), holdout=None
        )["job"]
    )
    await until(lambda: not victim.running, 90, "the owner kills itself")
    assert not hospital.mark.exists()
    whole = Blobs(victim.home.blobs).size(hospital.recipe.digest) is not None
    assert whole is (step != "fetching")
    if step == "fetching":
        assert list((victim.home.blobs / "partial").iterdir())
    made = [each for each in hospital.files if each not in known and each.suffix == ".f32"]
    assert len(made) == (step == "kept")

    await victim.start()
    shown = await ends(swarm, job, 150)
    assert shown["summary"]["state"] == "finished", shown["summary"]
    assert [each["contributors"] for each in shown["rounds"]] == [OWNERS]
    await until(lambda: victim.state(job) == "finished", 60, "the owner saw its pay")
    assert charges(victim, job) == [(0, True)]
    (kept_encoder,) = victim.call("encoder.list")
    assert kept_encoder["digest"] == digest
    assert not list((victim.home.blobs / "partial").iterdir())

    (place,) = [each for each in hospital.files if each not in known]
    found = kept.load(place, (ROWS, small.SIZE))
    again = embed(hospital.package, hospital.recipe, notes(seed))
    assert found is not None
    assert np.array_equal(found, again)
