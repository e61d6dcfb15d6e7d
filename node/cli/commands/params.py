"""params: from goals to key length, lanes, bytes and seconds. No daemon, no network, no home."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from node.cli.options import Here
from node.console.amounts import brief, size
from node.console.show import Part, Table

if TYPE_CHECKING:
    from protocol.cost.encryption import Choice, Goals


def params(
    *,
    session: Here,
    parameters: Annotated[int, Parameter(help="Parameters of the model.")],
    owners: Annotated[int, Parameter(help="Owners of a block: how many a sum adds up.")],
    clip: Annotated[float, Parameter(help="The largest magnitude of a value.")],
    precision: Annotated[
        float, Parameter(help="The largest step between neighbouring values, in clip's unit.")
    ],
    security: Annotated[int, Parameter(help="Bits of security.")] = 128,
) -> None:
    """Choose a job's encryption from its goals: the shortest key, the narrowest values.

    Says what a contribution then costs; nothing is sent, no daemon is needed. Sizes are exact,
    seconds are rough: of one core at 2.5 GHz, with a short-order key.
    """
    # late: protocol is of no use to a line that does not parse
    from protocol.cost.encryption import Goals, choose

    goals = Goals(parameters, owners, clip, precision, security)
    choice = choose(goals)
    left = {"headroom_left": choice.headroom - owners}
    found = {"goals": dataclasses.asdict(goals)} | dataclasses.asdict(choice) | left
    session.emit(found, _view(goals, choice))


def _view(goals: Goals, choice: Choice) -> list[Part]:
    rows = [
        ("key length", f"{choice.key_bits} bits", f"for {goals.security} bits of security"),
        ("value bits", str(choice.value_bits), f"sign included; steps of {choice.precision:.3g}"),
        (
            "lane width",
            f"{choice.lane_bits} bits",
            f"a value and the carries of a sum of {goals.owners}",
        ),
        ("lanes", str(choice.lanes), "values in a ciphertext"),
        (
            "headroom left",
            str(choice.headroom - goals.owners),
            f"batches that may still be added to {goals.owners} before a lane could overflow",
        ),
        (
            "bytes per parameter",
            f"{choice.bytes_per_parameter:.2f}",
            f"{choice.bytes_per_parameter / 8:.2f} x float64",
        ),
        (
            "contribution",
            size(choice.contribution_bytes),
            f"{choice.contribution_bytes} bytes, ciphertexts: {choice.ciphertexts}",
        ),
        ("encryption", brief(choice.encrypt_seconds), "an owner's, about, nothing made ahead"),
        ("addition", brief(choice.add_seconds), "of one contribution to a sum, about"),
        ("decryption", brief(choice.decrypt_seconds), "of a block's sum, about"),
    ]
    return [Table(("what", "value", "how"), rows)]
