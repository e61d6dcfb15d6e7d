"""The method table: OpenRPC covers every method, and every example of it runs."""

from __future__ import annotations

import json
import subprocess
import sys
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import trio
from kits.control.fake import serving

from node.console.client import Client
from node.control import openrpc
from node.control.api import NodeApi
from node.control.codes import MEANING, Code
from node.control.methods import METHODS
from node.control.rpc import Registry
from protocol.errors import FatalError

DOCUMENT: dict[str, Any] = json.loads(json.dumps(openrpc.document(METHODS)))
BY_NAME = {method["name"]: method for method in DOCUMENT["methods"]}


def check(value: Any, schema: dict[str, Any]) -> None:
    jsonschema.Draft7Validator(
        {**schema, "components": DOCUMENT["components"]},
    ).validate(value)


def test_the_document_covers_every_method_with_schemas_that_are_schemas() -> None:
    assert DOCUMENT["openrpc"] == "1.3.2"
    assert set(BY_NAME) == {method.name for method in METHODS}
    for schema in DOCUMENT["components"]["schemas"].values():
        jsonschema.Draft7Validator.check_schema(schema)
    for method in DOCUMENT["methods"]:
        assert method["summary"].endswith("."), method["name"]
        assert len(method["examples"]) == 1
        for param in method["params"]:
            assert param["description"], f"{method['name']}.{param['name']}"


def test_every_code_has_a_meaning() -> None:
    assert set(MEANING) == set(Code)


def test_a_name_cannot_stand_twice() -> None:
    method = METHODS["status"]
    with pytest.raises(FatalError, match="status"):
        Registry([method, method])


@pytest.mark.parametrize(
    "function",
    [each for name, each in vars(NodeApi).items() if not name.startswith("_")],
    ids=lambda function: function.__name__,
)
def test_what_a_call_takes_is_what_its_method_declares(function: Any) -> None:
    """The table passes parameters by their place."""
    method = METHODS[function.__name__.replace("_", ".", 1)]
    *takes, gives = typing.get_type_hints(function).values()
    plain = [dict if typing.get_origin(each) is Mapping else each for each in takes]
    declared = typing.get_type_hints(method.params).values()
    assert [dict if typing.get_origin(each) is dict else each for each in declared] == plain
    assert typing.get_type_hints(function, include_extras=True)["return"] == method.result == gives


@pytest.mark.parametrize("name", sorted(BY_NAME))
async def test_the_example_runs_and_fits(name: str, tmp_path: Path) -> None:
    method = BY_NAME[name]
    example = method["examples"][0]
    check(example["result"]["value"], method["result"]["schema"])
    given = {param["name"]: param["value"] for param in example["params"]}
    schemas = {param["name"]: param["schema"] for param in method["params"]}
    for param, value in given.items():
        check(value, schemas[param])
    async with serving(tmp_path / "s") as running:
        prepare(running, name)

        def call() -> Any:
            with Client(running.path, tmp_path) as client:
                if name == "events.unsubscribe":
                    client.call("events.subscribe")
                return client.call(name, given)

        result = await trio.to_thread.run_sync(call)
    check(result, method["result"]["schema"])


def prepare(running: Any, name: str) -> None:
    """Put the fake where the example's call makes sense."""
    import dataclasses

    from node.control import examples as ex

    if name == "data.add":
        running.node.datasets.clear()
    if name in ("job.consent", "job.decline"):
        waiting = dataclasses.replace(ex.SUMMARY, state="waiting")
        running.node.jobs_known[ex.JOB] = dataclasses.replace(ex.DETAIL, summary=waiting)
    if name == "job.cancel":
        own = dataclasses.replace(ex.SUMMARY, role="requester")
        running.node.jobs_known[ex.JOB] = dataclasses.replace(ex.DETAIL, summary=own)


def test_the_shapes_are_those_of_the_results() -> None:
    """node/control/shapes/ is what clients are checked against."""
    script = Path(__file__).parents[3] / "scripts" / "json-shapes"
    found = subprocess.run([sys.executable, script, "--check"], capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
