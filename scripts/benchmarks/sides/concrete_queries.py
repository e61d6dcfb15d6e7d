"""Concrete ML's side: encrypted inference of a logistic model, both parties of one query."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import numpy as np
from concrete import fhe
from concrete.ml.sklearn import LogisticRegression
from sklearn.datasets import load_breast_cancer
from sklearn.preprocessing import MinMaxScaler

from scripts.benchmarks.sides.parts import Parts

PACKAGES = ("concrete-ml", "concrete-python", "numpy")


@cache
def trained(bits: int) -> tuple[Any, Any]:
    """A model of 30 features on the breast cancer data, quantised to `bits`, compiled, with keys;
    and its rows."""
    rows, target = load_breast_cancer(return_X_y=True)
    rows = MinMaxScaler((-1, 1)).fit_transform(rows)
    model = LogisticRegression(n_bits=bits)
    model.fit(rows, target)
    model.compile(rows)
    model.fhe_circuit.keygen()
    return model, rows


def score(bits: int, row: int) -> dict[str, object]:
    """One query: the client encrypts and opens, the server multiplies, in what is serialised
    between. Raises ValueError unless the answer is the model's in the clear."""
    (model, rows), part = trained(bits), Parts()
    circuit = model.fhe_circuit
    with part("buyer"):
        one = model.quantize_input(rows[row : row + 1])
        sent = circuit.encrypt(one).serialize()
    with part("seller"):
        replied = circuit.run(fhe.Value.deserialize(sent)).serialize()
    with part("buyer"):
        opened = circuit.decrypt(fhe.Value.deserialize(replied))
        found = model.dequantize_output(opened)
    expected = model.decision_function(rows[row : row + 1], fhe="disable")
    if np.ravel(found).shape != (1,) or not np.allclose(found, expected):
        raise ValueError("the score is not the model's")
    keys = len(circuit.client.evaluation_keys.serialize())
    return part.reply() | {"counts": {"up": len(sent), "down": len(replied), "keys": keys}}


CALLS: Mapping[str, Callable[..., dict[str, object]]] = {"score": score}
