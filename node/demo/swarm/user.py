"""One home as its user sees it: commands, and calls on the daemon's control socket."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any, Final

from node.console.client import Client
from node.console.failure import Failure
from node.control.codes import Exit
from node.demo.swarm.processes import assay, environment
from node.home.home import Home

#: No command takes as long, even while eight daemons start on two cores.
COMMAND_SECONDS: Final = 600.0


class User:
    """Somebody with a home of its own. `account` is known after `init`."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.home = Home(folder / name)
        self.account = ""

    def init(self, *options: str) -> None:
        """`assay init`."""
        self.account = str(self.command("init", *options)["account"])

    def command(self, *arguments: str) -> Any:
        """What `assay ... --json` prints. Raises Failure in the command's own words."""
        code, output, errors = self.attempt(*arguments)
        if code != Exit.OK:
            said = words(errors)
            raise Failure(
                Exit(code) if code in set(Exit) else Exit.INTERNAL,
                f"{self.name}: assay {arguments[0]} failed: {said}",
                next_=f"less {self.home.log}",
            )
        return json.loads(output)

    def attempt(self, *arguments: str) -> tuple[int, str, str]:
        """A command's exit code, standard output and standard error."""
        done = subprocess.run(
            assay(*arguments, "--home", str(self.home.path), "--json"),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            env=environment(),
            timeout=COMMAND_SECONDS,
        )
        return done.returncode, done.stdout, done.stderr

    def ask(self, method: str, **params: Any) -> Any:
        """One call on the control socket. Raises CallError, NoDaemon, Failure."""
        with Client(self.home.socket_path(), self.home.path) as client:
            return client.call(method, params)


def words(errors: str) -> str:
    """A command's error as it would tell a person."""
    last = errors.strip().splitlines()[-1:] or ["it said nothing"]
    try:
        return str(json.loads(last[0])["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return last[0]
