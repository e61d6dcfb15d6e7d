"""One owner's gradient by way of its masks: other models for all others, or keys of nobody else.

Each attack is played twice, to its end, against real daemons. With every defence on, owners refuse
and say why, and nothing that the requester then holds opens one contribution. With that defence
switched off (defences.py: not a thing that the product can do) it is real: what comes out is the
victim's own gradient, number by number. Where two defences stand behind one another, each is shown
to hold alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from kits.attacks.hand_requester import Attempt, HandRequester, hand_requester
from kits.attacks.play import (
    FIRST,
    PLAIN,
    VICTIM,
    Play,
    dead_model,
    expected,
    guarded,
    off,
    others,
    owners,
    silenced,
    some_model,
    unguarded,
)
from kits.daemons.owner_swarm import OwnerSwarm

from node.work import secagg as secagg_tasks
from protocol.arith.encoding.lanes import SumOutOfRange
from protocol.arith.secagg.sharing import Secrets
from protocol.wire.envelope import Envelope, seal
from protocol.wire.messages import Contribution

pytestmark = pytest.mark.waits(240)

OTHER_OPENING = "a roster lists something else than Ready for its opening"


@pytest.fixture(scope="module")
def swarm(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[OwnerSwarm]:
    yield from owners(request.param, tmp_path_factory)


# --- different models, so that a block's sum is one member's


async def split(requester: HandRequester, victim: int, *, without_model: bool) -> Play:
    """The victim gets a real model, everybody else a dead one; one roster, one freeze."""
    models = dict.fromkeys(requester.everybody, dead_model(requester))
    models[victim] = some_model(requester)
    attempt = await requester.open(FIRST, models, without_model=without_model)
    roster = requester.roster(await requester.ready(attempt, requester.everybody))
    await requester.freeze(attempt, dict.fromkeys(requester.everybody, roster))
    return Play(attempt, roster)


async def paid_for(requester: HandRequester, victim: int, play: Play) -> dict[int, bytes]:
    """Everybody's batch; a commitment on the dead model; the shares of all but the victim, which
    are enough."""
    play.batches = await requester.contributions(play.attempt, requester.everybody)
    mates = others(requester, victim)
    model = play.attempt.openings[mates[0]].model_digest
    said = requester.commitment(FIRST, model, play.roster.digest, play.batches)
    await requester.put_on_chain(FIRST, said)
    await requester.show(play.attempt, said, mates)
    play.releases = await requester.releases(play.attempt, said.root, mates)
    return play.batches


@guarded
async def test_owners_refuse_a_roster_of_other_models(swarm: OwnerSwarm, tmp_path: Path) -> None:
    async with hand_requester(swarm, tmp_path / "hand", PLAIN) as requester:
        victim = requester.member_of(swarm.owners[VICTIM])
        await split(requester, victim, without_model=False)
        reasons = await requester.refusals(FIRST, requester.everybody)
        assert set(reasons.values()) == {"a roster lists something else than Ready for its opening"}
        assert requester.heard_of(Contribution, FIRST) == []


@unguarded
async def test_owners_refuse_it_were_masks_for_any_model(swarm: OwnerSwarm, tmp_path: Path) -> None:
    """The roster's openings tell, before there is anything to mask."""
    async with hand_requester(swarm, tmp_path / "hand", PLAIN) as requester:
        victim = requester.member_of(swarm.owners[VICTIM])
        with off(swarm, "masks"):
            await split(requester, victim, without_model=False)
            reasons = await requester.refusals(FIRST, requester.everybody)
        assert set(reasons.values()) == {OTHER_OPENING}
        assert requester.heard_of(Contribution, FIRST) == []


@unguarded
async def test_masks_alone_keep_a_sum_over_other_models_closed(
    swarm: OwnerSwarm, tmp_path: Path
) -> None:
    """Were openings not bound to their model, owners would go along; the sum is noise even so."""
    async with hand_requester(swarm, tmp_path / "hand", PLAIN) as requester:
        victim = requester.member_of(swarm.owners[VICTIM])
        with off(swarm, "opening"):
            play = await split(requester, victim, without_model=True)
            await paid_for(requester, victim, play)
        for opening in play.attempt.openings.values():
            bound = requester.bound(play.attempt, opening.model_digest, play.roster)
            with pytest.raises(SumOutOfRange):
                requester.sum_of(bound, play.batches, play.releases)


@unguarded
async def test_without_masks_for_one_model_a_sum_is_one_gradient(
    swarm: OwnerSwarm, tmp_path: Path
) -> None:
    async with hand_requester(swarm, tmp_path / "hand", PLAIN) as requester:
        victim = requester.member_of(swarm.owners[VICTIM])
        with off(swarm, "opening", "masks"):
            play = await split(requester, victim, without_model=True)
            await paid_for(requester, victim, play)
        bound = requester.bound(play.attempt, bytes(32), play.roster)
        found = requester.sum_of(bound, play.batches, play.releases)
        kept = silenced(requester)
        exact = expected(requester, swarm, VICTIM, some_model(requester))
        assert np.abs(exact[kept]).max() > 100
        assert np.abs(found - exact)[kept].max() < 1  # but for rounding, which takes up to a step


# --- the requester's keys in the place of the other members'


async def replaced(
    requester: HandRequester, attempt: Attempt, victim: int, ready: dict[int, Envelope], mine: bool
) -> tuple[dict[int, Envelope], list[tuple[int, bytes]]]:
    """The victim's Ready among others that the requester has made up; its private mask keys.

    They say that the other members sent them, which no signature shows, or (`mine`) that the
    requester itself did, which its signature does.
    """
    place = requester.place(requester.job, *attempt.where)
    members = tuple((m.peer, m.sealing_key) for m in requester.cohort.members)
    forged, keys = {victim: ready[victim]}, []
    for member in others(requester, victim):
        peer = members[member][0]
        made = secagg_tasks.make_secrets(
            place, attempt.digests[victim], peer, members, requester.threshold
        )
        sender = requester.swarm.peer_id_bytes if mine else peer
        forged[member] = seal(place, sender, made.ready, requester.keys.sign_peer)
        keys.append((member, Secrets.from_bytes(made.secret).mask_private))
    return forged, keys


@guarded
async def test_owners_refuse_keys_that_no_enrolled_peer_signed(
    swarm: OwnerSwarm, tmp_path: Path
) -> None:
    async with hand_requester(swarm, tmp_path / "hand", PLAIN) as requester:
        victim = requester.member_of(swarm.owners[VICTIM])
        for number, (mine, words) in enumerate(
            [
                (False, "Ready: its signature is not its sender's"),
                (True, "a roster names a key that no enrolment in its block covers"),
            ]
        ):
            models = dict.fromkeys(requester.everybody, some_model(requester))
            attempt = await requester.open((0, number), models)
            ready = await requester.ready(attempt, requester.everybody)
            forged, _ = await replaced(requester, attempt, victim, ready, mine)
            await requester.freeze(attempt, {victim: requester.roster(forged)})
            assert await requester.refusals(attempt.where, [victim]) == {victim: words}
            assert requester.heard_of(Contribution, attempt.where) == []


@unguarded
async def test_who_looks_at_no_signature_masks_with_the_requester_alone(
    swarm: OwnerSwarm, tmp_path: Path
) -> None:
    """The others see the true roster, and release the victim's seed for it in good faith."""
    async with hand_requester(swarm, tmp_path / "hand", PLAIN) as requester:
        victim = requester.member_of(swarm.owners[VICTIM])
        model, mates = some_model(requester), others(requester, victim)
        with off(swarm, "signatures"):
            attempt = await requester.open(FIRST, dict.fromkeys(requester.everybody, model))
            ready = await requester.ready(attempt, requester.everybody)
            forged, keys = await replaced(requester, attempt, victim, ready, mine=False)
            true, false = requester.roster(ready), requester.roster(forged)
            await requester.freeze(attempt, {**dict.fromkeys(mates, true), victim: false})
            batches = await requester.contributions(attempt, requester.everybody)
            digest = attempt.openings[victim].model_digest
            said = requester.commitment(FIRST, digest, true.digest, batches)
            await requester.put_on_chain(FIRST, said)
            await requester.show(attempt, said, mates)
            released = await requester.releases(attempt, said.root, mates)
        seed = requester.secret("seed", victim, true, released)
        assert seed is not None
        bound = requester.bound(attempt, digest, false)
        found = requester.alone(bound, victim, batches[victim], seed, others=keys)
        exact = expected(requester, swarm, VICTIM, model)
        assert np.abs(exact).max() > 100
        assert np.abs(found - exact).max() < 1
