"""A requester whose key has no proof, or whose sealed models are none, against real owners: they
refuse, say why to whom it concerns, stay up, and are charged for the job once.

The simulator has more models of the kind (test_sealed_jobs.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trio
from kits.attacks.hand_reader import paillier_key
from kits.attacks.hand_requester import HandRequester, hand_requester
from kits.daemons import sealed_clouds
from kits.daemons.jobs import happened
from kits.daemons.owner_swarm import OwnerSwarm
from kits.daemons.processes import until
from kits.daemons.sealed_clouds import charges, statistics_of

from node.work import tasks
from protocol.arith.sealed import ciphertexts as sealed
from protocol.wire.messages import Enrol

pytestmark = pytest.mark.long

FIRST = (0, 0)


@pytest.fixture(scope="module")
def swarm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnerSwarm]:
    swarm = OwnerSwarm(tmp_path_factory.mktemp("sealed-hostile"), owners=5)
    try:
        trio.run(swarm.start)
        sealed_clouds.add_data(swarm)
        yield swarm
    finally:
        swarm.destroy()


def spec() -> str:
    return sealed_clouds.spec(rounds=2, ready=120, contribute=120)


def model(requester: HandRequester, number: int = 1) -> bytes:
    """Some weights, encrypted."""
    weights = np.random.default_rng(number).normal(0, 1, requester.spec.parameter_count)
    envelope = tasks.envelope_of(requester.spec)
    return sealed.encrypt_model(envelope, weights, np.random.default_rng(number).bytes)[0]


async def test_a_key_without_its_proof_is_refused_before_anybody_enrols(
    swarm: OwnerSwarm, tmp_path: Path
) -> None:
    _, _, proof = paillier_key()
    forged = proof[:256] + bytes([proof[256] ^ 1]) + proof[257:]
    async with hand_requester(swarm, tmp_path / "hand") as requester:
        announcement = await requester.offer(spec(), forged)
        job = "0x" + requester.job.hex()

        def listed(owner: Any) -> str:
            return next((row["reason"] for row in owner.call("jobs") if row["job"] == job), "")

        with trio.fail_after(60):
            # While it is being looked at, that is the reason.
            while not all(listed(owner).startswith("clouds: ") for owner in swarm.owners):
                await requester.announce(announcement)
                await trio.sleep(1)
        for owner in swarm.owners:
            assert listed(owner).startswith("clouds: key.proof: root 1 is none: the proof is")
            assert owner.state(job) == "waiting"
            assert owner.call("privacy")[0]["jobs"] == []
        assert not any(isinstance(envelope.body, Enrol) for envelope, _ in requester.said)


def _no_unit(blob: bytes, size: int, n: int) -> bytes:
    return blob[:-size] + (7 * n).to_bytes(size, "big")


def _other_lanes(blob: bytes, size: int, n: int) -> bytes:
    return blob[:21] + (1).to_bytes(4, "big") + blob[25:]


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (_no_unit, "sealed model: ciphertext 15 is no unit modulo n"),
        (_other_lanes, "sealed model says per_group 1, the spec's is 3"),
    ],
)
async def test_a_model_that_is_none_is_refused_as_often_as_it_comes(
    swarm: OwnerSwarm, tmp_path: Path, spoil: Callable[[bytes, int, int], bytes], reason: str
) -> None:
    async with hand_requester(swarm, tmp_path / "hand", spec()) as requester:
        job, everybody = "0x" + requester.job.hex(), requester.everybody
        good, size = model(requester), requester.spec.encryption.key_bits // 4
        short = await requester.open(FIRST, dict.fromkeys(everybody, good[:-size]))
        refused = await requester.refusals(short.where, everybody)
        assert set(refused.values()) == {"the model has another size than the spec says"}
        assert all(charges(owner, job) == [] for owner in swarm.owners)
        bad = spoil(good, size, requester.spec.n)
        for place in ((0, 1), (0, 2)):
            attempt = await requester.open(place, dict.fromkeys(everybody, bad))
            roster = requester.roster(await requester.ready(attempt, everybody))
            await requester.freeze(attempt, dict.fromkeys(everybody, roster))
            refused = await requester.refusals(place, everybody)
            # What its rows had to do with it is an owner's own to know.
            assert set(refused.values()) == {"this owner could not train"}
            for owner in swarm.owners:
                texts = [text for *_, text in happened(owner, job, "training-failed")]
                assert texts[-1].startswith(reason), texts
                # It was looked at before anything was charged or drawn for it.
                assert charges(owner, job) == []
                assert not statistics_of(owner, job)
        # A round has one model, and it was that one.
        await requester.open((0, 3), dict.fromkeys(everybody, good))
        said = "this round, or this model, was contributed to with another"
        await until(lambda: said_by_all(requester, said), 30, "the good model comes too late")
        assert {owner.state(job) for owner in swarm.owners} == {"running"}


def said_by_all(requester: HandRequester, reason: str) -> bool:
    """Whether every member has refused in these words."""
    heard = {e.sender for e, _ in requester.said if getattr(e.body, "reason", "") == reason}
    return len(heard) == len(requester.everybody)


async def test_a_sealed_round_by_hand_opens_to_its_sum(swarm: OwnerSwarm, tmp_path: Path) -> None:
    """What the refusals above stand beside: with a good model the same requester is replied to."""
    async with hand_requester(swarm, tmp_path / "hand", spec()) as requester:
        everybody, blob = requester.everybody, model(requester)
        attempt = await requester.open(FIRST, dict.fromkeys(everybody, blob))
        roster = requester.roster(await requester.ready(attempt, everybody))
        await requester.freeze(attempt, dict.fromkeys(everybody, roster))
        batches = await requester.contributions(attempt, everybody)
        digest = attempt.openings[0].model_digest
        committed = requester.commitment(FIRST, digest, roster.digest, batches)
        await requester.put_on_chain(FIRST, committed)
        await requester.show(attempt, committed, everybody)
        releases = await requester.releases(attempt, committed.root, everybody)
        bound = requester.bound(attempt, digest, roster)
        total = requester.sum_of(bound, batches, releases)
        assert np.abs(total).max() > 1_000
        assert all(charges(o, "0x" + requester.job.hex()) == [(0, True)] for o in swarm.owners)
