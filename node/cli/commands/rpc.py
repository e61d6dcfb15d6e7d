"""rpc: any method of the control socket, as it is."""

from __future__ import annotations

import json
from typing import Annotated, Final

from cyclopts import Parameter

from node.bounds.nesting import depth_exceeds
from node.cli.options import Here
from node.console.failure import Failure
from node.console.session import write_json
from node.control.codes import Exit

#: Objects and arrays within each other: no method takes more than a few.
MAX_DEPTH: Final = 64


def rpc(
    method: Annotated[str, Parameter(help="A method's name; `rpc.discover` lists them all.")],
    params: Annotated[str, Parameter(help="Its parameters: one JSON object.")] = "{}",
    /,
    *,
    session: Here,
) -> int:
    """Call one method of the control socket and print its result as JSON."""
    write_json(session.call(method, parse(params)))
    return Exit.OK


def parse(text: str) -> dict[str, object]:
    """Parameters from one JSON object. Raises Failure (usage)."""
    try:
        if depth_exceeds(text.encode(errors="replace"), MAX_DEPTH):
            raise ValueError(f"nested more than {MAX_DEPTH} deep")
        found = json.loads(text)
    except ValueError as error:
        said = f"the parameters are not JSON: {error}"
        raise Failure(Exit.USAGE, said, next_="assay rpc status '{}'", field="params") from None
    if not isinstance(found, dict):
        said = f"the parameters are a {type(found).__name__}; a JSON object is needed"
        raise Failure(Exit.USAGE, said, next_="assay rpc status '{}'", field="params")
    return found
