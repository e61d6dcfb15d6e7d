"""Argument types that several commands share, and how a spec's file is read."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, TypeAlias

from cyclopts import Parameter

from node.console.failure import Failure
from node.console.session import Session
from node.control.codes import Exit

#: The global options; handed in by the launcher, never parsed by a command.
Here: TypeAlias = Annotated[Session, Parameter(parse=False)]

Job: TypeAlias = Annotated[str, Parameter(help="Job id, or enough of its beginning.")]
Dataset: TypeAlias = Annotated[str, Parameter(help="Name of a dataset; `assay data list`.")]
Spec: TypeAlias = Annotated[Path, Parameter(help="The job's spec, a TOML file.")]
File: TypeAlias = Annotated[Path, Parameter(help="A file.")]
Separator: TypeAlias = Annotated[str | None, Parameter(help="comma, semicolon, tab or pipe.")]
DecimalMark: TypeAlias = Annotated[str | None, Parameter(help="The mark before a fraction: . or ,")]
Encoding: TypeAlias = Annotated[str | None, Parameter(help="Such as latin-1, cp1252 or utf-16.")]
Header: TypeAlias = Annotated[
    bool | None,
    Parameter(help="Whether the first row names the columns; default: unless it is numbers alone."),
]
Names: TypeAlias = Annotated[
    str | None, Parameter(help="Columns' names without a header: a,b,c; else column_1 and so on.")
]
Images: TypeAlias = Annotated[
    str | None,
    Parameter(help="Columns of pictures' paths, relative to the file's own folder: a,b."),
]
Yes: TypeAlias = Annotated[bool, Parameter(help="Do it without being asked.", negative="")]
MaxFee: TypeAlias = Annotated[
    float | None,
    Parameter(help="The most to offer for a unit of gas, gwei; default: chain.max_fee_gwei."),
]
NoNoise: TypeAlias = Annotated[
    bool,
    Parameter(
        negative="",
        help='As if the spec said epsilon = "none". A sealed job then has no defence against '
        "crafted weights: only owners whose policy names you in `trusted` take it.",
    ),
]


def reading_options(
    separator: str | None,
    decimal: str | None,
    encoding: str | None,
    header: bool | None,
    names: str | None,
    images: str | None = None,
) -> dict[str, object]:
    """How a file is written, as the control socket takes it; what was not said is left out."""
    from node.data.reading import split_names

    given = {
        "separator": separator,
        "decimal": decimal,
        "encoding": encoding,
        "header": header,
        "names": split_names(names) or None,
        "images": split_names(images) or None,
    }
    return {key: value for key, value in given.items() if value is not None}


def fee_limit(gwei: float | None) -> int | None:
    """--max-fee as wei per gas. Raises Failure."""
    if gwei is None:
        return None
    from node.home.config import MAX_MAX_FEE_GWEI

    if not 0 < gwei <= MAX_MAX_FEE_GWEI:
        text = f"max_fee: is {gwei:g}; allowed is above 0, up to {MAX_MAX_FEE_GWEI:g}"
        raise Failure(Exit.USAGE, text, field="max_fee")
    return max(1, round(gwei * 10**9))


def holdout_file(given: str | None) -> Path | None:
    """The file that a hold-out set is; None where there is none, or it is a dataset's name.

    A name cannot hold a slash, so that what looks like a path is one.
    """
    is_path = given is not None and (os.sep in given or Path(given).is_file())
    return Path(given) if is_path and given is not None else None


def read_spec(path: Path) -> str:
    """A spec's text. Raises Failure."""
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        reason = f"{path} cannot be read: {error.strerror}"
        raise Failure(Exit.USAGE, reason, field="spec") from None
    except UnicodeDecodeError:
        raise Failure(Exit.USAGE, f"{path} is not UTF-8 text", field="spec") from None
