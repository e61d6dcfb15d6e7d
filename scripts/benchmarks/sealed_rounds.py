"""Rounds of a sealed job as its owners compute them: the daemon's own functions in its own workers.

Six owners, each with a worker of its own, as its daemon has; two at a time on two cores. Every
round's sum is opened and moves the model, and every model is compared with what exact integers say.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import TracebackType

import trio

from node.data.datasets import import_file
from node.demo.recipes.data import write_csv
from node.store.blobs import BlobRef
from node.work import apply as apply_tasks
from node.work import pool as pool_tasks
from node.work import sealed as sealed_tasks
from node.work import secagg as secagg_tasks
from node.work import tasks
from node.workers.compute import Compute, open_compute
from protocol.arith import kernels
from protocol.arith.numbers.fixedpoint import Integers
from protocol.arith.paillier.cryptosystem import PrivateKey
from protocol.arith.sealed import ciphertexts as sealed
from protocol.arith.sealed import statistics
from protocol.arith.secagg.sharing import Secrets
from protocol.books.lists import RosterEntry
from protocol.spec.job import JobSpec, encode_spec
from protocol.wire.envelope import Context as Place
from scripts.benchmarks import sealed_job
from scripts.benchmarks.sealed_job import Case, Split
from scripts.benchmarks.sealed_training import Rounds, features_of, step_of

#: The split that is run.
SEED = 1

_JOB, _NOTHING = b"\x0b" * 32, bytes(32)

#: More blinders than a reply has: a worker's pool stops at one reply's.
_MANY = 1_000_000


@dataclass(frozen=True, slots=True)
class Found:
    """Seconds of single contributions, with the pool of blinders empty and full; of filling it for
    one; the very first ones', which make the job's statistics and map. Bytes of a model and of a
    reply; ciphertexts of a reply."""

    empty: tuple[float, ...]
    full: tuple[float, ...]
    filling: tuple[float, ...]
    first: tuple[float, ...]
    model_bytes: int
    reply_bytes: int
    replies: int


@cache
def run(case: Case, bits: int, turns: int) -> Found:
    """`turns` rounds, each once with empty pools and once with full ones, after one that does not
    count. Raises ValueError on a machine of one core, or if a model is not what it should be."""
    if (os.cpu_count() or 1) < 2:
        raise ValueError("this machine has one core; owners are to have two")
    return trio.run(_run, case, bits, turns)


async def _run(case: Case, bits: int, turns: int) -> Found:
    key, split = sealed_job.key(bits), sealed_job.split(case, SEED)
    spec = sealed_job.posted(case, key, SEED)
    expected = _expected(spec, split)
    empty, full, filling = list[float](), list[float](), list[float]()
    first: tuple[float, ...] = ()
    async with Owners(spec, split) as owners:
        model, state = await owners.initial()
        size = model.size
        for turn in range(1 + turns):
            expected.turn()
            for attempt in range(2 if turn else 1):
                if attempt:
                    filling += await owners.fill()
                seconds, block = await owners.round(turn, model, attempt)
                done = await owners.apply(key, turn, model, state, block)
                if not (owners.opened(key, done[0]) == expected.weights).all():
                    raise ValueError(f"{case.title}: round {turn} opened to another model")
                if not turn:
                    first = seconds
                elif attempt:
                    full += seconds
                else:
                    empty += seconds
            model, state = done
        reply = owners.reply_bytes
    layout = spec.layout
    replies = 0 if layout is None else layout.reply_ciphertexts
    return Found(tuple(empty), tuple(full), tuple(filling), first, size, reply, replies)


def _expected(spec: JobSpec, split: Split) -> Rounds:
    model = tasks.model_of(spec)
    kept = [statistics.exact(model, *rows) for rows in features_of(spec, split)]
    return Rounds(spec, [step_of(spec, each) for each in kept], split.counts)


@dataclass(frozen=True, slots=True)
class _Joint:
    """An attempt, its members' names, and the secrets that each of them made."""

    attempt: secagg_tasks.Attempt
    names: Sequence[bytes]
    made: Sequence[secagg_tasks.MadeSecrets]


class Owners:
    """The owners of a job, and its requester's part, in a folder that ends with them."""

    def __init__(self, spec: JobSpec, split: Split) -> None:
        self.spec = spec
        self.reply_bytes = 0
        self._split = split
        self._stack = AsyncExitStack()
        self._workers: list[Compute] = []

    async def __aenter__(self) -> Owners:
        folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory()))
        blobs, datasets = folder / "blobs", folder / "datasets"
        for each in (blobs, datasets):
            each.mkdir()
        self.work = tasks.Work(blobs, encode_spec(self.spec))
        self._rows = []
        for number, part in enumerate(self._split.parts):
            path = folder / f"owner-{number}.csv"
            write_csv(path, part)
            digest = import_file(path, datasets).copy.digest
            self._rows.append(tasks.Rows(datasets, digest, path.stem))
            self._workers.append(await self._stack.enter_async_context(open_compute(1)))
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._stack.__aexit__(kind, error, trace)

    async def initial(self) -> tuple[BlobRef, BlobRef | None]:
        """The model of zeros; the requester has no state beside it yet."""
        return _stored(sealed_tasks.initial_model(self.work)), None

    async def fill(self) -> list[float]:
        """Seconds of each owner's, until its worker's pool holds a reply's blinders."""
        seconds = []

        async def one(owner: int) -> None:
            began = time.perf_counter()
            while not await self._workers[owner].run(pool_tasks.fill, self.work, _MANY):
                pass
            seconds.append(time.perf_counter() - began)

        for pair in self._pairs():
            await _together(one, pair)
        return seconds

    async def alone(self, turn: int, model: BlobRef) -> float:
        """Seconds of the first owner's contribution to a round that goes no further."""
        seconds, _ = await self._contribute(self._joint(turn, model, 0), model, 0)
        return seconds

    async def round(
        self, turn: int, model: BlobRef, attempt: int
    ) -> tuple[tuple[float, ...], apply_tasks.Block]:
        """Seconds of each owner's contribution, and the block's sum, ready to be opened."""
        spec, joint = self.spec, self._joint(turn, model, attempt)
        found = dict[int, tuple[float, BlobRef]]()

        async def contribute(owner: int) -> None:
            found[owner] = await self._contribute(joint, model, owner)

        for pair in self._pairs():
            await _together(contribute, pair)
        seconds, replies = zip(*(found[owner] for owner in sorted(found)), strict=True)
        for owner, reply in enumerate(replies):
            secagg_tasks.check(self.work, reply, joint.attempt.place, joint.names[owner])
        self.reply_bytes = replies[0].size
        total = _stored(tasks.add(self.work, replies))
        present = [
            (owner, each.ready.mask_key, Secrets.from_bytes(each.secret).seed)
            for owner, each in enumerate(joint.made)
        ]
        binding = secagg_tasks.binding_of(spec, joint.attempt)
        removal = kernels.unmask_vector(
            tasks.envelope_of(spec), spec.parameter_count, binding, present, []
        )
        unmask = tasks.put(self.work, removal)
        members = tuple(range(len(replies)))
        return seconds, apply_tasks.Block(total, unmask, members, self._split.counts)

    def _joint(self, turn: int, model: BlobRef, attempt: int) -> _Joint:
        spec, count = self.spec, len(self._rows)
        place = Place(spec.chain.chain_id, spec.chain.contract, _JOB, turn, attempt)
        names = [bytes([owner]) * 32 for owner in range(count)]
        members = tuple((name, secagg_tasks.new_sealing_key()[1]) for name in names)
        made = [
            secagg_tasks.make_secrets(place, _NOTHING, name, members, spec.threshold(count))
            for name in names
        ]
        roster = tuple(RosterEntry(i, i, each.ready) for i, each in enumerate(made))
        return _Joint(secagg_tasks.Attempt(place, model.digest, _NOTHING, roster), names, made)

    async def _contribute(self, joint: _Joint, model: BlobRef, owner: int) -> tuple[float, BlobRef]:
        """Seconds, as the owner's daemon waits for its worker, and the reply."""
        step = sealed_tasks.Step(self._rows[owner], self._split.counts[owner], model, None)
        secret, name = joint.made[owner].secret, joint.names[owner]
        given = self.work, step, joint.attempt, secret, owner, name
        began = time.perf_counter()
        done = await self._workers[owner].run(sealed_tasks.contribution, *given)
        return time.perf_counter() - began, _stored(done)

    async def apply(
        self,
        key: tasks.JobKey,
        turn: int,
        model: BlobRef,
        state: BlobRef | None,
        block: apply_tasks.Block,
    ) -> tuple[BlobRef, BlobRef | None]:
        """The requester's step: the next model, and its own state."""
        done = apply_tasks.apply(self.work, key.private, turn, model, state, None, (block,), None)
        if dict(done.facts)["blocks_dropped"]:
            raise ValueError(f"the requester dropped the block of round {turn}")
        return _stored(done), done.extra

    def opened(self, key: tasks.JobKey, model: BlobRef) -> Integers:
        """A model's integers."""
        private = PrivateKey.from_bytes(key.private)
        envelope = tasks.envelope_of(self.spec)
        return sealed.decrypt_model(private, envelope, tasks.get(self.work, model))

    def _pairs(self) -> Sequence[Sequence[int]]:
        owners = range(len(self._rows))
        return [owners[first : first + 2] for first in owners[::2]]


async def _together(one: Callable[[int], Awaitable[None]], owners: Sequence[int]) -> None:
    async with trio.open_nursery() as nursery:
        for owner in owners:
            nursery.start_soon(one, owner)


def _stored(result: tasks.Result) -> BlobRef:
    if result.blob is None:
        raise ValueError("a computation left nothing behind")
    return result.blob
