"""The attack `duplicate`: near copies of one data set, each with a budget of its own.

An owner registers a file, and later the same file with one row more, as data people do. A requester
has a job taken on each of them. Each answer keeps to its data set's budget. Together they are that
many answers about the same rows: their mean has less noise than any budget allows.
"""

from __future__ import annotations

import dataclasses
import math
import secrets
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import trio

from node.data.datasets import add_dataset
from node.home.home import Home
from node.privacy import joins, ledger, reserving, settling
from node.store import catalogue, people
from node.store.store import Store
from protocol.arith.noise.mechanism import add_noise
from protocol.arith.numbers.entropy import SEED_BYTES, Entropy, draw, generator
from protocol.arith.numbers.fixedpoint import Integers
from protocol.layout.noise import RECORD_NORM, NoisePlan
from protocol.policy.policy import Policy
from protocol.policy.terms import Value, with_changes
from protocol.spec.job import JobSpec
from scripts.attacks.aggregated import posted
from scripts.attacks.table import Row, Table

COPIES = 8
_ROWS, _COLUMNS, _BUDGET, _DELTA = 200, 8, 8.0, 1e-5
_TRIALS = 2000

_TERMS: dict[str, Value] = {
    "accept": "auto",
    "epsilon": _BUDGET,
    "delta": _DELTA,
    "no_noise": True,
}

#: The setting without the defence: no part of a data set is as much.
_NEVER, _ALWAYS = 2.0, 0.1


def run(entropy: Entropy = secrets.token_bytes) -> Table:
    """The whole table: an owner that compares data sets when they are added, and one that does
    not."""
    file = people_of(_ROWS, entropy)
    near = [[*file, *people_of(1, entropy)] for _ in range(COPIES - 1)]
    without, with_it = (trio.run(_taken, [file, *near], part) for part in (_NEVER, _ALWAYS))
    notes = [
        f"{COPIES} files of {_ROWS} rows, each with one row of its own; a budget of epsilon "
        f"{_BUDGET:g} at delta {_DELTA:g} each; one job of one round for each, in which every row "
        "is sampled.",
        "The defence is the comparison of each data set with all others when it is added "
        "(privacy.overlap in config.toml, 0.1).",
    ]
    title = "Near copies of one data set for as many budgets"
    rows = [
        presence_row(without.plans, with_it.plans),
        Row(
            f"epsilon of all that was told of the same {_ROWS} rows",
            f"{without.epsilon:.3g} ({len(without.plans)} jobs)",
            f"{with_it.epsilon:.3g} ({len(with_it.plans)} job)",
            without.epsilon > _BUDGET >= with_it.epsilon > 0,
        ),
        Row(
            "jobs without noise that these rows are in, of one that each policy allows",
            str(without.joined),
            str(with_it.joined),
            without.joined == COPIES and with_it.joined == 1,
        ),
        forms_row(file, entropy),
    ]
    return Table("duplicate", title, rows, notes)


@dataclasses.dataclass(frozen=True, slots=True)
class _Taken:
    """Plans of the noisy jobs that were taken, their epsilon for a row that is in all files, and
    how many jobs without noise were joined."""

    plans: tuple[NoisePlan, ...]
    epsilon: float
    joined: int


def presence_row(without: Sequence[NoisePlan], with_it: Sequence[NoisePlan]) -> Row:
    """Whether one row is in the data, told from the answers' mean: each answer is off by one
    record's whole influence, or by nothing."""

    def told(plans: Sequence[NoisePlan]) -> float:
        """The share of guesses that are right; the best guess, by the sum of all answers."""
        there = np.arange(_TRIALS, dtype=np.int64) % 2 * RECORD_NORM
        total: Integers = np.zeros(_TRIALS, np.int64)
        for plan in plans:
            total = total + add_noise(there, plan.multiplier)
        return float(np.mean((total > len(plans) * RECORD_NORM / 2) == (there > 0)))

    def expected(plans: Sequence[NoisePlan]) -> float:
        """The same by the normal distribution."""
        deviation = math.hypot(*(plan.multiplier for plan in plans))
        return (1 + math.erf(len(plans) / 2 / deviation / math.sqrt(2))) / 2

    first, second = told(without), told(with_it)
    # Five deviations of a mean of so many guesses.
    near = 5 * 0.5 / math.sqrt(_TRIALS)
    return Row(
        "whether one row is there, from one answer a file",
        f"{first:.1%} right ({len(without)} answers)",
        f"{second:.1%} right ({len(with_it)} answer)",
        expected(without) > 0.95
        and abs(first - expected(without)) < near
        and abs(second - expected(with_it[:1])) < near,
    )


def forms_row(file: list[list[str]], entropy: Entropy) -> Row:
    """What a copy may look like, and still be found."""
    others = people_of(10 * _ROWS, entropy)
    order = generator(draw(entropy, SEED_BYTES), "order of rows").permutation(len(file))
    forms: dict[str, list[list[str]]] = {
        "shuffled": [file[index] for index in order],
        "half of the rows": file[: len(file) // 2],
        "among ten times as many": [*others, *file],
        "a column less": [row[1:] for row in file],
        "a column more": [[*row, "north"] for row in file],
        "columns turned round": [row[::-1] for row in file],
        "numbers of more digits": [[f"{cell}0" for cell in row] for row in file],
        "all of it": [[f"{cell}0" for cell in file[i][:0:-1]] + ["north"] for i in order[:150]],
    }
    found = {part: trio.run(_found, file, list(forms.values()), part) for part in (_NEVER, _ALWAYS)}
    return Row(
        f"copies that are seen as such: {', '.join(forms)}",
        f"{found[_NEVER]} of {len(forms)}",
        f"{found[_ALWAYS]} of {len(forms)}",
        found[_NEVER] == 0 and found[_ALWAYS] == len(forms),
    )


def people_of(count: int, entropy: Entropy) -> list[list[str]]:
    """Rows of measurements, as text."""
    cells = generator(draw(entropy, SEED_BYTES), "people").normal(50.0, 15.0, (count, _COLUMNS))
    return [[f"{cell:.2f}" for cell in row] for row in cells]


class _Here:
    """Computes in this process what workers do."""

    async def run(self, function: Callable[..., Any], *arguments: Any) -> Any:
        await trio.lowlevel.checkpoint()
        return function(*arguments)

    async def run_aside(self, function: Callable[..., Any], *arguments: Any) -> Any:
        return await self.run(function, *arguments)


class _Secrets:
    """A node's keys, as far as sketches need them."""

    def __init__(self) -> None:
        self._root = secrets.token_bytes(16)

    def derive(self, purpose: str) -> bytes:
        return (self._root + purpose.encode()).ljust(32)[:32]


async def _node(path: Path, store: Store, part: float) -> Any:
    home = Home(path)
    home.create()
    return SimpleNamespace(
        home=home,
        store=store,
        compute=_Here(),
        keys=_Secrets(),
        config=SimpleNamespace(overlap=part),
        engine=SimpleNamespace(machines={}),
    )


async def _add(node: Any, name: str, rows: list[list[str]]) -> None:
    file = node.home.path / f"{name}.csv"
    head = ",".join(f"v{index}" for index in range(len(rows[0])))
    file.write_text("\n".join([head, *map(",".join, rows)]) + "\n", encoding="utf-8")
    await add_dataset(node.home, node.store, node.compute, name, file)
    await settling.settle(node, name)


def _jobs() -> tuple[JobSpec, JobSpec]:
    """A noisy job of one round over all rows, and one without noise."""
    noisy, plain = posted(dropouts=1, owners=6), posted()
    training = dataclasses.replace(noisy.training, rounds=1, batch_rows=_ROWS)
    return dataclasses.replace(noisy, training=training), plain


async def _taken(files: list[list[list[str]]], part: float) -> _Taken:
    """A job with noise and one without for each file."""
    noisy, plain = _jobs()
    plans, joined = [], 0
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "home"
        path.mkdir(mode=0o700)
        with Store.open(path / "assay.db") as store:
            node = await _node(path, store, part)
            for number, rows in enumerate(files):
                name, job = f"ward-{number}", bytes([number]) * 32
                await _add(node, name, rows)
                await reserving.set_policy(node, name, with_changes(Policy.closed(), _TERMS))
                if not await reserving.reserve_job(node, name, job, noisy, _ROWS):
                    with store.transaction() as tx:
                        ledger.charge(tx, name, job, 0, bytes(32))
                        plans.append(ledger.plan_of(tx, job))
                with store.snapshot() as tx:
                    dataset = catalogue.load_dataset(tx, name)
                if dataset is None:
                    raise AssertionError(f"{name} was added")
                asker = plain.requester.account
                joined += not await joins.join(node, dataset, bytes([100 + number]) * 32, asker)
            with store.snapshot() as tx:
                entries = [
                    each
                    for number in range(len(files))
                    if (each := ledger.entry(tx, bytes([number]) * 32)) is not None
                ]
            epsilon = await reserving.epsilon_of(node, [each.told for each in entries], _DELTA)
    return _Taken(tuple(plans), epsilon, joined)


async def _found(file: list[list[str]], forms: list[list[list[str]]], part: float) -> int:
    """How many forms of a file share its budget."""
    found = 0
    for form in forms:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "home"
            path.mkdir(mode=0o700)
            with Store.open(path / "assay.db") as store:
                node = await _node(path, store, part)
                await _add(node, "ward", file)
                await _add(node, "copy", form)
                with store.snapshot() as tx:
                    found += people.group(tx, "ward") == ("copy", "ward")
    return found
