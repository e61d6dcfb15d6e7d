"""The network of a BERT-like folder, written operator by operator: no framework, the same bytes.

Devlin et al., 'BERT: Pre-training of Deep Bidirectional Transformers', NAACL 2019. The attention
mask is left out: an encoder here reads one text at a time and never pads, so that every token is a
real one. `inputs` are token ids and token types, `[1, tokens]`; the output is the last layer's,
`[1, tokens, size]`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

#: Version of operators: the first with LayerNormalization.
OPSET: Final = 17
_IR_VERSION: Final = 8

_PREFIXES: Final = ("", "bert.")


@dataclass(frozen=True, slots=True)
class Shape:
    """What a folder's config.json says of the network."""

    size: int
    layers: int
    heads: int
    positions: int
    epsilon: float
    activation: str

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> Shape:
        """Raises ValueError for a network that is not BERT's."""
        if config.get("model_type") != "bert":
            raise ValueError(f"model_type is {config.get('model_type')!r}; 'bert' alone is written")
        if config.get("position_embedding_type", "absolute") != "absolute":
            raise ValueError("its positions are not absolute ones")
        if config["hidden_act"] not in ("gelu", "relu"):
            raise ValueError(f"hidden_act is {config['hidden_act']!r}; gelu and relu are written")
        return cls(
            size=config["hidden_size"],
            layers=config["num_hidden_layers"],
            heads=config["num_attention_heads"],
            positions=config["max_position_embeddings"],
            epsilon=config["layer_norm_eps"],
            activation=config["hidden_act"],
        )


def network(weights: Mapping[str, NDArray[Any]], shape: Shape) -> bytes:
    """The ONNX file. The same weights make the same bytes.

    Raises KeyError, with the name, for a weight that is missing.
    """
    writer = _Writer(weights, shape)
    writer.embeddings()
    for layer in range(shape.layers):
        writer.layer(layer)
    return writer.model()


class _Writer:
    def __init__(self, weights: Mapping[str, NDArray[Any]], shape: Shape) -> None:
        self._given = weights
        self._shape = shape
        first = "embeddings.word_embeddings.weight"
        self._prefix = next((each for each in _PREFIXES if each + first in weights), "")
        self._nodes: list[onnx.NodeProto] = []
        self._weights: list[onnx.TensorProto] = []
        self._now = ""

    def embeddings(self) -> None:
        words = self._weight("embeddings.word_embeddings.weight")
        kinds = self._weight("embeddings.token_type_embeddings.weight")
        places = self._weight("embeddings.position_embeddings.weight")
        length = self._node("Shape", ["input_ids"], "length", start=1, end=2)
        zero = self._constant("zero", np.array([0], np.int64))
        here = self._node("Slice", [places, zero, length], "positions")
        word = self._node("Gather", [words, "input_ids"], "words")
        kind = self._node("Gather", [kinds, "token_type_ids"], "kinds")
        both = self._node("Add", [word, kind], "words_kinds")
        self._now = self._norm(self._node("Add", [both, here], "embedded"), "embeddings.LayerNorm")

    def layer(self, index: int) -> None:
        at = f"encoder.layer.{index}"
        heads, width = self._shape.heads, self._shape.size // self._shape.heads
        parts = self._constant("heads", np.array([0, 0, heads, width], np.int64))
        whole = self._constant("joined", np.array([0, 0, self._shape.size], np.int64))
        scale = self._constant("scale", np.array(1 / math.sqrt(width), np.float32))
        said = {}
        for name, order in (
            ("query", [0, 2, 1, 3]),
            ("key", [0, 2, 3, 1]),
            ("value", [0, 2, 1, 3]),
        ):
            linear = self._linear(self._now, f"{at}.attention.self.{name}")
            apart = self._node("Reshape", [linear, parts], f"{at}.{name}.apart")
            said[name] = self._node("Transpose", [apart], f"{at}.{name}.turned", perm=order)
        scores = self._node("MatMul", [said["query"], said["key"]], f"{at}.scores")
        scaled = self._node("Mul", [scores, scale], f"{at}.scaled")
        chances = self._node("Softmax", [scaled], f"{at}.chances", axis=-1)
        mixed = self._node("MatMul", [chances, said["value"]], f"{at}.mixed")
        turned = self._node("Transpose", [mixed], f"{at}.mixed.turned", perm=[0, 2, 1, 3])
        joined = self._node("Reshape", [turned, whole], f"{at}.joined")
        out = self._linear(joined, f"{at}.attention.output.dense")
        added = self._node("Add", [out, self._now], f"{at}.attended")
        attended = self._norm(added, f"{at}.attention.output.LayerNorm")
        wide = self._active(self._linear(attended, f"{at}.intermediate.dense"), at)
        narrow = self._linear(wide, f"{at}.output.dense")
        added = self._node("Add", [narrow, attended], f"{at}.added")
        self._now = self._norm(added, f"{at}.output.LayerNorm")

    def model(self) -> bytes:
        ints, floats = onnx.TensorProto.INT64, onnx.TensorProto.FLOAT
        named = helper.make_tensor_value_info
        self._nodes[-1].output[0] = "last_hidden_state"
        graph = helper.make_graph(
            self._nodes,
            "encoder",
            [named(name, ints, [1, "tokens"]) for name in ("input_ids", "token_type_ids")],
            [named("last_hidden_state", floats, [1, "tokens", self._shape.size])],
            self._weights,
        )
        opsets = [helper.make_opsetid("", OPSET)]
        made = helper.make_model(graph, opset_imports=opsets, ir_version=_IR_VERSION)
        return bytes(made.SerializeToString(deterministic=True))

    def _linear(self, of: str, name: str) -> str:
        # Published as [out, in]; ONNX multiplies from the left.
        weight = self._weight(f"{name}.weight", turned=True)
        product = self._node("MatMul", [of, weight], f"{name}.product")
        return self._node("Add", [product, self._weight(f"{name}.bias")], f"{name}.sum")

    def _norm(self, of: str, name: str) -> str:
        scale, bias = self._weight(f"{name}.weight"), self._weight(f"{name}.bias")
        epsilon = self._shape.epsilon
        return self._node("LayerNormalization", [of, scale, bias], f"{name}.out", epsilon=epsilon)

    def _active(self, of: str, at: str) -> str:
        if self._shape.activation == "relu":
            return self._node("Relu", [of], f"{at}.active")
        # x (1 + erf(x / sqrt(2))) / 2
        root = self._constant("root_two", np.array(math.sqrt(2), np.float32))
        one = self._constant("one", np.array(1, np.float32))
        half = self._constant("half", np.array(0.5, np.float32))
        erf = self._node("Erf", [self._node("Div", [of, root], f"{at}.over")], f"{at}.erf")
        product = self._node("Mul", [of, self._node("Add", [erf, one], f"{at}.more")], f"{at}.gate")
        return self._node("Mul", [product, half], f"{at}.active")

    def _node(self, kind: str, inputs: list[str], name: str, **attributes: Any) -> str:
        self._nodes.append(helper.make_node(kind, inputs, [name], name=name, **attributes))
        return name

    def _weight(self, name: str, turned: bool = False) -> str:
        given = self._given[self._prefix + name].astype(np.float32)
        return self._constant(name, np.ascontiguousarray(given.T if turned else given))

    def _constant(self, name: str, value: NDArray[Any]) -> str:
        if all(each.name != name for each in self._weights):
            self._weights.append(numpy_helper.from_array(value, name))
        return name
