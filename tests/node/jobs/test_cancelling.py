"""Cancelling: who may, when, what is sent, and that asking twice sends nothing twice."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import trio
from kits.paths import ROOT

from node.chain.intents.intents import IntentOutcome
from node.engine.clock import Clock
from node.engine.engine import Engine, Machine, Wanted
from node.jobs import cancelling
from node.jobs.books import Books
from node.jobs.cancelling import Cancelling
from node.store.store import Store
from protocol import params
from protocol.errors import ChainError, InputError, StateError
from protocol.machines import inputs
from protocol.machines.effects import Effect, TransactCancel
from protocol.machines.job import OVER, JobPhase
from protocol.machines.machine import JobContext
from protocol.machines.round import Role
from protocol.owner.state import OwnerState
from protocol.requester.state import RequesterState
from protocol.spec.parts import ChainRef, Party
from protocol.spec.toml import parse_toml

NOW = 1_750_000_000
JOB = b"\x5a" * 32
TRANSACTION = b"\x7e" * 32
LIVE = RequesterState(phase=JobPhase.TRAINING, posted_block=3)

SPEC = parse_toml((ROOT / "docs" / "examples" / "digits.toml").read_text()).complete(
    salt=bytes(16),
    requester=Party(b"\x11" * 20, b"peer"),
    chain=ChainRef(1337, b"\xc0" * 20),
    modulus=((1 << 3071) + 1).to_bytes(384, "big"),
    seed=bytes(32),
    now=NOW,
)


@dataclass
class Desk:
    """A real store and engine; the chain says what the test wants."""

    engine: Engine
    machine: Machine
    cancelling: Cancelling
    chain_time: list[int]
    effects: list[Effect] = field(default_factory=list)
    intents: dict[str, IntentOutcome] = field(default_factory=dict)
    answer: str = "final"
    error: str = ""

    async def perform(self, wanted: Wanted) -> None:
        """The intent is stored, and the chain takes it, refuses it, or does not move."""
        self.effects.append(wanted.effect)
        assert wanted.effect == TransactCancel()
        mined = TRANSACTION if self.answer == "final" else None
        outcome = IntentOutcome("", self.answer, mined, None, None, self.error)
        self.intents[f"{JOB.hex()}/cancel/0"] = outcome
        await self.engine.complete(wanted.id)
        if mined:
            effective = self.chain_time[0] + params.CANCEL_NOTICE_SECONDS
            await self.engine.feed(JOB, inputs.ChainCancelled(NOW * 1000, 9, effective))

    async def get(self, ident: str) -> IntentOutcome | None:
        """As Intents.get."""
        return self.intents.get(ident)

    async def cancel(self) -> Any:
        return await self.cancelling.cancel(self.machine)


@asynccontextmanager
async def desk(folder: Path, state: Any = LIVE) -> AsyncIterator[Desk]:
    context = JobContext(JOB, SPEC, 0, b"\x5a" * 32, b"peer", b"\x11" * 20)
    role = Role.OWNER if isinstance(state, OwnerState) else Role.REQUESTER
    machine, chain_time = Machine(role, context, state), [NOW]
    with Store.open(folder / "assay.db") as store:
        engine = Engine(store, lambda wanted: made.perform(wanted), observe=lambda *_: None)
        engine.add(machine)
        services: Any = SimpleNamespace(store=store, engine=engine, clock=Clock())
        books = Books(services)
        made = Desk(engine, machine, Cancelling(services, books, lambda: chain_time[0]), chain_time)
        services.intents = made
        async with trio.open_nursery() as nursery:
            nursery.start_soon(engine.run)
            yield made
            await engine.drain()
            nursery.cancel_scope.cancel()


async def test_a_job_is_cancelled_once_and_then_is_so_already(tmp_path: Path) -> None:
    async with desk(tmp_path) as d:
        first = await d.cancel()
        assert (first.job, first.state, first.already) == ("0x" + JOB.hex(), "cancelled", False)
        assert first.effective == NOW + params.CANCEL_NOTICE_SECONDS
        assert first.notice == params.CANCEL_NOTICE_SECONDS
        assert (first.transaction, first.problem) == ("0x" + TRANSACTION.hex(), "")
        again = await d.cancel()
        assert again == dataclasses.replace(first, already=True)
        assert d.effects == [TransactCancel()]
        assert isinstance(d.machine.state, RequesterState)
        summary = await d.cancelling._books.summary(d.machine)
        assert (summary.state, summary.reason) == (
            "cancelled",
            "the contract closes it at 2025-06-15 17:06:40 UTC, then it is settled",
        )


async def test_a_chain_that_does_not_move_is_not_waited_for_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cancelling, "_PATIENCE", 0.2)
    async with desk(tmp_path) as d:
        d.answer, d.error = "queued", "the account has 0 wei"
        first = await d.cancel()
        assert (first.state, first.already, first.effective) == ("running", False, None)
        assert (first.transaction, first.problem) == ("", "the account has 0 wei")
        again = await d.cancel()
        assert again == dataclasses.replace(first, already=True)
        assert d.effects == [TransactCancel()]


async def test_what_the_contract_refuses_is_said_each_time(tmp_path: Path) -> None:
    async with desk(tmp_path) as d:
        d.answer, d.error = "failed", "bounty: closes sooner already"
        for _ in range(2):
            with pytest.raises(ChainError, match="not cancelled: bounty: closes sooner already"):
                await d.cancel()
        assert d.effects == [TransactCancel()]


async def test_an_owner_cannot_cancel(tmp_path: Path) -> None:
    async with desk(tmp_path, OwnerState(phase=JobPhase.TRAINING)) as d:
        with pytest.raises(InputError, match="only its requester can cancel a job") as caught:
            await d.cancel()
        assert caught.value.field == "job"
        assert d.effects == []


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"phase": JobPhase.FINISHING}, "its rounds are over"),
        ({"phase": JobPhase.PAYING}, "its owners are being paid"),
        ({"phase": JobPhase.CLOSED}, "finished and paid"),
        ({"phase": JobPhase.FAILED}, "it failed"),
        ({"phase": JobPhase.CANCELLED, "cancel_effective": SPEC.expires_at}, "it has expired"),
        ({"phase": JobPhase.POSTING, "posted_block": 0}, "is not on the chain yet"),
    ],
)
async def test_a_phase_that_cannot_be_left_is_named(
    changes: dict[str, Any], says: str, tmp_path: Path
) -> None:
    async with desk(tmp_path, dataclasses.replace(LIVE, **changes)) as d:
        with pytest.raises(StateError, match=says) as caught:
            await d.cancel()
        assert caught.value.__notes__ == ["assay job show 0x5a5a5a5a5a5a"]
        assert d.effects == []


async def test_every_phase_of_a_requester_is_cancelled_or_refused(tmp_path: Path) -> None:
    refused = {*OVER, JobPhase.FINISHING, JobPhase.PAYING} - {JobPhase.DECLINED}
    for phase in (JobPhase.POSTING, JobPhase.ENROLLING, JobPhase.ROOTING, JobPhase.TRAINING):
        folder = tmp_path / phase.value
        folder.mkdir()
        async with desk(folder, dataclasses.replace(LIVE, phase=phase)) as d:
            assert (await d.cancel()).state == "cancelled"
    assert set(cancelling._TOO_LATE) == refused


async def test_a_stopped_job_says_so(tmp_path: Path) -> None:
    async with desk(tmp_path) as d:
        d.machine.broken = "KeyError: 5"
        with pytest.raises(StateError, match="it is stopped: KeyError: 5"):
            await d.cancel()


async def test_a_job_that_expires_before_the_notice_ends_is_left_alone(tmp_path: Path) -> None:
    """The contract wants the effect before the expiry (docs/spec/contract.md, cancel)."""
    async with desk(tmp_path) as d:
        d.chain_time[0] = SPEC.expires_at - params.CANCEL_NOTICE_SECONDS
        with pytest.raises(StateError, match="expires in 120 min, before"):
            await d.cancel()
        assert d.effects == []
        d.chain_time[0] -= 1
        assert (await d.cancel()).effective == SPEC.expires_at - 1


async def test_a_job_that_ends_at_the_same_moment_is_not_called_cancelled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cancelling, "_PATIENCE", 0.2)
    async with desk(tmp_path) as d:
        feed = d.engine.feed

        async def overtaken(*given: Any) -> None:
            d.machine.state = dataclasses.replace(LIVE, phase=JobPhase.FINISHING)
            await feed(*given)

        monkeypatch.setattr(d.engine, "feed", overtaken)
        with pytest.raises(StateError, match="its rounds are over"):
            await d.cancel()
        assert d.engine.late == 1
        assert d.effects == []


def test_the_notice_is_the_contracts() -> None:
    text = (ROOT / "contracts" / "ledger.vy").read_text()
    found = re.search(r"^NOTICE: public\(constant\(uint256\)\) = (\d+)$", text, re.MULTILINE)
    assert found
    assert int(found[1]) == params.CANCEL_NOTICE_SECONDS > params.MAX_COMMIT_SECONDS


async def test_a_cancellation_that_another_home_sent_counts(tmp_path: Path) -> None:
    effective = NOW + params.CANCEL_NOTICE_SECONDS
    state = dataclasses.replace(LIVE, phase=JobPhase.CANCELLED, cancel_effective=effective)
    async with desk(tmp_path, state) as d:
        found = await d.cancel()
        assert (found.already, found.effective, found.transaction) == (True, effective, "")
        assert d.effects == []
