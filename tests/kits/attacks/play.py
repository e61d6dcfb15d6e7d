"""What attacks have in common: owners, a job, its models, an attempt up to its contributions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import trio

from kits.attacks.defences import Defence, switch_off, write_site
from kits.attacks.hand_requester import Attempt, HandRequester
from kits.daemons import clouds
from kits.daemons.owner_swarm import OwnerSwarm
from node.data.datasets import import_file, load_matrix
from node.store.blobs import BlobRef
from node.work import tasks
from protocol.arith.learning.models import check_rows, layers
from protocol.arith.learning.training import local_gradient
from protocol.arith.numbers.vectors import Kind, decode_vector, encode_vector

_TEXT = """
title = "Two clouds"
purpose = "research"

[[features]]
names = "x_{{0..1}}"
low = -5
high = 5

[target]
name = "side"
classes = "{{0..1}}"

[model]
family = "dense"
hidden = 4

[training]
rounds = 2
local_steps = 1
batch_rows = {batch_rows}
rate = 1.0
clip_norm = 2.0

[privacy]
{privacy}

[encryption]
key_bits = 2048
value_bits = {value_bits}

[cohort]
min_owners = 5
max_owners = 5

[payment]
rate = "0.001 ether"

[timing]
enrol_seconds = 120
ready_seconds = 120
contribute_seconds = 120
commit_seconds = 300
finality_blocks = 1
lifetime_days = 1
"""

ROWS = 60

VICTIM = 0  # the owner's number

FIRST = (0, 0)

#: All rows in one step, so that a gradient repeats; no noise, nobody may drop out, one is corrupt.
PLAIN = _TEXT.format(batch_rows=64, value_bits=16, privacy="corrupt = 1")

#: With noise, and one of the five may drop out: three shares make a secret.
NOISY = _TEXT.format(
    batch_rows=16,
    value_bits=24,
    privacy="epsilon = 2.0\ndelta = 1e-5\ndropouts = 1\ncorrupt = 0",
)


guarded = pytest.mark.parametrize("swarm", ["guarded"], indirect=True)
unguarded = pytest.mark.parametrize(
    "swarm", [pytest.param("unguarded", marks=pytest.mark.ci)], indirect=True
)


def owners(kind: str, folders: pytest.TempPathFactory) -> Iterator[OwnerSwarm]:
    """Owners as anybody runs them ('guarded'), or some whose defences a test can switch off."""
    folder = folders.mktemp(kind)
    site = write_site(folder / "site") if kind == "unguarded" else None
    swarm = OwnerSwarm(folder, site=site)
    try:
        _start(swarm)
        yield swarm
    finally:
        swarm.destroy()


def _start(swarm: OwnerSwarm) -> None:
    try:
        trio.run(swarm.start)
        _add_data(swarm)
    except BaseException:
        print("\n".join(f"--- {name}\n{tail}" for name, tail in swarm.tails()))
        raise


def _add_data(swarm: OwnerSwarm) -> None:
    """Give every owner data, and a policy that takes any job."""
    for number, owner in enumerate(swarm.owners):
        path = clouds.write_csv(csv_of(swarm, number), seed=100 + number, rows=ROWS)
        owner.call("data.add", name="clouds", path=str(path))
        changes = {
            "accept": "auto",
            "no_noise": True,
            "no_noise_jobs": 1000,
            "corrupt_least": 0,
            "max_unpaid": 1000,
            "epsilon": 100,
        }
        owner.call("policy.set", dataset="clouds", changes=changes)


def csv_of(swarm: OwnerSwarm, number: int) -> Path:
    return swarm.folder / f"owner{number}.csv"


def off(swarm: OwnerSwarm, *defences: Defence) -> AbstractContextManager[None]:
    """Without these defences, for as long as this."""
    assert swarm.site is not None
    return switch_off(swarm.site, *defences)


def others(requester: HandRequester, victim: int) -> list[int]:
    return [member for member in requester.everybody if member != victim]


@dataclass
class Play:
    """An attempt, its roster, and what the requester has got of it so far."""

    attempt: Attempt
    roster: BlobRef
    batches: dict[int, bytes] = field(default_factory=dict)
    releases: dict[int, tuple[bytes, ...]] = field(default_factory=dict)


async def contributed(
    requester: HandRequester, where: tuple[int, int], model: bytes, members: list[int] | None = None
) -> Play:
    """An attempt up to its contributions, of everybody or of these members alone."""
    going = list(requester.everybody) if members is None else members
    attempt = await requester.open(where, dict.fromkeys(requester.everybody, model))
    ready = await requester.ready(attempt, requester.everybody)
    roster = requester.roster({member: ready[member] for member in going})
    await requester.freeze(attempt, dict.fromkeys(going, roster))
    return Play(attempt, roster, await requester.contributions(attempt, going))


def some_model(requester: HandRequester, turn: int = 0) -> bytes:
    """Weights as training may lead to, always the same; another turn gives another digest."""
    weights = np.random.default_rng(7).normal(0, 1, requester.spec.parameter_count)
    return encode_vector(Kind.MODEL, weights, turn)


def dead_model(requester: HandRequester) -> bytes:
    """No unit of its hidden layer ever fires: whatever the data, all gradients but those of the
    last biases are zero ("gradient suppression", Pasquini, Francati and Ateniese, CCS 2022)."""
    weights = np.zeros(requester.spec.parameter_count)
    (_, biases), _ = layers(tasks.model_of(requester.spec), weights)
    biases[:] = -1.0
    return encode_vector(Kind.MODEL, weights)


def silenced(requester: HandRequester) -> npt.NDArray[np.bool_]:
    """Which values a dead model leaves zero."""
    marks = np.ones(requester.spec.parameter_count)
    _, (_, last_biases) = layers(tasks.model_of(requester.spec), marks)
    last_biases[:] = 0.0
    return marks > 0


def expected(
    requester: HandRequester, swarm: OwnerSwarm, number: int, model: bytes
) -> npt.NDArray[np.float64]:
    """What an owner's own data gives on a model, in steps of the wire's grid, before rounding."""
    spec, folder = requester.spec, swarm.folder / f"seen{number}"
    folder.mkdir(exist_ok=True)
    copy = import_file(csv_of(swarm, number), folder).copy
    architecture = tasks.model_of(spec)
    rows = check_rows(architecture, *load_matrix(folder, copy.digest, "clouds", spec))
    weights = decode_vector(Kind.MODEL, model, spec.parameter_count)
    exact, _ = local_gradient(architecture, weights, *rows, tasks.training_of(spec), bytes(32))
    return exact / tasks.envelope_of(spec).fixed_point.step
