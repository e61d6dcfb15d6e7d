"""Which assay this is. Standard library only: the client's `--version` asks nobody else."""

from __future__ import annotations

from importlib import metadata
from typing import Final


def _version() -> str:
    try:
        return metadata.version("assay")
    except metadata.PackageNotFoundError:
        return "0+source"


#: The installed version; '0+source' where assay runs from a checkout that is not installed.
VERSION: Final = _version()
