"""What a network's file says, read before any of it runs; and the file as it is run.

The file is a program. It may use operators of a list that neither loop, read files nor draw
numbers; its weights stand inside it; its inputs and its one output are those of the recipe. What
passes is written anew, without whatever was not looked at, and the runtime gets those bytes: no
difference between two parsers is left to play on. What no reading can tell, such as how large the
tensors between two operators become, the walls around the process bound (confining.py).

Runs in the confined process. Operators: onnx.ai, 'ONNX Operators'.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, cast

import onnx
from google.protobuf.descriptor import Descriptor
from google.protobuf.message import DecodeError, Message

from node.encoders import limits
from node.encoders.fields import count_fields
from node.encoders.package import Manifest
from protocol import params
from protocol.errors import InputError
from protocol.spec.encoder import EncoderKind, Pooling

#: Operators without a body, a state, randomness, strings or sequences. What they compute follows
#: from their inputs.
_LISTED: Final = """
Abs Add And AveragePool BatchNormalization Cast Ceil Celu Clip Concat Constant ConstantOfShape
Conv ConvInteger Cos DepthToSpace DequantizeLinear Div DynamicQuantizeLinear Einsum Elu Equal
Erf Exp Expand Flatten Floor Gather GatherElements GatherND Gelu Gemm GlobalAveragePool
GlobalMaxPool Greater GreaterOrEqual GroupNormalization HardSigmoid HardSwish Identity
InstanceNormalization LRN LayerNormalization LeakyRelu Less LessOrEqual Log LogSoftmax
LpNormalization MatMul MatMulInteger Max MaxPool Mean Min Mish Mul Neg Not Or PRelu Pad Pow
QuantizeLinear Range Reciprocal ReduceL2 ReduceMax ReduceMean ReduceMin ReduceSum
ReduceSumSquare Relu Reshape Resize Round Selu Shape Sigmoid Sign Sin Size Slice Softmax
Softplus Softsign SpaceToDepth Split Sqrt Squeeze Sub Sum Tanh Tile Transpose Trilu Unsqueeze
Where
"""

OPERATORS: Final = frozenset(_LISTED.split())

_FLOAT, _INT64 = onnx.TensorProto.FLOAT, onnx.TensorProto.INT64

#: Bytes of one number of each type that a weight may have.
_WIDTHS: Final[dict[int, int]] = {
    _FLOAT: 4,
    onnx.TensorProto.DOUBLE: 8,
    onnx.TensorProto.FLOAT16: 2,
    _INT64: 8,
    onnx.TensorProto.INT32: 4,
    onnx.TensorProto.INT8: 1,
    onnx.TensorProto.UINT8: 1,
    onnx.TensorProto.BOOL: 1,
}

#: Where numbers stand that are not raw bytes.
_LISTS: Final = ("float_data", "int32_data", "int64_data", "double_data", "uint64_data")

#: What is kept of a tensor beside its name.
_TENSOR: Final = ("dims", "data_type", "raw_data", *_LISTS)

#: The newest format that is written.
_IR_VERSION: Final = 10

#: Attributes that hold a number, a text, a tensor, or lists of numbers: no graph among them.
_ATTRIBUTES: Final[dict[int, str]] = {
    onnx.AttributeProto.FLOAT: "f",
    onnx.AttributeProto.INT: "i",
    onnx.AttributeProto.STRING: "s",
    onnx.AttributeProto.TENSOR: "t",
    onnx.AttributeProto.FLOATS: "floats",
    onnx.AttributeProto.INTS: "ints",
}

#: What a network of texts may read of a text, each as [1, tokens] integers.
TEXT_INPUTS: Final = ("input_ids", "attention_mask", "token_type_ids")


@dataclass(frozen=True, slots=True)
class Inspected:
    """What was found. `model` are the bytes to run."""

    model: bytes
    inputs: tuple[str, ...]
    output: str
    operators: tuple[tuple[str, int], ...]
    weights: int
    opset: int


Declared = list[tuple[str, bool, list[int]]]
"""Inputs or outputs: name, whether its numbers are floats, and dimensions, 0 where one is open."""


def forms(data: bytes) -> tuple[Declared, Declared]:
    """Inputs and outputs that a network declares, before anybody says what it is for.

    Weights are no inputs, though older files list them there. Raises InputError as `inspect` does
    where the file is none, or declares more than eight of either or of dimensions.
    """
    graph = _parsed(data).graph
    weights = {each.name for each in graph.initializer}
    given = [each for each in graph.input if each.name not in weights]
    found = []
    for values in (given, graph.output):
        if len(values) > limits.MAX_ENCODER_RANK:
            raise _refused(f"it declares {len(values)} inputs or outputs")
        found.append([_form(each) for each in values])
    return found[0], found[1]


def _form(value: onnx.ValueInfoProto) -> tuple[str, bool, list[int]]:
    _named(value.name, f"{value.name!a:.60}")
    said = value.type.tensor_type
    if len(said.shape.dim) > limits.MAX_ENCODER_RANK:
        raise _refused(f"{value.name!a:.60} has {len(said.shape.dim)} dimensions")
    dims = [max(0, min(each.dim_value, params.MAX_ENCODER_BYTES)) for each in said.shape.dim]
    return value.name, said.elem_type == _FLOAT, dims


def _parsed(data: bytes) -> onnx.ModelProto:
    # Protobuf's two implementations of a descriptor are one to whoever asks it for fields.
    count_fields(memoryview(data), cast("Descriptor", onnx.ModelProto.DESCRIPTOR))
    try:
        return onnx.ModelProto.FromString(data)
    except DecodeError:
        raise _refused("it is no ONNX file") from None


def inspect(data: bytes, manifest: Manifest) -> Inspected:
    """Read the network of a package with `manifest`.

    Raises InputError, whose field is 'encoder.model' and whose words say where, for anything that
    is not allowed.
    """
    model = _parsed(data)
    opset = _head(model)
    graph = model.graph
    weights = _weights(graph)
    operators = _nodes(graph)
    names = {each.name for each in graph.initializer}
    inputs = _inputs(graph, manifest, names)
    output = _output(graph, manifest)
    return Inspected(
        model=_written_anew(model, opset),
        inputs=inputs,
        output=output,
        operators=tuple(sorted(operators.items())),
        weights=weights,
        opset=opset,
    )


def _head(model: onnx.ModelProto) -> int:
    """Checks what stands around the graph; the version of operators."""
    if not 4 <= model.ir_version <= 13:
        raise _refused(f"its format is version {model.ir_version}; allowed are 4 to 13")
    if model.functions:
        raise _refused("it defines functions of its own")
    if model.training_info or len(model.configuration):
        raise _refused("it holds more than a network to run")
    opset = None
    for each in model.opset_import:
        if each.domain not in ("", "ai.onnx"):
            raise _refused(f"it uses operators of the domain {each.domain!a:.80}; ai.onnx alone")
        if opset is not None:
            raise _refused("it names the version of its operators twice")
        opset = each.version
    low, high = limits.ENCODER_OPSETS
    if opset is None or not low <= opset <= high:
        raise _refused(f"its operators are of version {opset}; allowed are {low} to {high}")
    if model.graph.sparse_initializer or model.graph.quantization_annotation:
        raise _refused("it holds sparse or annotated weights")
    return opset


def _weights(graph: onnx.GraphProto) -> int:
    """Checks every weight; how many numbers they are."""
    total = 0
    seen: set[str] = set()
    for index, tensor in enumerate(graph.initializer):
        where = f"weight {index} ({tensor.name!a:.60})"
        _named(tensor.name, where)
        if tensor.name in seen:
            raise _refused(f"{where} stands twice")
        seen.add(tensor.name)
        total += _tensor(tensor, where)
    return total


def _tensor(tensor: onnx.TensorProto, where: str) -> int:
    """Checks that the numbers stand here, as many as its shape says; how many."""
    count, width = _declared(tensor, where)
    listed = [name for name in _LISTS if len(getattr(tensor, name))]
    if tensor.HasField("raw_data"):
        if listed or len(tensor.raw_data) != count * width:
            found = f"{len(tensor.raw_data)} bytes for {count} numbers of {width}"
            raise _refused(f"{where} has {found}")
    elif count:
        held = len(getattr(tensor, listed[0])) if len(listed) == 1 else 0
        if held != count or count > limits.MAX_ENCODER_LIST:
            raise _refused(f"{where} has {held} numbers, its shape says {count}")
    elif listed:
        raise _refused(f"{where} is empty and has numbers")
    return count


def _declared(tensor: onnx.TensorProto, where: str) -> tuple[int, int]:
    """How many numbers a weight says that it has, and the bytes of one."""
    if tensor.data_location != onnx.TensorProto.DEFAULT or tensor.external_data:
        raise _refused(f"{where} lies in another file")
    if tensor.HasField("segment") or tensor.string_data:
        raise _refused(f"{where} holds texts, or a part of itself")
    width = _WIDTHS.get(tensor.data_type)
    if width is None:
        raise _refused(f"{where} has numbers of type {tensor.data_type}")
    if len(tensor.dims) > limits.MAX_ENCODER_RANK:
        raise _refused(f"{where} has {len(tensor.dims)} dimensions")
    if any(each < 0 for each in tensor.dims):
        raise _refused(f"{where} has a negative dimension")
    # Integers of Python: no product overflows.
    count = math.prod(tensor.dims)
    if count > params.MAX_ENCODER_BYTES // width:
        raise _refused(f"{where} would have {count} numbers")
    return count, width


def _nodes(graph: onnx.GraphProto) -> dict[str, int]:
    """Checks every operator; how often each is used."""
    if len(graph.node) > limits.MAX_ENCODER_NODES:
        most = limits.MAX_ENCODER_NODES
        raise _refused(f"{len(graph.node)} operators; allowed are at most {most}")
    used: dict[str, int] = {}
    for index, node in enumerate(graph.node):
        where = f"operator {index} ({node.op_type!a:.40} {node.name!a:.60})"
        if node.domain not in ("", "ai.onnx") or node.overload:
            raise _refused(f"{where} is of the domain {node.domain!a:.80}; ai.onnx alone")
        if node.op_type not in OPERATORS:
            raise _refused(f"{where} is not on the list of operators (docs/encoders.md)")
        if len(node.device_configurations):
            raise _refused(f"{where} asks for a device")
        _named(node.name, where)
        for name in (*node.input, *node.output):
            _named(name, where)
        for attribute in node.attribute:
            _attribute(attribute, where)
        used[node.op_type] = used.get(node.op_type, 0) + 1
    return used


def _attribute(attribute: onnx.AttributeProto, where: str) -> None:
    where = f"{where}, {attribute.name!a:.40}"
    _named(attribute.name, where)
    held = _ATTRIBUTES.get(attribute.type)
    if held is None or attribute.ref_attr_name:
        raise _refused(f"{where} holds a network, a list of texts or tensors, or a reference")
    given = {field.name for field, _ in attribute.ListFields()} - {"name", "type", "doc_string"}
    if not given <= {held}:
        raise _refused(f"{where} holds more than one value")
    if held in ("floats", "ints") and len(getattr(attribute, held)) > limits.MAX_ENCODER_LIST:
        raise _refused(f"{where} has more than {limits.MAX_ENCODER_LIST} numbers")
    if held == "s":
        _named(attribute.s, where)
    if held == "t":
        _tensor(attribute.t, where)


def _inputs(graph: onnx.GraphProto, manifest: Manifest, weights: set[str]) -> tuple[str, ...]:
    """Checks that the network reads what its kind is given; the inputs' names in their order."""
    names = tuple(each.name for each in graph.input)
    if weights & set(names):
        raise _refused(
            f"its inputs and its weights share a name: {min(weights & set(names))!a:.60}"
        )
    if manifest.kind is EncoderKind.TEXT:
        if "input_ids" not in names or len(set(names)) < len(names):
            raise _refused(f"a network of texts reads input_ids; this one reads {_told(names)}")
        for each in graph.input:
            if each.name not in TEXT_INPUTS:
                raise _refused(f"it reads {each.name!a:.60}; allowed are {', '.join(TEXT_INPUTS)}")
            _typed(each, _INT64, (1, None))
        return names
    if len(names) != 1:
        raise _refused(f"a network of {manifest.kind} reads one input; this one {_told(names)}")
    if manifest.kind is EncoderKind.IMAGE:
        _typed(graph.input[0], _FLOAT, (1, manifest.channels, manifest.height, manifest.width))
    else:
        _typed(graph.input[0], _FLOAT, (1, manifest.inputs))
    return names


def _output(graph: onnx.GraphProto, manifest: Manifest) -> str:
    if len(graph.output) != 1:
        names = _told(tuple(each.name for each in graph.output))
        raise _refused(f"a network has one output; this one has {len(graph.output)} ({names})")
    each = graph.output[0]
    shape = (1, manifest.size) if manifest.pooling is Pooling.NONE else (1, None, manifest.size)
    _typed(each, _FLOAT, shape)
    return each.name


def _typed(value: onnx.ValueInfoProto, kind: int, shape: tuple[int | None, ...]) -> None:
    """Checks a declared type and shape; a dimension without a number fits any."""
    where = f"{value.name!a:.60}"
    _named(value.name, where)
    if value.type.WhichOneof("value") != "tensor_type" or value.type.tensor_type.elem_type != kind:
        raise _refused(f"{where} is no tensor of {onnx.TensorProto.DataType.Name(kind)}")
    if not value.type.tensor_type.HasField("shape"):
        return
    dims = value.type.tensor_type.shape.dim
    found = [each.dim_value if each.HasField("dim_value") else None for each in dims]
    fits = len(found) == len(shape) and all(
        has is None or wants is None or has == wants
        for has, wants in zip(found, shape, strict=True)
    )
    if not fits:
        shown = [each if each is not None else "any" for each in found[: limits.MAX_ENCODER_RANK]]
        wanted = [each if each is not None else "any" for each in shape]
        raise _refused(f"{where} has the shape {shown}; {wanted} is needed")


def _written_anew(model: onnx.ModelProto, opset: int) -> bytes:
    """The same network of the fields that were looked at alone, in the canonical order.

    `model` is used up: copies of all weights would take as much memory again.
    """
    version = min(model.ir_version, _IR_VERSION)
    _keep(model, "graph")
    model.ir_version = version
    model.opset_import.add(domain="", version=opset)
    _keep(model.graph, "node", "initializer", "input", "output")
    model.graph.name = "encoder"
    for tensor in model.graph.initializer:
        _keep(tensor, "name", *_TENSOR)
    for value in (*model.graph.input, *model.graph.output):
        _keep(value, "name", "type")
    for node in model.graph.node:
        _keep(node, "name", "op_type", "input", "output", "attribute")
        for attribute in node.attribute:
            _keep(attribute, "name", "type", _ATTRIBUTES[attribute.type])
            if attribute.HasField("t"):
                _keep(attribute.t, *_TENSOR)
    return bytes(model.SerializeToString(deterministic=True))


def _keep(message: Message, *names: str) -> None:
    for field, _ in message.ListFields():
        if field.name not in names:
            message.ClearField(field.name)


def _named(name: str | bytes, where: str) -> None:
    if len(name) > limits.MAX_ENCODER_NAME_BYTES:
        raise _refused(f"{where} has a name or text of {len(name)} bytes")


def _told(names: tuple[str, ...]) -> str:
    return ", ".join(f"{name!a:.40}" for name in names[:5]) or "none"


def _refused(what: str) -> InputError:
    return InputError(f"the network is refused: {what}", "encoder.model")
