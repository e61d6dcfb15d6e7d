"""The contracts, bounty and channel: their Vyper sources, and what the compiler made of them.

`interface` hands one to code that talks to it; `build` compiles, when a wheel is built or
by hand. It imports the standard library and, to compile, Vyper: neither node/ nor protocol/.
"""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_FOLDER = Path(__file__).resolve().parent
_COMMAND = "python -m contracts.build"

#: Longest prologue of creation code that is looked through, bytes; it has 26.
_MAX_PROLOGUE = 128


class ArtifactError(RuntimeError):
    """A compiled contract is missing or out of date. The message names the command that helps."""


@dataclass(frozen=True, slots=True)
class Interface:
    """What a client needs: the ABI's entries, and the creation bytecode in hex with 0x."""

    abi: tuple[dict[str, Any], ...]
    bytecode: str

    @property
    def runtime(self) -> bytes:
        """The code that the contract has once deployed.

        Vyper's creation code is a prologue, and then the runtime code whole: our contracts have no
        immutables. The prologue pushes the runtime's length (PUSH2) to copy it; that finds the
        seam. Raises ArtifactError where it finds none.
        """
        creation = bytes.fromhex(self.bytecode.removeprefix("0x"))
        for seam in range(_MAX_PROLOGUE):
            push = b"\x61" + (len(creation) - seam).to_bytes(2, "big")
            if push in creation[:seam]:
                return creation[seam:]
        raise ArtifactError("the compiled contract has no runtime code that can be told apart")


@functools.cache
def interface(name: str = "bounty") -> Interface:
    """Reads a compiled contract, `bounty` or `channel`.

    Raises ArtifactError if it is missing, or if the source beside it has changed since.
    """
    from contracts.build import source_digest

    artifact = _FOLDER / "build" / f"{name}.json"
    try:
        content = json.loads(artifact.read_text())
    except FileNotFoundError:
        raise ArtifactError(f"{artifact} is missing: run `{_COMMAND}`") from None
    if content["source"] != source_digest():
        raise ArtifactError(f"{artifact} is older than its source: run `{_COMMAND}`")
    return Interface(tuple(content["abi"]), content["bytecode"])
