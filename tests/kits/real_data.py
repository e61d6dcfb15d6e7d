"""Real data sets, each read when it is asked for: their library takes seconds to import."""

from __future__ import annotations

from typing import Any


def digits() -> tuple[Any, Any]:
    """Images of handwritten digits, and the digits."""
    from sklearn.datasets import load_digits

    return load_digits(return_X_y=True)  # type: ignore[no-any-return]


def breast_cancer() -> tuple[Any, Any]:
    """Measurements of tumours, and the diagnoses."""
    from sklearn.datasets import load_breast_cancer

    return load_breast_cancer(return_X_y=True)  # type: ignore[no-any-return]
