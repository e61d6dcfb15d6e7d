"""One owner's gradient by way of commitments: two of one round, or sums with it and without it.

As in test_attack_masks.py: each attack fails against daemons as anybody runs them, and succeeds
where the defence is switched off.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from kits.attacks.defences import Defence
from kits.attacks.hand_requester import HandRequester, hand_requester
from kits.attacks.play import (
    FIRST,
    NOISY,
    PLAIN,
    VICTIM,
    Play,
    contributed,
    expected,
    guarded,
    off,
    others,
    owners,
    some_model,
    unguarded,
)
from kits.daemons.jobs import stored
from kits.daemons.owner_swarm import OwnerSwarm
from kits.daemons.processes import until

from node.privacy import draws as gradients
from protocol.arith.encoding.lanes import SumOutOfRange
from protocol.arith.numbers.fixedpoint import Integers
from protocol.wire.messages import Committed, Contribution

pytestmark = pytest.mark.waits(270)

NOT_WHOLE = "block 0 stands in a list with 4 of its 5 members, 5 are needed"


@pytest.fixture(scope="module")
def swarm(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[OwnerSwarm]:
    yield from owners(request.param, tmp_path_factory)


# --- 'it dropped out' to some, 'it is in' to others


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


@guarded
async def test_a_contribution_that_the_chain_calls_dropped_stays_closed(
    swarm: OwnerSwarm, tmp_path: Path
) -> None:
    """The requester holds its batch and may rebuild its mask key; its own mask is still on it."""
    async with hand_requester(swarm, tmp_path / "hand", NOISY) as requester:
        victim = requester.member_of(swarm.owners[VICTIM])
        mates = others(requester, victim)
        play = await contributed(requester, FIRST, some_model(requester))
        whole, without = two_lists(requester, victim, play)
        await requester.show(play.attempt, without, requester.everybody)
        await requester.put_on_chain(FIRST, without)
        released = await requester.releases(play.attempt, without.root, mates)
        reasons = await requester.refusals(FIRST, [victim])
        assert reasons == {victim: "a commitment of this owner's block without its contribution"}
        await requester.show(play.attempt, whole, requester.everybody)
        model = play.attempt.openings[victim].model_digest
        bound = requester.bound(play.attempt, model, play.roster)
        present = {member: play.batches[member] for member in mates}
        requester.sum_of(bound, present, released)
        private = requester.secret("key", victim, play.roster, released)
        assert private is not None
        assert requester.secret("seed", victim, play.roster, released) is None
        assert requester.released(play.attempt, whole.root) == {}
        with pytest.raises(SumOutOfRange):
            requester.alone(bound, victim, play.batches[victim], bytes(32), private=private)


async def shown_both(
    requester: HandRequester, victim: int, play: Play
) -> tuple[Committed, Committed]:
    """All but the victim are shown that it is in, and once they have released for that, that it
    dropped out; nothing is put on the chain."""
    mates = others(requester, victim)
    whole, without = two_lists(requester, victim, play)
    await requester.show(play.attempt, whole, mates)
    await requester.releases(play.attempt, whole.root, mates)
    await requester.show(play.attempt, without, mates)
    return whole, without


@unguarded
async def test_what_was_released_stands_even_if_no_chain_were_asked(
    swarm: OwnerSwarm, tmp_path: Path
) -> None:
    """The store takes no second kind of share of anybody: the owner stops the job instead."""
    async with hand_requester(swarm, tmp_path / "hand", NOISY) as requester:
        victim = requester.member_of(swarm.owners[VICTIM])
        mates = others(requester, victim)
        with off(swarm, "lists"):
            play = await contributed(requester, FIRST, some_model(requester))
            whole, without = await shown_both(requester, victim, play)
            for member in mates:
                await stops(requester, member, "no key share of it is released")
        assert set(requester.released(play.attempt, whole.root)) == set(mates)
        assert requester.released(play.attempt, without.root) == {}
        for member in mates:
            assert given_away(requester, member) == [(m, "seed") for m in range(5)]


async def stops(requester: HandRequester, member: int, words: str) -> None:
    """Wait until an owner has stopped the job, for this reason."""
    owner, job = requester.owner_of(member), "0x" + requester.job.hex()
    await until(lambda: owner.state(job) == "failed", 60, "the owner stops the job")
    assert words in owner.show(job)["summary"]["reason"]


@unguarded
async def test_who_releases_anew_for_any_list_gives_one_contribution_away(
    swarm: OwnerSwarm, tmp_path: Path
) -> None:
    async with hand_requester(swarm, tmp_path / "hand", NOISY) as requester:
        victim = requester.member_of(swarm.owners[VICTIM])
        mates = others(requester, victim)
        with off(swarm, "lists", "kinds"):
            play = await contributed(requester, FIRST, some_model(requester))
            whole, without = await shown_both(requester, victim, play)
            seeds = requester.released(play.attempt, whole.root)
            keys = await requester.releases(play.attempt, without.root, mates)
        seed = requester.secret("seed", victim, play.roster, seeds)
        private = requester.secret("key", victim, play.roster, keys)
        assert seed is not None
        assert private is not None
        model = play.attempt.openings[victim].model_digest
        bound = requester.bound(play.attempt, model, play.roster)
        found = requester.alone(bound, victim, play.batches[victim], seed, private=private)
        drawn = gradients.load(swarm.owners[VICTIM].home, requester.job, 0, model)
        assert drawn is not None
        assert found.tolist() == np.frombuffer(drawn, dtype="<i8").tolist()


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
        reasons = await requester.refusals((1, 0), requester.everybody)
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
        assert set(reasons.values()) == {NOT_WHOLE}
        assert requester.heard_of(Contribution, (1, 1)) == []
        play = await contributed(requester, (1, 2), again)
        del play.batches[victim]
        model = attempt.openings[victim].model_digest
        said = requester.commitment((1, 2), model, play.roster.digest, play.batches)
        await requester.put_on_chain((1, 2), said)
        await requester.show(play.attempt, said, requester.everybody)
        reasons = await requester.refusals((1, 2), requester.everybody)
        assert set(reasons.values()) == {NOT_WHOLE}
        assert requester.released(play.attempt, said.root) == {}


@unguarded
@pytest.mark.parametrize(
    ("rules", "turn"), [(("whole", "once"), 0), (("whole",), 1)], ids=["same-model", "same-weights"]
)
async def test_without_whole_blocks_two_sums_differ_by_one_gradient(
    swarm: OwnerSwarm, tmp_path: Path, rules: tuple[Defence, ...], turn: int
) -> None:
    """That a model is for one round adds little: the same weights have another digest in another
    turn. Whole blocks are what a job without noise rests on."""
    async with hand_requester(swarm, tmp_path / "hand", PLAIN) as requester:
        victim = requester.member_of(swarm.owners[VICTIM])
        mates, model = others(requester, victim), some_model(requester)
        again = some_model(requester, turn)
        with off(swarm, *rules):
            all_ = await opened(requester, await contributed(requester, FIRST, model))
            less = await opened(requester, await contributed(requester, (1, 0), again, mates))
        exact = expected(requester, swarm, VICTIM, model)
        assert np.abs(exact).max() > 100
        # Each of the others may be rounded another way the second time.
        assert np.abs(all_ - less - exact).max() < 1 + len(mates)
        assert np.corrcoef(all_ - less, exact)[0, 1] > 0.999
