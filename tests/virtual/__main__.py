"""scripts/simulate: seeds of whole jobs under faults; prints those that break a promise."""

from __future__ import annotations

import argparse
import json
import sys
import time
import traceback
from collections import Counter
from collections.abc import Sequence

from virtual.faults import FAULTS
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
    if wanted.owners < 5:
        parser.error("a block has at least 5 owners")
    if wanted.replay is not None:
        return _replay(World(terms_of(wanted.replay, wanted.owners, faults)).run())
    return _run(wanted, faults)


def _run(wanted: argparse.Namespace, faults: tuple[str, ...] | None) -> int:
    began, failed, phases = time.monotonic(), [], Counter[str]()
    spent, seed = 0.0, wanted.first
    while True:
        if wanted.hours is None and seed >= wanted.first + wanted.seeds:
            break
        if wanted.hours is not None and time.monotonic() - began > 3600 * wanted.hours:
            break
        outcome = World(terms_of(seed, wanted.owners, faults)).run()
        phases[outcome.phase] += 1
        spent += outcome.processor_seconds
        if outcome.broken:
            failed.append(seed)
            print(f"seed {seed}: {outcome.broken[0]}")
            more = "" if wanted.faults is None else f" --faults {wanted.faults}"
            print(f"  scripts/simulate --replay {seed} --owners {wanted.owners}{more}", flush=True)
        seed += 1
    number = seed - wanted.first
    seconds = time.monotonic() - began
    if wanted.json:
        found = {
            "seeds": number,
            "owners": wanted.owners,
            "failed": failed,
            "phases": dict(phases),
            "seconds": round(seconds, 1),
            "processor_seconds": round(spent, 1),
        }
        print(json.dumps(found))
    else:
        ends = ", ".join(f"{count} {phase}" for phase, count in phases.most_common())
        print(f"{number} jobs of {wanted.owners} owners: {len(failed)} break a promise ({ends})")
        print(f"{seconds:.0f} s, {spent / max(1, number):.2f} s of a processor a job")
    return 1 if failed else 0


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
