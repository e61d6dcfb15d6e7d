"""What runs on each side: reads calls, one JSON object a line, and answers each with a line.

    python -m scripts.benchmarks.serve MODULE

MODULE has CALLS, a mapping of names to functions, and PACKAGES, the packages whose versions count.
Answers go to what was standard output when it started; whatever a library prints goes to standard
error. What goes wrong ends it, with a trace there: the caller finds the line closed. Runs in peers'
environments too, so it needs the standard library alone.
"""

from __future__ import annotations

import importlib
import json
import os
import platform
import sys
from importlib import metadata
from typing import IO


def main() -> int:
    replies = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    pin()
    module = importlib.import_module(sys.argv[1])
    versions = {name: metadata.version(name) for name in module.PACKAGES}
    tell(replies, {"python": platform.python_version(), "versions": versions, "core": core()})
    for line in sys.stdin:
        call = json.loads(line)
        tell(replies, module.CALLS[call["call"]](**call["arguments"]))
    return 0


def pin() -> None:
    """All sides share one core, the last that this process may use: one runs at a time."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def core() -> int | None:
    """The core that this process is bound to; None where the system does not bind."""
    if not hasattr(os, "sched_getaffinity"):
        return None
    return max(os.sched_getaffinity(0))


def tell(replies: IO[str], value: object) -> None:
    replies.write(json.dumps(value) + "\n")
    replies.flush()


if __name__ == "__main__":
    sys.exit(main())
