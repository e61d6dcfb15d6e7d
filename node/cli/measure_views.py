"""How good a model is, as `job show` and `job watch` say it: each measure under its own name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from node.console.show import Table

if TYPE_CHECKING:
    from node.control import shapes

#: Field, name for people, form. A linear model has no accuracy, and its `loss` is told as RMSE.
_MEASURES: Final[tuple[tuple[str, str, Callable[[float], str]], ...]] = (
    ("accuracy", "accuracy", lambda value: f"{100 * value:.2f} %"),
    ("loss", "log loss", lambda value: f"{value:.4f}"),
    ("auc", "AUC", lambda value: f"{value:.4f}"),
    ("r_squared", "R²", lambda value: f"{value:.4f}"),
    ("rmse", "RMSE", lambda value: f"{value:.4g}"),
)


def columns(rounds: Sequence[shapes.Round]) -> tuple[str, ...]:
    """Headings of what any of the rounds was measured by; before that, a blank accuracy."""
    found = [
        name
        for field, name, _ in _MEASURES
        if any(_value(each, field) is not None for each in rounds)
    ]
    return tuple(found or ["accuracy"])


def cells(round_: shapes.Round, shown: Sequence[str]) -> tuple[str, ...]:
    """A round's cells under these headings."""
    found = dict(_told(round_))
    return tuple(found.get(name, "") for name in shown)


def recalls(rounds: Sequence[shapes.Round]) -> list[Table]:
    """Each class's recall after the last round that was measured; nothing where there is none."""
    last = next((each for each in reversed(rounds) if each["recall"]), None)
    if last is None:
        return []
    rows = [(name, f"{100 * share:.2f} %") for name, share in last["recall"].items()]
    title = f"recall after round {last['number']}"
    return [Table(("class", "found"), rows, "", title, frozenset({"found"}))]


def event_text(facts: Mapping[str, Any]) -> str:
    """What an event's facts say of the model: ', accuracy 93.00 %'."""
    told = [f"{name} {text}" for name, text in _told(facts) if name not in ("log loss", "AUC")]
    return "".join(f", {each}" for each in told)


def _told(facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [
        (name, form(value))
        for field, name, form in _MEASURES
        if (value := _value(facts, field)) is not None
    ]


def _value(facts: Mapping[str, Any], field: str) -> float | None:
    value = facts.get(field)
    if field == "loss" and facts.get("accuracy") is None:
        return None
    return float(value) if isinstance(value, int | float) else None
