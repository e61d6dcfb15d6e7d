"""The process that runs an encoder: walls first, then the package, then row after row.

`python -m node.encoders.inside PACKAGE_FD PARENT_PID CPU_SECONDS`, started by running.py alone.
Questions come on standard input, answers go to standard output (frames.py). The first question is
the recipe, canonical, or nothing where the package is only to be read, or FORMS where the file is
a network that is to become one. Each further one is a list of rows, answered one by one.

Everything is imported, and the runtime has run once, before the walls go up: behind them no file
opens any more. Nothing of the package is read before they stand.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgpack
import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

from node.encoders import limits
from node.encoders.confining import Wall, confine, end_with_parent
from node.encoders.frames import (
    FAILED,
    FORMS,
    READY,
    REFUSED,
    VECTOR,
    framed,
    read_exactly,
    read_frame,
    write_all,
)
from node.encoders.inspecting import Inspected, forms, inspect
from node.encoders.package import Manifest, unpack
from node.encoders.picturing import pixels
from node.encoders.tokenizing import TextReader
from protocol import params
from protocol.errors import InputError
from protocol.spec.encoder import Encoder, EncoderKind, Pooling
from protocol.wire.blobs import blob_digest
from protocol.wire.codec import decode

_IN, _OUT = 0, 1

#: Of the runtime's log only what ends a run, and that goes nowhere.
_FATAL: Final = 4

Feed = Callable[[Any], dict[str, NDArray[Any]]]


def main(argv: Sequence[str]) -> int:
    """Runs until the questions end. What goes wrong is an answer, never a trace."""
    package, parent, cpu_seconds = (int(each) for each in argv)
    end_with_parent(parent)
    # Answers have a descriptor of their own: what a library prints goes nowhere.
    answers = os.dup(_OUT)
    os.dup2(os.open(os.devnull, os.O_WRONLY), _OUT)
    os.dup2(_OUT, 2)
    try:
        _warm()
        walls = confine(cpu_seconds)
        _serve(package, answers, walls)
    except InputError as error:
        _answer(answers, REFUSED, [str(error)])
    except MemoryError:
        _answer(answers, REFUSED, [f"the package {_NO_MEMORY}"])
    except Exception as error:  # noqa: BLE001
        _answer(answers, FAILED, [f"{type(error).__name__}: {error!s:.500}"])
    return 0


_NO_MEMORY: Final = (
    f"the encoder needs more than the {limits.ENCODER_MEMORY_BYTES} bytes it may use"
)


def _serve(package: int, answers: int, walls: tuple[Wall, ...]) -> None:
    asked = read_frame(_IN)
    if asked is None:
        return
    if asked == FORMS:
        network = read_exactly(package, params.MAX_ENCODER_BYTES + 1)
        _answer(answers, READY, list(forms(network)))
        return
    recipe = decode(Encoder, asked, params.MAX_SPEC_BYTES) if asked else None
    # Nobody else holds the whole file: it leaves memory as soon as its parts are there.
    manifest, model, tokenizer = unpack(_whole(package, recipe))
    if recipe is not None and (unfit := manifest.unfit(recipe)):
        raise InputError(unfit, "encoder")
    inspected = inspect(model, manifest)
    del model
    texts = None
    if manifest.kind is EncoderKind.TEXT:
        texts = TextReader(tokenizer, recipe.max_tokens if recipe else manifest.max_tokens)
    session = _session(inspected.model)
    told = [inspected.opset, inspected.weights, list(inspected.inputs), inspected.output]
    _answer(answers, READY, [[str(wall) for wall in walls], *told, list(inspected.operators)])
    if recipe is None:
        return
    feed = _feed(recipe, manifest, inspected, texts)
    while (question := read_frame(_IN)) is not None:
        for cell in msgpack.unpackb(question):
            write_all(answers, framed(_row(cell, recipe, inspected.output, session, feed)))


def _whole(package: int, recipe: Encoder | None) -> bytes:
    """The package's bytes. Raises InputError where they are others than the recipe's."""
    whole = read_exactly(package, params.MAX_ENCODER_BYTES + 1)
    if recipe is not None:
        found = blob_digest(whole)
        if (found, len(whole)) != (recipe.digest, recipe.package_bytes):
            named = f"the job names {recipe.digest.hex()} of {recipe.package_bytes} bytes"
            raise InputError(
                f"the package is {found.hex()} of {len(whole)} bytes; {named}", "encoder"
            )
    return whole


def _row(
    cell: Any, recipe: Encoder, output: str, session: onnxruntime.InferenceSession, feed: Feed
) -> bytes:
    """One row's answer. The row is alone in the batch, and no state is kept from row to row."""
    try:
        found = session.run([output], feed(cell))[0]
        return VECTOR + _pooled(found, recipe).tobytes()
    except InputError as error:
        return REFUSED + bytes(msgpack.packb([str(error)]))
    except MemoryError:
        return REFUSED + bytes(msgpack.packb([_NO_MEMORY]))
    except Exception as error:  # noqa: BLE001
        # The runtime's errors are its own, and a row that the network cannot take is one of them.
        first = str(error).partition("\n")[0]
        return REFUSED + bytes(msgpack.packb([f"makes the network fail: {first:.300}"]))


def _pooled(found: Any, recipe: Encoder) -> NDArray[np.float32]:
    """`[size]` little-endian floats from the network's output."""
    rank = 2 if recipe.pooling is Pooling.NONE else 3
    if (
        not isinstance(found, np.ndarray)
        or found.dtype != np.float32
        or found.ndim != rank
        or found.shape[0] != 1
        or found.shape[-1] != recipe.size
        or not found.size
    ):
        shape = getattr(found, "shape", "none")
        raise InputError(f"makes an output of the shape {shape}, for {recipe.size} features")
    if recipe.pooling is Pooling.NONE:
        row: NDArray[Any] = found[0]
    elif recipe.pooling is Pooling.CLS:
        row = found[0, 0]
    else:
        row = found[0].mean(axis=0, dtype=np.float64)
    row = np.asarray(row, dtype="<f4")
    if not np.isfinite(row).all():
        raise InputError("makes NaN or an infinity")
    return row


def _feed(
    recipe: Encoder, manifest: Manifest, inspected: Inspected, texts: TextReader | None
) -> Feed:
    """How a cell becomes the network's inputs."""
    if texts is not None:
        reader = texts

        def of_text(cell: str) -> dict[str, NDArray[Any]]:
            ids, types = reader.ids(cell)
            given = {
                "input_ids": ids,
                "attention_mask": [1] * len(ids),
                "token_type_ids": types,
            }
            return {name: np.array([given[name]], np.int64) for name in inspected.inputs}

        return of_text
    name = inspected.inputs[0]
    if recipe.kind is EncoderKind.IMAGE:
        return lambda cell: {name: pixels(cell, recipe)}
    return lambda cell: {name: np.array([cell], np.float32)}


def _session(model: bytes) -> onnxruntime.InferenceSession:
    """One thread, one order of computing: the same row gives the same bits."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.use_deterministic_compute = True
    options.log_severity_level = _FATAL
    try:
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001
        first = str(error).partition("\n")[0]
        raise InputError(
            f"the runtime refuses the network: {first:.300}", "encoder.model"
        ) from None


def _warm() -> None:
    """Run a network of our own, so that the runtime has read of the machine what it wants to."""
    onnxruntime.set_default_logger_severity(_FATAL)
    floats, shape = onnx.TensorProto.FLOAT, [1, 2]
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Relu", ["x"], ["y"])],
        "warm",
        [onnx.helper.make_tensor_value_info("x", floats, shape)],
        [onnx.helper.make_tensor_value_info("y", floats, shape)],
    )
    low = limits.ENCODER_OPSETS[0]
    model = onnx.helper.make_model(
        graph, ir_version=8, opset_imports=[onnx.helper.make_opsetid("", low)]
    )
    _session(model.SerializeToString()).run(None, {"x": np.ones(shape, np.float32)})


def _answer(answers: int, kind: bytes, content: list[Any]) -> None:
    try:
        write_all(answers, framed(kind + bytes(msgpack.packb(content))))
    except OSError:
        # Nobody reads any more.
        os._exit(1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
