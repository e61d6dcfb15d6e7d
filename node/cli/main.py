"""`assay`: the entry point. One guard around all commands; a short way for two, and for help.

Nothing here or in node.console.client imports trio, protocol, cyclopts or rich before it is needed:
`assay status` is asked often, and by scripts; a daemon keeps what it imported for weeks.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Final

from node.console.failure import Failure, explain
from node.console.session import Session
from node.control.codes import Exit
from node.workers.memory import keep_private

#: What is asked by words that stand alone beside global options.
_SHORT: Final = {
    ("status",): "status",
    ("up",): "up",
    (): "--help",
    ("--help",): "--help",
    ("-h",): "--help",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `assay` on these arguments (default: the process'). Returns the exit code."""
    if arguments is None:
        # The process is this command alone, and it may come to hold keys.
        keep_private()
    tokens = list(sys.argv[1:] if arguments is None else arguments)
    # Until the options are parsed, errors take the form that the plain text of the line asks for.
    sessions = [Session(json="--json" in tokens, debug="--debug" in tokens)]
    try:
        return _run(tokens, sessions)
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    except BrokenPipeError:
        # The reader of our output has gone. Python would complain once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.INTERNAL
    except Exception as error:  # noqa: BLE001 -- the guard: every error ends in one line and a code
        return _fail(error, sessions[-1])


def _run(tokens: list[str], sessions: list[Session]) -> int:
    word, session = _short(tokens)
    if word == "--help":
        from node.cli.menu import front

        if front.shown():
            return Exit.OK
    if session is None or word == "--help":
        from node.cli.app import run

        return run(tokens, sessions)
    sessions[:] = [session]
    if word == "up":
        from node.cli import starting

        return starting.run_here(session)
    found = session.call("status", timeout=10.0)
    if session.json:
        session.emit(found, [])
    else:
        from node.cli.views import status

        session.emit(found, status(found))
    return Exit.OK


def _short(tokens: list[str]) -> tuple[str, Session | None]:
    """The command and session where the line is `status`, `up` or a wish for the first page of
    help, with global options alone; no session for all else.

    Parsing with cyclopts costs several times what the call of `status` does, and 3 MB that a daemon
    would hold as long as it lives.
    """
    home: str | None = None
    flags = {"--json": False, "--debug": False}
    words = []
    rest = iter(tokens)
    for word in rest:
        if word in flags:
            flags[word] = True
        elif word == "--home":
            home = next(rest, None)
            if home is None or home.startswith("-"):
                return "", None
        elif word.startswith("--home="):
            home = word.removeprefix("--home=")
        else:
            words.append(word)
    asked = _SHORT.get(tuple(words), "")
    return asked, Session(home, flags["--json"], flags["--debug"]) if asked else None


def _fail(error: Exception, session: Session) -> int:
    failure: Failure = explain(error)
    session.complain(failure)
    if session.debug:
        import traceback

        traceback.print_exception(error)
    return failure.end


if __name__ == "__main__":
    sys.exit(main())
