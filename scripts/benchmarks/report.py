"""Figures as text, and docs/benchmarks.md.

The page holds a section for each suite, between markers; a run replaces its own suites' sections
and leaves all else as it was.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from scripts.benchmarks.figures import Result, Suite, shown
from scripts.benchmarks.machine import Machine

_HEAD = """# Benchmarks

`scripts/bench` measures assay beside its peers, writes this page, and prints one JSON object a
figure with `--json`. Both sides run in turn (ours, the peer, ours, the peer, ...), each in an
interpreter and an environment of its own, bound to the same core, one thread each; numbers are
medians. A ratio is how many times better assay is. Figures hold for the machine that stands beside
them: run it on yours.
"""


@dataclass(frozen=True, slots=True)
class Setting:
    """What a suite ran with: the machine, and each side's packages and their versions."""

    machine: Machine
    runs: int
    sides: Mapping[str, Mapping[str, str]]

    def lines(self) -> list[str]:
        """For people, one thing a line."""
        lines = [f"machine: {self.machine}", f"runs: {self.runs} a side, interleaved"]
        for name, versions in self.sides.items():
            named = ", ".join(f"{package} {version}" for package, version in versions.items())
            lines.append(f"{name}: {named}")
        return lines


def as_text(suite: Suite, results: Sequence[Result], setting: Setting) -> str:
    """A table, the parts of each figure, notes, and what it ran with."""
    rows = [("figure", "ours", "peer", "ratio", "bar", "")]
    rows += [_row(result) for result in results]
    lines = [f"{suite.title} ({suite.name})", "", *aligned(rows)]
    for result in results:
        lines += ["", f"{result.figure.name}: {result.figure.what}"]
        lines += [f"  {line}" for line in aligned(_parts(result))]
        lines += [f"  {note}" for note in result.measurement.notes]
    return "\n".join([*lines, "", *setting.lines()]) + "\n"


def as_section(suite: Suite, results: Sequence[Result], setting: Setting) -> str:
    """The suite's part of docs/benchmarks.md, without its markers."""
    header = ("figure", "what", "ours", "peer", "ratio", "bar", "")
    lines = [f"## {suite.title}: `scripts/bench {suite.name}`", "", *_table(header)]
    for result in results:
        figure, ours, peer, ratio, bar, met = _row(result)
        cells = (f"`{figure}`", result.figure.what, ours, peer, ratio, bar, met)
        lines.append(f"| {' | '.join(cells)} |")
    for result in results:
        if parts := _parts(result):
            lines += ["", f"`{result.figure.name}` by part:", "", *_table(parts[0])]
            lines += [f"| {' | '.join(row)} |" for row in parts[1:]]
        lines += ["", *(f"`{result.figure.name}`: {note}." for note in result.measurement.notes)]
    return "\n".join([*lines, "", *(f"- {line}" for line in setting.lines())]) + "\n"


def write_page(page: Path, sections: Mapping[str, str]) -> None:
    """Puts each suite's section into `page`, in the place of its last one or at the end."""
    text = page.read_text() if page.exists() else _HEAD
    for name, section in sections.items():
        text = with_section(text, name, section)
    part = page.with_suffix(".part")
    part.write_text(text)
    part.replace(page)


def with_section(text: str, name: str, section: str) -> str:
    """`text` with suite `name`'s section replaced, or added at the end."""
    begin, end = f"<!-- bench: {name} -->", "<!-- end -->"
    marked = f"{begin}\n{section}{end}\n"
    found = re.compile(rf"{re.escape(begin)}\n.*?{re.escape(end)}\n", re.DOTALL)
    if found.search(text):
        return found.sub(lambda _: marked, text, count=1)
    return f"{text.rstrip()}\n\n{marked}"


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Columns of equal width, two spaces between them."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]


def _row(result: Result) -> tuple[str, str, str, str, str, str]:
    figure, found = result.figure, result.measurement
    peer = f"{shown(found.peer, figure.unit)} ({result.peer_name})" if result.peer_name else ""
    met = {True: "met", False: "not met", None: ""}[result.met]
    bar = "told" if figure.bar is None else str(figure.bar)
    return figure.name, shown(found.ours, figure.unit), peer, shown(found.ratio), bar, met


def _parts(result: Result) -> list[tuple[str, str, str]]:
    """A header and a line a part; empty if there are no parts."""
    unit, parts = result.figure.unit, result.measurement.parts
    if not parts:
        return []
    lines = [(name, shown(ours, unit), shown(peer, unit)) for name, (ours, peer) in parts.items()]
    return [("part", "ours", result.peer_name or ""), *lines]


def _table(header: Sequence[str]) -> list[str]:
    return [f"| {' | '.join(header)} |", f"|{'---|' * len(header)}"]
