"""Which assay this is. Standard library only: the client's `--version` asks nobody else."""

from __future__ import annotations


def version() -> str:
    """The installed version, '0+source' where assay runs from a checkout that is not installed."""
    from importlib import metadata

    try:
        return metadata.version("assay")
    except metadata.PackageNotFoundError:
        return "0+source"
