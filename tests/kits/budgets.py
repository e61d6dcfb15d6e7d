"""Owners' data sets with budgets, a job with noise, and computing in the test's own process."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import cache
from typing import Any

import trio

from kits.paths import ROOT
from node.store import catalogue, people
from node.store.catalogue import Dataset
from node.store.people import Version
from node.store.store import Store, Transaction
from protocol.policy.policy import Policy
from protocol.policy.terms import with_changes
from protocol.spec.job import JobSpec
from protocol.spec.parts import ChainRef, Party
from protocol.spec.toml import parse_toml

ROWS = 320

MODEL = bytes(32)


def job(number: int) -> bytes:
    return bytes([number]) * 32


def noisy_spec(epsilon: float | None = 4.0, rounds: int = 20) -> JobSpec:
    """The example's job with noise: batches of a tenth of the rows."""
    spec = parse_toml((ROOT / "docs" / "examples" / "digits.toml").read_text()).complete(
        salt=bytes(16),
        requester=Party(b"\x11" * 20, b"peer"),
        chain=ChainRef(1337, b"\xc0" * 20),
        modulus=((1 << 3071) + 1).to_bytes(384, "big"),
        seed=bytes(32),
        now=1_750_000_000,
    )
    return dataclasses.replace(
        spec,
        training=dataclasses.replace(spec.training, rounds=rounds, local_steps=1, batch_rows=32),
        privacy=dataclasses.replace(
            spec.privacy, epsilon=epsilon, delta=0.0 if epsilon is None else 1e-5
        ),
    )


@cache
def computed(function: Callable[..., Any], *args: Any) -> Any:
    """The same numbers are asked for by many tests."""
    return function(*args)


class Inline:
    """Computes in this process, and counts."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    async def run(self, function: Callable[..., Any], *args: Any) -> Any:
        self.calls.append(function.__name__)
        await trio.lowlevel.checkpoint()
        return computed(function, *args)

    async def run_aside(self, function: Callable[..., Any], *args: Any) -> Any:
        return await self.run(function, *args)


def enter(tx: Transaction, dataset: Dataset) -> None:
    """A data set that was compared with all others, and shares nothing."""
    catalogue.save_dataset(tx, dataset)
    people.save_sketch(tx, Version(dataset.name, dataset.digest), b"")


def fill(store: Store, *names: str, **terms: Any) -> None:
    """Data sets with a policy each."""
    with store.transaction() as tx:
        for name in names:
            row = Dataset(name, f"/srv/{name}.csv", b"d" * 32, ROWS, 1, (("x", "number"),), 0.0)
            enter(tx, row)
            policy = with_changes(Policy.closed(), {"accept": "auto", **terms})
            catalogue.save_policy(tx, name, policy)
