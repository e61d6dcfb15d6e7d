"""Hatchling's hook: compiles the contracts when a wheel is built, and puts the artifacts into it.

An editable install runs it too, so that a source checkout works as soon as it is installed.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class ContractBuildHook(BuildHookInterface):  # type: ignore[type-arg]
    """Runs `contracts/build.py` before the wheel's files are collected."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compiles and adds the artifacts, which git ignores, to the wheel's files."""
        root = Path(self.root)
        # By path: the package under construction cannot be imported in a build environment.
        spec = importlib.util.spec_from_file_location(
            "assay_contracts_build", root / "contracts" / "build.py"
        )
        if spec is None or spec.loader is None:
            raise FileNotFoundError(f"{root}/contracts/build.py is missing")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        for name in module.CONTRACTS:
            artifact: Path = module.build(name)
            build_data["artifacts"].append(f"/{artifact.relative_to(root).as_posix()}")
