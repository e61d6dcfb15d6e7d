"""encoder add, list, show, remove: pretrained networks that make features of texts and images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from node.cli import model_views
from node.cli.options import Here
from node.control.codes import Exit

#: A package of half a GiB is read, hashed and looked at.
_ADDING_SECONDS = 600.0

_Encoder = Annotated[str, Parameter(help="Its name, its digest, or the beginning of that.")]


def encoder_add(
    file: Annotated[Path, Parameter(help="An encoder package (scripts/export-encoder makes one).")],
    *,
    name: Annotated[str | None, Parameter(help="What to call it here; default: its title.")] = None,
    session: Here,
) -> int:
    """Keep an encoder: a network that makes features of a text, an image or numbers.

    A confined process reads it first: only known operators, no files, no code of its own. It runs
    nowhere yet. Jobs name it by its digest, and owners allow it by that (`policy set encoders=`).
    """
    given = {"path": str(file.absolute()), "name": name}
    found = session.call("encoder.add", given, _ADDING_SECONDS)
    session.emit(found, model_views.encoder_added(found))
    return Exit.OK


def encoder_list(*, session: Here) -> int:
    """The encoders of this home: those that were added, and those that accepted jobs needed."""
    found = session.call("encoder.list")
    session.emit(found, model_views.encoders(found))
    return Exit.OK


def encoder_show(
    encoder: _Encoder,
    *,
    toml: Annotated[bool, Parameter(help="Its part of a job's file, and nothing else.")] = False,
    session: Here,
) -> int:
    """One encoder: what is in it, who needs it, and its part of a job's file."""
    found = session.call("encoder.show", {"encoder": encoder}, _ADDING_SECONDS)
    session.emit(found, found["toml"].splitlines() if toml else model_views.encoder(found))
    return Exit.OK


def encoder_remove(encoder: _Encoder, *, session: Here) -> int:
    """Remove an encoder that no running job needs (exit code 6 where one does)."""
    found = session.call("encoder.remove", {"encoder": encoder})
    session.emit(found, model_views.encoder_removed(found))
    return Exit.OK
