"""web: the page, in a process of its own."""

from __future__ import annotations

import sys
from typing import Annotated

from cyclopts import Parameter

from node.cli.options import Here
from node.console.session import write_json
from node.control.codes import Exit


def web(
    *,
    session: Here,
    port: Annotated[int, Parameter(help="Where to listen, on loopback; 0: any free port.")] = 0,
    open_: Annotated[
        bool, Parameter(name="--open", help="Open it in this user's browser.", negative="")
    ] = False,
) -> int:
    """Show this home's jobs, data and money in a browser, until Ctrl-C.

    Prints an address with a token, which a browser gets a cookie for. Only this machine can reach
    it. It asks the daemon as every command does, and works without a network.
    """
    from node.web.serve import run

    def ready(address: str) -> None:
        if session.json:
            write_json({"address": address})
        else:
            sys.stdout.write(f"open in a browser: {address}\nCtrl-C ends it\n")
            sys.stdout.flush()
        if open_:
            import webbrowser

            webbrowser.open(address)

    run(session.home, port, ready, session.tokens)
    return Exit.OK
