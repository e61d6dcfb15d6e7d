"""A guide's commands run as its reader types them: one after the other, in a shell, in a folder.

What a guide in docs/guides/ must look like to be run:

- A fenced block whose info string begins with `sh` is typed; a name after it says who types
  (```` ```sh hospital ````), where a guide has several people. Others of its blocks are read only.
- A fenced block whose info string is a kind and a file's name (```` ```toml map.toml ````) is
  written under that name into the folder of the person that typed last before it, or that its
  third word names.
- A line is a command; one that ends with a backslash goes on in the next. What follows a `#` is
  for the reader.
- A word in capitals stands for what the reader knows by then (JOB, LINE). The test gives it, or
  says by which pattern it is learnt from what commands printed before.

Each person has one folder, HOME in it, and ASSAY_HOME where the test says so. The shell is the
user's (`sh`), with `assay` of this checkout on its path.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from kits.daemons.processes import environment
from kits.paths import ROOT

GUIDES: Final = ROOT / "docs" / "guides"

_FENCE: Final = re.compile(r"^```([^\n`]+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_WORD: Final = re.compile(r"(?<![\w'\"$./=-])'?([A-Z][A-Z_]{2,})'?(?![\w/.=-])")
_AGAIN_SECONDS: Final = 0.5


@dataclass(frozen=True)
class Command:
    """One line of a guide as it stands there; `who` types it (empty: the guide's only reader)."""

    who: str
    text: str


@dataclass(frozen=True)
class File:
    """A file that a guide has its reader write."""

    who: str
    name: str
    text: str


def steps(guide: Path) -> Iterator[Command | File]:
    """What a guide has its reader do, in order."""
    who = ""
    for info, body in _FENCE.findall(guide.read_text()):
        kind, *rest = info.split()
        if kind == "sh":
            who = rest[0] if rest else ""
            for text in commands(body):
                yield Command(who, text)
        elif rest and "." in rest[0]:
            yield File(rest[1] if len(rest) > 1 else who, rest[0], body)


def commands(block: str) -> list[str]:
    """The commands of a block: lines that go on are joined, comments and empty lines left out."""
    found = []
    for line in block.replace("\\\n", " ").splitlines():
        text = re.sub(r"(^|\s)#.*$", "", line).strip()
        if text:
            found.append(" ".join(text.split()))
    return found


@dataclass
class Reader:
    """Types a guide's commands. `words` are what stands for a word in capitals; `learns` are
    patterns, whose first group a word is learnt from once a command prints it.

    A command that `until` names (as the guide has it) is typed again until what it prints matches,
    as somebody does who waits for another; anything else must end with 0 at once, or with what
    `ends` says.
    """

    folder: Path
    words: dict[str, str] = field(default_factory=dict)
    learns: Mapping[str, str] = field(default_factory=dict)
    until: Mapping[str, str] = field(default_factory=dict)
    ends: Mapping[str, int] = field(default_factory=dict)
    homes: Mapping[str, Path] = field(default_factory=dict)
    seconds: float = 240.0
    #: Every command as it was typed, with what it printed.
    typed: list[tuple[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        bin_ = self.folder / "bin"
        bin_.mkdir(parents=True, exist_ok=True)
        tool = bin_ / "assay"
        tool.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m node.cli.main "$@"\n')
        tool.chmod(0o755)

    def place(self, who: str) -> Path:
        """The folder in which a person types."""
        path = self.folder / (who or "reader")
        path.mkdir(exist_ok=True)
        return path

    def read(self, guide: Path) -> None:
        """Do all that the guide says. AssertionError with what was printed, where it fails."""
        for step in steps(guide):
            if isinstance(step, File):
                (self.place(step.who) / step.name).write_text(step.text)
            else:
                self.type(step)

    def type(self, command: Command) -> str:
        """Type one command; what it printed on both outputs."""
        pattern = self.until.get(command.text, "")
        deadline = time.monotonic() + self.seconds
        while True:
            text = self._spelt(command.text)
            code, said = self._run(command.who, text, max(1.0, deadline - time.monotonic()))
            good = code == self.ends.get(command.text, 0)
            if good and re.search(pattern, said):
                break
            again = pattern and time.monotonic() < deadline
            assert again, f"$ {text}\n{said}\nended with {code}; {self._before()}"
            time.sleep(_AGAIN_SECONDS)
        self.typed.append((text, said))
        for word, shape in self.learns.items():
            if found := re.search(shape, said):
                self.words[word] = found[1]
        return said

    def end(self, command: str, who: str = "") -> None:
        """Type a command that ends what the guide began, whatever it says: for a test's own end."""
        self._run(who, command, self.seconds)

    def said(self, beginning: str) -> str:
        """What the last command that begins so printed."""
        return next(said for text, said in reversed(self.typed) if text.startswith(beginning))

    def _spelt(self, text: str) -> str:
        def known(found: re.Match[str]) -> str:
            word = found[1]
            assert word in self.words, f"$ {text}\nnobody told the reader {word}; {self._before()}"
            return found[0].replace(word, self.words[word])

        return _WORD.sub(known, text)

    def _run(self, who: str, text: str, seconds: float) -> tuple[int, str]:
        place = self.place(who)
        path = f"{self.folder / 'bin'}:{os.environ['PATH']}"
        env = environment() | {"PATH": path, "HOME": str(place)}
        env.pop("XDG_DATA_HOME", None)
        env.pop("XDG_RUNTIME_DIR", None)
        if who in self.homes:
            env["ASSAY_HOME"] = str(self.homes[who])
        try:
            done = subprocess.run(
                ["sh", "-c", text],
                cwd=place,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=seconds,
            )
        except subprocess.TimeoutExpired as late:
            said = late.stdout.decode() if isinstance(late.stdout, bytes) else late.stdout or ""
            raise AssertionError(f"$ {text}\n{said}\nstill runs after {seconds:.0f} s") from None
        return done.returncode, done.stdout

    def _before(self) -> str:
        return "before it:\n" + "\n".join(f"$ {text}\n{said}" for text, said in self.typed[-3:])
