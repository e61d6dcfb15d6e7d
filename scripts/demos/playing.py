"""The demo's main job, played once more with something of it exchanged: for scripts/demo's ways."""

from __future__ import annotations

import argparse
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

from node.console.failure import Failure
from node.console.session import Session
from node.demo import main as demo


def arguments(doc: str | None) -> argparse.ArgumentParser:
    """What every way takes."""
    parser = argparse.ArgumentParser(prog="scripts/demo", description=doc)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--json", action="store_true")
    return parser


def play(
    wanted: argparse.Namespace,
    *exchanged: AbstractContextManager[object],
    proof: bool = False,
) -> int:
    """Play softmax on digits with the patches `exchanged`; how it ended."""
    session = Session(json=wanted.json)
    try:
        with ExitStack() as stack:
            for each in exchanged:
                stack.enter_context(each)
            return demo.run(
                session,
                data="digits",
                model="softmax",
                seed=wanted.seed,
                rounds=wanted.rounds,
                out=wanted.out,
                keep=False,
                proof=proof,
            )
    except Failure as failure:
        session.complain(failure)
        return failure.end
