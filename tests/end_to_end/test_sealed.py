"""A sealed model trained by real processes, some of which die: what its owners were promised, and
what its requester was.

Two jobs in one swarm: `noisy` as jobs are by default, `quiet` without noise. What happened is
played once (`story`), and looked at by the tests.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trio
from kits.daemons import sealed_clouds
from kits.daemons.jobs import ends, holds, reaches, waits_because
from kits.daemons.processes import Daemon, Swarm, run, until
from kits.daemons.sealed_clouds import charges, posted_spec, statistics_of, store_held
from kits.daemons.stage import Stage, hold, kill, let_go
from kits.daemons.traces import Search, needles

from node.console.failure import Failure
from node.control.codes import Exit
from node.home.keys import Keys
from node.perform.compute import key_name
from protocol.addresses import to_checksum
from protocol.arith.paillier.cryptosystem import PrivateKey

pytestmark = pytest.mark.waits(200)

ROUNDS = {"noisy": 3, "quiet": 2}

Drawn = dict[str, dict[str, bytes]]


@dataclass
class Story:
    """What was seen on the way; owners by the name of their home."""

    swarm: Swarm
    jobs: dict[str, str] = field(default_factory=dict)
    #: Of the noisy job: charges of the two that were killed, as they were when they died; what had
    #: been drawn then, after the first round, and in the last.
    charged: dict[str, list[tuple[int, bool]]] = field(default_factory=dict)
    drawn_at_death: Drawn = field(default_factory=dict)
    drawn_first: Drawn = field(default_factory=dict)
    drawn_last: Drawn = field(default_factory=dict)
    #: Why owners did not take the quiet job, and what one was told by the command.
    reasons: dict[str, str] = field(default_factory=dict)
    listed: str = ""
    #: The owners' homes in the middle of the last round.
    snapshot: Path = Path()

    @property
    def early(self) -> Daemon:
        """Killed when it was charged and had drawn nothing."""
        return self.swarm.owners[0]

    @property
    def late(self) -> Daemon:
        """Killed when it had drawn, and had not written down that it did."""
        return self.swarm.owners[1]


def name(owner: Daemon) -> str:
    return owner.home.path.name


@pytest.fixture(scope="module")
def swarm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Swarm]:
    swarm = Swarm(tmp_path_factory.mktemp("sealed"), owners=5)
    sealed_clouds.start(swarm)
    yield swarm
    swarm.destroy()


@pytest.fixture(scope="module")
def story(swarm: Swarm) -> Story:
    story = Story(swarm)
    try:
        trio.run(play, story)
    except BaseException:
        print("\n".join(f"--- {log}\n{tail}" for log, tail in swarm.tails()))
        raise
    return story


async def play(story: Story) -> None:
    swarm = story.swarm
    job = story.jobs["noisy"] = sealed_clouds.post(swarm, rounds=ROUNDS["noisy"])
    gate, stage = swarm.owners[4], Stage(swarm, job)
    await stage.enrolled()
    hold(gate)
    story.jobs["quiet"] = sealed_clouds.post(swarm, rounds=ROUNDS["quiet"], no_noise=True)
    await stage.has_ready(0, story.early, story.late)
    await die_around_the_draw(story, gate)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(story.early.start)
        nursery.start_soon(story.late.start)
        await refused(story)
    trusted = {"trusted": [to_checksum(swarm.account)], "no_noise": True}
    for owner in swarm.owners:
        owner.call("policy.set", dataset="clouds", changes=trusted)
    await stage.committing(0)
    story.drawn_first = {name(o): statistics_of(o, job) for o in swarm.owners}
    await reaches(swarm.requester, job, ROUNDS["noisy"] - 1, "contribute", 120)
    story.drawn_last = {name(o): statistics_of(o, job) for o in swarm.owners}
    story.snapshot = swarm.folder / "snapshot"
    for owner in swarm.owners:
        copy_of(owner.home.path, story.snapshot / name(owner))
    for each in story.jobs.values():
        await ends(swarm, each, 120)


async def die_around_the_draw(story: Story, gate: Daemon) -> None:
    """One dies between its charge and its draw, one between its draw and the note of it.

    A worker's first draw begins with the second that it takes to load what noise comes from.
    """
    job, early, late = story.jobs["noisy"], story.early, story.late
    hold(late)
    let_go(gate)
    await until(lambda: bool(charges(early, job)), 60, "its draw is charged")
    kill(early)
    let_go(late)
    await until(lambda: bool(charges(late, job)), 60, "its draw is charged")
    with store_held(late):
        # Less than the daemon waits for its store.
        await until(lambda: bool(statistics_of(late, job)), 45, "it has drawn")
        kill(late)
    for owner in (early, late):
        story.charged[name(owner)] = charges(owner, job)
        story.drawn_at_death[name(owner)] = statistics_of(owner, job)


async def refused(story: Story) -> None:
    """Every owner that is up has said why it does not take the quiet job."""
    job, up = story.jobs["quiet"], story.swarm.owners[2:]
    for owner in up:
        story.reasons[name(owner)] = await waits_because(owner, job, "policy does not allow")
    told = await trio.to_thread.run_sync(run, "--home", str(up[0].home.path), "jobs")
    story.listed = told.stdout


def copy_of(home: Path, target: Path) -> None:
    """A home's files as they are now; what goes away meanwhile is left out."""

    def copy(source: str, to: str) -> None:
        with suppress(FileNotFoundError):
            shutil.copyfile(source, to)

    def sockets(_: str, names: list[str]) -> list[str]:
        return [each for each in names if each.endswith(".sock")]

    shutil.copytree(home, target, copy_function=copy, ignore=sockets)


# --- it runs, and pays


@pytest.mark.parametrize("which", ["noisy", "quiet"])
async def test_the_job_ends_well_and_pays(story: Story, which: str) -> None:
    job = story.jobs[which]
    await holds(story.swarm, job, ROUNDS[which])
    summary = story.swarm.requester.show(job)["summary"]
    assert (summary["sealed"], summary["noisy"]) == (True, which == "noisy")


# --- what an owner's rows tell, they tell once


def test_a_death_around_the_draw_charges_once(story: Story) -> None:
    job = story.jobs["noisy"]
    # As they died: charged, and not yet bound to what was drawn.
    assert story.charged == {name(story.early): [(0, False)], name(story.late): [(0, False)]}
    assert [bool(story.drawn_at_death[name(o)]) for o in (story.early, story.late)] == [False, True]
    for owner in story.swarm.owners:
        assert charges(owner, job) == [(0, True)]
        (told,) = [row for row in owner.call("privacy")[0]["jobs"] if row["job"] == job]
        assert (told["charged"], told["reserved"]) == (1, 0)
        assert told["epsilon"] <= 8.0


def test_statistics_are_drawn_once_and_go_with_the_job(story: Story) -> None:
    late, job = name(story.late), story.jobs["noisy"]
    assert story.drawn_at_death[late] == story.drawn_first[late]
    assert story.drawn_first == story.drawn_last
    drawn = list(story.drawn_last.values())
    assert [len(files) for files in drawn] == [1] * len(story.swarm.owners)
    assert len({content for files in drawn for content in files.values()}) == len(drawn)
    assert all(statistics_of(owner, job) == {} for owner in story.swarm.owners)


# --- it leaves no trace


def exports(story: Story) -> list[tuple[np.ndarray, float]]:
    """The weights after every round of both jobs as the requester gets them, and their unit."""
    found = []
    for which, job in story.jobs.items():
        spec = posted_spec(story.swarm, job)
        top = (1 << (spec.encryption.value_bits - 1)) - 1
        for round_ in range(1, ROUNDS[which] + 1):
            path = story.swarm.requester.call("model.get", job=job, round=round_)["path"]
            with np.load(path) as arrays:
                found.append((arrays["weights"], spec.model.weight_limit / top))
    assert len({weights.tobytes() for weights, _ in found}) == sum(ROUNDS.values())
    return found


def private_keys(story: Story) -> list[bytes]:
    """Both jobs' private keys, and what they are made of."""
    keys, found = Keys.open(story.swarm.requester.home), []
    for job in story.jobs.values():
        held = keys.unseal(key_name(posted_spec(story.swarm, job).modulus))
        factors = PrivateKey.from_bytes(held).factors()
        found += [held, *(f.to_bytes((f.bit_length() + 7) // 8, "big") for f in factors)]
    return found


def answers(owner: Daemon, jobs: list[str]) -> str:
    """All that an owner's control socket says about these jobs, one thing a line."""
    said: list[Any] = [owner.call(each) for each in ("status", "jobs", "privacy", "data.list")]
    for job in jobs:
        said.append(owner.show(job))
        for round_ in (None, 1):
            with pytest.raises(Failure) as failed:
                owner.call("model.get", job=job, round=round_)
            said.append(str(failed.value))
    with owner.client() as client:
        newest = client.call("events.subscribe")["seq"]
        for event in client.events(since=0):
            said.append(event)
            if event["seq"] >= newest:
                break
    return "\n".join(json.dumps(each) for each in said)


def test_owners_keep_and_say_nothing_of_the_weights(story: Story) -> None:
    """Files, stores, logs, output and answers, in the middle of the last round and at the end."""
    swarm, folder = story.swarm, story.swarm.folder / "answers"
    search = Search(exports(story), private_keys(story))
    folder.mkdir()
    for owner in swarm.owners:
        said = answers(owner, list(story.jobs.values()))
        assert story.jobs["noisy"] in said
        (folder / f"{name(owner)}.json").write_text(said)
        shutil.copy(owner.log, folder)
    homes = [owner.home.path for owner in swarm.owners]
    assert all((home / "assay.db").exists() for home in (*homes, story.snapshot / "owner0"))
    assert search.files(*homes, story.snapshot, folder) == []


def test_the_requester_keeps_them_where_it_exported_them_alone(story: Story) -> None:
    """Which shows besides that the search finds them. Its key is in no file as it is."""
    requester = story.swarm.requester
    found = Search(exports(story), private_keys(story)).files(requester.home.path)
    assert len({trace.path for trace in found}) == sum(ROUNDS.values())
    assert {trace.path.parent for trace in found} == {requester.home.path / "models"}
    assert {trace.form for trace in found} == {"<f8"}


@pytest.mark.parametrize(
    ("form", "written"),
    [
        ("<f8", lambda w, _: w[2:4].astype("<f8").tobytes()),
        (">f8", lambda w, _: w.astype(">f8").tobytes()),
        ("<f4", lambda w, _: w.astype("<f4").tobytes()),
        (">f4", lambda w, _: w.T.astype(">f4").tobytes()),
        (">i4", lambda w, step: np.rint(w / step).astype(">i4").tobytes()),
        ("<i8", lambda w, step: np.rint(w.T / step).astype("<i8").tobytes()),
        ("text", lambda w, _: f"weights {w[3, 1]!r} and more".encode()),
        ("text", lambda w, _: json.dumps([f"{x:.5e}" for x in w.T[1]]).encode()),
        ("text of integers", lambda w, step: str(np.rint(w / step)[5].astype(int)).encode()),
    ],
)
def test_the_search_finds_weights_in_any_form(form: str, written: Any) -> None:
    step = 16.0 / ((1 << 23) - 1)
    random = np.random.default_rng(1)
    weights = np.rint(random.normal(0, 1.0, (16, 3)) / step) * step
    noise = random.bytes(100_000) + b" 0.25 17 17 -3.5e4 1750000000.123 "
    search = Search([(weights, step)], [b"a secret of thirty-two bytes...!"])
    assert search.forms(noise) == set()
    assert search.forms(noise + written(weights, step) + noise) == {form}
    assert search.forms(noise + b"a secret of thirty-two bytes...!".hex().encode()) == {"secret"}
    assert len(needles(weights, step)) > 16 * 3 * 6


# --- only its requester can use it


def test_an_owner_cannot_get_the_model_and_is_told_why(story: Story) -> None:
    told = story.swarm.owners[2].command("model", "get", story.jobs["noisy"])
    assert told.returncode == Exit.REFUSED
    assert "the model is sealed: what owners hold of it are ciphertexts" in told.stderr
    assert to_checksum(story.swarm.account) in told.stderr


def test_its_requester_gets_weights_and_map_that_predict_as_it_was_told(story: Story) -> None:
    swarm, job = story.swarm, story.jobs["noisy"]
    path = swarm.folder / "model.npz"
    told = swarm.requester.command("model", "get", job, "--out", str(path))
    assert told.returncode == Exit.OK, told.stderr
    with np.load(path) as arrays:
        weights, matrix = arrays["weights"], arrays["map_matrix"]
    points, cloud = sealed_clouds.points(*sealed_clouds.HOLDOUT)
    scaled = (points - sealed_clouds.LOW) / (sealed_clouds.HIGH - sealed_clouds.LOW)
    angles = (scaled - sealed_clouds.CENTER) @ matrix
    features = np.hstack([np.cos(angles), np.sin(angles)])
    right = np.argmax(features @ weights, axis=1) == cloud
    accuracy = swarm.requester.show(job)["rounds"][-1]["accuracy"]
    assert float(right.mean()) == pytest.approx(accuracy, abs=1e-9)
    assert accuracy > 0.9  # of three clouds, chance finds a third


# --- without noise, among owners who trust its requester


def test_without_noise_who_trusts_nobody_refuses_and_says_why(story: Story) -> None:
    """The job ran once its owners had said whom they trust (above)."""
    account = to_checksum(story.swarm.account)
    assert len(story.reasons) == 3
    for reason in story.reasons.values():
        assert "it adds no noise, which the policy does not allow" in reason
        assert f"trusted={account} would" in reason
    assert f"trusted={account}" in story.listed.replace("\n", "")
    for owner in story.swarm.owners:
        assert charges(owner, story.jobs["quiet"]) == []
