"""demo: the main job, on real data, between real processes."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Annotated, Final, Literal

from cyclopts import Parameter, validators

from node.cli.failure import Failure
from node.cli.options import Here
from node.control.codes import Exit

#: What the demo needs beyond assay itself: the extra `demo` of the package.
_NEEDED: Final = ("sklearn", "matplotlib", "eth_tester")


def demo(
    *,
    session: Here,
    data: Annotated[
        Literal["digits", "breast-cancer"], Parameter(help="Which data set of scikit-learn.")
    ] = "digits",
    model: Annotated[Literal["softmax", "dense"], Parameter(help="Which model.")] = "softmax",
    seed: Annotated[
        int,
        Parameter(
            help="Seed of the split: another one, other owners.",
            validator=validators.Number(gte=0, lt=2**32),
        ),
    ] = 1,
    rounds: Annotated[
        int | None,
        Parameter(
            help="Rounds to train; default: what the data set and the model need.",
            validator=validators.Number(gte=1, lte=255),
        ),
    ] = None,
    out: Annotated[
        Path | None,
        Parameter(help="Where model, picture and figures go; default: ./demo-out."),
    ] = None,
    keep: Annotated[
        bool, Parameter(help="Keep the homes and logs of all daemons.", negative=())
    ] = False,
) -> int:
    """Run the main job: a chain, eight daemons, six owners' data, a trained model, all paid.

    Exit code 0 only if the model is as good as promised, the money adds up, and the audit finds
    no fault; 7 if not.
    """
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        text = f"the demo needs more packages than assay itself: {', '.join(missing)}"
        raise Failure(Exit.USAGE, text, next_="pip install 'assay[demo]'")
    from node.demo.main import run

    return run(session, data=data, model=model, seed=seed, rounds=rounds, out=out, keep=keep)
