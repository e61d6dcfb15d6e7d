"""What a network's file may say, and every kind of hostile one: each is refused, and says where."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kits import encoders
from onnx import helper, numpy_helper

from node.encoders import limits
from node.encoders.fields import count_fields
from node.encoders.inspecting import OPERATORS, inspect
from protocol.errors import InputError
from protocol.spec.encoder import EncoderKind

TEXT = EncoderKind.TEXT


def inspected(data: bytes, kind: EncoderKind = TEXT) -> bytes:
    """The bytes that would be run."""
    return inspect(data, encoders.manifest(kind, len(data) or 1, 1 if kind is TEXT else 0)).model


def spoiled(spoil: Callable[[onnx.ModelProto], object]) -> bytes:
    model = encoders.text_model()
    spoil(model)
    return model.SerializeToString()


def subgraph() -> onnx.GraphProto:
    return encoders.text_model().graph


def node(kind: str, **attributes: object) -> Callable[[onnx.ModelProto], object]:
    made = helper.make_node(kind, ["table"], ["more"], **attributes)
    return lambda model: model.graph.node.append(made)


def weight(spoil: Callable[[onnx.TensorProto], object]) -> Callable[[onnx.ModelProto], object]:
    return lambda model: spoil(model.graph.initializer[0])


def external(tensor: onnx.TensorProto) -> None:
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../../etc/passwd")


def huge(tensor: onnx.TensorProto) -> None:
    del tensor.dims[:]
    tensor.dims.extend([2**40, 2**40])


def many(tensor: onnx.TensorProto) -> None:
    tensor.CopyFrom(helper.make_tensor("many", encoders.FLOAT, [5000], [0.0] * 5000))


def function(model: onnx.ModelProto) -> None:
    model.functions.append(
        helper.make_function(
            "ai.onnx", "Mine", ["x"], ["y"], [helper.make_node("Relu", ["x"], ["y"])], []
        )
    )


def two_tensors(model: onnx.ModelProto) -> None:
    table = numpy_helper.from_array(encoders.table(), "t")
    made = helper.make_node("Constant", [], ["c"], value=table)
    made.attribute[0].ints.extend([1, 2])
    model.graph.node.append(made)


def inner_external(model: onnx.ModelProto) -> None:
    table = numpy_helper.from_array(encoders.table(), "t")
    external(table)
    model.graph.node.append(helper.make_node("Constant", [], ["c"], value=table))


HOSTILE: dict[str, tuple[Callable[[onnx.ModelProto], object], str]] = {
    "loop": (node("Loop", body=subgraph()), "operator 1 .'Loop'.*not on the list"),
    "scan": (node("Scan", body=subgraph(), num_scan_inputs=1), "'Scan'.*not on the list"),
    "if": (node("If", then_branch=subgraph(), else_branch=subgraph()), "not on the list"),
    "random": (node("RandomNormal", shape=[1]), "not on the list"),
    "text": (node("StringNormalizer"), "not on the list"),
    "words": (node("TfIdfVectorizer"), "not on the list"),
    "graph in an allowed operator": (node("Relu", body=subgraph()), "holds a network"),
    "custom domain": (node("Relu", domain="com.evil"), "of the domain 'com.evil'"),
    "domain declared": (
        lambda m: m.opset_import.append(helper.make_opsetid("com.microsoft", 1)),
        "domain 'com.microsoft'",
    ),
    "texts": (node("Relu", words=["a", "b"]), "a list of texts"),
    "two values": (two_tensors, "more than one value"),
    "long text": (node("Relu", word="w" * 600), "600 bytes"),
    "long name": (lambda m: m.graph.node.add(op_type="Relu", input=["n" * 600]), "600 bytes"),
    "external data": (weight(external), "weight 0 .*lies in another file"),
    "external data of a constant": (inner_external, "operator 1 .*lies in another file"),
    "huge shape": (weight(huge), "would have"),
    "negative shape": (weight(lambda t: t.dims.__setitem__(0, -1)), "negative"),
    "shape of more": (weight(lambda t: t.dims.__setitem__(0, 9)), "128 bytes for 36 numbers"),
    "ranks": (weight(lambda t: t.dims.extend([1] * 9)), "dimensions"),
    "numbers of texts": (weight(lambda t: t.string_data.append(b"x")), "holds texts"),
    "type of texts": (
        weight(lambda t: setattr(t, "data_type", onnx.TensorProto.STRING)),
        "of type 8",
    ),
    "two kinds of numbers": (weight(lambda t: t.float_data.append(1.0)), "128 bytes for 32"),
    "segment": (weight(lambda t: setattr(t.segment, "begin", 1)), "part of itself"),
    "many numbers one by one": (weight(many), "5000 numbers, its shape says 5000"),
    "weight twice": (lambda m: m.graph.initializer.append(m.graph.initializer[0]), "stands twice"),
    "weight as input": (
        lambda m: m.graph.initializer.append(
            numpy_helper.from_array(np.array([[1]], np.int64), "input_ids")
        ),
        "share a name: 'input_ids'",
    ),
    "functions": (function, "functions of its own"),
    "training": (lambda m: m.training_info.add(), "more than a network"),
    "sparse": (lambda m: m.graph.sparse_initializer.add(), "sparse"),
    "old operators": (lambda m: setattr(m.opset_import[0], "version", 12), "version 12"),
    "new operators": (lambda m: setattr(m.opset_import[0], "version", 22), "version 22"),
    "no operators' version": (lambda m: m.opset_import.pop(), "version None"),
    "format": (lambda m: setattr(m, "ir_version", 99), "version 99"),
    "two outputs": (lambda m: m.graph.output.append(m.graph.output[0]), "has 2"),
    "no output": (lambda m: m.graph.output.pop(), "has 0"),
    "no input": (lambda m: m.graph.input.pop(), "reads input_ids"),
    "other input": (
        lambda m: m.graph.input.append(
            helper.make_tensor_value_info("pixels", encoders.FLOAT, [1, 1])
        ),
        "reads 'pixels'",
    ),
    "input of floats": (
        lambda m: setattr(m.graph.input[0].type.tensor_type, "elem_type", encoders.FLOAT),
        "'input_ids' is no tensor of INT64",
    ),
    "another size": (
        lambda m: setattr(m.graph.output[0].type.tensor_type.shape.dim[2], "dim_value", 7),
        "shape.*7.*needed",
    ),
    "many operators": (
        lambda m: m.graph.node.extend(
            helper.make_node("Relu", ["a"], ["b"]) for _ in range(limits.MAX_ENCODER_NODES)
        ),
        "8193 operators",
    ),
}


@pytest.mark.parametrize("name", sorted(HOSTILE))
def test_a_hostile_file_is_refused_in_words(name: str) -> None:
    spoil, words = HOSTILE[name]
    with pytest.raises(InputError, match=re.compile(words)) as caught:
        inspected(spoiled(spoil))
    assert caught.value.field == "encoder.model"
    assert len(str(caught.value)) < 500


def test_a_good_file_passes_without_what_was_not_looked_at() -> None:
    def told(model: onnx.ModelProto) -> None:
        model.doc_string = model.graph.doc_string = model.producer_name = "WORDS"
        model.metadata_props.add(key="ort_config", value="WORDS")
        model.graph.node[0].doc_string = "WORDS"
        model.graph.value_info.append(helper.make_tensor_value_info("WORDS", 1, [1]))

    data = spoiled(told)
    assert b"WORDS" in data
    ran = inspected(data)
    assert b"WORDS" not in ran
    assert ran == inspected(encoders.text_model().SerializeToString()) == inspected(ran)


def test_no_operator_of_the_list_has_a_body_or_draws() -> None:
    """By onnx's own schemas, newest version allowed."""
    newest = limits.ENCODER_OPSETS[1]
    for name in OPERATORS:
        schema = onnx.defs.get_schema(name, newest, "")
        kinds = {each.type for each in schema.attributes.values()}
        graphs = {onnx.defs.OpSchema.AttrType.GRAPH, onnx.defs.OpSchema.AttrType.GRAPHS}
        assert not kinds & graphs, name
        assert not re.search("random|loop|scan|sequence|optional|string", name.lower()), name
        assert "seed" not in schema.attributes, name


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def message(field: int, content: bytes) -> bytes:
    return varint(field << 3 | 2) + varint(len(content)) + content


def nested(depth: int) -> bytes:
    """A graph in an attribute of a node of a graph, and so on."""
    content = b""
    for _ in range(depth):
        content = message(1, message(5, message(6, content)))
    return message(7, content)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "version"),
        (b"\x00", "unknown field 0"),
        (b"\xff" * 20, "more than 10 bytes"),
        (message(7, b"")[:1], "cut off"),
        (message(7, message(5, b"\x42\xff\xff\xff\xff\x0f")), "cut off"),
        (varint(7 << 3 | 3), "has the form 3"),
        (varint(7 << 3 | 0) + b"\x01", "has the form 0"),
        (message(77, b"x"), "unknown field 77"),
        (message(7, b"") * 2, "stands twice"),
        (message(20, b"") * 200_000, "more than 131072 fields"),
        (message(7, message(1, b"") * 200_000), "more than 131072 fields"),
        (nested(40), "nests deeper"),
        (nested(4000), "nests deeper"),
        (message(7, message(5, message(4, bytes(40_000)))), "packed numbers"),
        (b"\x08\x08" + bytes(1000), "unknown field 0"),
    ],
)
def test_bytes_that_no_honest_writer_makes(data: bytes, words: str) -> None:
    with pytest.raises(InputError, match=words):
        inspected(data)


def test_every_beginning_of_a_file_is_refused() -> None:
    data = encoders.text_model().SerializeToString()
    for length in range(len(data)):
        with pytest.raises(InputError):
            inspected(data[:length])


@given(st.data())
def test_spoiled_bytes_are_refused_or_read(data: st.DataObject) -> None:
    content = bytearray(encoders.text_model().SerializeToString())
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(content) - 1))
        what = data.draw(st.sampled_from(["set", "cut", "put"]))
        if what == "set":
            content[at] = data.draw(st.integers(0, 255))
        elif what == "put":
            content[at:at] = data.draw(st.binary(max_size=20))
        elif len(content) > 1:
            del content[at : at + data.draw(st.integers(1, 20))]
        if not content:
            break
    try:
        ran = inspected(bytes(content))
    except InputError:
        return
    assert onnx.ModelProto.FromString(ran).graph.input


@given(st.binary(max_size=300))
def test_any_bytes_are_refused_or_counted(content: bytes) -> None:
    try:
        count = count_fields(memoryview(content), onnx.ModelProto.DESCRIPTOR)
    except InputError:
        return
    assert count <= len(content)
    onnx.ModelProto.FromString(content)


def test_images_and_numbers_have_one_input_of_their_shape() -> None:
    image = encoders.image_model()
    assert inspected(image.SerializeToString(), EncoderKind.IMAGE)
    image.graph.input[0].type.tensor_type.shape.dim[2].dim_value = 9
    with pytest.raises(InputError, match=r"\[1, 1, 8, 8\] is needed"):
        inspected(image.SerializeToString(), EncoderKind.IMAGE)
    numbers = encoders.numbers_model()
    numbers.graph.input[0].type.tensor_type.elem_type = encoders.INT64
    with pytest.raises(InputError, match="'x' is no tensor of FLOAT"):
        inspected(numbers.SerializeToString(), EncoderKind.NUMBERS)
