"""Argument types that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeAlias

from cyclopts import Parameter

from node.cli.session import Session

#: The global options; handed in by the launcher, never parsed by a command.
Here: TypeAlias = Annotated[Session, Parameter(parse=False)]

Job: TypeAlias = Annotated[str, Parameter(help="Job id, or enough of its beginning.")]
Dataset: TypeAlias = Annotated[str, Parameter(help="Name of a dataset; `assay data list`.")]
File: TypeAlias = Annotated[Path, Parameter(help="A file.")]
