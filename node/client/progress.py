"""How far a job is, while somebody waits: a bar on a terminal, one line that is written over in a
notebook, a line an event elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Final, TextIO, TypeAlias

from node.console.endings import stands
from node.console.show import clean

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from node.control.shapes import Event, JobSummary

#: What a waiting program may ask for: a bar or lines (True), nothing (False), or a call an event.
Wanted: TypeAlias = "bool | Callable[[Event], None]"

#: Of a bar in a notebook.
_CELLS: Final = 24


class Shown:
    """Shows one job's way to its end. A context manager, since a bar has to be taken down."""

    def __init__(self, summary: JobSummary, wanted: Wanted, out: TextIO | None = None) -> None:
        """`out` is standard error where it is not given: standard output is the program's."""
        self._wanted = wanted
        self._out = sys.stderr if out is None else out
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._summary = summary
        # A notebook's output is no terminal, and takes a carriage return for one.
        self._over = "ipykernel" in sys.modules and not self._out.isatty()
        self._width = 0

    def __enter__(self) -> Shown:
        if self._wanted is True and self._out.isatty():
            self._draw()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def event(self, event: Event) -> None:
        """Something happened."""
        if not isinstance(self._wanted, bool):
            self._wanted(event)
        elif self._bar is not None and self._task is not None:
            self._bar.update(self._task, said=clean(event["text"])[:60])
        elif self._wanted and self._over:
            self._rewrite(event["text"])
        elif self._wanted:
            self._line(f"{event['kind']}: {event['text']}")

    def stands(self, summary: JobSummary) -> None:
        """The job was looked at anew."""
        self._summary = summary
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=summary["round"])

    def over(self, summary: JobSummary) -> None:
        """The job is over."""
        self.stands(summary)
        if self._wanted is True and self._bar is None:
            if self._over:
                self._rewrite("")
                self._out.write("\n")
            self._line(f"{stands(summary)} {summary['reason']}".strip())

    def _rewrite(self, said: str) -> None:
        """The job's bar with what was said last, in the place of the line before."""
        done, rounds = self._summary["round"], self._summary["rounds"]
        filled = _CELLS * done // max(1, rounds)
        bar = "█" * filled + "░" * (_CELLS - filled)
        title = clean(self._summary["title"])[:40]
        text = f"{title} {bar} {done}/{rounds} {clean(said)[:60]}".rstrip()
        self._out.write(f"\r{text.ljust(self._width)}")
        self._out.flush()
        self._width = len(text)

    def _line(self, text: str) -> None:
        self._out.write(f"{self._summary['job'][:10]} {clean(text)}\n")
        self._out.flush()

    def _draw(self) -> None:
        # Late: rich costs 40 ms, and whoever waits without a terminal does not need it.
        from rich.console import Console
        from rich.markup import escape
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

        title = escape(clean(self._summary["title"])[:40])
        self._bar = Progress(
            TextColumn(title),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[said]}", markup=False),
            console=Console(file=self._out),
            transient=True,
        )
        self._task = self._bar.add_task(
            "", total=self._summary["rounds"], completed=self._summary["round"], said=""
        )
        self._bar.start()
