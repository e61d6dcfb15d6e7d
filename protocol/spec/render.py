"""A spec as the file that makes it: what `parse_toml` reads back as the same terms."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from enum import Enum
from itertools import groupby

from protocol.addresses import to_checksum
from protocol.amounts import format_amount
from protocol.spec.encoder import Encoder
from protocol.spec.gaps import GapRule, Missing, gap_rule
from protocol.spec.job import ETHER, JobSpec, Terms
from protocol.spec.parts import CategoryFeature, Feature, NumberFeature, NumberTarget, Part, Target


def render_toml(terms: Terms) -> str:
    """TOML of the terms, every default written out.

    Of a whole `JobSpec`, comments at the top say what its daemon filled in; its lifetime is no term
    (the expiry is absolute by then), so that a file made of it takes the default.
    """
    lines = [*_filled_in(terms), *_values(terms, ("version", "title", "purpose", "outside"))]
    if terms.encoder is not None:
        lines += ["", "[encoder]", *_encoder_lines(terms.encoder)]
    columns = [feature for feature in terms.features if not isinstance(feature, Encoder)]
    for _, alike in groupby(columns, key=_shape):
        lines += ["", "[[features]]", *_feature_lines(tuple(alike))]
    lines += ["", "[target]", *_column_lines(terms.target)]
    for name in ("model", "training", "privacy", "encryption", "cohort"):
        lines += ["", f"[{name}]", *_values(getattr(terms, name))]
        if name == "privacy":
            lines.append(f'proof = "{terms.encryption.envelope.proof}"')
    lines += ["", "[payment]", *_payment(terms)]
    lines += ["", "[timing]", *_values(terms.timing)]
    return "\n".join(lines) + "\n"


def _encoder_lines(encoder: Encoder) -> Iterator[str]:
    yield f'digest = "{encoder.digest.hex()}"'
    yield from _values(encoder, tuple(each.name for each in fields(encoder))[1:])


def _filled_in(terms: Terms) -> Iterator[str]:
    if isinstance(terms, JobSpec):
        yield f"# requester {to_checksum(terms.requester.account)}"
        yield f"# chain {terms.chain.chain_id}, contract {to_checksum(terms.chain.contract)}"
        yield f"# expires at {terms.expires_at} (Unix time)"
        yield f"# salt {terms.salt.hex()}, seed {terms.seed.hex()}"
        yield ""


def _shape(feature: Feature) -> tuple[str, ...]:
    """What neighbours must share to stand in one table."""
    return tuple(_column_lines(feature, named=False))


def _feature_lines(alike: tuple[Feature, ...]) -> Iterator[str]:
    names = tuple(feature.name for feature in alike)
    yield f"name = {_value(names[0])}" if len(names) == 1 else f"names = {_value(names)}"
    yield from _column_lines(alike[0], named=False)


def _column_lines(column: Feature | Target, named: bool = True) -> Iterator[str]:
    """A column's name, what may stand in it, and what becomes of gaps where it says so."""
    if isinstance(column, NumberFeature | NumberTarget):
        names: tuple[str, ...] = ("low", "high")
    else:
        names = ("categories",) if isinstance(column, CategoryFeature) else ("classes",)
    yield from _values(column, ("name", *names) if named else names)
    rule = gap_rule(column)
    if rule != GapRule():
        given = rule.fill if rule.missing is Missing.FILL else rule.missing
        yield f"gaps = {_value(rule.words)}"
        yield f"missing = {_value(given)}"
        if rule.indicator:
            yield "indicator = true"


def _payment(terms: Terms) -> Iterator[str]:
    payment = terms.payment
    if payment.token == ETHER:
        yield 'token = "ether"'
        yield f'rate = "{format_amount(payment.rate)}"'
        yield f'merit = "{format_amount(payment.merit)}"'
    else:
        yield f'token = "{to_checksum(payment.token)}"'
        yield f'rate = "{payment.rate}"'
        yield f'merit = "{payment.merit}"'
    yield f"merit_by = {_value(payment.merit_by)}"


def _values(part: Part, names: tuple[str, ...] = ()) -> Iterator[str]:
    for name in names or tuple(field.name for field in fields(part)):
        yield f"{name} = {_value(getattr(part, name))}"


def _value(value: object) -> str:
    if value is None:
        return '"none"'
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Enum):
        return _text(str(value.value))
    if isinstance(value, bytes):
        return f'"{to_checksum(value)}"'
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, tuple):
        return "[" + ", ".join(_value(one) for one in value) + "]"
    return repr(value)


def _text(text: str) -> str:
    """A TOML basic string. Names are printable, so that only these two need an escape."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
