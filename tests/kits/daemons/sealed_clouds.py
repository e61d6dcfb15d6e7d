"""A small sealed job: three clouds of points, told apart by weights that only their requester has.

As clouds.py, for sealed models: 16 random Fourier features, so that the exported model has a map
besides its weights. These have 24 bits: enough to be told from anything else (traces.py).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import trio

from kits.daemons.jobs import stored
from kits.daemons.processes import Daemon, Swarm
from protocol.params import MAX_SPEC_BYTES
from protocol.spec.job import JobSpec, decode_spec

LOW, HIGH, CENTER = -5.0, 5.0, 0.5

SPEC = """
title = "Three clouds"
purpose = "research"

[[features]]
names = "x_{{0..3}}"
low = -5
high = 5

[target]
name = "cloud"
classes = "{{0..2}}"

[model]
family = "softmax"
map = "fourier"
map_width = 16
map_scale = 2.0
center = 0.5
weight_limit = 16.0

[training]
rounds = {rounds}
local_steps = 50
batch_rows = 200

[privacy]
sealed = true
epsilon = {epsilon}
dropouts = {dropouts}

[encryption]
key_bits = 2048
value_bits = 24

[cohort]
min_owners = {owners}
max_owners = {owners}
block_size = {owners}

[payment]
rate = "0.001 ether"
merit = "0.01 ether"
merit_by = "equal"

[timing]
enrol_seconds = 120
ready_seconds = {ready}
contribute_seconds = {contribute}
commit_seconds = 300
unmask_seconds = 20
finality_blocks = 1
lifetime_days = 1
"""

#: What an owner's policy says that takes sealed jobs whose noise it can afford.
TAKES_NOISY = {"accept": "auto", "sealed_models": True, "epsilon": 1000.0, "max_unpaid": 100}

_CENTRES = np.array([[2.0, 2, -2, 0], [-2, 1, 2, 1], [0, -2, 0, -2]])


def spec(
    rounds: int = 3,
    ready: int = 30,
    contribute: int = 60,
    owners: int = 5,
    dropouts: int = 0,
    epsilon: str = "8.0",
) -> str:
    """The job as a TOML file."""
    return SPEC.format(
        rounds=rounds,
        ready=ready,
        contribute=contribute,
        owners=owners,
        dropouts=dropouts,
        epsilon=epsilon,
    )


def points(seed: int, rows: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.intp]]:
    """Points of all clouds, as they stand in a file, and which cloud each is of."""
    random = np.random.default_rng(seed)
    cloud = random.integers(0, 3, rows)
    found = random.normal(0, 1.0, (rows, 4)) + _CENTRES[cloud]
    return found.clip(LOW, HIGH).round(4), cloud


def write_csv(path: Path, seed: int, rows: int = 200) -> Path:
    """Those points as a file."""
    lines = [
        ",".join([*(f"{value:.4f}" for value in row), str(cloud)])
        for row, cloud in zip(*points(seed, rows), strict=True)
    ]
    path.write_text("\n".join(["x_0,x_1,x_2,x_3,cloud", *lines]) + "\n")
    return path


#: The hold-out set's seed and rows.
HOLDOUT = (99, 200)


def add_data(swarm: Swarm) -> None:
    """Give every owner its part, and a policy."""
    for number, owner in enumerate(swarm.owners):
        path = write_csv(swarm.folder / f"{owner.home.path.name}.csv", 100 + number)
        owner.call("data.add", name="clouds", path=str(path))
        owner.call("policy.set", dataset="clouds", changes=TAKES_NOISY)


def start(swarm: Swarm) -> None:
    """Start a swarm, give every owner data, and its requester a hold-out set."""
    try:
        trio.run(swarm.start)
        add_data(swarm)
        held = write_csv(swarm.folder / "holdout.csv", *HOLDOUT)
        swarm.requester.call("data.add", name="holdout", path=str(held))
    except BaseException:
        print("\n".join(f"--- {name}\n{tail}" for name, tail in swarm.tails()))
        swarm.destroy()
        raise


def post(swarm: Swarm, *, no_noise: bool = False, **terms: Any) -> str:
    """Post the job; its id."""
    told = swarm.requester.call(
        "job.post", spec=spec(**terms), holdout="holdout", no_noise=no_noise
    )
    return str(told["job"])


def posted_spec(swarm: Swarm, job: str) -> JobSpec:
    """A job's spec as its requester completed it."""
    digest = bytes.fromhex(swarm.requester.show(job)["spec_digest"][2:])
    ((body,),) = stored(swarm.requester, "SELECT body FROM specs WHERE digest = ?", digest)
    assert len(body) <= MAX_SPEC_BYTES
    return decode_spec(body)


# --- what an owner has told, and what it tells it from


def charges(owner: Daemon, job: str) -> list[tuple[int, bool]]:
    """A job's charges in an owner's ledger: the round, and whether its draw was kept."""
    query = "SELECT round, drawn IS NOT NULL FROM privacy_charges WHERE job = ? ORDER BY round"
    return [(round_, bool(kept)) for round_, kept in stored(owner, query, bytes.fromhex(job[2:]))]


def statistics_of(owner: Daemon, job: str) -> dict[str, bytes]:
    """The files of a job's draws at its owner: name and content."""
    folder = owner.home.gradients / job[2:]
    if not folder.exists():
        return {}
    # What is being written stands under another name until it is whole.
    return {p.name: p.read_bytes() for p in sorted(folder.iterdir()) if p.name[0].isdigit()}


@contextmanager
def store_held(daemon: Daemon) -> Iterator[None]:
    """Whatever the daemon is to write down from now on waits (a minute, then it fails); what it
    writes outside of its store it writes."""
    connection = sqlite3.connect(daemon.home.database, timeout=5, isolation_level=None)
    try:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")
    finally:
        connection.close()
