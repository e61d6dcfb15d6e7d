"""demo: the main job, on real data, between real processes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from node.cli.options import Here


def demo(
    *,
    session: Here,
    data: Annotated[
        Literal["digits", "breast-cancer"], Parameter(help="Which data set of scikit-learn.")
    ] = "digits",
    model: Annotated[Literal["softmax", "dense"], Parameter(help="Which model.")] = "softmax",
    seed: Annotated[int, Parameter(help="Seed of the split; another one, other owners.")] = 1,
    out: Annotated[
        Path | None, Parameter(help="Where to keep everything; default: a new folder.")
    ] = None,
) -> int:
    """Run the main job: a chain, eight daemons, six owners' data, a trained model, all paid.

    Exit code 0 only if the model is as good as promised, the money adds up, and the audit finds
    no fault.
    """
    from node.cli import demo as main_job

    return main_job.run(
        data=data,
        model=model,
        seed=seed,
        out=None if out is None else out.absolute(),
        json_output=session.json,
    )
