"""Compiles the contracts: `python -m contracts.build` writes what `contracts.interface` reads.

Needs vyper, which a wheel's users do not: the wheel carries the compiled artifact. Imports nothing
of its own package, because the build hook loads it by path before the package is installed.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent
SOURCE = FOLDER / "bounty.vy"
ARTIFACT = FOLDER / "build" / "bounty.json"
CHECKED_IN = FOLDER / "bounty.abi.json"

#: Contracts that are deployed; the other sources are their modules.
CONTRACTS = ("bounty", "channel")


def source_digest(folder: Path = FOLDER) -> str:
    """SHA-256 over names and bytes of all Vyper sources, in hex: says if an artifact is current."""
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*.vy")):
        content = path.read_bytes()
        digest.update(f"{path.name} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()


def compile_contract(source: Path = SOURCE, *, experimental: bool = False) -> dict[str, Any]:
    """Compiles one file with its modules.

    Returns abi (list of entries), bytecode (0x hex), compiler (its version). `experimental` takes
    Vyper's second code generator (Venom). Raises vyper.exceptions.VyperException on bad source.
    """
    import vyper
    from vyper.cli.vyper_compile import compile_files
    from vyper.compiler.settings import Settings

    settings = Settings(experimental_codegen=True) if experimental else Settings()
    # Metadata carries the source's path: without it, the same source gives the same bytes anywhere.
    [output] = compile_files(
        [str(source)],
        ["abi", "bytecode"],
        paths=[str(source.parent), str(FOLDER.parent)],
        include_sys_path=False,
        settings=settings,
        no_bytecode_metadata=True,
    ).values()
    return {"abi": output["abi"], "bytecode": output["bytecode"], "compiler": vyper.__version__}


def build(name: str = "bounty") -> Path:
    """Compiles a contract and writes its artifact, whole or not at all. Returns its path."""
    artifact = compile_contract(FOLDER / f"{name}.vy") | {"source": source_digest()}
    target = ARTIFACT.with_name(f"{name}.json")
    target.parent.mkdir(exist_ok=True)
    part = target.with_suffix(f".{os.getpid()}.part")
    part.write_text(json.dumps(artifact, indent=1) + "\n")
    part.replace(target)
    return target


def main() -> None:
    """Builds, and writes the interfaces that are checked in beside the sources."""
    for name in CONTRACTS:
        path = build(name)
        artifact = json.loads(path.read_text())
        interface = CHECKED_IN.with_name(f"{name}.abi.json")
        interface.write_text(json.dumps(artifact["abi"], indent=1) + "\n")
        print(f"{path}: {len(artifact['bytecode']) // 2 - 1} bytes")  # noqa: T201


if __name__ == "__main__":
    main()
