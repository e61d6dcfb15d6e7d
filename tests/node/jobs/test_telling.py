"""What the log says of a job's life."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from kits.books import make_job

from node import assembly
from node.control.events import EventBus
from node.engine.engine import Machine, add_notice
from node.jobs.telling import tell
from node.store.store import Store
from protocol.addresses import to_checksum
from protocol.machines.effects import Notify
from protocol.machines.machine import JobContext
from protocol.machines.round import Role
from protocol.owner.state import OwnerState
from protocol.tokens import Token, Tokens

JOB = make_job(5)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "assay.db") as opened:
        yield opened


def told(store: Store, caplog: pytest.LogCaptureFixture, *notices: Notify) -> list[tuple[str, str]]:
    me = JOB.people[0]
    context = JobContext(JOB.id, JOB.spec, 1000, JOB.spec_digest, me.peer, me.account, JOB.cohort)
    machine = Machine(Role.OWNER, context, OwnerState())
    with store.transaction() as tx:
        events = [add_notice(tx, JOB.id, each) for each in notices]
    caplog.clear()
    with caplog.at_level(logging.INFO, "assay.jobs"):
        tell(machine, events)
    return [(each.levelname, each.getMessage()) for each in caplog.records]


def test_a_life_of_a_job_is_read_from_the_log(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    short = JOB.id.hex()[:8]
    lines = told(
        store,
        caplog,
        Notify("waiting", 0, 0, "ward: it pays too little"),
        Notify("phase", 0, 0, "contribute"),
        Notify("contributed", 0, 0, "4096 bytes", (("epsilon", 0.25),)),
        Notify("attempt-failed", 0, 0, "no roster came in time"),
        Notify("round-applied", 0, 1, "round 0: 1 of 3 done", (("accuracy", 0.912),)),
        Notify("fault", 0, 0, "its requester lies"),
    )
    assert lines == [
        ("INFO", f"job {short}: waiting: ward: it pays too little"),
        ("INFO", f"job {short}: contributed: 4096 bytes, epsilon 0.25"),
        ("WARNING", f"job {short}: attempt-failed: no roster came in time"),
        ("INFO", f"job {short}: round-applied: round 0: 1 of 3 done, accuracy 91.20%"),
        ("WARNING", f"job {short}: fault: its requester lies"),
    ]


def test_pay_is_told_by_the_tokens_name(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    """In the log and to whoever watches, as every other amount; the store keeps the address."""
    dollars, other = Token(1, b"\x11" * 20, "USDC", 6), to_checksum(b"\x22" * 20)
    nameless = Tokens()
    amounts = ((2_500_000, dollars.address), (7, b"\x22" * 20), (10**18, bytes(20)))
    notices = [Notify("paid", 0, 0, nameless.shown(*each) + f" to {other}") for each in amounts]
    me = JOB.people[0]
    context = JobContext(JOB.id, JOB.spec, 1000, JOB.spec_digest, me.peer, me.account, JOB.cohort)
    machine = Machine(Role.OWNER, context, OwnerState())
    with store.transaction() as tx:
        events = [add_notice(tx, JOB.id, each) for each in notices]
    idle = SimpleNamespace(machines_changed=lambda: None, hurry=lambda: None)
    services: Any = SimpleNamespace(tokens_shown=lambda: Tokens((dollars,)))
    bus = EventBus(clock=lambda: 0.0)
    watching = bus.subscribe()
    with caplog.at_level(logging.INFO, "assay.jobs"):
        assembly._observe(services, bus, idle, idle, machine, events)  # type: ignore[arg-type]
    said = [f"{amount} to {other}" for amount in ("2.5 USDC", f"7 units of {other}", "1 ether")]
    assert [watching.events.receive_nowait().text for _ in said] == said
    assert [each.getMessage().split("paid: ")[1] for each in caplog.records] == said
    assert "units of" in str(events[0].facts["text"])
