"""A job's model as numpy arrays (docs/spec/model-file.md)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from node.control.shapes import ModelFile


@dataclass(frozen=True, eq=False)
class Model:
    """A job's model after some round.

    job: the job's id
    round: rounds that went into it; 0: the initial weights
    rounds: rounds that the job was to have
    final: whether it is the job's last
    digest: of the model, as it stands on the chain
    path: its file, which `assay predict` takes
    spec: the job's spec, TOML text
    arrays: by the names of docs/spec/model-file.md; they cannot be written to
    """

    job: str
    round: int
    rounds: int
    final: bool
    digest: str
    path: Path
    spec: str
    arrays: Mapping[str, NDArray[Any]]

    def __getitem__(self, name: str) -> NDArray[Any]:
        """An array by its name. Raises KeyError, which names those that there are."""
        if name not in self.arrays:
            raise KeyError(f"the model has no {name!r}; it has {', '.join(sorted(self.arrays))}")
        return self.arrays[name]

    @property
    def weights(self) -> NDArray[np.float64]:
        """All of its numbers: (parameters,), or of a sealed model (features, outputs)."""
        return self["weights"]

    @property
    def classes(self) -> list[str]:
        """The target's words in the order of the outputs; none of a linear model."""
        return [str(each) for each in self.arrays.get("classes", ())]


def read(file: ModelFile) -> Model:
    """The model that a daemon has written into its home. Raises OSError."""
    # Late: it takes 100 ms and starts threads, and most programs load no model.
    import numpy as np

    with np.load(file["path"], allow_pickle=False) as stored:
        arrays = {name: stored[name] for name in stored.files}
    spec = str(arrays.pop("spec"))
    for array in arrays.values():
        array.setflags(write=False)
    return Model(
        job=file["job"],
        round=file["round"],
        rounds=file["rounds"],
        final=file["final"],
        digest=file["digest"],
        path=Path(file["path"]),
        spec=spec,
        arrays=MappingProxyType(arrays),
    )
