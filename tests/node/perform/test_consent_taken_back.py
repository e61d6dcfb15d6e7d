"""A job without noise runs for as long as the data's owner says so, and no longer."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from kits.books import make_spec

from node.perform.compute import _still_agreed
from node.store import catalogue
from node.store.catalogue import Dataset
from node.store.store import Store
from protocol import params
from protocol.addresses import to_checksum
from protocol.errors import InputError
from protocol.policy.policy import Policy
from protocol.policy.terms import with_changes
from protocol.spec.job import Envelope, Family, JobSpec, ModelSpec


def sealed_spec() -> JobSpec:
    base = make_spec()
    return dataclasses.replace(
        base,
        model=ModelSpec(Family.SOFTMAX, 0, weight_limit=64.0),
        privacy=dataclasses.replace(base.privacy, sealed=True, epsilon=None, delta=0.0, dropouts=0),
        cohort=dataclasses.replace(base.cohort, shuffle=False),
        encryption=dataclasses.replace(base.encryption, envelope=Envelope.PAILLIER),
        proof=bytes(params.KEY_PROOF_ROOTS * len(base.modulus)),
    )


async def test_trust_and_the_word_for_no_noise_can_be_taken_back(tmp_path: Path) -> None:
    spec = sealed_spec()
    account = to_checksum(spec.requester.account)
    noisy = dataclasses.replace(
        spec, privacy=dataclasses.replace(spec.privacy, epsilon=4.0, delta=1e-5)
    )
    with Store.open(tmp_path / "assay.db") as store:
        services: Any = SimpleNamespace(store=store)

        def say(**changes: Any) -> None:
            with store.transaction() as tx:
                policy = with_changes(Policy.closed(), {"accept": "auto"} | changes)
                catalogue.save_policy(tx, "ward", policy)

        with store.transaction() as tx:
            row = Dataset("ward", "/srv/ward.csv", b"d" * 32, 9, 1, (("x", "number"),), 0.0)
            catalogue.save_dataset(tx, row)
        say(no_noise=True, trusted=account)
        await _still_agreed(services, "ward", spec)
        say(no_noise=True)
        with pytest.raises(InputError, match="crafted to spy could read every row"):
            await _still_agreed(services, "ward", spec)
        say(trusted=account)
        with pytest.raises(InputError, match="adds no noise"):
            await _still_agreed(services, "ward", spec)
        await _still_agreed(services, "ward", noisy)  # its ledger speaks for it
