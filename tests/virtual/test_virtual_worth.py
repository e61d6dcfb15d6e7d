"""Merit by worth among whole nodes: an owner fetches what was published, and measures again."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any
from unittest.mock import patch

import pytest
from kits.daemons import clouds

from node.control.job_results import Audit
from node.perform import publishing
from node.work import apply as apply_tasks
from node.work import remeasure, tasks
from protocol.books import evidence
from protocol.errors import InputError
from virtual.world import Terms, World

NAME = "merit weights: measured again"


class Audited(World):
    """Its first owner audits when all is paid, with nothing but what it can fetch."""

    said: Audit

    async def _close(self) -> None:
        await super()._close()
        running = self.owners[0].running
        assert running is not None
        self.said = await running.api.audit("0x" + self.job.hex())


def audit(merit_by: str = "worth", **patches: Any) -> tuple[Audited, dict[str, tuple[bool, str]]]:
    """A job of fifteen owners in three blocks; what its first owner finds, by name."""
    world = Audited(Terms(seed=3, owners=15, rounds=2, merit_by=merit_by))
    outcome = world.run()
    assert outcome.broken == [], "\n".join([*outcome.broken, *outcome.log[-40:]])
    assert (outcome.phase, outcome.rounds) == ("closed", 2)
    return world, {check.name: (check.ok, check.detail) for check in world.said.checks}


def test_an_owner_measures_again_what_its_requester_published() -> None:
    """Nothing of it can be fetched before the job ends: the spec tells the name from the start."""
    seen: list[bool] = []

    class Watched(Audited):
        def _block(self, block: Any) -> None:
            super()._block(block)
            running = self.requester.running
            machine = running and running.services.engine.machines.get(self.job)
            if running and machine and machine.state.phase.value == "training":
                named = machine.context.spec.holdout
                seen.append(running.services.blobs.size(named) is not None)

    with patch.dict(globals(), Audited=Watched):
        _, found = audit()
    assert all(ok for ok, _ in found.values()), found
    assert found[NAME] == (True, "15 members")
    assert found["hold-out in the evidence"][0]
    assert seen
    assert not any(seen)


@contextlib.contextmanager
def invented() -> Iterator[None]:
    """A requester that gives all merit to the first member, whatever it measured."""
    honest = evidence.merit_weights

    def favoured(worths: Any) -> tuple[int, ...]:
        return tuple(weight * (member == 0) for member, weight in enumerate(honest(worths)))

    with patch.object(evidence, "merit_weights", favoured):
        yield


@contextlib.contextmanager
def swapped() -> Iterator[None]:
    """One that names a hold-out, and measures on rows whose labels are turned."""
    measure = apply_tasks._measure

    def turned(*args: Any) -> Any:
        *rest, (x, y) = args
        return measure(*rest, (x, 1.0 - y))

    with patch.object(apply_tasks, "_measure", turned):
        yield


@contextlib.contextmanager
def hidden() -> Iterator[None]:
    """One that does not publish what it named."""

    async def nothing(*_: Any) -> None:
        return None

    with patch.object(publishing, "publish", nothing):
        yield


@pytest.mark.parametrize(
    ("cheat", "name", "why"),
    [
        (invented, NAME, "is wronged by"),
        (swapped, NAME, "is wronged by"),
        (hidden, NAME, "not here"),
        (hidden, "hold-out in the evidence", "expected"),
    ],
)
def test_a_requester_that_cheats_is_found_by_whoever_audits(
    cheat: Callable[[], Any], name: str, why: str
) -> None:
    """By the books that it closed itself, on the chain: the rest of them holds."""
    with cheat():
        world, found = audit()
    ok, detail = found[name]
    assert not ok
    assert why in detail
    wrong = {each for each, (ok, _) in found.items() if not ok}
    assert wrong <= {NAME, "hold-out in the evidence"}
    assert not world.said.ok


def test_a_hold_out_that_changed_on_disk_is_not_published() -> None:
    """It would only be somebody's data: the digest that the spec names is of other rows."""
    name, calls = remeasure.name, list[bytes]()

    def other(spec: bytes, rows: tasks.Rows, nonce: bytes) -> bytes:
        calls.append(name(spec, rows, nonce))
        return calls[0] if len(calls) == 1 else bytes(32)

    with patch.object(remeasure, "name", other):
        world, found = audit()
    assert not found["hold-out in the evidence"][0]
    running = world.requester.running
    assert len(calls) == 2
    assert running is None or running.services.blobs.size(calls[0]) is None
    assert any("its hold-out is not the one that its spec names" in line for line in world.log)


@pytest.mark.parametrize("by", ["worth", "discretion"])
def test_a_pot_that_is_measured_is_not_posted_without_rows_to_measure_on(by: str) -> None:
    class Bare(World):
        refused = ""

        async def _post(self) -> None:
            assert self.requester.running is not None
            text = clouds.spec(owners=15, envelope="masks")
            try:
                await self.requester.running.api.job_post(
                    text.replace('merit_by = "equal"', f'merit_by = "{by}"'), None
                )
            except InputError as error:
                self.refused = str(error)
            await super()._post()

    world = Bare(Terms(seed=1, rounds=1))
    assert world.run().broken == []
    assert f"payment.merit_by is {by}: worth is measured on rows" in world.refused
    assert "--holdout FILE" in world.refused


def test_a_pot_at_discretion_is_called_so() -> None:
    _, found = audit("discretion")
    assert found["merit weights"] == (
        True,
        "at the requester's discretion: measured on rows that stay closed",
    )
