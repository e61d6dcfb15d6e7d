"""The job that the demo posts: its recipe for each data set and model, and its spec as a TOML file.

The recipes come from training in the clear: on 40 splits for softmax on digits, on 60 for breast
cancer, on 16 and 10 for dense. After these rounds the worst of them was 1.0 to 1.6 points short of
pooled training, within the promise (verdict.TOLERANCE). The ridge is the same on both sides:
without one, training the pool to convergence overfits, and would be too easy to match. Recipes of
sealed jobs are in sealed.py.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Final, Literal

from node.demo.recipes.columns import DataName, Table
from protocol.amounts import format_amount

ETHER: Final = 10**18

ModelName = Literal["softmax", "dense"]
FamilyName = Literal["softmax", "dense", "logistic"]

#: Owners whose policies accept, and all owners. The bounty has room for all: the share of one that
#: stays out goes back to the requester.
ACCEPTING: Final = 5
OWNERS: Final = 6

#: Pay for one contribution, and the pot for measured worth.
RATE: Final = 2 * ETHER // 1000
MERIT: Final = 50 * ETHER // 1000

#: What the owners ask at least: five ask less than the rate, the sixth more.
FLOOR: Final = ETHER // 1000
HIGH_FLOOR: Final = 5 * ETHER // 1000

#: Seconds that enrolment stays open, since nobody can know that the sixth will not come.
ENROL_SECONDS: Final = 15

#: With proofs a contribution's norm is at most clip_norm divided by this. Honest ones have 0.5 to
#: 3 % of clip_norm: a bound of clip_norm stops little more than what is out of all measure
#: (docs/poison.md).
BOUND_PART: Final = 128


@dataclass(frozen=True)
class Sealing:
    """What a sealed job's spec says beside an open one's: the public map from inputs to features
    (`width` and `scale` are 0 for "none"), and the noise; `epsilon` None: none."""

    map: Literal["none", "fourier"]
    width: int
    scale: float
    center: float
    bias: float
    epsilon: float | None
    delta: float


@dataclass(frozen=True)
class Recipe:
    """Model and training of a job; `sealing` None: its owners can read the model. `proof`: a
    contribution counts only if it proves its norm."""

    family: FamilyName
    hidden: int
    rounds: int
    local_steps: int
    batch_rows: int
    rate: float
    clip_norm: float
    momentum: float
    ridge: float
    sealing: Sealing | None = None
    proof: bool = False

    def with_rounds(self, rounds: int | None) -> Recipe:
        return self if rounds is None else dataclasses.replace(self, rounds=rounds)


RECIPES: Final[dict[tuple[DataName, ModelName], Recipe]] = {
    ("digits", "softmax"): Recipe("softmax", 0, 12, 100, 32, 1.0, 4.0, 0.5, 5e-4),
    ("digits", "dense"): Recipe("dense", 256, 7, 100, 32, 1.0, 16.0, 0.0, 1e-4),
    ("breast-cancer", "softmax"): Recipe("softmax", 0, 12, 100, 32, 1.0, 4.0, 0.5, 1e-4),
    ("breast-cancer", "dense"): Recipe("dense", 256, 9, 100, 32, 1.0, 8.0, 0.0, 1e-4),
}


def spec(table: Table, recipe: Recipe) -> str:
    """The spec as its requester would write it."""
    features = "\n".join(
        f'    {{ name = "{column.name}", low = {column.low:g}, high = {column.high:g} }},'
        for column in table.columns
    )
    classes = ", ".join(f'"{name}"' for name in table.classes)
    hidden = f"hidden = {recipe.hidden}\n" if recipe.hidden else ""
    sealed, model, privacy = "", "", ""
    if recipe.sealing is not None:
        sealed, model, privacy = "sealed ", _map(recipe.sealing), _privacy(recipe.sealing)
    if recipe.proof:
        # A block of five bears no liar beside its proofs: six would (docs/guides/requester.md).
        privacy = f'\n[privacy]\nproof = "norm/{BOUND_PART}"\ncorrupt = 0\n'
    return f"""\
title = "{table.title}, {sealed}{recipe.family}"
purpose = "research"

features = [
{features}
]

[target]
name = "{table.target}"
classes = [{classes}]

[model]
family = "{recipe.family}"
{hidden}{model}
[training]
rounds = {recipe.rounds}
local_steps = {recipe.local_steps}
batch_rows = {recipe.batch_rows}
rate = {recipe.rate}
clip_norm = {recipe.clip_norm}
momentum = {recipe.momentum}
ridge = {recipe.ridge}
{privacy}
[cohort]
min_owners = {ACCEPTING}
max_owners = {OWNERS}
block_size = {ACCEPTING}

[payment]
rate = "{format_amount(RATE)}"
merit = "{format_amount(MERIT)}"
merit_by = "equal"

[timing]
enrol_seconds = {ENROL_SECONDS}
ready_seconds = 60
contribute_seconds = 180
commit_seconds = 300
unmask_seconds = 60
apply_seconds = 120
finality_blocks = 1
lifetime_days = 1
"""


def _map(sealing: Sealing) -> str:
    """What [model] says of a sealed model's features."""
    lines = [f"center = {sealing.center}", f"bias = {sealing.bias}"]
    if sealing.map != "none":
        lines += [f'map = "{sealing.map}"']
        lines += [f"map_width = {sealing.width}", f"map_scale = {sealing.scale}"]
    return "".join(f"{line}\n" for line in lines)


def _privacy(sealing: Sealing) -> str:
    """The section [privacy] of a sealed job."""
    noise = 'epsilon = "none"'
    if sealing.epsilon is not None:
        noise = f"epsilon = {sealing.epsilon}\ndelta = {sealing.delta}"
    return f"\n[privacy]\nsealed = true\n{noise}\n"
