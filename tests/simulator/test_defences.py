"""Defences switched off, one by one: with all of them on a coalition opens nothing that it should
not, and with them off the same trying opens one owner's numbers. So the trying is in earnest."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from eth_keys import keys as eth_keys
from hypothesis import Phase as Part
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test
from kits.coalitions import PLAIN, Coalitions, coalition
from simulator.coalition import Coalition
from simulator.participant import Node
from simulator.secrecy import Secrecy
from simulator.spy import Opened
from simulator.stored import Backup
from simulator.world import Settings

from node.work import secagg as secagg_tasks
from protocol.arith.learning import models
from protocol.arith.numbers.vectors import Kind, encode_vector
from protocol.books import lists
from protocol.books.enrolment import cohort_order
from protocol.machines import effects, inputs
from protocol.owner import machine as owner
from protocol.owner import release as owner_release
from protocol.owner.state import OwnerRound, OwnerState
from protocol.owner.turn import OwnerTurn
from protocol.wire.codec import encode
from protocol.wire.envelope import Frame
from protocol.wire.messages import Enrol, Release


def single(them: Coalition) -> Opened:
    """The one sum of one owner's numbers that can be opened."""
    them.spy.learn()
    (found,) = (each for each in them.spy.opened() if len(each.parts) == 1)
    return found


def check_opened(them: Coalition, victim: Node, attempt: int = 0) -> None:
    """The victim's numbers come out, each of them."""
    opened = single(them)
    assert [sender for sender, _, _ in opened.parts] == [victim.peer]
    assert np.array_equal(them.spy.compute(opened), victim.integers[0, attempt])


# --- one kind of share a peer, ever


def _fork(them: Coalition) -> None:
    """A reorganisation deeper than the finality that the job trusts: its commitment is gone."""
    chain = them.world.chain
    for mark in [mark for mark in chain.txs if "/commit/" in mark]:
        del chain.txs[mark]
    chain.reorganise(5)


def _put_back(node: Node, state: Backup, *, vault: bool, record: bool) -> None:
    """An earlier state, as from a backup; `vault` and `record` say what is put back or kept."""
    node.crash()
    stored = next(iter(node.jobs.values()))
    stored.put_back(state)
    stored.effects.clear()
    node.releases.clear()
    if not vault:
        node.vault.clear()
    if not record:
        node.given.clear()
    node.restart()


@pytest.mark.parametrize(
    ("vault", "record", "opens"),
    [(False, False, False), (True, True, False), (True, False, True)],
    ids=["no key in the backup", "record kept", "both undone"],
)
def test_a_fork_and_restored_owners(vault: bool, record: bool, opens: bool) -> None:
    """'All are in' is final, and released for; then the chain forks, the owners are restored, and
    'one dropped' is final. The sealing key that no backup holds, and the record of what was given,
    each keep the second kind of share back."""
    them = coalition(21, noisy=True)
    place, roster = them.play(0, 0, model := them.model(0))
    before = [node.jobs[them.world.job].backup() for node in them.honest]
    everybody, victim = them.members(them.world.owners), them.honest[1]
    them.commit(place, model, them.list_of(roster, everybody), them.honest, on_chain=True)
    them.wait(5_000)
    assert them.gains() == [len(them.honest)]
    _fork(them)
    for node, state in zip(them.honest, before, strict=True):
        _put_back(node, state, vault=vault, record=record)
    fewer = tuple(m for m in everybody if m != them.member(victim.peer))
    them.commit(place, model, them.list_of(roster, fewer), them.honest, on_chain=True)
    them.wait(8_000)
    assert len(them.world.chain.state.jobs[them.world.job].committed) == 1
    if opens:
        check_opened(them, victim)
    else:
        them.check()


def test_a_fork_alone_gives_nothing_more() -> None:
    """Who has released for one commitment of a round releases for no other."""
    them = coalition(22, noisy=True)
    place, roster = them.play(0, 0, model := them.model(0))
    everybody = them.members(them.world.owners)
    them.commit(place, model, them.list_of(roster, everybody), them.honest, on_chain=True)
    them.wait(5_000)
    _fork(them)
    them.commit(place, model, them.list_of(roster, everybody[:-1]), them.honest, on_chain=True)
    them.wait(8_000)
    assert them.gains() == [len(them.honest)]


@contextlib.contextmanager
def leaking() -> Iterator[None]:
    """Owners that give both kinds of share of everybody."""
    honest = Secrecy.release

    def both(self: Secrecy, job: bytes, effect: effects.SendRelease) -> Release | None:
        body, node = honest(self, job, effect), self._node
        if body is not None:
            place = node.place(job, effect.round, effect.attempt)
            roster = self.roster(job, effect.round, effect.block, effect.roster_digest)
            shares = self.open_shares(job, place, effect.block, roster)
            others = tuple(shares[e.member][e.member in effect.listed] for e in roster)
            said = node.sealed(
                job, effect.round, effect.attempt, Release(effect.root, effect.block, others)
            )
            frame, to = encode(Frame(encode(said), b"")), node.contexts[job].requester
            node.world.network.request(node, to, frame, effect.until, lambda _: None)
        return body

    with patch.object(Secrecy, "release", both):
        yield


@pytest.mark.ci
def test_the_property_fails_where_owners_give_both_kinds() -> None:
    with leaking(), pytest.raises(AssertionError, match="1"):
        run_state_machine_as_test(
            Coalitions,
            settings=settings(
                Coalitions.TestCase.settings,
                max_examples=25,
                phases=[Part.generate],
                database=None,
                derandomize=True,
            ),
        )


# --- 'B dropped' to some, 'B is in' to others


def _release_at_once(turn: OwnerTurn, round_: OwnerRound, _: inputs.Input) -> None:
    """What is shown is taken for what the chain holds."""
    if round_.count:
        owner_release._release(turn, round_)


@pytest.mark.parametrize("chain", [True, False], ids=["chain", "no chain"])
@pytest.mark.parametrize("threshold", [True, False], ids=["threshold", "low threshold"])
def test_dropped_to_some_and_in_to_others(chain: bool, threshold: bool) -> None:
    """Two signed lists. The chain holds one at most; and more than half of members and corrupt
    together must have seen the same: either is enough."""
    with contextlib.ExitStack() as off:
        if not chain:
            off.enter_context(patch.object(owner_release, "look_at_chain", _release_at_once))
        if not threshold:
            off.enter_context(patch("protocol.spec.job.least_threshold", lambda *_: 3))
        them = coalition(23, noisy=True)
        place, roster = them.play(0, 0, model := them.model(0))
        everybody, victim = them.members(them.world.owners), them.honest[1]
        fewer = tuple(m for m in everybody if m != them.member(victim.peer))
        some, others = them.honest[:3], them.honest[3:]
        them.commit(place, model, them.list_of(roster, everybody), some, on_chain=True)
        them.commit(place, model, them.list_of(roster, fewer), others, on_chain=False)
        them.wait(6_000)
        if chain or threshold:
            them.check()
        else:
            check_opened(them, victim)


# --- different models to different owners (Pasquini, Francati and Ateniese 2022)


def _dull_model(them: Coalition) -> bytes:
    """Hidden units that never fire: all gradients are zero but those of the output's biases."""
    from node.work.tasks import model_of

    architecture = model_of(them.world.spec)
    weights = np.zeros(architecture.parameter_count)
    (_, biases), _ = models.layers(architecture, weights)
    biases -= 1_000.0
    digest, _ = them.store(encode_vector(Kind.MODEL, weights))
    them.spy.dull.add(digest)
    return digest


def _lax_roster(
    spec: Any, cohort: Any, blocks: Any, block: int, context: Any, opening: bytes, data: bytes
) -> Any:
    """A roster of whatever openings."""
    return lists.roster_entries(cohort, blocks, block, data)


@pytest.mark.parametrize("bound", [True, False], ids=["masks bound to the model", "not bound"])
@pytest.mark.parametrize("checked", [True, False], ids=["openings compared", "not compared"])
def test_different_models_to_different_owners(bound: bool, checked: bool) -> None:
    """One gets a model that tells, all others one with which their gradients are zero."""
    true = secagg_tasks.binding_of

    def unbound(spec: Any, attempt: secagg_tasks.Attempt) -> Any:
        return true(spec, dataclasses.replace(attempt, model_digest=bytes(32)))

    with contextlib.ExitStack() as off:
        if not bound:
            off.enter_context(patch.object(secagg_tasks, "binding_of", unbound))
        if not checked:
            off.enter_context(patch.object(lists, "examine_roster", _lax_roster))
        them = Coalition(Settings(seed=24, rounds=3, hidden=4, **PLAIN))  # type: ignore[arg-type]
        victim, rest = them.honest[0], them.honest[1:]
        place, dull, told = them.place(0, 0), _dull_model(them), them.model(0)
        one = them.open(0, 0, told, [victim])
        other = them.open(0, 0, dull, rest)
        them.wait(1_500)
        own = [them.own_ready(place, other, node) for node in them.corrupt]
        roster = them.roster(place, [*own, *them.readys.values()])
        them.freeze(place, one, roster, [victim])
        them.freeze(place, other, roster, rest)
        them.wait(2_500)
        everybody = them.members(them.world.owners)
        them.commit(place, dull, them.list_of(roster[0], everybody), them.honest, on_chain=True)
        them.wait(6_000)
        if bound or checked:
            them.check()
            return
        opened = single(them)
        assert [sender for sender, _, _ in opened.parts] == [victim.peer]
        outputs = 3  # biases of the output layer: there the others' are not zero
        found, truth = them.spy.compute(opened)[:-outputs], victim.integers[0, 0][:-outputs]
        assert np.array_equal(found, truth)
        assert np.any(truth)


# --- keys replaced by the requester's own


def _puppets(them: Coalition, count: int) -> list[Node]:
    """Nodes of the requester's making."""
    world, made = them.world, []
    for number in range(count):
        secret = bytes([number + 1]) * 32
        node = Node(
            world,
            f"p{number}",
            Ed25519PrivateKey.from_private_bytes(secret),
            eth_keys.PrivateKey(secret),
        )
        node.crash()  # keys alone
        made.append(node)
    return made


def _cohort_of(them: Coalition, victim: Node, puppets: Sequence[Node]) -> tuple[bytes, int]:
    """The list of one honest owner among puppets."""
    job, spec = them.world.job, them.world.spec
    (mine,) = (
        e
        for e in them.requester.messages.values()
        if isinstance(e.body, Enrol) and e.sender == victim.peer
    )
    theirs = [p.sealed(job, 0, 0, p.executor.enrolment(job, p.payout, 40)) for p in puppets]
    return them.store(lists.encode_cohort([cohort_order(spec, job, [mine, *theirs])]))


def _trust_any_root(turn: OwnerTurn) -> None:
    state = turn.state
    if state.cohort_roots and not state.cohort_here and all(root.seed for root in state.roots):
        turn.change(
            cohort_here=True,
            held_cohort=state.cohort_digest,
            held_groups=len(state.cohort_roots),
        )


@pytest.mark.parametrize("rooted", [True, False], ids=["root compared", "not compared"])
def test_a_cohort_of_puppets(rooted: bool) -> None:
    """All but one are the requester's own, with keys of their own; the chain has another root."""
    with contextlib.ExitStack() as off:
        if not rooted:
            off.enter_context(patch.object(owner, "_compare_roots", _trust_any_root))
        them = coalition(25, noisy=False)
        victim = them.honest[0]
        puppets = _puppets(them, 4)
        digest, size = _cohort_of(them, victim, puppets)
        job, requester = them.world.job, them.requester
        requester.learn_cohort(job, requester.blobs[digest])
        books = dataclasses.replace(
            them.world.books, next_cohort_digest=digest, next_cohort_size=size
        )
        requester._states[job] = books
        them.corrupt = them.spy.corrupt = tuple(puppets)  # type: ignore[assignment]
        place = them.place(0, 0)
        opening = them.open(0, 0, them.model(0), [victim])
        them.wait(1_500)
        if rooted:
            assert not them.readys
            state = victim.state(job)
            assert isinstance(state, OwnerState)
            assert state.reason == "the enrolled list is not the one under the chain's root"
            return
        own = [them.own_ready(place, opening, puppet) for puppet in puppets]
        roster = them.roster(place, [*own, *them.readys.values()])
        them.freeze(place, opening, roster, [victim])
        them.wait(2_500)
        check_opened(them, victim)
