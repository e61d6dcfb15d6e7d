"""From the command line to an exit code: where a run lives, and what is left of it."""

from __future__ import annotations

import json
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from node.console.failure import Failure
from node.console.session import Session
from node.control.codes import Exit
from node.demo.outcome.report import as_json, as_parts
from node.demo.outcome.verdict import as_table, judge
from node.demo.recipes.columns import DataName
from node.demo.recipes.job import ModelName
from node.demo.recipes.sealed import Asked
from node.demo.screen import open_screen
from node.demo.story import Plan, play
from node.demo.swarm.processes import Children

#: Where the results go when nothing else is said; beside where the user stands.
OUT = Path("demo-out")


def run(
    session: Session,
    *,
    data: DataName,
    model: ModelName,
    seed: int,
    rounds: int | None,
    out: Path | None,
    keep: bool,
    sealed: Asked | None = None,
    proof: bool = False,
    sale: bool = False,
) -> int:
    """Run the main job and print what it came to.

    Exit.OK only if every finding of the verdict holds, Exit.FAULT otherwise. Raises Failure where
    the story could not go on, for example because a daemon ended.
    """
    plan = Plan(data, model, seed, rounds, _folder(out), sealed, proof, sale)
    with ended_like_ctrl_c(), _homes(keep) as folder:
        with open_screen(session.json) as screen, Children() as children:
            figures = play(plan, folder, children, screen)
        findings = judge(figures)
        faults = [f"{finding.name}: {finding.detail}" for finding in findings if not finding.ok]
        result = as_json(figures, faults)
        text = json.dumps(result, indent=1) + "\n"
        (plan.out / "result.json").write_text(text, encoding="utf-8")
        session.emit(result, [*as_parts(figures), as_table(findings)])
        sys.stdout.flush()
        if faults:
            raise Failure(Exit.FAULT, f"the demo did not hold: {'; '.join(faults)}")
    return Exit.OK


def _folder(out: Path | None) -> Path:
    folder = (out or OUT).absolute()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        text = f"{folder} cannot be made: {error.strerror}"
        raise Failure(Exit.USAGE, text, field="out") from None
    return folder


@contextmanager
def _homes(keep: bool) -> Iterator[Path]:
    """The folder of all homes and logs: removed at the end, kept after a failure."""
    folder = Path(tempfile.mkdtemp(prefix="assay-demo-"))
    try:
        yield folder
    except Exception:
        _say(f"homes and logs of this run are kept: {folder}")
        raise
    except BaseException:
        # Interrupted: the user wants it gone.
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)
            _say("interrupted: every process has ended, and their homes are removed")
        raise
    if keep:
        _say(f"homes and logs of this run are kept: {folder}")
    else:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def ended_like_ctrl_c() -> Iterator[None]:
    """SIGTERM and SIGHUP end the run as Ctrl-C does: with everything cleaned up."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    numbers = (signal.SIGTERM, signal.SIGHUP)
    before = [(number, signal.signal(number, interrupt)) for number in numbers]
    try:
        yield
    finally:
        for number, handler in before:
            signal.signal(number, handler)


def _say(text: str) -> None:
    # Not on standard output, which may be JSON.
    sys.stderr.write(text + "\n")
