"""What a requester typed, the spec's file that it makes, and what is wrong with it.

Nothing is judged here that the spec's own reader judges: the file is written, read by it, and each
problem goes back to the field that it is about.
"""

from __future__ import annotations

import csv
import io
import math
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from node.console.show import clean
from node.web.drafts.fields import FIELDS, PROPOSED, SECTIONS
from protocol import params
from protocol.errors import InputError
from protocol.spec.columns import expand_names
from protocol.spec.read import SpecError
from protocol.spec.toml import parse_toml

if TYPE_CHECKING:
    from node.work.files.proposal import Column as Sketched
    from protocol.tokens import Tokens

#: Rows of the columns' form. A wider table has the spec's text: there one line may be of many.
MOST_COLUMNS: Final = 256

#: A column's fields in the form, after `c3_`.
OF_COLUMN: Final = ("use", "kind", "low", "high", "words", "missing", "fill", "gaps")

_FEATURE: Final = re.compile(r"features\[(\d+)\](?:\.(\w+))?")
_WORD_LIST: Final = {"categories": "words", "classes": "words"}


@dataclass
class Column:
    """A row of the form: what was typed, and what the table shows of the column."""

    name: str
    typed: dict[str, str] = field(default_factory=dict)
    told: str = ""


@dataclass
class Draft:
    """A job that is being written. `source` says what began it."""

    name: str
    source: str
    columns: list[Column]
    values: dict[str, str] = field(default_factory=lambda: dict(PROPOSED))
    notes: tuple[str, ...] = ()
    declared: bool = False
    holdout: str = ""

    def take(self, step: str, form: Mapping[str, str]) -> None:
        """What a step's form says. Fields that it lacks stay."""
        for asked in FIELDS[step]:
            self.values[asked.name] = form.get(asked.name, self.values.get(asked.name, "")).strip()
        if step == "columns":
            self.declared = form.get("declared") == "yes"
            for place, column in enumerate(self.columns):
                for key in OF_COLUMN:
                    given = form.get(f"c{place}_{key}", column.typed.get(key, ""))
                    column.typed[key] = given.strip()
            self.values["model.family"] = self._family()
        if step == "payment":
            self.holdout = form.get("holdout_path", "").strip() or form.get("holdout", "")

    def faults(self, tokens: Tokens) -> dict[str, str]:
        """Field of the forms to what is wrong with it; none where the spec holds."""
        found: dict[str, str] = {}
        targets = [each for each in self.columns if each.typed["use"] == "target"]
        if len(targets) != 1:
            found["target"] = f"{len(targets)} columns are to be predicted; choose one"
        if not self.declared:
            found["declared"] = "say that ranges and words are what you know of the population"
        if self.holdout.startswith("~") or (
            "/" in self.holdout and not self.holdout.startswith("/")
        ):
            found["holdout_path"] = "must be an absolute path, from / on"
        if "target" in found:
            return found
        try:
            parse_toml(self.spec(), False, tokens)
        except SpecError as error:
            for problem in error.problems:
                found.setdefault(self._place(problem.field), problem.message)
        except InputError as error:
            found.setdefault("other", str(error))
        return found

    def spec(self) -> str:
        """The spec's file, TOML."""
        return "\n".join(self._lines()) + "\n"

    def _lines(self) -> Iterator[str]:
        for name in ("title", "purpose", "outside"):
            yield f"{name} = {_text(self.values.get(name, ''))}"
        for column in self._used("feature"):
            yield from ("", "[[features]]", f"name = {_text(column.name)}")
            yield from _column_lines(column, "categories")
        for column in self._used("target"):
            yield from ("", "[target]", f"name = {_text(column.name)}")
            yield from _column_lines(column, "classes")
        sections: dict[str, list[str]] = {name: [] for name in SECTIONS}
        noise = self.values.get("noise") == "yes"
        for name, value in self.values.items():
            section, dot, key = name.partition(".")
            if not dot or not value:
                continue
            if section == "privacy" and not noise:
                continue  # all of them are about noise
            sections[section].append(f"{key} = {_literal(value, amount=section == 'payment')}")
        if not noise:
            sections["privacy"].append('epsilon = "none"')
        for section, lines in sections.items():
            yield from ("", f"[{section}]", *lines)

    def _used(self, use: str) -> list[Column]:
        return [each for each in self.columns if each.typed["use"] == use]

    def _family(self) -> str:
        """The family that was chosen, or one that fits the target where it cannot."""
        chosen = self.values.get("model.family", "")
        for target in self._used("target"):
            classes = len(_split(target.typed["words"]))
            if target.typed["kind"] == "number":
                return "linear"
            if chosen == "linear" or (chosen == "logistic" and classes > 2):
                return "logistic" if classes == 2 else "softmax"
        return chosen

    def _place(self, path: str) -> str:
        """The form's field of a spec's."""
        if (found := _FEATURE.match(path)) is not None:
            used = self._used("feature")
            if int(found[1]) < len(used):
                return self._cell(used[int(found[1])], found[2] or "use")
            return "other"
        section, _, key = path.partition(".")
        if section == "target":
            return self._cell(self._used("target")[0], key.partition("[")[0] or "use")
        if section == "features":
            return "target"
        if path in self.values or path in {a.name for of in FIELDS.values() for a in of}:
            return path
        return "other"

    def _cell(self, column: Column, key: str) -> str:
        key = _WORD_LIST.get(key, key)
        return f"c{self.columns.index(column)}_{key if key in OF_COLUMN else 'use'}"


def step_of(name: str) -> str:
    """The step whose form has a field."""
    section = name.partition(".")[0]
    if section in SECTIONS and "." in name:
        return SECTIONS[section]
    if name == "noise":
        return "privacy"
    return "payment" if name.startswith("holdout") else "columns"


def of_table(
    name: str, source: str, sketched: Sequence[Sketched], target: str, notes: tuple[str, ...]
) -> Draft:
    """A draft that proposes what a table's columns look like. Raises InputError: too many."""
    _check_count(len(sketched))
    columns = [_proposed(each, target) for each in sketched]
    draft = Draft(name, source, columns, notes=notes)
    draft.values["title"] = _title(f"{target} from {source}")
    draft.values["model.family"] = draft._family()
    return draft


def of_spec(name: str, source: str, text: str) -> Draft:
    """A draft of a spec's file, such as a card proposes: what it lacks is to be typed. Raises
    InputError: no TOML, or too many columns."""
    try:
        document = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise InputError(f"{source} proposes no spec: {error}", "card") from None
    columns = []
    entries = document.get("features")
    for entry in entries if isinstance(entries, list) else ():
        if not isinstance(entry, dict):
            continue  # the reader would refuse it; here it is only not proposed
        names = [entry["name"]] if "name" in entry else entry.get("names") or ()
        if isinstance(names, str):
            names = expand_names(names, MOST_COLUMNS)
        if isinstance(names, tuple | list):
            columns += [Column(str(each), _typed(entry, "feature")) for each in names]
        _check_count(len(columns))
    if isinstance(target := document.get("target"), dict):
        columns.append(Column(str(target.get("name", "")), _typed(target, "target")))
    draft = Draft(name, source, columns)
    for key, value in document.items():
        if isinstance(value, dict) and key in SECTIONS:
            draft.values |= {f"{key}.{inner}": _shown(given) for inner, given in value.items()}
        elif key in ("title", "purpose", "outside"):
            draft.values[key] = clean(_shown(value))
    draft.values["model.family"] = draft._family()
    return draft


def _check_count(count: int) -> None:
    if count > MOST_COLUMNS:
        raise InputError(
            f"has {count} columns; the form takes {MOST_COLUMNS}: write its spec as text, where "
            "one line may be of many columns",
            "path",
        )


def _proposed(sketched: Sketched, target: str) -> Column:
    out = bool(sketched.why)
    use = "out" if out else "target" if sketched.name == target else "feature"
    words = sketched.kind == "words" or (use == "target" and bool(sketched.words))
    told = [f"{word} in {count} rows" for word, count in sketched.gaps.items()]
    told += [f"empty in {sketched.empty} rows"] if sketched.empty else []
    typed = {
        "use": use,
        "kind": "words" if words else "number",
        "low": "" if out else _plain(sketched.low),
        "high": "" if out else _plain(sketched.high),
        "words": _joined(sketched.words),
        "missing": "",
        "fill": "",
        "gaps": _joined(tuple(sketched.gaps)),
    }
    return Column(sketched.name, typed, "; ".join([sketched.why] * out + told))


def _typed(entry: Mapping[str, Any], use: str) -> dict[str, str]:
    words = entry.get("categories", entry.get("classes"))
    if isinstance(words, str):
        words = expand_names(words, params.MAX_CATEGORIES)
    missing = _shown(entry.get("missing", ""))
    known = missing in ("", "refuse", "drop-row")
    return {
        "use": use,
        "kind": "number" if words is None else "words",
        "low": _shown(entry.get("low", "")),
        "high": _shown(entry.get("high", "")),
        "words": _joined(tuple(map(str, words or ()))),
        "missing": missing if known else "fill",
        "fill": "" if known else missing,
        "gaps": _joined(tuple(map(str, entry.get("gaps") or ()))),
    }


def _column_lines(column: Column, words: str) -> Iterator[str]:
    typed = column.typed
    if typed["kind"] == "words":
        yield f"{words} = {_list(_split(typed['words']))}"
    else:
        yield f"low = {_literal(typed['low'])}"
        yield f"high = {_literal(typed['high'])}"
    # Words for a gap say nothing where a gap makes its row unusable anyway.
    if typed["missing"] and typed["missing"] != "refuse":
        if typed["gaps"]:
            yield f"gaps = {_list(_split(typed['gaps']))}"
        fill = typed["missing"] == "fill"
        yield f"missing = {_literal(typed['fill']) if fill else _text(typed['missing'])}"


def _literal(typed: str, amount: bool = False) -> str:
    """A number as TOML has it; anything else as text, of which the reader says what is wrong.

    >>> [_literal(each) for each in ("12", "1e-5", "many", "0.10")]
    ['12', '1e-05', '"many"', '0.1']
    """
    if amount or not typed.isascii() or len(typed) > 40:
        return _text(typed)
    if re.fullmatch(r"[+-]?[0-9]{1,18}", typed):
        return str(int(typed))
    try:
        value = float(typed)
    except ValueError:
        return _text(typed)
    return repr(value) if math.isfinite(value) and "_" not in typed else _text(typed)


def _text(text: str) -> str:
    """A TOML basic string."""
    odd = {"\\": "\\\\", '"': '\\"'}
    return (
        '"'
        + "".join(
            odd.get(each) or (f"\\u{ord(each):04x}" if ord(each) < 32 or ord(each) == 127 else each)
            for each in text
            if not 0xD800 <= ord(each) < 0xE000
        )
        + '"'
    )


def _list(words: Sequence[str]) -> str:
    return "[" + ", ".join(map(_text, words)) + "]"


def _split(text: str) -> list[str]:
    """Words as they are typed: a, b, "c, d"."""
    try:
        row = next(csv.reader([text.replace("\n", " ")], skipinitialspace=True), [])
    except csv.Error:
        return [text]
    return [each.strip() for each in row if each.strip()]


def _joined(words: Sequence[str]) -> str:
    written = io.StringIO()
    csv.writer(written, lineterminator="").writerow(words)
    return (
        written.getvalue().replace(",", ", ")
        if not any("," in w for w in words)
        else written.getvalue()
    )


def _shown(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return "" if not isinstance(value, bool) else str(value).lower()
    return value if isinstance(value, str) else _plain(value)


def _plain(value: float) -> str:
    whole = float(value).is_integer() and abs(value) < 1e15
    return str(int(value)) if whole else repr(value)


def _title(words: str) -> str:
    clean = "".join(each for each in words if each.isprintable()).strip()
    return clean.encode()[: params.MAX_TITLE_BYTES].decode(errors="ignore").strip()
