"""Embeddings of rows, and what a package holds: asked of a confined process, never found out here.

What an encoder's process answers is somebody else's word: its length is bounded, a vector has the
job's size and is finite, and whoever does not answer in time is killed. Call it where blocking is
allowed, in a worker: a call takes as long as its rows do.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

import msgpack
import numpy as np
from numpy.typing import NDArray

from node.encoders import libraries, limits
from node.encoders.frames import FORMS, READY, REFUSED, VECTOR
from node.encoders.package import Manifest, manifest_of
from node.encoders.piping import EncoderFailed, Ended, Late, Pipes
from protocol import params
from protocol.errors import AssayError, FatalError, InputError
from protocol.spec.encoder import Encoder, EncoderKind
from protocol.wire.codec import encode

Cell = str | bytes | Sequence[float]
"""A text; a picture's file; the numbers of one row, in the recipe's order of columns."""

#: Rows and bytes that are sent at once: progress is told after each, and a pipe is never waited for
#: from both of its ends.
_ROWS: Final = 64
_BYTES: Final = 256 * 1024

#: One thread each, whatever library looks. Nothing else of the environment is passed on.
_ENVIRONMENT: Final = {
    "LANG": "C.UTF-8",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "RAYON_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "HF_HUB_OFFLINE": "1",
}


class RowRefused(InputError):
    """One row cannot be embedded. `index` counts the call's cells from 0, `reason` says why."""

    def __init__(self, index: int, reason: str) -> None:
        super().__init__(f"row {index + 1} {reason}")
        self.index = index
        self.reason = reason

    def __reduce__(self) -> tuple[type[RowRefused], tuple[int, str]]:
        return RowRefused, (self.index, self.reason)


def _raised(error: RowRefused) -> None:
    raise error


@dataclass(frozen=True, slots=True)
class Found:
    """What a package holds, as its confined process told: words of somebody else's, for people.

    `walls` are those that stood (confining.Wall). `operators` are name and count.
    """

    manifest: Manifest
    walls: tuple[str, ...]
    opset: int
    weights: int
    inputs: tuple[str, ...]
    output: str
    operators: tuple[tuple[str, int], ...]


def inspect(package: Path) -> Found:
    """Read a package as it is read before it is used, and load its network, without running it.

    Raises InputError that says where and what is refused, EncoderFailed if its process died of it.
    """
    manifest = manifest_of(package)
    with _running(package, rows=0) as process:
        return _found(process.start(b""), manifest)


@dataclass(frozen=True, slots=True)
class Form:
    """An input or output as a network declares it; a dimension that is open is 0."""

    name: str
    floats: bool
    dimensions: tuple[int, ...]


def forms(network: Path) -> tuple[tuple[Form, ...], tuple[Form, ...]]:
    """Inputs and outputs that an ONNX file declares, as a confined process read them.

    Raises InputError if the file is none, or too large; EncoderFailed as `inspect`.
    """
    size = network.stat().st_size
    if size > params.MAX_ENCODER_BYTES:
        most = params.MAX_ENCODER_BYTES
        raise InputError(f"{network.name} has {size} bytes; allowed are at most {most}", "encoder")
    with _running(network, rows=0) as process:
        said = process.start(FORMS)
    if len(said) != 2 or not all(isinstance(each, list) for each in said):
        raise EncoderFailed("the encoder's process answered garbage")
    inputs, outputs = (tuple(_form(each) for each in values) for values in said)
    return inputs, outputs


def embed(
    package: Path,
    recipe: Encoder,
    cells: Sequence[Cell],
    progress: Callable[[int, int], None] = lambda done, total: None,
    refused: Callable[[RowRefused], None] = _raised,
) -> NDArray[np.float32]:
    """`[rows, size]`: each cell's features, in order; `progress` hears of rows done and of all.

    A row's numbers follow from its own cell, the recipe and the package alone, to the last bit, on
    one machine with one set of libraries. Raises InputError if the package is not the recipe's or
    not allowed, RowRefused for the first cell that cannot be embedded, EncoderFailed. Where
    `refused` does not raise what it hears, such a cell's row is NaN, and the others go on.
    """
    with started(package, recipe, len(cells)) as run:
        return run.embed(cells, progress, refused)


@contextmanager
def started(package: Path, recipe: Encoder, rows: int) -> Iterator[Run]:
    """A package that runs until the context ends, for `rows` rows at most in all: to start one
    takes seconds. Raises InputError, EncoderFailed as `embed`."""
    manifest = manifest_of(package)
    if unfit := manifest.unfit(recipe):
        raise InputError(unfit, "encoder")
    with _running(package, rows) as process:
        process.start(encode(recipe))
        yield Run(process, recipe)


class Run:
    """A package that runs."""

    def __init__(self, process: _Process, recipe: Encoder) -> None:
        self._process = process
        self._recipe = recipe

    def embed(
        self,
        cells: Sequence[Cell],
        progress: Callable[[int, int], None] = lambda done, total: None,
        refused: Callable[[RowRefused], None] = _raised,
    ) -> NDArray[np.float32]:
        """See `embed`. What raises may leave answers unread: nothing more is asked of this run."""
        process, recipe = self._process, self._recipe
        rows = np.full((len(cells), recipe.size), np.nan, dtype=np.float32)
        for batch in _batches(cells, recipe, refused):
            process.ask([packed for _, packed in batch])
            for index, _ in batch:
                try:
                    rows[index] = process.row(index, recipe.size)
                except RowRefused as error:
                    refused(error)
            progress(batch[-1][0] + 1, len(cells))
        return rows


class _Process:
    """The running process of one package."""

    def __init__(self, process: subprocess.Popen[bytes], pipes: Pipes) -> None:
        self._process = process
        self._pipes = pipes

    def start(self, recipe: bytes) -> list[Any]:
        with self._judged("while it was started", limits.ENCODER_START_SECONDS):
            self._pipes.send(recipe, limits.ENCODER_START_SECONDS)
            answer = self._pipes.receive(limits.ENCODER_START_SECONDS)
        kind, said = answer[:1], answer[1:]
        if kind != READY:
            raise _told(kind, said)
        return _unpacked(said)

    def ask(self, batch: list[Any]) -> None:
        content = bytes(msgpack.packb(batch))
        with self._judged("while it was given rows", limits.ENCODER_ROW_SECONDS):
            self._pipes.send(content, limits.ENCODER_ROW_SECONDS)

    def row(self, index: int, size: int) -> NDArray[np.float32]:
        with self._judged(f"in row {index + 1}", limits.ENCODER_ROW_SECONDS):
            answer = self._pipes.receive(limits.ENCODER_ROW_SECONDS)
        kind, said = answer[:1], answer[1:]
        if kind == REFUSED:
            raise RowRefused(index, str(_told(kind, said)))
        if kind != VECTOR:
            raise _told(kind, said)
        if len(said) != 4 * size:
            raise EncoderFailed(f"row {index + 1}: {len(said)} bytes came for {size} features")
        vector = np.frombuffer(said, dtype="<f4")
        if not np.isfinite(vector).all():
            raise RowRefused(index, "makes NaN or an infinity")
        return vector

    @contextmanager
    def _judged(self, where: str, seconds: float) -> Iterator[None]:
        """Says how the process ended, or that it took too long."""
        try:
            yield
        except Late:
            self._process.kill()
            raise EncoderFailed(
                f"the encoder gave no answer within {seconds:g} seconds {where}, and was ended"
            ) from None
        except Ended as error:
            # What it was told to say when it ends says more than that it ended.
            if error.garbage:
                self._process.kill()
            how = error.garbage or _end_of(self._process.wait())
            raise EncoderFailed(f"the encoder's process {how} {where}") from None


@contextmanager
def _running(package: Path, rows: int) -> Iterator[_Process]:
    libraries.require()
    # All of a pipe's capacity is processor time at most: waiting is bounded by the other end.
    seconds = limits.ENCODER_START_SECONDS + rows * limits.ENCODER_ROW_SECONDS
    with ExitStack() as stack:
        questions_end, questions = _pipe(stack)
        answers, answers_end = _pipe(stack)
        file = stack.enter_context(package.open("rb"))
        process = subprocess.Popen(
            [
                sys.executable,
                *("-P", "-s", "-m", "node.encoders.inside"),
                *(str(file.fileno()), str(os.getpid()), str(seconds)),
            ],
            stdin=questions_end,
            stdout=answers_end,
            stderr=subprocess.DEVNULL,
            pass_fds=(file.fileno(),),
            cwd="/",
            env={**_ENVIRONMENT, "PYTHONPATH": os.pathsep.join(_import_path())},
        )
        stack.callback(process.wait)
        stack.callback(process.kill)
        # Its ends are its own: the last one that closes is then the end of what it says.
        questions_end.close()
        answers_end.close()
        yield _Process(process, Pipes(questions.fileno(), answers.fileno()))


def _pipe(stack: ExitStack) -> tuple[BinaryIO, BinaryIO]:
    """Where a new pipe is read, and where it is written."""
    reads, writes = os.pipe()
    return (
        stack.enter_context(open(reads, "rb", buffering=0)),
        stack.enter_context(open(writes, "wb", buffering=0)),
    )


def _import_path() -> list[str]:
    """Where this process finds modules, as absolute paths."""
    return [str(Path(each or ".").resolve()) for each in sys.path]


def _batches(
    cells: Sequence[Cell], recipe: Encoder, refused: Callable[[RowRefused], None]
) -> Iterator[list[tuple[int, Any]]]:
    """Cells as they are sent, a few at once, each behind its place; `refused` hears of one that is
    of another kind."""
    batch: list[tuple[int, Any]] = []
    size = 0
    for index, cell in enumerate(cells):
        try:
            packed = _packable(index, cell, recipe)
        except RowRefused as error:
            refused(error)
            continue
        length = len(packed) * (1 if isinstance(packed, bytes) else 4)
        if batch and (len(batch) == _ROWS or size + length > _BYTES):
            yield batch
            batch, size = [], 0
        batch.append((index, packed))
        size += length
    if batch:
        yield batch


def _packable(index: int, cell: Cell, recipe: Encoder) -> str | bytes | list[float]:
    if recipe.kind is EncoderKind.TEXT:
        if not isinstance(cell, str):
            raise RowRefused(index, f"holds no text but {type(cell).__name__}")
        try:
            cell.encode()
        except UnicodeEncodeError:
            raise RowRefused(index, "holds text that is no Unicode (a lone surrogate)") from None
        return cell[: limits.MAX_ENCODER_CHARACTERS]
    if recipe.kind is EncoderKind.IMAGE:
        if not isinstance(cell, bytes):
            raise RowRefused(index, f"holds no picture's bytes but {type(cell).__name__}")
        if len(cell) > limits.MAX_IMAGE_BYTES:
            most = limits.MAX_IMAGE_BYTES
            raise RowRefused(index, f"is a file of {len(cell)} bytes; at most {most} are read")
        return cell
    if isinstance(cell, str | bytes) or len(cell) != len(recipe.columns):
        raise RowRefused(index, f"holds no list of {len(recipe.columns)} numbers")
    with np.errstate(over="ignore"):
        numbers = np.asarray(cell, dtype=np.float32)
    if not np.isfinite(numbers).all():
        raise RowRefused(index, "holds a number that is not finite as 32 bits")
    return [float(each) for each in numbers]


def _told(kind: bytes, said: bytes) -> AssayError:
    words = _unpacked(said)
    message = _shown(words[0]) if words else "it did not say why"
    if kind == REFUSED:
        return InputError(message)
    return FatalError(f"the encoder's process failed: {message}")


def _unpacked(said: bytes) -> list[Any]:
    try:
        found = msgpack.unpackb(said)
    except (ValueError, msgpack.UnpackException):
        found = None
    if not isinstance(found, list):
        raise EncoderFailed("the encoder's process answered garbage")
    return found


def _found(said: list[Any], manifest: Manifest) -> Found:
    garbage = EncoderFailed("the encoder's process answered garbage")
    if len(said) != 6:
        raise garbage
    walls, opset, weights, inputs, output, operators = said
    pairs: list[Any] = operators if isinstance(operators, list) else [None]
    if (
        not all(isinstance(each, int) for each in (opset, weights))
        or not all(isinstance(each, list) for each in (walls, inputs, *pairs))
        or not all(len(pair) == 2 and isinstance(pair[1], int) for pair in pairs)
    ):
        raise garbage
    return Found(
        manifest=manifest,
        walls=tuple(_shown(each) for each in walls),
        opset=opset,
        weights=weights,
        inputs=tuple(_shown(each) for each in inputs),
        output=_shown(output),
        operators=tuple((_shown(name), count) for name, count in pairs),
    )


def _form(said: Any) -> Form:
    if (
        not isinstance(said, list)
        or len(said) != 3
        or not isinstance(said[2], list)
        or not all(isinstance(each, int) for each in said[1:2] + said[2])
    ):
        raise EncoderFailed("the encoder's process answered garbage")
    return Form(_shown(said[0]), bool(said[1]), tuple(said[2]))


def _shown(text: Any) -> str:
    """Somebody else's words as a terminal may show them."""
    return "".join(each if each.isprintable() else "?" for each in str(text)[:1000])


def _end_of(code: int) -> str:
    """How a process ended, for a person."""
    if code >= 0:
        return f"ended by itself (exit code {code})"
    if -code == signal.SIGXCPU:
        return "was ended: it used more processor time than its rows may take"
    if -code in (signal.SIGKILL, signal.SIGTERM, signal.SIGINT):
        name = signal.Signals(-code).name
        return f"was killed ({name}): by somebody, or by the system for want of memory; try again"
    return f"crashed ({signal.Signals(-code).name})"
