"""Starts the sides of a comparison, each in its own interpreter, and calls them."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

from scripts.benchmarks import environment
from scripts.benchmarks.figures import BenchError, Reply

ROOT = Path(__file__).resolve().parents[2]

#: The same for every side: one thread in every library that would start more, nothing phoned home,
#: no packages of the person's own.
SETTINGS: Mapping[str, str] = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "NUMEXPR_NUM_THREADS": "1",
    "VECLIB_MAXIMUM_THREADS": "1",
    "RAYON_NUM_THREADS": "1",
    "PYTHONHASHSEED": "0",
    "PYTHONNOUSERSITE": "1",
    "FLWR_TELEMETRY_ENABLED": "0",
}


@dataclass(frozen=True, slots=True)
class Place:
    """Where a side lives: the module that it serves, and the peers' environment that it needs,
    None for assay's own."""

    module: str
    environment: str | None


#: Every side there is.
SIDES: Mapping[str, Place] = {
    "assay": Place("scripts.benchmarks.sides.assay_secagg", None),
    "proofs": Place("scripts.benchmarks.sides.assay_proofs", None),
    "flower": Place("scripts.benchmarks.sides.flower_secagg", "flower"),
    "engine": Place("scripts.benchmarks.sides.assay_encrypt", None),
    "phe": Place("scripts.benchmarks.sides.phe_encrypt", "phe"),
    "heu": Place("scripts.benchmarks.sides.heu_encrypt", "heu"),
    "pypaillier": Place("scripts.benchmarks.sides.pypaillier_encrypt", "pypaillier"),
    "tenseal": Place("scripts.benchmarks.sides.tenseal_encrypt", "tenseal"),
    "rows": Place("scripts.benchmarks.sides.assay_rows", None),
    "matvec": Place("scripts.benchmarks.sides.assay_matvec", None),
    "gmpy2-matvec": Place("scripts.benchmarks.sides.assay_matvec", None),
    "queries": Place("scripts.benchmarks.sides.assay_queries", None),
    "read": Place("scripts.benchmarks.sides.assay_read", None),
    "channels": Place("scripts.benchmarks.sides.assay_channels", None),
    "concrete": Place("scripts.benchmarks.sides.concrete_queries", "concrete"),
    "heu-matvec": Place("scripts.benchmarks.sides.heu_matvec", "heu"),
}


class Driver:
    """A running side. Not for threads: a call waits for its reply."""

    def __init__(self, name: str, command: list[str]) -> None:
        """Raises BenchError if the process ends before it greets."""
        self.name = name
        inherited = {key: value for key, value in os.environ.items() if key != "PYTHONHOME"}
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={**inherited, **SETTINGS, "PYTHONPATH": str(ROOT)},
        )
        self._calls = cast(IO[str], self._process.stdin)
        self._replies = cast(IO[str], self._process.stdout)
        greeting = self._read()
        self.python: str = greeting["python"]
        self.versions: Mapping[str, str] = greeting["versions"]
        self.core: int | None = greeting["core"]

    def call(self, function: str, **arguments: object) -> Reply:
        """Raises BenchError if the side ends instead, which it does on whatever goes wrong."""
        line = json.dumps({"call": function, "arguments": arguments})
        try:
            self._calls.write(line + "\n")
            self._calls.flush()
        except BrokenPipeError:
            raise self._ended() from None
        reply = self._read()
        return Reply(reply["seconds"], reply.get("parts", {}), reply.get("counts", {}))

    def close(self) -> None:
        """Ends the process: at the end of its input, by force if it does not within 5 seconds."""
        with contextlib.suppress(BrokenPipeError):  # it has ended already, and said so
            self._calls.close()
        self._wait()

    def _ended(self) -> BenchError:
        # What it says of its end, on standard error, is to stand above the error.
        return BenchError(f"{self.name} has ended with exit code {self._wait()} (see above)")

    def _wait(self) -> int:
        try:
            return self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()

    def _read(self) -> dict[str, Any]:
        line = self._replies.readline()
        if not line:
            raise self._ended()
        reply: dict[str, Any] = json.loads(line)
        return reply


def start(name: str) -> Driver:
    """The side `name`, running; makes its environment first if it is not there.

    Raises BenchError, also if the environment cannot be made.
    """
    place = SIDES[name]
    python = sys.executable if place.environment is None else environment.python(place.environment)
    return Driver(name, [str(python), "-P", "-m", "scripts.benchmarks.serve", place.module])
