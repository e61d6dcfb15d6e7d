"""Progress while the demo runs: alive on a terminal, plain lines in a pipe."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Final, Protocol, TextIO

if TYPE_CHECKING:
    from types import TracebackType

    from rich.progress import Progress, TaskID

#: Width of the bar of rounds.
_BAR: Final = 30


class Screen(Protocol):
    """Progress as the story tells it. A context manager."""

    def stage(self, text: str) -> None:
        """Something begins."""

    def note(self, text: str) -> None:
        """Something happened."""

    def round(self, number: int, rounds: int, accuracy: float | None, beside: str) -> None:
        """A round, counted from 1, is over; `beside` says what it is held against."""

    def __enter__(self) -> Screen: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


def round_line(number: int, rounds: int, accuracy: float | None, beside: str) -> str:
    """A round in one line."""
    shown = "   not measured" if accuracy is None else f"accuracy {100 * accuracy:6.2f} %"
    return f"round {number:>3} of {rounds}  {shown}  ({beside})"


class PlainScreen:
    """A line for everything, with the seconds since the start."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._began = time.monotonic()

    def stage(self, text: str) -> None:
        self._line(f"-- {text}")

    def note(self, text: str) -> None:
        self._line(f"   {text}")

    def round(self, number: int, rounds: int, accuracy: float | None, beside: str) -> None:
        self._line(f"   {round_line(number, rounds, accuracy, beside)}")

    def _line(self, text: str) -> None:
        self._stream.write(f"{time.monotonic() - self._began:6.1f} s {text}\n")
        self._stream.flush()

    def __enter__(self) -> Screen:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is left open."""


class LiveScreen:
    """Lines as above, over a line that moves: what is going on, for how long, how far."""

    def __init__(self) -> None:
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        self._progress: Progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=_BAR),
            TimeElapsedColumn(),
            transient=True,
        )
        self._task: TaskID | None = None
        self._text = ""
        self._began = time.monotonic()

    def stage(self, text: str) -> None:
        if self._task is not None:
            self._progress.remove_task(self._task)
        self._line(text, "bold")
        self._task = self._progress.add_task(text, total=None)

    def note(self, text: str) -> None:
        self._line(text, "")

    def round(self, number: int, rounds: int, accuracy: float | None, beside: str) -> None:
        self._line(round_line(number, rounds, accuracy, beside), "green")
        if self._task is not None:
            self._progress.update(self._task, total=rounds, completed=number)

    def _line(self, text: str, style: str) -> None:
        from rich.text import Text

        line = Text(f"{time.monotonic() - self._began:6.1f} s  ", style="dim")
        self._progress.console.print(line.append(text, style=f"not dim {style}".strip()))

    def __enter__(self) -> Screen:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()


def open_screen(json_output: bool) -> Screen:
    """Live on a terminal. Beside JSON, plain lines on standard error."""
    if json_output:
        return PlainScreen(sys.stderr)
    return LiveScreen() if sys.stdout.isatty() else PlainScreen(sys.stdout)
