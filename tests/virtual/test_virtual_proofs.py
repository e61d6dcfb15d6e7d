"""Jobs whose contributions prove their norm, on whole nodes: honest, and with one that cheats."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TypeAlias
from unittest.mock import patch

import pytest
from kits.dealers import changed

from protocol.books import lists
from virtual import cheats
from virtual.cheats import Cheating
from virtual.clock import current
from virtual.world import Outcome, Terms, World

SIX = {"owners": 6, "block": 6, "rounds": 2, "envelope": "shares"}


def hold(world: World) -> Outcome:
    outcome = world.run()
    assert outcome.broken == [], "\n".join([*outcome.broken, *outcome.log[-60:]])
    assert (outcome.phase, outcome.rounds) == ("closed", world.terms.rounds)
    return outcome


def said(outcome: Outcome, text: str) -> list[str]:
    return [line for line in outcome.log if text in line]


def claims(world: World) -> int:
    """How many accounts the contract has paid for a round."""
    held = world.chain.head.ledger.jobs[world.job]
    return sum(1 for bits in held.paid.values() if bits)


@pytest.mark.parametrize("noisy", [False, True], ids=["bare", "noisy"])
def test_everybody_proves_its_norm_and_is_paid(noisy: bool) -> None:
    terms = Terms(**SIX)  # type: ignore[arg-type]
    if noisy:
        terms = Terms(envelope="shares", owners=9, block=9, rounds=2, noisy=True, dropouts=1)
    world = World(terms)
    outcome = hold(world)
    assert claims(world) == terms.owners
    assert not said(outcome, "proof-failed")
    assert len(said(outcome, "words-said")) >= 2 * terms.owners


CHEATS = [
    cheats.poison,
    *(
        pytest.param(each, marks=pytest.mark.ci)
        for each in (cheats.wraps_around, cheats.wrong_degree, cheats.other_vector)
    ),
]


@pytest.mark.parametrize("cheat", CHEATS, ids=lambda cheat: cheat.__name__)
def test_who_deals_what_it_cannot_prove_is_named_and_not_paid(cheat: cheats.Cheat) -> None:
    """The round goes on with the others, and so does the job: the cheat leaves for good."""
    world = Cheating(Terms(seed=2, **SIX), cheat=cheat)  # type: ignore[arg-type]
    outcome = hold(world)
    assert claims(world) == 5
    named = said(outcome, "proved no norm")
    assert named
    # Every other owner sees it for itself, from the block's signed words.
    seen = {line.split()[1] for line in said(outcome, "did not prove its norm")}
    assert seen >= {"o0", "o2", "o3", "o4", "o5"}
    assert len(said(outcome, "r attempt-failed")) == 0
    assert all(line.split()[1] == "r" for line in said(outcome, "warning assay.perform: peer"))


UNDECIDED = [
    cheats.two_vectors,
    *(pytest.param(each, marks=pytest.mark.ci) for each in (cheats.out_of_field, cheats.replayed)),
]


@pytest.mark.parametrize("cheat", UNDECIDED, ids=lambda cheat: cheat.__name__)
def test_who_deals_pieces_that_do_not_fit_is_never_listed(cheat: cheats.Cheat) -> None:
    """Pieces that are no pieces give no words, and words that are not there prove nothing: such a
    dealer is left out like one that stays away. Without noise its block waits for it in vain."""
    world = Cheating(Terms(seed=2, rounds=1, owners=6, block=6, envelope="shares"), cheat=cheat)
    outcome = world.run()
    assert outcome.broken == []
    assert said(outcome, "is left out this time") or said(outcome, "proved no norm")


Lie: TypeAlias = Callable[[list[bytes]], list[bytes]]


def other_words(words: list[bytes]) -> list[bytes]:
    return [changed(word, 0) if word else word for word in words]


def silence(words: list[bytes]) -> list[bytes]:
    return [b"" for _ in words]


def short_words(words: list[bytes]) -> list[bytes]:
    return [word[:-8] for word in words]


LIES = [
    other_words,
    *(pytest.param(each, marks=pytest.mark.ci) for each in (silence, short_words)),
]


@pytest.mark.parametrize("lie", LIES)
def test_one_that_lies_about_others_accuses_nobody_and_keeps_nobody_out(
    lie: Lie,
) -> None:
    world = Cheating(Terms(seed=3, **SIX), says=lie)  # type: ignore[arg-type]
    outcome = hold(world)
    assert not said(outcome, "proved no norm")
    assert not said(outcome, "is left out")
    assert claims(world) == 6


def test_one_that_lies_cannot_pass_itself() -> None:
    """It says of itself that all is well, and of the others nothing."""
    world = Cheating(
        Terms(seed=4, **SIX),  # type: ignore[arg-type]
        cheat=cheats.poison,
        says=lambda words: [b"" for _ in words],
    )
    outcome = hold(world)
    assert said(outcome, "proved no norm")
    assert claims(world) == 5


def test_a_wrong_sum_is_corrected_and_named() -> None:
    outcome = hold(
        Cheating(Terms(seed=5, **SIX), adds=lambda data: changed(data, 0))  # type: ignore[arg-type]
    )
    assert said(outcome, "released a sum that is not of its pieces")
    assert not said(outcome, "stays closed")


class Biased(World):
    """Its requester commits to another list than the one that its block's words give."""

    @contextlib.contextmanager
    def _listening(self) -> Iterator[None]:
        build = lists.contribution_list

        def biased(blocks, envelopes, verdicts=None):  # type: ignore[no-untyped-def]
            node = current.get()
            if verdicts is not None and node is not None and node.name == "r":
                envelopes = envelopes[:-1]
            return build(blocks, envelopes, verdicts)

        with super()._listening(), patch.object(lists, "contribution_list", biased):
            yield


@pytest.mark.ci
def test_a_requester_that_leaves_out_who_passed_gets_no_sum() -> None:
    """Every other owner rebuilds the verdict, sees that one is missing, and releases nothing."""
    terms = Terms(seed=6, rounds=1, owners=6, block=6, envelope="shares", unmask_seconds=10)
    outcome = Biased(terms).run()
    assert len(said(outcome, "leaves out member 5, which has proven its norm")) >= 5
    assert not said(outcome, "tells r Release")


@pytest.mark.long
@pytest.mark.parametrize("name", ["r", "o1"])
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_kill_at_any_act_changes_no_proof(name: str, after: bool) -> None:
    """SIGKILL around words, sums, and all else that the disk or others can see."""
    terms = Terms(seed=5, rounds=1, owners=6, block=6, envelope="shares")
    whole = World(terms)
    assert whole.run().broken == []
    for act in range(1, whole.nodes[name].acts, 7):
        world = World(terms)
        world.crashes[name] = act, after
        outcome = world.run()
        assert outcome.broken == [], (act, outcome.broken)
        assert (outcome.phase, outcome.rounds) == ("closed", 1), act


@pytest.mark.parametrize("name", ["r", pytest.param("o1", marks=pytest.mark.ci)])
def test_a_kill_while_members_check_each_other_changes_nothing(name: str) -> None:
    """A few moments of one round: around the dealing, the words and the sum."""
    terms = Terms(seed=5, rounds=1, owners=6, block=6, envelope="shares")
    whole = World(terms)
    assert whole.run().broken == []
    acts = whole.nodes[name].acts
    for act in (acts // 2, 2 * acts // 3):
        world = World(terms)
        world.crashes[name] = act, True
        hold(world)
        assert claims(world) == 6
