"""demo: the main job, on real data, between real processes."""

from __future__ import annotations

import importlib.util
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from cyclopts import Parameter, validators

from node.cli.options import Here
from node.console.failure import Failure
from node.control.codes import Exit

if TYPE_CHECKING:
    from node.demo.recipes.sealed import Asked

#: What the demo needs beyond assay itself: the extra `demo` of the package.
_NEEDED: Final = ("sklearn", "matplotlib", "eth_tester")


def _known_epsilon(_: Any, value: float) -> None:
    """Nothing is documented below 1, nor above what a spec may say. NaN: it was not given."""
    if not (math.isnan(value) or 1.0 <= value <= 1000.0):
        raise ValueError("Must be from 1 to 1000.")


def demo(
    *,
    session: Here,
    data: Annotated[
        Literal["digits", "breast-cancer"], Parameter(help="Which data set of scikit-learn.")
    ] = "digits",
    model: Annotated[
        Literal["softmax", "dense"] | None,
        Parameter(help="Which model; default: softmax. A sealed one follows from the data."),
    ] = None,
    sealed: Annotated[
        bool,
        Parameter(
            help="Seal the model: owners train weights that only the requester can read.",
            negative=(),
        ),
    ] = False,
    features: Annotated[
        Literal["raw", "fourier"] | None,
        Parameter(
            help="With --sealed: what the model is linear in: the columns (default) or, of digits, "
            "256 random Fourier features of them: 97 % without noise in place of 94 %, for a job "
            "twice as long; no better at epsilon 8, since there is more to hide."
        ),
    ] = None,
    epsilon: Annotated[
        float,  # not float | None: 'none' would be read as not given, and mean noise
        Parameter(
            help="With --sealed: the privacy that owners' noise gives, at delta 1e-5; default: 8.",
            validator=_known_epsilon,
            show_default=False,
        ),
    ] = math.nan,
    no_noise: Annotated[
        bool,
        Parameter(
            help="With --sealed: no noise, among owners whose policies trust the requester.",
            negative=(),
        ),
    ] = False,
    proof: Annotated[
        Literal["none", "norm"],
        Parameter(help="What a contribution must prove to count: nothing, or that its norm fits."),
    ] = "none",
    sale: Annotated[
        bool,
        Parameter(
            help="Sell the sealed model afterwards: a ninth daemon buys 20 labels, by the row.",
            negative=(),
        ),
    ] = False,
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

    With --sealed no owner can read that model, and noise bounds what any weights could read of
    theirs; --sale seals it too, and then sells its use. Exit code 0 only if the model is as good as
    promised, the money adds up, and the audit finds no fault; 7 if not.
    """
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        text = f"the demo needs more packages than assay itself: {', '.join(missing)}"
        raise Failure(Exit.USAGE, text, next_="pip install 'assay[demo]'")
    asked, told = None, None if math.isnan(epsilon) else epsilon
    sealed = sealed or sale
    if sealed and proof != "none":
        raise Failure(Exit.USAGE, "--proof goes without --sealed: only open models", field="proof")
    if sealed:
        asked = _asked(data, model, features, told, no_noise)
    else:
        given = {"features": features, "epsilon": told, "no-noise": no_noise or None}
        for name, value in given.items():
            if value is not None:
                raise Failure(Exit.USAGE, f"--{name} goes with --sealed", field=name)
    from node.demo.main import run

    return run(
        session,
        data=data,
        model=model or "softmax",
        seed=seed,
        rounds=rounds,
        out=out,
        keep=keep,
        sealed=asked,
        proof=proof == "norm",
        sale=sale,
    )


def _asked(
    data: Literal["digits", "breast-cancer"],
    model: str | None,
    features: Literal["raw", "fourier"] | None,
    epsilon: float | None,
    no_noise: bool,
) -> Asked:
    """Raises Failure for options that do not go together."""
    from node.demo.recipes.sealed import EPSILON, KNOWN, Asked

    if model is not None:
        text = "--model goes without --sealed: what can be sealed follows from data and features"
        raise Failure(Exit.USAGE, text, field="model")
    if no_noise and epsilon is not None:
        raise Failure(Exit.USAGE, "--epsilon and --no-noise exclude each other", field="epsilon")
    if (data, features or "raw") not in KNOWN:
        raise Failure(Exit.USAGE, f"{data} is sealed with raw features only", field="features")
    if no_noise:
        return Asked(features or "raw", None)
    return Asked(features or "raw", EPSILON if epsilon is None else epsilon)
