"""Charts as SVG, made here: a page's script draws nothing, and a page without script shows them.

They hold numbers and our own words alone. Colours are classes of static/page.css, so that light and
dark follow the reader. Every chart stands beside a table of the same numbers.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from markupsafe import Markup

if TYPE_CHECKING:
    from node.control.shapes import Privacy, Round

_WIDTH: Final = 640
_HEIGHT: Final = 300
_LEFT: Final = 64
_RIGHT: Final = 16
_TOP: Final = 16
_BOTTOM: Final = 34

#: What a model is measured by, the most telling first: field, name, how its numbers read.
MEASURES: Final = (
    ("accuracy", "accuracy", "{:.1%}"),
    ("r_squared", "R²", "{:.3f}"),
    ("auc", "AUC", "{:.3f}"),
    ("loss", "log loss", "{:.4f}"),
    ("rmse", "RMSE", "{:.4g}"),
)

#: Phases of a round in their order, as the round table names them.
PHASES: Final = ("open", "ready", "freeze", "contribute", "verify", "commit", "unmask", "apply")


def measured(rounds: Sequence[Round]) -> tuple[str, str, str] | None:
    """The measure that a curve is drawn of; None where nothing was measured."""
    for field, name, form in MEASURES:
        if any(_of(each, field) is not None for each in rounds):
            return field, name, form
    return None


def curve(rounds: Sequence[Round], planned: int) -> Markup:
    """The learning curve of a job: its measure after each of the `planned` rounds."""
    chosen = measured(rounds)
    if chosen is None:
        return Markup("")
    field, name, form = chosen
    points = [(each["number"] + 1, _of(each, field)) for each in rounds]
    known = [(number, value) for number, value in points if value is not None]
    low, high = _bounds([value for _, value in known], field)
    last = max(planned, *(number for number, _ in known), 2)

    def place(number: int, value: float) -> tuple[float, float]:
        across = (number - 1) / (last - 1)
        up = (value - low) / (high - low)
        return (
            round(_LEFT + across * (_WIDTH - _LEFT - _RIGHT), 1),
            round(_HEIGHT - _BOTTOM - up * (_HEIGHT - _TOP - _BOTTOM), 1),
        )

    parts = list(_grid(low, high, form, last))
    at = [place(number, value) for number, value in known]
    line = " ".join(f"{x},{y}" for x, y in at)
    if len(at) > 1:
        floor = _HEIGHT - _BOTTOM
        parts.append(
            f'<polygon class="area" points="{at[0][0]},{floor} {line} {at[-1][0]},{floor}"/>'
        )
        parts.append(f'<polyline class="line" points="{line}"/>')
    for (number, value), (x, y) in zip(known, at, strict=True):
        told = f"round {number}: {name} {form.format(value)}"
        parts.append(
            f'<circle class="dot" cx="{x}" cy="{y}" r="3.5"><title>{told}</title></circle>'
        )
    ended, value = known[-1]
    told = f"{name} by round: {form.format(value)} after round {ended} of {planned}"
    return _svg("curve", told, parts)


def phases(rounds: Sequence[Round]) -> Markup:
    """Seconds of each round, phase by phase, as bars of one scale; the newest 20 rounds."""
    shown = [each for each in rounds if each["seconds"]][-20:]
    if not shown:
        return Markup("")
    longest = max(sum(each["seconds"].values()) for each in shown) or 1.0
    parts = []
    row, bar = 18, 12
    for place, each in enumerate(shown):
        y = _TOP + place * row
        parts.append(f'<text class="axis" x="{_LEFT - 8}" y="{y + 10}">{each["number"] + 1}</text>')
        x = float(_LEFT)
        for phase, seconds in each["seconds"].items():
            width = seconds / longest * (_WIDTH - _LEFT - _RIGHT)
            kind = PHASES.index(phase) if phase in PHASES else len(PHASES)
            told = Markup("{}: {:.1f} s").format(phase, seconds)
            parts.append(
                f'<rect class="phase p{kind}" x="{x:.1f}" y="{y}" width="{width:.1f}"'
                f' height="{bar}"><title>{told}</title></rect>'
            )
            x += width
    height = _TOP + len(shown) * row + 4
    return _svg("phases", f"seconds of the last {len(shown)} rounds by phase", parts, height)


def budget(found: Privacy) -> Markup:
    """A data set's epsilon as one bar: spent, reserved, left."""
    whole = found["epsilon"]
    if whole <= 0:
        return Markup("")
    spent = whole if found["spent"] is None else min(found["spent"], whole)
    reserved = min(found["reserved"] or 0.0, whole - spent)
    parts, x, width = [], 0.0, float(_WIDTH)
    for kind, value in (
        ("spent", spent),
        ("reserved", reserved),
        ("left", whole - spent - reserved),
    ):
        part = value / whole * width
        parts.append(
            f'<rect class="{kind}" x="{x:.1f}" y="0" width="{part:.1f}" height="18">'
            f"<title>{kind}: {value:.3g}</title></rect>"
        )
        x += part
    said = f"epsilon: {spent:.3g} spent, {reserved:.3g} reserved, of {whole:.3g}"
    return _svg("budget", said, parts, 18)


def past(found: Privacy) -> Markup:
    """A budget's epsilon over time: a bar for each moment, of spent, reserved and left upwards."""
    points, whole = found["history"], found["epsilon"]
    if not points or whole <= 0:
        return Markup("")
    parts = []
    floor, height = _HEIGHT - _BOTTOM, _HEIGHT - _TOP - _BOTTOM
    for step in range(5):
        y = round(floor - height * step / 4, 1)
        parts.append(f'<line class="grid" x1="{_LEFT}" y1="{y}" x2="{_WIDTH - _RIGHT}" y2="{y}"/>')
        parts.append(
            f'<text class="axis" x="{_LEFT - 8}" y="{y + 4}">{whole * step / 4:.3g}</text>'
        )
    apart = (_WIDTH - _LEFT - _RIGHT) / len(points)
    wide = min(apart * 0.75, 40.0)
    for place, point in enumerate(points):
        x, y = _LEFT + apart * (place + 0.5) - wide / 2, float(floor)
        spent = whole if point["spent"] is None else min(point["spent"], whole)
        reserved = min(point["reserved"] or 0.0, whole - spent)
        when = time.strftime("%Y-%m-%d %H:%M", time.localtime(point["at"]))
        for kind, value in (("spent", spent), ("reserved", reserved), ("left", point["left"])):
            part = min(value, whole) / whole * height
            y -= part
            parts.append(
                f'<rect class="{kind}" x="{x:.1f}" y="{y:.1f}" width="{wide:.1f}"'
                f' height="{part:.1f}"><title>{when}: {value:.3g} {kind}</title></rect>'
            )
    for place, end in ((0, "first"), (len(points) - 1, "last")):
        if end == "first" or place:
            x = min(round(_LEFT + apart * (place + 0.5), 1), _WIDTH - 40.0)
            said = time.strftime("%m-%d %H:%M", time.localtime(points[place]["at"]))
            parts.append(f'<text class="axis mid" x="{x}" y="{floor + 20}">{said}</text>')
    told = f"epsilon over {len(points)} moments, of {whole:.3g}: a table of it follows"
    return _svg("past", told, parts)


def _of(round_: Round, field: str) -> float | None:
    value = round_.get(field)
    return float(value) if isinstance(value, int | float) else None


def _bounds(values: Sequence[float], field: str) -> tuple[float, float]:
    """Where the axis ends: shares within 0 and 1, on tenths; others with some room."""
    low, high = min(values), max(values)
    if field in ("accuracy", "auc"):
        low, high = int(low * 10) / 10, min(1.0, (int(high * 10) + 1) / 10)
    else:
        room = (high - low) * 0.1 or abs(high) * 0.1 or 1.0
        low, high = low - room, high + room
    return (low, high) if high > low else (low - 0.1, high)


def _grid(low: float, high: float, form: str, last: int) -> Iterator[str]:
    floor = _HEIGHT - _BOTTOM
    for step in range(5):
        value = low + (high - low) * step / 4
        y = round(floor - (_HEIGHT - _TOP - _BOTTOM) * step / 4, 1)
        yield f'<line class="grid" x1="{_LEFT}" y1="{y}" x2="{_WIDTH - _RIGHT}" y2="{y}"/>'
        yield f'<text class="axis" x="{_LEFT - 8}" y="{y + 4}">{form.format(value)}</text>'
    every = max(1, -(-last // 10))
    for number in range(1, last + 1, every):
        x = round(_LEFT + (number - 1) / (last - 1) * (_WIDTH - _LEFT - _RIGHT), 1)
        yield f'<text class="axis mid" x="{x}" y="{floor + 20}">{number}</text>'


def _svg(kind: str, told: str, parts: Sequence[str], height: int = _HEIGHT) -> Markup:
    head = Markup(
        '<svg class="chart {}" viewBox="0 0 {} {}" role="img" aria-label="{}"'
        ' preserveAspectRatio="{}">'
    ).format(kind, _WIDTH, height, told, "none" if kind == "budget" else "xMidYMid meet")
    # Safe: numbers that were formatted above, and words of this module; phases were escaped.
    return head + Markup("".join(parts)) + Markup("</svg>")  # noqa: S704
