"""The OpenRPC 1.3.2 document (spec.open-rpc.org), generated from the registry."""

from __future__ import annotations

from typing import Any

from node.control import wire
from node.control.codes import MEANING, Code
from node.control.rpc import Method, Registry
from node.control.wire import Json
from node.version import VERSION

#: Any method may answer these; a method lists what it adds.
COMMON = (Code.INVALID_PARAMS, Code.INTERNAL)


def document(registry: Registry) -> dict[str, Json]:
    """Every method of the registry with its schemas, errors and example."""
    components: dict[str, Json] = {}
    methods: list[Json] = [_method(method, components) for method in registry]
    return {
        "openrpc": "1.3.2",
        "info": {
            "title": "assay control",
            "version": VERSION,
            "description": "JSON-RPC 2.0, one JSON text a line, over a Unix socket in the home. "
            "Wei are decimal strings, digests 0x-prefixed hex, times seconds since the epoch.",
        },
        "methods": methods,
        "components": {"schemas": components},
    }


def _method(method: Method[Any, Any], components: dict[str, Json]) -> Json:
    needed = set(wire.required(method.params))
    _, described = wire.docs(method.params)
    kinds = wire.hints(method.params)
    params: list[Json] = [
        {
            "name": name,
            "description": described.get(name, ""),
            "required": name in needed,
            "schema": wire.schema(kind, components),
        }
        for name, kind in kinds.items()
    ]
    given, returned = method.example
    example_params: list[Json] = [
        {"name": name, "value": wire.encode(getattr(given, name), kind)}
        for name, kind in kinds.items()
    ]
    errors: list[Json] = [
        {"code": int(code), "message": MEANING[code]} for code in (*COMMON, *method.errors)
    ]
    return {
        "name": method.name,
        "summary": method.summary,
        "paramStructure": "either",
        "params": params,
        "result": {"name": "result", "schema": wire.schema(method.result, components)},
        "errors": errors,
        "examples": [
            {
                "name": "example",
                "params": example_params,
                "result": {"name": "result", "value": wire.encode(returned, method.result)},
            }
        ],
    }
