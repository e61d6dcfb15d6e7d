"""Error codes of the control socket, exit codes of the command, words that both sides say.

Standard library only: the command line client imports this and nothing of the daemon.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final


class Code(IntEnum):
    """JSON-RPC 2.0 error codes. Those from -32000 down are ours; their numbers never change."""

    PARSE = -32700
    INVALID_REQUEST = -32600
    METHOD_NOT_FOUND = -32601
    INVALID_PARAMS = -32602
    INTERNAL = -32603
    INPUT = -32001
    PEER = -32002
    CHAIN = -32003
    STATE = -32004
    FATAL = -32005
    BUSY = -32006
    TOO_LARGE = -32007


#: What a code means, as the OpenRPC document and docs/guides/commands.md say it.
MEANING: Final = {
    Code.PARSE: "the line is not JSON",
    Code.INVALID_REQUEST: "the JSON is not a JSON-RPC 2.0 request",
    Code.METHOD_NOT_FOUND: "no such method",
    Code.INVALID_PARAMS: "a parameter is missing, unknown or of the wrong type",
    Code.INTERNAL: "a defect in the daemon; its log has the details",
    Code.INPUT: "what was given is wrong; nothing was changed",
    Code.PEER: "a peer refused, cannot be reached or misbehaved",
    Code.CHAIN: "the chain refused, is unreachable, or is another chain",
    Code.STATE: "not possible in the present state; nothing was changed",
    Code.FATAL: "an invariant is broken; the job stopped and its evidence is kept",
    Code.BUSY: "too many clients or subscriptions",
    Code.TOO_LARGE: "the line or the batch is over its limit",
}


class Exit(IntEnum):
    """Exit codes of the command."""

    OK = 0
    INTERNAL = 1
    USAGE = 2
    NO_DAEMON = 3
    CHAIN = 4
    PEER = 5
    REFUSED = 6
    FAULT = 7
    INTERRUPTED = 130


#: What an exit code means, as docs/guides/commands.md says it.
EXIT_MEANING: Final = {
    Exit.OK: "done",
    Exit.INTERNAL: "a defect in assay; the daemon's log has the details",
    Exit.USAGE: "bad usage or input: what was given is wrong, nothing was changed",
    Exit.NO_DAEMON: "no daemon runs on this home, or it does not answer",
    Exit.CHAIN: "the chain refused, is unreachable, or is another chain",
    Exit.PEER: "a peer or the network: nobody answers there, or somebody else does",
    Exit.REFUSED: "refused by the present state or by a policy; nothing was changed",
    Exit.FAULT: "the command ran and found a fault: an audit, the demo or a check did not hold",
    Exit.INTERRUPTED: "interrupted (Ctrl-C)",
}

_EXITS: Final = {
    Code.INVALID_PARAMS: Exit.USAGE,
    Code.INPUT: Exit.USAGE,
    Code.TOO_LARGE: Exit.USAGE,
    Code.PEER: Exit.PEER,
    Code.CHAIN: Exit.CHAIN,
    Code.STATE: Exit.REFUSED,
    Code.BUSY: Exit.REFUSED,
}


def exit_of(code: int) -> Exit:
    """The exit code for an error code; `Exit.INTERNAL` for a code that this version lacks."""
    return next((end for known, end in _EXITS.items() if known == code), Exit.INTERNAL)


#: What shares a job's pot (`MeritBy` of job_results.py), as people read it wherever it is shown.
SHARED: Final = {
    "worth": "by worth, which an audit measures again from published sums of blocks",
    "discretion": "discretionary: by worth that only the requester can measure",
    "equal": "in equal parts, one for each contribution",
}
