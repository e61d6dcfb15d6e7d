"""What a commitment is sent with: the signature costs gas, and only others need it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from kits.books import REQUESTER, make_job

from node.chain.intents.intents import Intent
from node.perform import chain
from protocol.machines import effects

SIGNATURE = bytes([7]) * 65


@pytest.mark.parametrize(
    ("account", "sent"), [(REQUESTER.account, b""), (bytes([9]) * 20, SIGNATURE)]
)
async def test_only_the_requesters_own_commitment_goes_without_its_signature(
    account: bytes, sent: bytes
) -> None:
    job, submitted = make_job(5), list[Intent]()

    async def submit(intent: Intent) -> None:
        submitted.append(intent)

    async def complete(number: int) -> None:
        assert number == 1

    services: Any = SimpleNamespace(
        keys=SimpleNamespace(account=account),
        intents=SimpleNamespace(submit=submit),
        engine=SimpleNamespace(complete=complete),
    )
    machine = SimpleNamespace(key=job.id, context=SimpleNamespace(spec=job.spec))
    wanted: Any = SimpleNamespace(machine=machine, id=1)
    effect = effects.TransactCommit(0, bytes([1]) * 32, 5, bytes([2]) * 32, 1000, SIGNATURE)
    await chain.transact(services, wanted, effect)
    (intent,) = submitted
    assert intent.function == "commit"
    assert intent.args == (job.id, 0, bytes([1]) * 32, 5, bytes([2]) * 32, 1000, sent)
