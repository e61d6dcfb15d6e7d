"""The rules between a spec's fields, each stated once, for the wire and for TOML alike."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from protocol import params

if TYPE_CHECKING:
    from protocol.spec import Terms

_SLUG = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*\Z")


class Fault(NamedTuple):
    """A rule that is broken: the field's dotted path from where the rule stands, and why."""

    field: str
    message: str


def printable(field: str, text: str) -> Iterator[Fault]:
    """Names reach terminals: no control, formatting (bidirectional) or unassigned characters."""
    if not text.isprintable():
        yield Fault(field, f"{text!a:.60} holds characters that do not print")
    elif text != text.strip():
        yield Fault(field, f"{text!r:.60} begins or ends with a space")


def slug(field: str, text: str) -> Iterator[Fault]:
    """Short names that policies compare."""
    if not _SLUG.match(text):
        yield Fault(field, f"is {text!a:.60}; lower-case words joined by '-', such as 'research'")


def distinct(field: str, names: Sequence[str]) -> Iterator[Fault]:
    """Printable names, each once."""
    seen: set[str] = set()
    for i, name in enumerate(names):
        yield from printable(f"{field}[{i}]", name)
        if name in seen:
            yield Fault(f"{field}[{i}]", f"{name!r} stands here twice")
        seen.add(name)


def finite_range(low: float, high: float) -> Iterator[Fault]:
    """A range that values can be scaled by: its width is above 0 and no overflow."""
    if not low < high:
        yield Fault("high", f"is {high:g}; above low = {low:g} is needed")
    elif high - low == float("inf"):
        yield Fault("high", f"is {high:g}; the range from {low:g} is too wide for a float")


def least_threshold(members: int, corrupt: int) -> int:
    """The least t with 2t > n + c: no two sets of t members share only corrupt ones."""
    return (members + corrupt) // 2 + 1


def feature_faults(terms: Terms) -> Iterator[Fault]:
    """Column names are distinct, and the inputs they make are few enough."""
    seen: dict[str, int] = {}
    for i, feature in enumerate(terms.features):
        if feature.name in seen:
            yield Fault(
                f"features[{i}].name", f"{feature.name!r} is features[{seen[feature.name]}] already"
            )
        seen.setdefault(feature.name, i)
    if terms.target.name in seen:
        yield Fault("target.name", f"{terms.target.name!r} is features[{seen[terms.target.name]}]")
    if terms.inputs > params.MAX_INPUTS:
        yield Fault("features", f"make {terms.inputs} inputs, {params.MAX_INPUTS} are allowed")


def terms_faults(terms: Terms) -> Iterator[Fault]:
    """Model and target, model and limits, threshold and block, money."""
    yield from _model_faults(terms)
    block = terms.cohort.block_size
    dropouts, corrupt = terms.privacy.dropouts, terms.privacy.corrupt
    t = least_threshold(block, corrupt)
    if t > block - dropouts - corrupt:
        yield Fault(
            "privacy.corrupt",
            f"is {corrupt}, with {dropouts} dropouts; a block of {block} would need {t} of "
            f"{block - dropouts - corrupt} honest members left",
        )
    if terms.escrow > params.MAX_ESCROW:
        yield Fault("payment.rate", f"makes an escrow of {terms.escrow}, at most 2^128 - 1 fits")


def _model_faults(terms: Terms) -> Iterator[Fault]:
    from protocol.spec import ClassTarget, Family  # spec imports this module

    family, target = terms.model.family, terms.target
    if family is Family.LINEAR:
        if isinstance(target, ClassTarget):
            yield Fault("model.family", "is linear; its target is a number, not classes")
    elif not isinstance(target, ClassTarget):
        yield Fault("model.family", f"is {family}; its target is classes, not a number")
    elif family is Family.LOGISTIC and len(target.classes) != 2:
        yield Fault("model.family", f"is logistic, with {len(target.classes)} classes; it takes 2")
    if terms.parameter_count > params.MAX_PARAMETERS:
        yield Fault(
            "model",
            f"has {terms.parameter_count} parameters, {params.MAX_PARAMETERS} are allowed",
        )
