"""Requesters that want to read one owner's gradient, played to their end against real daemons.

Each attack is played twice. With every defence on, owners refuse and say why, and nothing that the
requester then holds opens one contribution. With one defence switched off (defences.py: not a thing
that the product can do) it is real: what comes out is the victim's own gradient, number by number.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from attack_kit import NOISY, PLAIN, dead_model, expected, silenced, some_model, start
from defences import Defence, switch_off, write_site
from hand_requester import Attempt, HandRequester, OwnerSwarm, hand_requester
from jobs_kit import stored

from node import gradients, secagg_tasks
from node.blobs import BlobRef
from protocol.arith.fixedpoint import Integers
from protocol.arith.lanes import SumOutOfRange
from protocol.arith.sharing import Secrets
from protocol.envelope import Envelope, seal
from protocol.messages import Committed, Contribution

VICTIM = 0  # the owner's number

FIRST = (0, 0)


@dataclass
class Play:
    """An attempt, its roster, and what the requester has got of it so far."""

    attempt: Attempt
    roster: BlobRef
    batches: dict[int, bytes] = field(default_factory=dict)
    releases: dict[int, tuple[bytes, ...]] = field(default_factory=dict)


@pytest.fixture(scope="module")
def swarm(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[OwnerSwarm]:
    """Owners as anybody runs them, or owners whose defences a test can switch off."""
    folder = tmp_path_factory.mktemp(request.param)
    site = write_site(folder / "site") if request.param == "unguarded" else None
    owners = start(OwnerSwarm(folder, site=site))
    yield owners
    owners.destroy()


guarded = pytest.mark.parametrize("swarm", ["guarded"], indirect=True)
unguarded = pytest.mark.parametrize("swarm", ["unguarded"], indirect=True)


def off(swarm: OwnerSwarm, *defences: Defence) -> AbstractContextManager[None]:
    assert swarm.site is not None
    return switch_off(swarm.site, *defences)


def others(requester: HandRequester, victim: int) -> list[int]:
    return [member for member in requester.everybody if member != victim]


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


# --- 'it dropped out' to some, 'it is in' to others


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


def two_lists(requester: HandRequester, victim: int, play: Play) -> tuple[Committed, Committed]:
    """Two signed commitments of one round: everybody is in; the victim has dropped out."""
    model = play.attempt.openings[victim].model_digest
    without = {member: batch for member, batch in play.batches.items() if member != victim}
    batches = (play.batches, without)
    both = [requester.commitment(FIRST, model, play.roster.digest, each) for each in batches]
    return both[0], both[1]


@guarded
async def test_owners_release_for_the_list_on_the_chain_alone(
    swarm: OwnerSwarm, tmp_path: Path
) -> None:
    async with hand_requester(swarm, tmp_path / "hand", NOISY) as requester:
        victim = requester.member_of(swarm.owners[VICTIM])
        play = await contributed(requester, FIRST, some_model(requester))
        whole, without = two_lists(requester, victim, play)
        a, b, c, d = others(requester, victim)
        await requester.show(play.attempt, whole, (victim, a, b))
        await requester.show(play.attempt, without, (c, d))
        await requester.put_on_chain(FIRST, whole)
        released = await requester.releases(play.attempt, whole.root, (victim, a, b))
        reasons = await requester.refusals(FIRST, (c, d))
        assert set(reasons.values()) == {"the chain holds another commitment"}
        # Each is shown the other one now: an answer is given once.
        await requester.show(play.attempt, without, (a, b))
        await requester.show(play.attempt, whole, (c, d))
        model = play.attempt.openings[victim].model_digest
        bound = requester.bound(play.attempt, model, play.roster)
        requester.sum_of(bound, play.batches, released)  # what the bounty pays for opens
        assert requester.released(play.attempt, without.root) == {}
        assert requester.secret("seed", victim, play.roster, released) is not None
        assert requester.secret("key", victim, play.roster, released) is None
        for member in requester.everybody:
            told = given_away(requester, member)
            assert told == ([] if member in (c, d) else [(m, "seed") for m in range(5)])


def given_away(requester: HandRequester, member: int) -> list[tuple[int, str]]:
    """What the owner itself has recorded before it left: of whom, which kind of share."""
    query = "SELECT member, kind FROM releases WHERE job = ? ORDER BY member"
    return [(int(m), str(k)) for m, k in stored(requester.owner_of(member), query, requester.job)]


@unguarded
async def test_who_releases_for_any_list_gives_one_contribution_away(
    swarm: OwnerSwarm, tmp_path: Path
) -> None:
    async with hand_requester(swarm, tmp_path / "hand", NOISY) as requester:
        victim = requester.member_of(swarm.owners[VICTIM])
        mates = others(requester, victim)
        with off(swarm, "lists"):
            play = await contributed(requester, FIRST, some_model(requester))
            whole, without = two_lists(requester, victim, play)
            await requester.show(play.attempt, whole, mates)
            seeds = await requester.releases(play.attempt, whole.root, mates)
            await requester.show(play.attempt, without, mates)
            keys = await requester.releases(play.attempt, without.root, mates)
        seed = requester.secret("seed", victim, play.roster, seeds)
        private = requester.secret("key", victim, play.roster, keys)
        assert seed is not None
        model = play.attempt.openings[victim].model_digest
        bound = requester.bound(play.attempt, model, play.roster)
        found = requester.alone(bound, victim, play.batches[victim], seed, private=private)
        home = swarm.owners[VICTIM].home
        drawn = gradients.load(home, requester.job, 0, model)
        assert drawn is not None
        assert found.tolist() == np.frombuffer(drawn, dtype="<i8").tolist()


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


# --- two sums, with one owner and without


async def opened(requester: HandRequester, play: Play) -> Integers:
    """Commit what was contributed, pay for it, open it."""
    attempt, members = play.attempt, sorted(play.batches)
    model = attempt.openings[members[0]].model_digest
    said = requester.commitment(attempt.where, model, play.roster.digest, play.batches)
    await requester.put_on_chain(attempt.where, said)
    await requester.show(attempt, said, members)
    released = await requester.releases(attempt, said.root, members)
    bound = requester.bound(attempt, model, play.roster)
    return requester.sum_of(bound, play.batches, released)


@guarded
async def test_owners_refuse_a_model_twice_and_a_block_without_one(
    swarm: OwnerSwarm, tmp_path: Path
) -> None:
    async with hand_requester(swarm, tmp_path / "hand", PLAIN) as requester:
        victim = requester.member_of(swarm.owners[VICTIM])
        mates = others(requester, victim)
        await opened(requester, await contributed(requester, FIRST, some_model(requester)))
        await requester.open((1, 0), dict.fromkeys(requester.everybody, some_model(requester)))
        reasons = await requester.refusals(FIRST, requester.everybody)
        assert set(reasons.values()) == {
            "this round, or this model, was contributed to with another"
        }
        # The same weights once more, under another digest: not one member may be missing.
        again = some_model(requester, turn=1)
        attempt = await requester.open((1, 1), dict.fromkeys(requester.everybody, again))
        ready = await requester.ready(attempt, requester.everybody)
        del ready[victim]
        await requester.freeze(attempt, dict.fromkeys(mates, requester.roster(ready)))
        reasons = await requester.refusals((1, 1), mates)
        assert set(reasons.values()) == {
            "block 0 stands in a list with 4 of its 5 members, 5 are needed"
        }
        assert requester.heard_of(Contribution, (1, 1)) == []
        play = await contributed(requester, (1, 2), again)
        del play.batches[victim]
        model = attempt.openings[victim].model_digest
        said = requester.commitment((1, 2), model, play.roster.digest, play.batches)
        await requester.put_on_chain((1, 2), said)
        await requester.show(play.attempt, said, requester.everybody)
        reasons = await requester.refusals((1, 2), requester.everybody)
        assert set(reasons.values()) == {
            "block 0 stands in a list with 4 of its 5 members, 5 are needed"
        }
        assert requester.released(play.attempt, said.root) == {}


@unguarded
async def test_without_both_rules_two_sums_differ_by_one_gradient(
    swarm: OwnerSwarm, tmp_path: Path
) -> None:
    async with hand_requester(swarm, tmp_path / "hand", PLAIN) as requester:
        victim = requester.member_of(swarm.owners[VICTIM])
        model = some_model(requester)
        with off(swarm, "whole", "once"):
            all_ = await opened(requester, await contributed(requester, FIRST, model))
            mates = others(requester, victim)
            less = await opened(requester, await contributed(requester, (1, 0), model, mates))
        exact = expected(requester, swarm, VICTIM, model)
        assert np.abs(exact).max() > 100
        # Each of the others may be rounded another way the second time.
        assert np.abs(all_ - less - exact).max() < 1 + len(mates)
        assert np.corrcoef(all_ - less, exact)[0, 1] > 0.999
