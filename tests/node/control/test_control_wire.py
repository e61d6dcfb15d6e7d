"""Typed values to JSON and back, and the schema that describes them: one and the same set."""

from __future__ import annotations

import dataclasses
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.control import params, wire
from node.control.methods import METHODS
from node.control.results import Event
from protocol.errors import FatalError, InputError

PARAMS = [
    cls
    for cls in vars(params).values()
    if isinstance(cls, type) and dataclasses.is_dataclass(cls) and cls.__module__ == params.__name__
]

TEXT = st.one_of(
    st.text(max_size=8),
    st.sampled_from(["ward-3", "/srv/x.csv", "0x" + "ab" * 20, "0x" + "5a" * 32, "Ward", "../x"]),
)
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), TEXT),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXT, inner, max_size=3)),
    max_leaves=6,
)


def full_schema(kind: Any) -> dict[str, Any]:
    components: dict[str, Any] = {}
    return {**wire.schema(kind, components), "components": {"schemas": components}}


@given(st.sampled_from(PARAMS), st.data())
def test_what_decodes_fits_its_schema_and_comes_back(cls: type, data: st.DataObject) -> None:
    names = [field.name for field in dataclasses.fields(cls)]
    keys = st.sampled_from([*names, "other"]) if names else st.just("other")
    value = data.draw(st.dictionaries(keys, JSON, max_size=4))
    try:
        decoded = wire.decode(value, cls, "")
    except InputError:
        return
    jsonschema.validate(value, full_schema(cls))
    encoded = wire.encode(decoded, cls)
    assert isinstance(encoded, dict)
    assert {name: encoded[name] for name in value} == value


@pytest.mark.parametrize("method", list(METHODS), ids=lambda m: m.name)
def test_every_field_of_every_type_is_described(method: Any) -> None:
    components: dict[str, Any] = {}
    wire.schema(method.params, components)
    wire.schema(method.result, components)
    for name, schema in components.items():
        assert schema["description"], name
        for field, described in schema["properties"].items():
            assert described["description"], f"{name}.{field}"


def test_types_travel_as_documented() -> None:
    assert wire.encode(10**30, wire.Wei) == "1" + 30 * "0"
    assert wire.decode("1" + 30 * "0", wire.Wei, "x") == 10**30
    assert wire.encode(b"\x01" * 32, wire.Digest) == "0x" + "01" * 32
    assert wire.decode("0x" + "01" * 32, wire.Digest, "x") == b"\x01" * 32


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (1, wire.Wei),
        ("-1", wire.Wei),
        ("01", wire.Wei),
        ("1" * 79, wire.Wei),
        ("1\n", wire.Wei),
        ("0x" + "AB" * 32, wire.Digest),
        ("0x" + "ab" * 31, wire.Digest),
        ("data.csv", wire.AbsolutePath),
        ("/a\0b", wire.AbsolutePath),
        ("Ward 3", wire.DatasetName),
        ("", wire.DatasetName),
        ("a" * 65, wire.DatasetName),
        ("a" * 67, wire.JobId),
        ("a/b", wire.JobId),
        (True, int),
        (1.0, int),
        (float("inf"), float),
        (10**400, float),
        (True, float),
        ("\ud800", str),
        (1, bool),
    ],
)
def test_values_that_are_none_of_the_type(value: Any, kind: Any) -> None:
    with pytest.raises(InputError, match=r"^given\.here: "):
        wire.decode(value, kind, "given.here")


def test_errors_name_the_innermost_field() -> None:
    with pytest.raises(InputError) as caught:
        wire.decode({"dataset": "x", "changes": {"accept": [1]}}, params.PolicySetParams, "")
    assert caught.value.field == "changes.accept"
    with pytest.raises(InputError) as caught:
        wire.decode([1, "x"], tuple[str, ...], "names")
    assert caught.value.field == "names[0]"


def test_long_values_are_cut_in_errors() -> None:
    with pytest.raises(InputError) as caught:
        wire.decode("x" * 100_000, wire.Wei, "amount")
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (-1, wire.Wei),
        (b"\x01" * 31, wire.Digest),
        ("x", int),
        (Event(1, 0.0, "k", None, "t", {}), dict[str, str]),
    ],
)
def test_a_result_of_the_wrong_type_does_not_leave(value: Any, kind: Any) -> None:
    with pytest.raises((FatalError, AttributeError)):
        wire.encode(value, kind)


def test_unknown_types_have_no_schema() -> None:
    with pytest.raises(FatalError, match="no JSON Schema"):
        wire.schema(complex, {})
