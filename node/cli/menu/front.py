"""The first page of help, as the parser shows it, without the parser (docs/adr/0401).

`assay --help` is the first thing that a newcomer types. The parser and what draws its pages take
several times as long to import as this page takes to print. A test holds the page to the parser's
own, on narrow and wide terminals, in what is said and how it is coloured.
"""

from __future__ import annotations

import os
import sys
from itertools import groupby
from operator import itemgetter
from typing import Final

from node.cli.menu.sentences import SENTENCES
from node.cli.menu.table import HELP, OPTIONS, SECTIONS, Family

#: A character, and its style as a terminal is told it: "" for none.
_Cell = tuple[str, str]

_BOLD: Final = "1"
_CODE: Final = "1;36;40"
_NAME: Final = "36"

#: Narrower pages break words and shorten names, which is left to the parser.
_NARROWEST: Final = 40
#: A terminal that says no width, and a pipe.
_USUAL: Final = 80
#: With one of these set, colours and widths are chosen by rules that the parser's library knows.
_UNUSUAL: Final = (
    "FORCE_COLOR",
    "NO_COLOR",
    "TTY_COMPATIBLE",
    "TTY_INTERACTIVE",
    "JUPYTER_COLUMNS",
    "JUPYTER_LINES",
)


def shown() -> bool:
    """Print the page, unless something is unusual that only the parser knows; whether it did."""
    terminal = sys.stdout.isatty()
    width = _width()
    dumb = terminal and os.environ.get("TERM", "").lower() in ("dumb", "unknown")
    plain = not dumb and not any(name in os.environ for name in _UNUSUAL)
    if not plain or width < _NARROWEST or not (sys.stdout.encoding or "").lower().startswith("utf"):
        return False
    sys.stdout.write(page(width, terminal))
    sys.stdout.flush()  # A reader that has gone is met here, not at the interpreter's end.
    return True


def page(width: int, coloured: bool) -> str:
    """The page in lines of at most `width` (40 at least) characters."""
    usage = [(each, _BOLD) for each in "Usage: assay COMMAND [OPTIONS]"]
    lines = [usage, []]
    for paragraph in HELP.strip().split("\n\n"):
        lines += [*_wrapped(" ".join(paragraph.split()), width), []]
    lines += _frame("Global options", list(OPTIONS), width)
    for section in SECTIONS:
        rows = [
            (each.name, each.sentence if isinstance(each, Family) else SENTENCES[each.name])
            for each in section.entries
        ]
        lines += _frame(section.title, sorted(rows), width)
    return "".join(_text(line, coloured) + "\n" for line in lines)


def _frame(title: str, rows: list[tuple[str, str]], width: int) -> list[list[_Cell]]:
    """Names and sentences in two columns, in a frame that is as wide as the page."""
    names = max(len(name) for name, _ in rows)
    room = width - names - 6
    lines = [_plain(f"╭─ {title} ".ljust(width - 1, "─") + "╮")]
    for name, sentence in rows:
        for at, words in enumerate(_wrapped(sentence, room)):
            said = [(each, _NAME) for each in (name if at == 0 else "").ljust(names + 2)]
            space = _plain(" " * (room - len(words)))
            lines.append([*_plain("│ "), *said, *words, *space, *_plain(" │")])
    return [*lines, _plain("╰".ljust(width - 1, "─") + "╯")]


def _wrapped(text: str, width: int) -> list[list[_Cell]]:
    """The words of a text in lines; what stands between backticks is code."""
    cells = [
        (each, _CODE if at % 2 else "") for at, part in enumerate(text.split("`")) for each in part
    ]
    plain = "".join(each for each, _ in cells)
    lines, begin = [], 0
    while len(plain) - begin > width:
        # A line ends before the last space that it, or the place after it, has.
        end = plain.rindex(" ", begin, begin + width + 1)
        lines.append(cells[begin:end])
        begin = end + 1
    return [*lines, cells[begin:]]


def _plain(text: str) -> list[_Cell]:
    return [(each, "") for each in text]


def _text(line: list[_Cell], coloured: bool) -> str:
    """A line, with the codes that set a terminal's style where it is coloured."""
    parts = []
    for style, cells in groupby(line, key=itemgetter(1)):
        words = "".join(each for each, _ in cells)
        parts.append(f"\x1b[{style}m{words}\x1b[0m" if coloured and style else words)
    return "".join(parts)


def _width() -> int:
    """Characters of the terminal that any of the three standard streams is; COLUMNS overrules."""
    said = os.environ.get("COLUMNS", "")
    if said.isdigit() and int(said):
        return int(said)
    for stream in (0, 1, 2):
        try:
            return os.get_terminal_size(stream).columns or _USUAL
        except OSError:
            continue  # It is a pipe or a file.
    return _USUAL
