"""Sealed jobs under virtual time: bad networks, crashes, dropouts, spies, and models that are none.

Owners' statistics are noised by the stand-in of gaussian.py; all else is what workers run.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck
from hypothesis import strategies as st
from hypothesis.stateful import initialize
from kits.coalitions import EVERYBODY, Coalitions
from kits.examples import examples
from simulator.checks import check_all_closed, check_done
from simulator.coalition import Coalition
from simulator.moments import vanish_at
from simulator.network import Weather
from simulator.participant import Node
from simulator.spy import Spy
from simulator.world import Settings, World

from node.work import tasks
from protocol.arith.sealed import ciphertexts as sealed
from protocol.machines.job import JobPhase
from protocol.machines.round import Phase
from protocol.params import SEALED_FRACTION_BITS
from protocol.wire.messages import Refuse

NOISY: dict[str, Any] = {"sealed": True, "epsilon": 8.0}
#: Six in a block, one may drop out, one may be corrupt.
DROPOUTS: dict[str, Any] = NOISY | {"owners": 6, "block": 6, "dropouts": 1, "corrupt": 1}


def run(world: World, seconds: int = 900) -> World:
    assert world.run(seconds), "stuck:\n" + "\n".join(world.log[-40:])
    assert world.rejected == []
    assert all(not node.blamed for node in (world.requester, *world.owners))
    return world


def bad_weather() -> Weather:
    return Weather(loss=0.12, duplicates=0.15, delay_ms=(5, 400))


def check_drawn_once(world: World) -> None:
    """One charge and one draw a job, on nothing that its requester could have chosen."""
    place = world.job, 0, world.requester.contexts[world.job].spec_digest
    for owner in world.owners:
        assert owner.charged == [place]
        assert set(owner.gradients) == {place}


def said(node: Node, kind: str) -> list[str]:
    return [notice.text for notice in node.notices if notice.kind == kind]


def contributors(world: World) -> list[int]:
    """How many contributions moved the model, round by round."""
    facts = [dict(n.facts) for n in world.requester.notices if n.kind == "round-applied"]
    return [int(each.get("contributors", 0)) for each in facts]


# --- whole jobs


@pytest.mark.parametrize("epsilon", [8.0, None], ids=["noise", "no noise"])
def test_ten_owners_in_bad_weather_train_what_they_cannot_read(epsilon: float | None) -> None:
    job: dict[str, Any] = {"owners": 10, "rounds": 2, "sealed": True, "epsilon": epsilon}
    world = run(World(Settings(seed=1, weather=bad_weather(), **job)))
    check_done(world)
    check_all_closed(world)
    assert contributors(world) == [10, 10]
    assert world.accuracies[-1] > 0.85  # of three classes
    if epsilon is None:
        assert all(owner.charged == [] for owner in world.owners)
    else:
        check_drawn_once(world)


def test_one_seed_gives_one_log_and_another_another() -> None:
    logs = [
        run(World(Settings(seed=s, rounds=2, weather=bad_weather(), **NOISY))).log_bytes
        for s in (2, 2, 3)
    ]
    assert logs[0] == logs[1] != logs[2]
    assert len(logs[0]) > 10_000


def test_everybody_crashes_in_every_phase() -> None:
    world = World(Settings(seed=4, rounds=3, weather=bad_weather(), **NOISY))
    for node, phase in zip(
        world.owners, (Phase.READY, Phase.CONTRIBUTE, Phase.COMMIT), strict=False
    ):
        world.crash_at(node, phase, 1_500, times=2)
    world.crash_at(world.owners[3], Phase.APPLY, 1_500)
    for phase in (Phase.CONTRIBUTE, Phase.UNMASK, Phase.APPLY, JobPhase.FINISHING):
        world.crash_at(world.requester, phase, 1_000)
    run(world)
    assert sum("crashes" in line for line in world.log) >= 8
    check_done(world)
    check_all_closed(world)
    check_drawn_once(world)
    assert world.accuracies[-1] > 0.85


@pytest.mark.parametrize("moment", ["before ready", "after freeze", "during unmasking"])
def test_with_noise_one_owner_may_vanish(moment: str) -> None:
    """Who went before it was charged is charged for nothing; rows alone say what counts how much,
    so that the model moves as well without it."""
    world = World(Settings(seed=5, rounds=2, ready_seconds=4, contribute_seconds=6, **DROPOUTS))
    vanish_at(world, moment, world.owners[:1], 300)
    run(world)
    assert said(world.requester, "attempt-failed") == []
    assert contributors(world) == [6 if moment == "during unmasking" else 5, 5]
    assert [len(owner.charged) for owner in world.owners[1:]] == [1] * 5
    assert len(world.owners[0].charged) == (moment != "before ready")
    assert world.accuracies[-1] > 0.85
    check_done(world)
    check_all_closed(world)


def test_what_moves_the_model_is_the_mean_of_what_owners_told() -> None:
    """By rows: the weights are the ones that the replies, under their masks, add up to."""
    world = run(World(Settings(seed=6, rounds=2, **NOISY)))
    envelope = tasks.envelope_of(world.spec)
    digests = [record.model_digest for record in world.books.records] + [world.books.model_digest]
    opened = [
        sealed.decrypt_model(world.paillier, envelope, world.requester.blobs[digest])
        for digest in digests
    ]
    assert not opened[0].any()
    for round_, (before, after) in enumerate(pairwise(opened)):
        told = [o.integers[round_, 0] for o in world.owners]  # each of as many rows as count whole
        moved = sum(told) / len(told) / 2**SEALED_FRACTION_BITS
        assert np.abs(before + moved - after).max() <= 1.0
        assert np.abs(after - before).max() > 1_000


# --- spies


@pytest.mark.parametrize("epsilon", [8.0, None], ids=["noise", "no noise"])
def test_of_two_owners_all_others_and_the_requester_learn_the_sum(epsilon: float | None) -> None:
    """Two honest owners in a block of five, where three hold one share too few of any secret;
    weights that the coalition chose, round after round."""
    job = Settings(seed=7, rounds=2, sealed=True, epsilon=epsilon, corrupt=1)
    them = Coalition(job, corrupt=3)
    assert len(them.honest) == 2
    everybody = them.members(them.world.owners)
    for round_ in range(2):
        place, roster = them.play(round_, 0, model := them.model(round_))
        assert them.gains() == [2] * round_
        whole = them.list_of(roster, everybody)
        them.commit(place, model, whole, them.honest[:1], on_chain=True)
        # To one of the two the other dropped out: it gives nothing for a list that is not whole.
        fewer = [m for m in everybody if m not in them.members(them.honest[:1])]
        them.commit(place, model, them.list_of(roster, fewer), them.honest[1:], on_chain=False)
        them.wait(3_000)
        assert them.gains() == [2] * round_
        them.commit(place, model, whole, them.honest, on_chain=False)
        them.wait(6_000)
        assert them.gains() == [2] * (round_ + 1)
    them.check_truth()
    told = [owner.integers[0, 0] for owner in them.honest]
    assert not np.array_equal(*told)
    assert [len(owner.charged) for owner in them.honest] == [epsilon is not None] * 2


def test_a_job_with_a_dropout_opens_sums_of_a_quorum_and_no_less() -> None:
    world = World(Settings(seed=8, rounds=2, ready_seconds=4, contribute_seconds=6, **DROPOUTS))
    vanish_at(world, "after contributing", world.owners[:1], 14)
    run(world)
    spy = Spy(world, (world.owners[1],))
    spy.learn()
    sums = spy.opened()
    assert len(sums) == 2
    assert all(len(opened.parts) >= 4 for opened in sums)
    check_done(world)


class SealedCoalitions(Coalitions):
    """As test_coalition.py plays open jobs: anything said to anybody, everything that it gives
    tried after each step."""

    @initialize(seed=st.integers(0, 10**6), noisy=st.booleans(), rounds=st.integers(0, 2))
    def begin(self, seed: int, noisy: bool, rounds: int) -> None:
        job = DROPOUTS if noisy else {"sealed": True, "corrupt": 1}
        self.them = Coalition(Settings(seed=seed, rounds=3, **job))
        self.at, self.known = (0, -1), -1
        for _ in range(rounds):
            self.play_a_round(11, False, EVERYBODY)

    def teardown(self) -> None:
        super().teardown()
        if hasattr(self, "them"):
            assert all(len(owner.charged) <= 1 for owner in self.them.honest)


TestSealedCoalitions = SealedCoalitions.TestCase
TestSealedCoalitions.settings = examples(0.06, steps=12, allow=[HealthCheck.data_too_large])


# --- models that are none


def _without_its_last(model: bytes, size: int) -> bytes:
    return model[:-size]


def _no_unit(model: bytes, size: int) -> bytes:
    return model[:-size] + bytes(size - 1) + b"\0"


def _multiple_of_n(model: bytes, size: int) -> bytes:
    n = World(Settings(sealed=True)).paillier.public.n
    return model[:-size] + (n * 7).to_bytes(size, "big")


def _twice_the_same(model: bytes, size: int) -> bytes:
    return model[:-size] + model[-2 * size : -size]


def _other_lanes(model: bytes, size: int) -> bytes:
    return model[:13] + (1).to_bytes(4, "big") + model[17:]


def _open_model(model: bytes, size: int) -> bytes:
    return model[:6] + b"\0" + model[7:]


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (_without_its_last, "the model has another size than the spec says"),
        (_no_unit, "outside [1, n^2)"),
        (_multiple_of_n, "is no unit modulo n"),
        (_twice_the_same, "are the same"),
        (_other_lanes, "sealed model says features 1, the spec's is 5"),
        (_open_model, "sealed model says kind 0"),
    ],
)
def test_an_owner_refuses_the_round_and_stays_up(
    spoil: Callable[[bytes, int], bytes], reason: str
) -> None:
    """It says why, tells nothing, and is charged for the job once, whatever it is asked again."""
    them = Coalition(Settings(seed=9, rounds=2, **NOISY))
    good = them.requester.blobs[them.model(0)]
    size = them.world.spec.encryption.key_bits // 4
    bad, _ = them.store(spoil(good, size))
    for attempt in (0, 1):
        if spoil is _without_its_last:
            them.open(0, attempt, bad, them.honest)
            them.wait(3_000)
        else:
            them.play(0, attempt, bad)
    told = [e.body.reason for e in them.requester.messages.values() if isinstance(e.body, Refuse)]
    assert len(told) >= len(them.honest)
    if spoil is _without_its_last:
        assert all(reason in each for each in told), told[:3]
    else:
        # What its rows have to do with it is its owner's to know: its requester hears no reason.
        assert set(told) == {"this owner could not train"}
        assert all(reason in said(owner, "training-failed")[0] for owner in them.honest)
    assert them.contributions == {}
    assert all(owner.integers == {} for owner in them.honest)
    assert all(len(owner.charged) <= 1 for owner in them.honest)
    charged = [1] * len(them.honest)
    if spoil is _without_its_last:
        them.play(0, 2, them.model(0))
        assert len(them.contributions) == len(them.honest)
    else:
        # A round has one model: with that one it is over, and its requester's to explain.
        them.open(0, 2, them.model(0), them.honest)
        them.wait(3_000)
        assert them.contributions == {}
    assert [len(owner.charged) for owner in them.honest] == charged
    assert {them.world.state(owner).phase for owner in them.honest} == {JobPhase.TRAINING}
