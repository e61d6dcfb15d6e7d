"""encoder add, fetch, list, show, remove: pretrained networks that make features of cells."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from node.cli import model_views
from node.cli.aside import in_worker
from node.cli.options import Here
from node.console.failure import Failure
from node.control.codes import Exit

_Encoder = Annotated[str, Parameter(help="Its name, its digest, or the beginning of that.")]


def encoder_add(
    file: Annotated[Path, Parameter(help="An ONNX file, or an encoder package.")],
    *,
    name: Annotated[str | None, Parameter(help="What to call it here; default: its title.")] = None,
    tokenizer: Annotated[
        Path | None, Parameter(help="Of texts: tokenizer.json, published beside the network.")
    ] = None,
    kind: Annotated[
        Literal["text", "image", "numbers"] | None,
        Parameter(help="What it reads; default: by its inputs."),
    ] = None,
    pooling: Annotated[
        Literal["none", "mean", "cls"] | None,
        Parameter(help="How its output becomes one vector; default: none or mean."),
    ] = None,
    size: Annotated[int | None, Parameter(help="Features that it makes; default: read.")] = None,
    max_tokens: Annotated[
        int | None, Parameter(help="The most tokens of a text; default: the tokenizer's cut.")
    ] = None,
    inputs: Annotated[int | None, Parameter(help="Numbers that it reads; default: read.")] = None,
    width: Annotated[int | None, Parameter(help="Of its pictures; default: read.")] = None,
    height: Annotated[int | None, Parameter(help="Of its pictures; default: read.")] = None,
    channels: Annotated[int | None, Parameter(help="1 grey, 3 RGB; default: read.")] = None,
    mean: Annotated[
        tuple[float, ...],
        Parameter(help="Of a channel's values from 0 to 1; once for each channel."),
    ] = (),
    deviation: Annotated[
        tuple[float, ...], Parameter(help="What they are divided by then; likewise.")
    ] = (),
    title: Annotated[str | None, Parameter(help="For people; default: the file's name.")] = None,
    licence: Annotated[str, Parameter(help="Such as Apache-2.0.")] = "",
    source: Annotated[str, Parameter(help="Where it was published.")] = "",
    session: Here,
) -> int:
    """Keep an encoder: a network that makes features of a text, an image or numbers.

    Of an ONNX file a package is made first: what the file does not say, options do. A confined
    process reads it: only known operators, no files, no code of its own. It runs nowhere yet.
    Jobs name it by its digest, and owners allow it by that (`policy set encoders=`).
    """
    from node.encoders.package import Wishes, is_package
    from protocol.spec.encoder import EncoderKind, Pooling

    wishes = Wishes(
        kind=EncoderKind(kind) if kind else None,
        pooling=Pooling(pooling) if pooling else None,
        size=size,
        max_tokens=max_tokens,
        inputs=inputs,
        width=width,
        height=height,
        channels=channels,
        mean=mean,
        deviation=deviation,
        title=title,
        licence=licence,
        source=source,
    )
    given = {"path": str(file.absolute()), "name": name, "origin": None}
    try:
        packaged = is_package(file)
    except OSError as error:
        text = f"{file} cannot be read: {error.strerror or error}"
        raise Failure(Exit.USAGE, text, field="file") from None
    if packaged:
        if tokenizer is not None or wishes != Wishes():
            text = f"{file} is an encoder package already: it says all but a name of itself"
            raise Failure(Exit.USAGE, text, next_=f"assay encoder add {file}", field="file")
        found = session.call("encoder.add", given)
        session.emit(found, model_views.encoder_added(found))
        return Exit.OK
    from node.work import embedding

    with tempfile.TemporaryDirectory() as folder:
        package = Path(folder) / "package"
        of = file.absolute(), tokenizer.absolute() if tokenizer else None, wishes, package
        said, assumed = in_worker(embedding.packaged, *of)
        given |= {"path": str(package), "origin": given["path"]}
        found = session.call("encoder.add", given)
    session.emit(found, model_views.encoder_made(found, said.pooling, assumed))
    return Exit.OK


def encoder_fetch(
    offer: Annotated[str, Parameter(help="An offer's id, or its beginning; `assay offers`.")],
    *,
    digest: Annotated[
        str | None, Parameter(help="The encoder's whole digest, as its publisher says it.")
    ] = None,
    session: Here,
) -> int:
    """Fetch the encoder of an offer's model from its seller, by the digest that you name.

    A network is somebody else's program, and runs on your rows: without --digest nothing is
    fetched, and you are told which one the offer names. What comes is checked against the digest,
    and read by a confined process. Cut off, the same command goes on where it was.
    """
    found = session.call("encoder.fetch", {"offer": offer, "digest": digest})
    session.emit(found, model_views.encoder_fetched(found))
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
    found = session.call("encoder.show", {"encoder": encoder})
    session.emit(found, found["toml"].splitlines() if toml else model_views.encoder(found))
    return Exit.OK


def encoder_remove(encoder: _Encoder, *, session: Here) -> int:
    """Remove an encoder that no running job needs (exit code 6 where one does)."""
    found = session.call("encoder.remove", {"encoder": encoder})
    session.emit(found, model_views.encoder_removed(found))
    return Exit.OK
