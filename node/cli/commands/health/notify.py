"""notify: run a command of the user's for what wants them."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from typing import Annotated, Final

from cyclopts import Parameter

from node.cli.options import Here
from node.console.failure import Failure
from node.console.notices import Notice, Noticed
from node.console.session import Session, write_json
from node.control.codes import Exit

#: Between looks where nothing happens: problems are no events.
_LOOK_SECONDS: Final = 60.0
#: After an event, so that one look serves all that come together.
_SETTLE_SECONDS: Final = 0.5
#: Of a daemon that does not answer, before that is a notice: a restart is none.
_DOWN_SECONDS: Final = 60.0
_RETRY_SECONDS: Final = 2.0
#: Of the user's command.
_RUN_SECONDS: Final = 60.0


def notify(
    *command: Annotated[
        str,
        Parameter(
            show=True,
            allow_leading_hyphen=True,
            help="A program and its arguments; {} in one is the text, which else comes last.",
        ),
    ],
    session: Here,
) -> int:
    """Run a command for what wants you: a job that waits for consent, pay, a job's end, trouble.

    For instance: assay notify notify-send assay; or, for mail and phones, assay notify apprise -t
    assay -b {} URL. The command runs without a shell; the notice is on
    its standard input as JSON, and in ASSAY_NOTICE (its kind) and ASSAY_JOB. Ends by Ctrl-C.
    """
    if not command:
        raise Failure(
            Exit.USAGE,
            "no command is given",
            next_="assay notify notify-send assay",
            field="command",
        )
    noticed, followed, down = Noticed(), _Followed(), _Down()

    def tell(notices: Iterable[Notice]) -> None:
        _run(command, notices, session)

    with contextlib.suppress(KeyboardInterrupt):
        while True:
            try:
                _follow(session, noticed, followed, down, tell)
            except Failure as failure:
                tell(down.silent(str(failure)))
                time.sleep(_RETRY_SECONDS)
    return Exit.OK


class _Down:
    """Since when no daemon answers, and whether that was told."""

    def __init__(self) -> None:
        self._since: float | None = None
        self._told = False

    def answers(self) -> None:
        self._since, self._told = None, False

    def silent(self, why: str) -> Iterable[Notice]:
        now = time.monotonic()
        self._since = now if self._since is None else self._since
        if not self._told and now - self._since >= _DOWN_SECONDS:
            self._told = True
            yield Notice("down", None, f"the daemon does not answer: {why}")


class _Followed:
    """Where the stream of events was left, and of which start of the daemon."""

    def __init__(self) -> None:
        self._started: float | None = None
        self.seq = 0

    def at(self, started: float, newest: int) -> None:
        """Events before the first connection are past; a daemon that started anew has none."""
        if self._started is None:
            self.seq = newest
        elif started != self._started:
            self.seq = 0
        self._started = started


def _follow(
    session: Session,
    noticed: Noticed,
    followed: _Followed,
    down: _Down,
    tell: Callable[[Iterable[Notice]], None],
) -> None:
    """Until the daemon ends (Failure)."""
    with session.connect() as asking:
        newest = asking.call("events.subscribe", {"job": None, "since": None})["seq"]
        followed.at(asking.call("status")["started_at"], newest)
    while True:
        with session.connect() as asking:
            down.answers()
            tell(noticed.jobs(asking.call("jobs")))
            tell(noticed.status(asking.call("status")))
        if _heard(session, noticed, followed, tell, _LOOK_SECONDS, first=True):
            _heard(session, noticed, followed, tell, _SETTLE_SECONDS, first=False)


def _heard(
    session: Session,
    noticed: Noticed,
    followed: _Followed,
    tell: Callable[[Iterable[Notice]], None],
    seconds: float,
    *,
    first: bool,
) -> bool:
    """Tell of the events of so many seconds, or of the `first` one alone; whether one came."""
    came = False
    with session.connect() as client, contextlib.suppress(TimeoutError):
        for event in client.events(since=followed.seq, seconds=seconds):
            followed.seq, came = event["seq"], True
            tell(noticed.event(event))
            if first:
                break
    return came


def _run(command: Sequence[str], notices: Iterable[Notice], session: Session) -> None:
    """Run the command once a notice. That it fails is said, and ends nothing."""
    for notice in notices:
        line = [part.replace("{}", notice.text) for part in command]
        line += [] if any("{}" in part for part in command) else [notice.text]
        try:
            done = subprocess.run(
                line,
                input=json.dumps(asdict(notice)).encode(),
                stdout=subprocess.DEVNULL,
                timeout=_RUN_SECONDS,
                env={**os.environ, "ASSAY_NOTICE": notice.kind, "ASSAY_JOB": notice.job or ""},
                check=False,
            )
            said = f"ended with {done.returncode}" if done.returncode else ""
        except (OSError, subprocess.TimeoutExpired) as error:
            said = getattr(error, "strerror", None) or f"did not end within {_RUN_SECONDS:g} s"
        if said:
            sys.stderr.write(f"{command[0]}: {said}\n")
        if session.json:
            write_json(asdict(notice))
        else:
            sys.stdout.write(f"{notice.text}\n")
            sys.stdout.flush()
