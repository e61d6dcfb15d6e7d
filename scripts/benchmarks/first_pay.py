"""docs/guides/quick-start.md typed as it stands, in an empty folder: seconds to the first payment.

Blocks of commands in `sh` are typed, one command after the other, each in a shell of its own. Words
in capitals are told, or learnt from what commands printed. The chain's port is the only thing that
is changed: another may be in use.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from node.demo.swarm.world import free_port
from scripts.benchmarks.figures import BenchError, Context, Measurement

ROOT: Final = Path(__file__).resolve().parents[2]
GUIDE: Final = ROOT / "docs" / "guides" / "quick-start.md"

_BLOCK: Final = re.compile(r"^```sh\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_LEARNS: Final = {
    "ACCOUNT": r"account\s+(0x[0-9a-fA-F]{40})",
    "LINE": r"assay join '(/[^']+)'",
    "JOB": r"\b(0x[0-9a-f]{64})\b",
}
#: What is given once more, as the guide says, while the chain starts.
_AGAIN: Final = "deploy"
_AGAIN_SECONDS: Final = 60.0
_COMMAND_SECONDS: Final = 300.0

#: The command after which the owner looks at its pay.
PAID: Final = "job watch"


@dataclass
class Typed:
    """What was typed so far: each command with what it printed and when it ended, seconds.

    `program` is `assay`, and `tree` the checkout whose code it runs; None: an installed one's.
    """

    folder: Path
    program: tuple[str, ...] = (sys.executable, "-m", "node.cli.main")
    tree: Path | None = ROOT
    words: dict[str, str] = field(default_factory=dict)
    lines: list[tuple[str, str, float]] = field(default_factory=list)

    def said(self, part: str) -> str:
        """What the first command with `part` in it printed."""
        return next(said for text, said, _ in self.lines if part in text)

    def ended(self, part: str) -> float:
        """When it ended, seconds since the first command began."""
        return next(at for text, _, at in self.lines if part in text)

    def all(self) -> None:
        """Type everything. Raises BenchError for what fails; whatever happens, all daemons end."""
        tools = self.folder / "tools"
        tools.mkdir()
        words = " ".join(f'"{word}"' for word in self.program)
        (tools / "assay").write_text(f'#!/bin/sh\nexec {words} "$@"\n')
        (tools / "assay").chmod(0o755)
        self.words["EXAMPLES"] = str(ROOT / "docs" / "examples")
        began = time.monotonic()
        commands = list(_commands(free_port()))
        try:
            for text in commands:
                self._type(text, began)
        except BaseException:
            for text in commands[-3:]:
                self._run(self._spelt(text))
            raise

    def _type(self, text: str, began: float) -> None:
        until = time.monotonic() + _AGAIN_SECONDS
        while True:
            code, said = self._run(self._spelt(text))
            if not code:
                break
            if _AGAIN not in text or time.monotonic() > until:
                raise BenchError(f"$ {text}\n{said}\nended with {code}")
            time.sleep(0.5)
        self.lines.append((text, said, time.monotonic() - began))
        for word, shape in _LEARNS.items():
            if word not in self.words and (found := re.search(shape, said)):
                self.words[word] = found[1]

    def _spelt(self, text: str) -> str:
        return re.sub(r"\b[A-Z]{3,}\b", lambda word: self.words.get(word[0], word[0]), text)

    def _run(self, text: str) -> tuple[int, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("ASSAY_")}
        path = f"{self.folder / 'tools'}:{kept['PATH']}"
        kept.pop("PYTHONPATH", None)
        code = {} if self.tree is None else {"PYTHONPATH": str(self.tree)}
        places = {"PATH": path, "HOME": str(self.folder)} | code
        done = subprocess.run(
            ["sh", "-c", text],
            cwd=self.folder,
            env=kept | places,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_COMMAND_SECONDS,
        )
        return done.returncode, done.stdout


def _commands(port: int) -> Iterator[str]:
    for block in _BLOCK.findall(GUIDE.read_text()):
        yield from block.replace("8545", str(port)).splitlines()


def first_pay(context: Context) -> Measurement:
    """Seconds from the first command of the quick start to an owner's first payment."""
    with tempfile.TemporaryDirectory() as name:
        typed = Typed(Path(name))
        typed.all()
    account = typed.said("owner-1 account")
    seconds = typed.ended("owner-1 earnings")
    if not re.search(r"0\.\d+ ether", account):
        raise BenchError(f"owner 1 was not paid: {account}")
    watched = typed.ended(PAID) - typed.ended("job post")
    return Measurement(
        ours=seconds,
        notes=[
            f"{len(typed.lines)} commands of the quick start on one machine, a chain with "
            f"a block a second, five owners, 20 rounds; {watched:.0f} s of it are the job"
        ],
    )
