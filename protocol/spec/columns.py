"""The columns of a job's file: `[[features]]` or `[encoder]`, `[target]`, and their shorthands."""

from __future__ import annotations

import itertools
import re
import typing
from collections.abc import Mapping, Sequence
from typing import Any, Final

from protocol import params
from protocol.errors import InputError
from protocol.spec.encoder import Encoder, Input
from protocol.spec.gaps import (
    GapCategoryFeature,
    GapClassTarget,
    GapNumberFeature,
    GapNumberTarget,
    Missing,
)
from protocol.spec.parts import (
    CategoryFeature,
    ClassTarget,
    Feature,
    NumberFeature,
    NumberTarget,
    Target,
)
from protocol.spec.read import Reader, allowed, joined, read, shown

_SPAN: Final = re.compile(r"\{([0-9]{1,6})\.\.([0-9]{1,6})\}")
_NAME: Final = typing.get_type_hints(NumberFeature, include_extras=True)["name"]
#: What `missing` may say besides a value.
_RULES: Final = (str(Missing.REFUSE), str(Missing.DROP_ROW))
_NUMBERS: Final = "1 or 3 numbers, one for each channel"
#: What an [encoder] may leave out.
_ENCODER: Final[Mapping[str, Any]] = {
    "max_tokens": 0,
    "width": 0,
    "height": 0,
    "channels": 0,
    "low": 0.0,
    "high": 0.0,
}
_LIST: Final = "a list of names, or a pattern such as 'pixel_{0..63}'"


def expand_names(pattern: str, limit: int) -> tuple[str, ...]:
    """'pixel_{0..7}_{0..7}' to its 64 names, the last span running fastest.

    Ends are included; '{00..63}' keeps two digits. Raises InputError where there is no span, a
    span runs backwards, or there are more than `limit` names (counted before any is made).
    """
    pieces = _SPAN.split(pattern)
    texts, lows, highs = pieces[0::3], pieces[1::3], pieces[2::3]
    if not lows:
        raise InputError(f"is {shown(pattern)}; a pattern has a span such as {{0..63}}")
    count = 1
    for low, high in zip(lows, highs, strict=True):
        if int(low) > int(high):
            raise InputError(f"is {shown(pattern)}; {{{low}..{high}}} runs backwards")
        count *= int(high) - int(low) + 1
        if count > limit:
            raise InputError(f"is {shown(pattern)}; it makes more than {limit} names")
    spans = [
        [f"{number:0{len(low)}d}" for number in range(int(low), int(high) + 1)]
        for low, high in zip(lows, highs, strict=True)
    ]
    return tuple(
        texts[0] + "".join(itertools.chain(*zip(numbers, texts[1:], strict=True)))
        for numbers in itertools.product(*spans)
    )


def read_encoder(reader: Reader, value: object) -> tuple[tuple[Input, ...], list[int]] | None:
    """`[encoder]`, which stands in the place of all [[features]]."""
    table = reader.table(value, "encoder")
    if table is None:
        return None
    alone = ("digest", "columns", "mean", "deviation", "gaps", "missing")
    told = ("package_bytes", "kind", "pooling", "size", *_ENCODER)
    reader.unknown(table, (*alone, *told), "encoder")
    before = len(reader.problems)
    values = reader.values(Encoder, table, "encoder", _ENCODER, told)
    digest = _digest(reader, table.get("digest"))
    columns = _labels(reader, table.get("columns"), "encoder.columns", params.MAX_FEATURES)
    more = {name: _channels(reader, table, name) for name in ("mean", "deviation")}
    rules = _gap_rules(reader, table, "encoder", "nothing stands for a text or an image")
    if values is None or rules is None or len(reader.problems) > before:
        return None
    made = reader.build(
        Encoder, {"digest": digest, "columns": columns} | values | more | rules, "encoder"
    )
    return None if made is None else ((made,), [0])


def _digest(reader: Reader, value: object) -> bytes:
    """The 32 bytes that 64 hex digits are."""
    if isinstance(value, str) and re.fullmatch("(0x)?[0-9a-f]{64}", value):
        return bytes.fromhex(value.removeprefix("0x"))
    given = "is missing" if value is None else f"is {shown(value)}"
    reader.wrong("encoder.digest", f"{given}; 64 hex digits are needed, as assay encoder show says")
    return b""


def _channels(reader: Reader, table: Mapping[str, Any], name: str) -> tuple[float, ...]:
    value = table.get(name, [])
    if not isinstance(value, list) or len(value) > 3:
        reader.wrong(f"encoder.{name}", f"is {shown(value)}; allowed is {_NUMBERS}")
        return ()
    path = f"encoder.{name}"
    found = [reader.attempt(f"{path}[{k}]", read, float, one) for k, one in enumerate(value)]
    return tuple(0.0 if one is None else one for one in found)


def read_features(reader: Reader, value: object) -> tuple[tuple[Input, ...], list[int]] | None:
    """The features, and for each of them the entry of the file that it stands in."""
    if not isinstance(value, list) or not value:
        given = "is missing" if value is None else f"is {shown(value)}"
        reader.wrong("features", f"{given}; write one [[features]] for each column")
        return None
    before = len(reader.problems)
    features: list[Feature] = []
    entries: list[int] = []
    for i, entry in enumerate(value):
        path = f"features[{i}]"
        table = reader.table(entry, path)
        made = [] if table is None else _entry(reader, table, path)
        features += made
        entries += [i] * len(made)
        if len(features) > params.MAX_FEATURES:
            reader.wrong(path, f"is column {len(features)}; {params.MAX_FEATURES} are allowed")
            break
    return None if len(reader.problems) > before else (tuple(features), entries)


def read_target(reader: Reader, value: object) -> Target | None:
    """The target: classes, or a number in a range."""
    if value is None:
        reader.wrong("target", "is missing; write [target] with name, and classes or low and high")
        return None
    table = reader.table(value, "target")
    if table is None:
        return None
    reader.unknown(table, ("name", "classes", "low", "high", "missing", "gaps"), "target")
    names = reader.values(NumberTarget, table, "target", {}, ("name",))
    rest = _range_or_list(reader, table, "target", "classes")
    rules = _target_gaps(reader, table)
    if names is None or rest is None or rules is None:
        return None
    cls: type[Target]
    if "classes" in rest:
        cls = GapClassTarget if rules else ClassTarget
    else:
        cls = GapNumberTarget if rules else NumberTarget
    return reader.build(cls, names | rest | rules, "target")


def _entry(reader: Reader, table: Mapping[str, Any], path: str) -> list[Feature]:
    """The columns of one [[features]]: one by `name`, or several that are alike by `names`."""
    known = ("name", "names", "low", "high", "categories", "missing", "indicator", "gaps")
    reader.unknown(table, known, path)
    names = _entry_names(reader, table, path)
    rest = _range_or_list(reader, table, path, "categories")
    rules = _feature_gaps(reader, table, path)
    features: list[Feature] = []
    if rest is None or rules is None:
        return features
    cls: type[Feature]
    if "categories" in rest:
        cls = GapCategoryFeature if rules else CategoryFeature
    else:
        cls = GapNumberFeature if rules else NumberFeature
    for where, name in names:
        feature = reader.build(cls, {"name": name} | rest | rules, path, {"name": where})
        if feature is None:  # the next name would only repeat it
            return features
        features.append(feature)
    return features


def _entry_names(reader: Reader, table: Mapping[str, Any], path: str) -> list[tuple[str, str]]:
    """(where it stands, name) of each column."""
    if ("name" in table) == ("names" in table):
        reader.wrong(path, "takes either name, for one column, or names, for several alike")
        return []
    if "names" in table:
        names = _labels(reader, table["names"], f"{path}.names", params.MAX_FEATURES)
        return [(f"{path}.names[{k}]", name) for k, name in enumerate(names or ())]
    name: str | None = reader.attempt(f"{path}.name", read, _NAME, table["name"])
    return [] if name is None else [(f"{path}.name", name)]


def _range_or_list(
    reader: Reader, table: Mapping[str, Any], path: str, key: str
) -> dict[str, Any] | None:
    """{'low', 'high'} of a number, or {`key`} of what is one of several words."""
    if (key in table) == ("low" in table or "high" in table):
        reader.wrong(path, f"takes either low and high, for a number, or {key}")
        return None
    if key not in table:
        return reader.values(NumberFeature, table, path, {}, ("low", "high"))
    labels = _labels(reader, table[key], joined(path, key), params.MAX_CATEGORIES)
    if labels is None:
        return None
    if not 2 <= len(labels) <= params.MAX_CATEGORIES:
        reader.wrong(
            joined(path, key), f"has {len(labels)}; 2 to {params.MAX_CATEGORIES} are allowed"
        )
        return None
    return {key: labels}


def _feature_gaps(reader: Reader, table: Mapping[str, Any], path: str) -> dict[str, Any] | None:
    """What a feature's file says of gaps; {} where that is the rule of a column that says nothing,
    so that one meaning has one encoding. None: a problem was noted."""
    fill: float | str | None = None
    missing, given = Missing.REFUSE, table.get("missing", str(Missing.REFUSE))
    if given in _RULES:
        missing = Missing(given)
    else:
        missing, hint = Missing.FILL, _NAME if "categories" in table else float
        if hint is _NAME and isinstance(given, int) and not isinstance(given, bool):
            given = str(given)
        try:
            fill = read(hint, given)
        except InputError:
            value = "one of the categories" if hint is _NAME else "a number from low to high"
            allowed_here = f"allowed is 'refuse', 'drop-row' or {value}"
            reader.wrong(joined(path, "missing"), f"is {shown(given)}; {allowed_here}")
            return None
    values = reader.values(GapNumberFeature, table, path, {"indicator": False}, ("indicator",))
    gaps = _gap_words(reader, table, path)
    if values is None or gaps is None:
        return None
    if missing is Missing.REFUSE and not gaps and not values["indicator"]:
        return {}
    return {"gaps": gaps, "missing": missing, "fill": fill} | values


def _target_gaps(reader: Reader, table: Mapping[str, Any]) -> dict[str, Any] | None:
    """The same for the target, whose gaps cannot be filled."""
    rules = _gap_rules(reader, table, "target", "nothing stands for a target")
    return {} if rules == {"gaps": (), "missing": Missing.REFUSE} else rules


def _gap_rules(
    reader: Reader, table: Mapping[str, Any], path: str, why: str
) -> dict[str, Any] | None:
    """Gaps of what nothing fills, because of `why`; None: a problem was noted."""
    given = table.get("missing", str(Missing.REFUSE))
    gaps = _gap_words(reader, table, path)
    if given not in _RULES:
        found = f"is {shown(given)}; allowed is 'refuse' or 'drop-row': {why}"
        reader.wrong(joined(path, "missing"), found)
        return None
    return None if gaps is None else {"gaps": gaps, "missing": Missing(given)}


def _gap_words(reader: Reader, table: Mapping[str, Any], path: str) -> tuple[str, ...] | None:
    """The words for a gap, none unless they are listed; None: a problem was noted."""
    if table.get("gaps", []) == []:
        return ()
    labels = _labels(reader, table["gaps"], joined(path, "gaps"), params.MAX_GAP_WORDS)
    if labels is not None and len(labels) > params.MAX_GAP_WORDS:
        found = f"has {len(labels)}; at most {params.MAX_GAP_WORDS} are allowed"
        reader.wrong(joined(path, "gaps"), found)
        return None
    return labels


def _labels(reader: Reader, value: object, path: str, limit: int) -> tuple[str, ...] | None:
    """Names from a list or a pattern. Whole numbers stand for the text that a file has for them."""
    if isinstance(value, str):
        value = reader.attempt(path, expand_names, value, limit)
        if value is None:
            return None
    if not isinstance(value, Sequence) or not value:
        reader.wrong(path, f"is {shown(value)}; allowed is {_LIST}")
        return None
    before = len(reader.problems)
    labels = []
    for k, one in enumerate(value):
        if isinstance(one, int) and not isinstance(one, bool):
            one = str(one)
        if not isinstance(one, str):
            reader.wrong(f"{path}[{k}]", f"is {shown(one)}; allowed is {allowed(_NAME)}")
            continue
        labels.append(reader.attempt(f"{path}[{k}]", read, _NAME, one) or "")
    return None if len(reader.problems) > before else tuple(labels)
