"""notify: a command of the user's, or URLs that apprise knows, for what wants them."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Final

from cyclopts import Parameter

from node.cli.commands.health.apprising import Sender, sender
from node.cli.options import Here
from node.console.failure import Failure
from node.console.following import Followed
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
    apprise: Annotated[
        list[str] | None,
        Parameter(
            help="A URL that apprise knows: mail, phones, chats. May be given again.", negative=()
        ),
    ] = None,
    apprise_file: Annotated[
        Path | None,
        Parameter(help="A file of such URLs, one a line: others read a command line, not a file."),
    ] = None,
    session: Here,
) -> int:
    """Tell you what wants you: a job that waits for consent, pay, a job's end, trouble.

    By a command of yours: assay notify notify-send assay; or by URLs that apprise knows:
    assay notify --apprise ntfy://TOPIC. The command runs without a shell; the notice is on
    its standard input as JSON, and in ASSAY_NOTICE (its kind) and ASSAY_JOB. Ends by Ctrl-C.
    """
    sent = sender(apprise or (), apprise_file)
    if not command and sent is None:
        raise Failure(
            Exit.USAGE,
            "no command is given",
            next_="assay notify notify-send assay",
            field="command",
        )
    noticed, followed, down = Noticed(), Followed(), _Down()

    def tell(notices: Iterable[Notice]) -> None:
        for notice in notices:
            _tell(notice, command, sent, session)

    if not session.json:
        # Beside the notices, which may be piped on.
        sys.stderr.write("what wants you is told as it comes\nCtrl-C ends it\n")
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


def _follow(
    session: Session,
    noticed: Noticed,
    followed: Followed,
    down: _Down,
    tell: Callable[[Iterable[Notice]], None],
) -> None:
    """Until the daemon ends (Failure)."""
    followed.find(session)
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
    followed: Followed,
    tell: Callable[[Iterable[Notice]], None],
    seconds: float,
    *,
    first: bool,
) -> bool:
    """Tell of the events of so many seconds, or of the `first` one alone; whether one came."""
    came = False
    with session.connect() as client, contextlib.suppress(TimeoutError):
        for event in followed.read(client, seconds):
            came = True
            tell(noticed.event(event))
            if first:
                break
    return came


def _tell(notice: Notice, command: Sequence[str], sent: Sender | None, session: Session) -> None:
    """Send one notice, by each way that was asked for. That one fails is said, and ends nothing."""
    said = []
    if command and (why := _run(command, notice)):
        said.append(f"{command[0]}: {why}")
    if sent is not None and (why := sent(notice)):
        said.append(why)
    for line in said:
        sys.stderr.write(f"{line}\n")
    if session.json:
        write_json(asdict(notice))
    else:
        sys.stdout.write(f"{notice.text}\n")
        sys.stdout.flush()


def _run(command: Sequence[str], notice: Notice) -> str:
    """Run the command for a notice; why that failed, or nothing."""
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
    except (OSError, subprocess.TimeoutExpired) as error:
        return getattr(error, "strerror", None) or f"did not end within {_RUN_SECONDS:g} s"
    return f"ended with {done.returncode}" if done.returncode else ""
