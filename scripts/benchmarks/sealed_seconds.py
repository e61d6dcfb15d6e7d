"""How long an owner of a sealed job computes each round, by the daemon's own workers."""

from __future__ import annotations

import statistics as spread
from collections.abc import Sequence
from functools import partial

import trio

from scripts.benchmarks import sealed_job, sealed_rounds
from scripts.benchmarks.encrypt_room import quotient
from scripts.benchmarks.figures import Context, Measurement, Reply, shown
from scripts.benchmarks.harness import median_seconds, spread_of
from scripts.benchmarks.sealed_job import BREAST_CANCER, DIGITS_MAPPED, KEY_BITS, Case
from scripts.benchmarks.sealed_rounds import Found, Owners

#: Rounds that count: six owners' contributions each.
_TURNS = 3

#: Local steps that are compared.
_MANY_STEPS, _ONE_STEP = 500, 1


def empty(case: Case, context: Context) -> Measurement:
    """Seconds of a contribution, every blinder made for it."""
    found = _found(case, context)
    return Measurement(
        ours=spread.median(found.empty),
        notes=[
            *_told(case, found, found.empty),
            f"pool of blinders full: {shown(spread.median(found.full))} s",
            "the first contribution also starts the worker and makes the job's statistics and map: "
            f"{shown(spread.median(found.first))} s",
        ],
    )


def full(case: Case, context: Context) -> Measurement:
    """Seconds of a contribution whose blinders wait in the pool."""
    found = _found(case, context)
    return Measurement(
        ours=spread.median(found.full),
        notes=[
            *_told(case, found, found.full),
            f"filling the pool for one takes {shown(spread.median(found.filling))} s, while the "
            "node is idle",
        ],
    )


def _found(case: Case, context: Context) -> Found:
    context.say(f"{case.title}: rounds of six owners, {KEY_BITS} bits")
    return sealed_rounds.run(case, KEY_BITS, min(context.runs, _TURNS))


def _told(case: Case, found: Found, seconds: Sequence[float]) -> list[str]:
    return [
        f"{case.title}, {KEY_BITS} bits: the median of {len(seconds)} contributions "
        f"({spread_of([Reply(each) for each in seconds])} s) by the daemon's workers, two owners "
        f"at a time on two cores; model {found.model_bytes:,} bytes, reply {found.reply_bytes:,} "
        f"bytes (ciphertexts: {found.replies}); every round's masks, sum and step were computed, "
        "and the model that came out compared with exact integers",
    ]


def steps(context: Context) -> Measurement:
    """A contribution's seconds at many local steps over those at one."""
    return trio.run(_steps, context.runs)


async def _steps(runs: int) -> Measurement:
    key = sealed_job.key(KEY_BITS)
    split = sealed_job.split(DIGITS_MAPPED, sealed_rounds.SEED)
    post = partial(sealed_job.posted, DIGITS_MAPPED, key, sealed_rounds.SEED)
    many: list[Reply] = []
    one: list[Reply] = []
    async with (
        Owners(post(local_steps=_MANY_STEPS), split) as at_many,
        Owners(post(local_steps=_ONE_STEP), split) as at_one,
    ):
        jobs = [(at_many, many), (at_one, one)]
        models = [(await owners.initial())[0] for owners, _ in jobs]
        firsts: list[Reply] = []
        for turn in range(1 + runs):
            for (owners, replies), model in zip(jobs, models, strict=True):
                seconds = await owners.alone(turn, model)
                (replies if turn else firsts).append(Reply(seconds))
    return Measurement(
        ours=quotient(many, one),
        notes=[
            f"the median of {runs} turns' quotients: {_MANY_STEPS} local steps "
            f"{shown(median_seconds(many))} s, {_ONE_STEP} {shown(median_seconds(one))} s; one "
            f"owner of {DIGITS_MAPPED.title}, {KEY_BITS} bits, pool empty, on one core of two",
            "steps are a power of one matrix, made once a job: first contributions, which start "
            f"their workers and make statistics and map, took {shown(firsts[0].seconds)} s and "
            f"{shown(firsts[1].seconds)} s",
        ],
    )


digits_empty, digits_full = partial(empty, DIGITS_MAPPED), partial(full, DIGITS_MAPPED)
binary = partial(empty, BREAST_CANCER)
