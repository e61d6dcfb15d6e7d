"""scripts/simulate: seeds of whole jobs under faults; prints those that break a promise."""

from __future__ import annotations

import argparse
import itertools
import json
import multiprocessing
import os
import sys
import time
import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait

from virtual.faults import FAULTS
from virtual.runs import Found, keep, one
from virtual.seeds import terms_of
from virtual.world import Outcome, World


def main(arguments: Sequence[str] | None = None) -> int:
    """0 if every promise held, 1 if one did not."""
    parser = argparse.ArgumentParser(
        prog="scripts/simulate",
        description="Runs whole jobs on virtual time, each with the faults that its seed draws. "
        "Prints a line for each seed that breaks a promise, and the command that replays it.",
    )
    parser.add_argument("--seeds", type=int, default=20, metavar="N", help="how many (20)")
    parser.add_argument("--first", type=int, default=1, metavar="SEED", help="the first one (1)")
    parser.add_argument("--owners", type=int, default=5, metavar="N", help="of each job (5)")
    parser.add_argument("--hours", type=float, metavar="H", help="as many seeds as fit")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    parser.add_argument(
        "--processes", type=int, default=cores, metavar="N", help=f"seeds at once ({cores})"
    )
    parser.add_argument("--replay", type=int, metavar="SEED", help="this seed alone, with its log")
    parser.add_argument(
        "--faults", metavar="NAME,NAME", help=f"in place of those drawn: {', '.join(FAULTS)}"
    )
    parser.add_argument("--json", action="store_true", help="one object at the end")
    wanted = parser.parse_args(arguments)
    faults = None
    if wanted.faults is not None:
        faults = tuple(each for each in wanted.faults.split(",") if each)
        if unknown := [each for each in faults if each not in FAULTS]:
            parser.error(f"no such fault: {', '.join(unknown)}")
    if wanted.processes < 1:
        parser.error("at least one process")
    if wanted.owners < 5:
        parser.error("a block has at least 5 owners")
    if wanted.replay is not None:
        return _replay(World(terms_of(wanted.replay, wanted.owners, faults)).run())
    return _run(wanted, faults)


def _run(wanted: argparse.Namespace, faults: tuple[str, ...] | None) -> int:
    began, failed, phases = time.monotonic(), [], Counter[str]()
    spent, number = 0.0, 0
    # Not forked: threads of libraries do not come along, and what waits for them would for ever.
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(wanted.processes, spawn, keep) as pool:
        for found in _as_they_end(pool, wanted, faults, began):
            number += 1
            phases[found.phase] += 1
            spent += found.processor_seconds
            if found.broken:
                failed.append(found.seed)
                print(f"seed {found.seed}: {found.broken[0]}")
                more = "" if wanted.faults is None else f" --faults {wanted.faults}"
                again = f"--replay {found.seed} --owners {wanted.owners}{more}"
                print(f"  scripts/simulate {again}", flush=True)
    seconds = time.monotonic() - began
    if wanted.json:
        told = {
            "seeds": number,
            "owners": wanted.owners,
            "failed": sorted(failed),
            "phases": dict(phases),
            "seconds": round(seconds, 1),
            "processor_seconds": round(spent, 1),
        }
        print(json.dumps(told))
    else:
        ends = ", ".join(f"{count} {phase}" for phase, count in phases.most_common())
        print(f"{number} jobs of {wanted.owners} owners: {len(failed)} break a promise ({ends})")
        print(
            f"{seconds:.0f} s in {wanted.processes} processes, "
            f"{spent / max(1, number):.2f} s of a processor a job"
        )
    return 1 if failed else 0


def _as_they_end(
    pool: Executor, wanted: argparse.Namespace, faults: tuple[str, ...] | None, began: float
) -> Iterator[Found]:
    """Every wanted seed, a few ahead of what has ended; with `--hours`, until they are over."""
    seeds = itertools.count(wanted.first)
    if wanted.hours is None:
        seeds = itertools.islice(seeds, wanted.seeds)  # type: ignore[assignment]
    running: set[Future[Found]] = set()
    while True:
        late = wanted.hours is not None and time.monotonic() - began > 3600 * wanted.hours
        while not late and len(running) < 2 * wanted.processes:
            seed = next(seeds, None)
            if seed is None:
                break
            running.add(pool.submit(one, seed, wanted.owners, faults))
        if not running:
            return
        done, running = wait(running, return_when=FIRST_COMPLETED)
        for each in done:
            yield each.result()


def _replay(outcome: Outcome) -> int:
    sys.stdout.buffer.write(outcome.text + b"\n")
    terms = outcome.terms
    print(f"faults: {', '.join(terms.faults) or 'none'}")
    print(f"{outcome.phase} after {outcome.rounds} rounds, {outcome.virtual_seconds:.0f} s")
    for each in outcome.broken:
        print(f"BROKEN {each}")
    for error in outcome.errors[:3]:
        traceback.print_exception(error)
    return 1 if outcome.broken else 0


if __name__ == "__main__":
    raise SystemExit(main())
