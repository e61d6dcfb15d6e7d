"""A spec proposed from columns, as TOML with comments: its reader is to declare what it says.

What stands in it is a proposal because a range or a list of words that follows from one file tells
of that file, and leaves out rows of everybody else that it did not foresee.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from protocol import params
from protocol.errors import InputError
from protocol.spec.read import SpecError
from protocol.spec.toml import parse_toml


class Kind(StrEnum):
    """What a column can be in a job."""

    NUMBER = "number"
    WORDS = "words"
    OTHER = "other"  # nothing that a model takes as it is


@dataclass(frozen=True, slots=True)
class Column:
    """One column: a number's range, words (of numbers: their few whole values), how many cells are
    empty, words for a gap and how often they stand there, and why it cannot be used."""

    name: str
    kind: Kind
    low: float = 0.0
    high: float = 0.0
    words: tuple[str, ...] = ()
    empty: int = 0
    gaps: Mapping[str, int] = field(default_factory=dict)
    why: str = ""


#: Names that people give to what is to be predicted; the first that a table has is guessed.
_TARGETS: Final = (
    *("target", "label", "class", "outcome", "diagnosis", "species", "y", "response", "result"),
    *("status", "event", "stay", "default", "churn", "survived", "quality", "price"),
)

_NO_NAME: Final = "has a name that no spec takes"

#: Which other families take the same target, by the one that is proposed.
_OTHERS: Final = {
    "logistic": "or softmax, dense",
    "softmax": "or dense",
    "linear": "no other takes a number",
}

_HEAD: Final = """\
# Proposed by `assay job new` from {file}. Every range and every word below is a proposal that was
# made of this one file. Declare what you know of the population, not what this file shows:
#
# - What you post is public. A range that ends at this file's oldest patient tells of that patient.
# - Owners have other rows. A number outside of its range, or a word that is not listed, makes a row
#   unusable (or is clipped: `outside`), so that too narrow a range costs rows.
#
# next: assay job check {out}

title = {title}
purpose = "research"        # policies compare this word
outside = "clip"            # a number outside of its range becomes the nearer end, or "refuse"
"""

_REST: Final = """
[training]
rounds = 20
local_steps = 1             # noise is added to one gradient a round
batch_rows = 96             # about a third of an owner's rows is a good start
rate = 2.0
clip_norm = 1.0             # most that one row adds to a gradient
momentum = 0.5

[privacy]
epsilon = 8.0               # what all rounds may tell of any one row, at every owner by itself
delta = 1e-5                # far below 1 / rows of an owner

[encryption]
value_bits = 18             # one row must show on the grid that noise is rounded to

[cohort]
min_owners = 5
max_owners = 5

[payment]                   # escrowed at posting: 20 rounds x 5 owners x rate, and merit
token = "ether"
rate = "0.001 ether"        # for each contribution
merit = "0.02 ether"        # shared at the end
merit_by = "equal"          # "worth", measured on your hold-out set, needs 15 owners or more
"""


def propose(
    columns: Sequence[Column], target: str | None, file: str, out: str = "job.toml"
) -> tuple[str, str]:
    """The spec's text, which `assay job check` passes, and the target's name. `target` None: it is
    guessed. Raises InputError: no such target, or columns that make no job."""
    usable = [each for each in columns if each.kind is not Kind.OTHER and _nameable(each.name)]
    chosen = _target(columns, usable, target)
    features = [each for each in usable if each.name != chosen.name]
    if not features:
        raise InputError(f"{file} has no column beside the target that a model takes", "file")
    left_out = [each for each in columns if each not in usable]
    lines = [
        _HEAD.format(
            file=ascii(file)[1:-1], out=ascii(out)[1:-1], title=_text(_title(file, chosen))
        ),
        *_features(features),
        *_left_out(left_out),
        *_target_lines(chosen, target is None),
        _REST,
    ]
    text = "\n".join(lines)
    try:
        parse_toml(text)
    except SpecError as error:
        raise InputError(f"{file} makes no spec that holds: {error}", "file") from error
    return text, chosen.name


def guessed(columns: Sequence[Column], file: str) -> str:
    """The column that is probably to be predicted. Raises InputError where none can be."""
    usable = [each for each in columns if each.kind is not Kind.OTHER and _nameable(each.name)]
    try:
        return _target(columns, usable, None).name
    except InputError as error:
        raise InputError(f"{file} {error}", "file") from None


def _nameable(name: str) -> bool:
    return name.isprintable() and len(name.encode()) <= params.MAX_NAME_BYTES


def _target(columns: Sequence[Column], usable: Sequence[Column], given: str | None) -> Column:
    if not usable:
        why = "; ".join(f"{each.name!a:.60} {each.why}" for each in columns[:5])
        raise InputError(f"has no column that a model takes: {why}", "file")
    if given is None:
        by_name = {each.name.lower(): each for each in reversed(usable)}
        return next((by_name[name] for name in _TARGETS if name in by_name), usable[-1])
    found = next((each for each in usable if each.name == given), None)
    if found is None:
        known = next((each for each in columns if each.name == given), None)
        if known is not None:
            raise InputError(f"{given!a:.60} {known.why or _NO_NAME}", "target")
        names = ", ".join(repr(each.name) for each in usable[:20])
        raise InputError(f"no column is named {given!a:.60}; it may be {names}", "target")
    return found


def _title(file: str, target: Column) -> str:
    """Of the file's name, without what does not print; no longer than a title may be."""
    words = f"{target.name} from {file.split('.', 1)[0]}"
    clean = "".join(each for each in words if each.isprintable()).strip() or "A job"
    return clean.encode()[: params.MAX_TITLE_BYTES].decode(errors="ignore").strip()


def _features(features: Sequence[Column]) -> Iterator[str]:
    for each in features:
        yield ""
        yield "[[features]]"
        yield f"name = {_text(each.name)}"
        if each.kind is Kind.NUMBER:
            yield f"low = {_number(each.low)}"
            yield f"high = {_number(each.high)}"
            if 2 < len(each.words) <= 10:
                listed = _list(each.words)
                yield f"# categories = {listed}   # in place of low and high, if these are kinds"
        else:
            yield f"categories = {_list(each.words)}"
        yield from _gap_lines(each)


# --- what a gap becomes: the only place here that says so


def _gap_lines(column: Column, target: bool = False) -> Iterator[str]:
    """A column's gaps as comments, with what to say of them."""
    told = [f"{_text(word)} in {count} rows" for word, count in column.gaps.items()]
    told += [f"empty in {column.empty} rows"] if column.empty else []
    if not told:
        return
    yield f"# Gaps: {', '.join(told)}. Say what a gap becomes, and which words mean one:"
    if column.gaps:
        yield f"# gaps = {_list(tuple(column.gaps))}"
    if target:
        yield '# missing = "drop-row"'
        return
    instead = "a number from low to high" if column.kind is Kind.NUMBER else "one of the categories"
    yield f'# missing = "drop-row"   # or {instead}'
    yield "# indicator = true       # with a value: one more input, which says that it was a gap"


def _left_out(columns: Sequence[Column]) -> Iterator[str]:
    if columns:
        yield ""
        yield "# Left out:"
    for each in columns:
        yield f"# {each.name!a:.80} {each.why or _NO_NAME}"


def _target_lines(target: Column, guessed: bool) -> Iterator[str]:
    yield ""
    said = "guessed; --target names another" if guessed else "what is to be predicted"
    yield f"[target]                    # {said}"
    yield f"name = {_text(target.name)}"
    if target.words:
        yield f"classes = {_list(target.words)}"
        family = "logistic" if len(target.words) == 2 else "softmax"
        if target.kind is Kind.NUMBER:
            yield "# low and high in place of classes, and family linear, if this is a number"
    else:
        yield f"low = {_number(target.low)}"
        yield f"high = {_number(target.high)}"
        family = "linear"
    yield from _gap_lines(target, target=True)
    yield ""
    yield "[model]"
    yield f'family = "{family}"{" " * (17 - len(family))}# {_OTHERS[family]}'


def _number(value: float) -> str:
    return repr(int(value)) if value == int(value) and abs(value) < 1e15 else repr(value)


def _list(words: tuple[str, ...]) -> str:
    return "[" + ", ".join(_text(word) for word in words) + "]"


def _text(text: str) -> str:
    """A TOML basic string of text that prints."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
