"""A requester that does not commit to exactly those that passed gets no sum from anybody."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from typing import Any
from unittest.mock import patch

import pytest

from node.work import proofs as proof_tasks
from virtual import cheats
from virtual.cheats import Cheating
from virtual.clock import current
from virtual.world import Terms

Judged = proof_tasks.Judged


class Requesting(Cheating):
    """A world whose requester lists what `lists` makes of a verdict."""

    def __init__(self, terms: Terms, lists: Callable[[Judged], Judged], **more: Any) -> None:
        super().__init__(terms, **more)
        self.lists = lists

    @contextlib.contextmanager
    def _listening(self) -> Iterator[None]:
        judge = proof_tasks.judge

        def judged(*args: Any) -> Judged:
            found = judge(*args)
            node = current.get()
            return self.lists(found) if node is not None and node.name == "r" else found

        with super()._listening(), patch.object(proof_tasks, "judge", judged):
            yield


def as_it_is(found: Judged) -> Judged:
    """So that the others can fail."""
    return found


def without_first(found: Judged) -> Judged:
    return dataclasses.replace(found, passed=found.passed[1:])


def with_failed(found: Judged) -> Judged:
    return dataclasses.replace(
        found, passed=tuple(sorted((*found.passed, *found.failed))), failed=()
    )


def failing_first(found: Judged) -> Judged:
    """It says that an honest one has failed."""
    first = found.passed[0]
    return dataclasses.replace(
        found,
        passed=found.passed[1:],
        failed=tuple(sorted((*found.failed, first))),
        reasons=(*found.reasons, (first, "so")),
    )


@pytest.mark.parametrize(
    ("lists", "cheat"),
    [
        pytest.param(as_it_is, None, id="is honest", marks=pytest.mark.ci),
        pytest.param(without_first, None, id="leaves one out"),
        pytest.param(failing_first, None, id="says that one failed", marks=pytest.mark.ci),
        pytest.param(with_failed, cheats.poison, id="lists a cheat"),
    ],
)
@pytest.mark.parametrize(
    "noisy",
    [pytest.param(False, id="bare"), pytest.param(True, id="noisy", marks=pytest.mark.ci)],
)
def test_sums_leave_for_exactly_those_that_passed(lists: Any, cheat: Any, noisy: bool) -> None:
    terms = Terms(seed=7, rounds=1, owners=6, block=6, envelope="shares", patience=900.0)
    if noisy:
        terms = Terms(
            seed=7,
            rounds=1,
            owners=9,
            block=9,
            envelope="shares",
            noisy=True,
            dropouts=1,
            patience=900.0,
        )
    sums: list[str] = []
    add = proof_tasks.add

    def added(*args: Any) -> Any:
        node = current.get()
        sums.append("" if node is None else node.name)
        return add(*args)

    world = Requesting(terms, lists, cheat=cheat)
    with patch.object(proof_tasks, "add", added):
        outcome = world.run()
    if lists is as_it_is:
        assert len(set(sums)) == terms.owners
        return
    told = [line for line in outcome.log if "Release" in line or "leaves out" in line]
    assert not sums, "\n".join([str(sums), *outcome.log[-80:]])
    assert not [line for line in outcome.log if "stops:" in line], told
