"""The question whether this node can be reached: dial me, its answer, and the word on the dial."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Final

from protocol import params
from protocol.wire.codec import Range, Size, Wire

#: What is asked, on a stream of a line that stands.
PROTOCOL: Final = "/assay/1/dial-me"

MAX_QUESTION_BYTES: Final = 64
MAX_ANSWER_BYTES: Final = 64

_MAX_HOST_BYTES: Final = 45


@dataclass(frozen=True, slots=True)
class DialMe(Wire):
    """Dial `port` at the address that this line comes from, and say `nonce` there."""

    port: Annotated[int, Range(params.LEAST_DIAL_BACK_PORT, 65535)]
    nonce: Annotated[bytes, Size(params.DIAL_NONCE_BYTES)]


@dataclass(frozen=True, slots=True)
class DialBack(Wire):
    """The address that was dialled, in numbers, and whether the asker answered there."""

    host: Annotated[str, Size(2, _MAX_HOST_BYTES)]
    answered: bool
