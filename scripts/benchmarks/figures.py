"""What is measured: figures, their bars, and what a measurement says.

A figure is a name and a function that measures it. Whatever it measures with (a peer in its own
interpreter, the simulator, a job between real processes) is that function's business.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

Number = float | int


class BenchError(Exception):
    """Nothing can be reported: one line that says what is wrong, and what to do."""


class On(Enum):
    """Which number of a measurement a bar is about."""

    RATIO = "ratio"
    OURS = "ours"


@dataclass(frozen=True, slots=True)
class Bar:
    """A number to reach: `value` is the least that is good enough, or the most (`at_most`)."""

    on: On
    value: Number
    at_most: bool = False

    def met(self, ours: Number, ratio: Number | None) -> bool:
        """Raises ValueError if the bar is about a ratio and there is none."""
        found = ratio if self.on is On.RATIO else ours
        if found is None:
            raise ValueError("a bar on a ratio needs a peer to be measured against")
        return found <= self.value if self.at_most else found >= self.value

    def __str__(self) -> str:
        return f"{self.on.value} at {'most' if self.at_most else 'least'} {self.value:g}"


@dataclass(frozen=True, slots=True)
class Measurement:
    """What was found, in the figure's unit: medians, where there were several runs.

    `ratio` is how many times better than the peer: peer / ours, as every unit here is better when
    it is smaller; a figure that means another ratio gives its own. `parts` splits the two numbers
    (part: (ours, peer)), `notes` says whatever a reader of the numbers must know.
    """

    ours: Number
    peer: Number | None = None
    own_ratio: Number | None = None
    parts: Mapping[str, tuple[Number | None, Number | None]] = field(default_factory=dict)
    notes: Sequence[str] = ()

    @property
    def ratio(self) -> Number | None:
        """Raises ValueError if nothing was measured: no ratio can be taken of zero."""
        if self.own_ratio is not None or self.peer is None:
            return self.own_ratio
        if self.ours <= 0:
            raise ValueError(f"measured {self.ours}: there is no ratio to {self.peer}")
        return self.peer / self.ours


class Context(Protocol):
    """What a figure's function is given."""

    @property
    def runs(self) -> int:
        """How many interleaved runs a median is to be taken of."""

    @property
    def frames(self) -> int:
        """How many malformed frames a daemon is to read."""

    def side(self, name: str) -> Side:
        """The driver of that name (drivers.SIDES), started if it is not running."""

    def say(self, text: str) -> None:
        """A line of progress, for a person who waits."""


class Side(Protocol):
    """One party of a comparison: it computes in a process of its own, in its own environment."""

    def call(self, function: str, **arguments: object) -> Reply:
        """Runs `function` there, once."""


@dataclass(frozen=True, slots=True)
class Reply:
    """Seconds of one run, measured where it ran, and its parts' seconds; `counts` is whatever else
    the side counted meanwhile (bytes, ciphertexts), by name."""

    seconds: float
    parts: Mapping[str, float] = field(default_factory=dict)
    counts: Mapping[str, Number] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure. `peer` names whom it is measured against, None if nobody: `side`, whose greeting
    says the version, and the package's name there. `bar` is None where the figure is only told."""

    name: str
    what: str
    unit: str
    bar: Bar | None
    measure: Callable[[Context], Measurement]
    peer: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Suite:
    """Figures that belong together: one section of docs/benchmarks.md."""

    name: str
    title: str
    figures: Sequence[Figure]


@dataclass(frozen=True, slots=True)
class Result:
    """A figure and what was measured."""

    figure: Figure
    measurement: Measurement
    peer_name: str | None

    @property
    def met(self) -> bool | None:
        """Whether the bar is met; None where there is none."""
        bar, found = self.figure.bar, self.measurement
        return None if bar is None else bar.met(found.ours, found.ratio)

    def as_json(self) -> dict[str, object]:
        """The object that --json prints. Numbers are rounded to six digits: more is noise."""
        bar, found = self.figure.bar, self.measurement
        return {
            "figure": self.figure.name,
            "ours": rounded(found.ours),
            "peer": rounded(found.peer),
            "peer_name": self.peer_name,
            "ratio": rounded(found.ratio),
            "unit": self.figure.unit,
            "bar": None if bar is None else bar.value,
            "met": self.met,
        }


def rounded(value: Number | None) -> Number | None:
    """`value` to six significant digits; whole numbers as they are."""
    return float(f"{value:.6g}") if isinstance(value, float) else value


def shown(value: Number | None, unit: str = "") -> str:
    """A number for people: three digits that count, thousands parted; nothing for None."""
    if value is None:
        return ""
    if isinstance(value, int) or abs(value) >= 100:
        text = f"{value:,.0f}"
    elif value == 0:
        text = "0"
    else:
        text = f"{value:.3g}"
    return f"{text} {unit}".rstrip()
