"""Errors of the chain. Each says which node, what happened, and what helps.

ChainError
├── Unreachable     nothing answers at the URL: retried
├── Slow            no answer in time: retried
├── BadReply        the answer is not what JSON-RPC promises: retried
├── Refused         the node answered with an error of its own
│   ├── Busy        too many calls, or a gateway that finds nobody: retried
│   └── Reverted    the contract said no; `reason` is its word
├── Lagging         its logs lag behind its head: retried
├── Contradicted    two nodes that must agree do not: asked again
├── TooFew          fewer nodes answer than must agree: asked again
├── WrongChain      another chain id: a person must look
├── NoContract      no code at the contract's address: a person must look
├── OtherContract   other code at the contract's address: a person must look
└── DeepReorg       the chain forgot more than can be undone: a person must look
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from protocol.errors import ChainError

#: Functions of an error that are named; of more, how many.
_NAMED: Final = 4


class Unreachable(ChainError):
    """Nothing answers JSON-RPC at the URL."""

    def __init__(self, url: str, cause: str) -> None:
        super().__init__(f"chain node {url} is unreachable: {cause}")
        self.url = url


class Slow(ChainError):
    """The node did not answer within `seconds`."""

    def __init__(self, url: str, method: str, seconds: float) -> None:
        super().__init__(f"chain node {url} did not answer {method} within {seconds:g} s")
        self.url = url


class BadReply(ChainError):
    """The node's answer is malformed, oversized, or contradicts itself."""

    def __init__(self, url: str, method: str, cause: str) -> None:
        super().__init__(f"chain node {url} answered {method} with nonsense: {cause}")
        self.url = url


class Refused(ChainError):
    """The node answered with an error; `code` and `text` are its own words."""

    def __init__(self, url: str, method: str, code: int, text: str) -> None:
        super().__init__(f"chain node {url} refused {method}: {text} (code {code})")
        self.url = url
        self.code = code
        self.text = text


class Busy(Refused):
    """The node, or what stands before it, has no room for the call; the same call may do later.

    `after`: in so many seconds, if it said so; else 0.
    """

    def __init__(self, url: str, method: str, code: int, text: str, after: float = 0.0) -> None:
        super().__init__(url, method, code, text)
        self.after = after


class Reverted(Refused):
    """The contract reverted. `reason` is decoded, for a person; `data` is what it returned."""

    def __init__(self, url: str, method: str, reason: str, data: bytes) -> None:
        super().__init__(url, method, 3, f"reverted: {reason}")
        self.reason = reason
        self.data = data


class Lagging(ChainError):
    """A header says that the contract may have logged in a block, and no log of it is there."""

    def __init__(self, url: str, number: int) -> None:
        super().__init__(
            f"chain node {url} shows no logs of block {number}, whose header may hold some: its "
            "index of logs lags behind its head, and is asked again"
        )
        self.url = url
        self.number = number


class Contradicted(ChainError):
    """Two nodes that must agree answer the same question differently."""

    def __init__(self, url: str, other: str, method: str) -> None:
        super().__init__(
            f"chain nodes {url} and {other} answer {method} differently, and chain.agree wants the "
            "same: nothing is acted on until they agree; if it lasts, one of them is wrong"
        )
        self.url = url
        self.other = other


class TooFew(ChainError):
    """Fewer nodes answer than must agree."""

    def __init__(self, wanted: int, found: int) -> None:
        super().__init__(
            f"{found} chain nodes answer, and chain.agree wants {wanted} that say the same: "
            "nothing is acted on until they do; name another in chain.urls"
        )


class WrongChain(ChainError):
    """The node serves another chain than the daemon was told to use."""

    def __init__(self, url: str, expected: int, got: int) -> None:
        super().__init__(
            f"chain node {url} serves chain id {got}, expected {expected}: "
            "give another node's URL, or join the network that this node serves"
        )
        self.url = url
        self.expected = expected
        self.got = got


class NoContract(ChainError):
    """There is no code at the contract's address."""

    def __init__(self, url: str, address: bytes) -> None:
        super().__init__(
            f"chain node {url} has no contract at 0x{address.hex()}: the address is wrong, "
            "or the chain was started anew"
        )
        self.url = url
        self.address = address


class OtherContract(ChainError):
    """The code at the contract's address is not what this assay was built with.

    Nobody here has read the promises on which the money would hang. `lacks`: functions that it does
    not know; `most` where these are more than it knows, so that it is no version of ours.
    """

    def __init__(
        self, url: str, address: bytes, lacks: Sequence[str] = (), *, most: bool = False
    ) -> None:
        why = "the network was made by another version, or by somebody who changed the contract"
        if lacks:
            named = ", ".join(lacks[:_NAMED]) + f" and {len(lacks) - _NAMED} more" * (
                len(lacks) > _NAMED
            )
            why = f"it does not know {named}, as one that an older version deployed"
        if most:
            why = "it is another one altogether: the address is wrong, or the join line is"
        super().__init__(
            f"chain node {url}: the code at 0x{address.hex()} is not this assay's contract: {why}. "
            "Nothing is sent to it. Run the version that made the network, or join one that this "
            "version made (assay join LINE)"
        )
        self.url = url
        self.address = address
        self.lacks = tuple(lacks)


class DeepReorg(ChainError):
    """The chain reorganised further back than `bound` blocks, or was started anew."""

    def __init__(self, url: str, number: int, bound: int) -> None:
        super().__init__(
            f"chain node {url} no longer knows any of our blocks up to {number}: it reorganised "
            f"by more than {bound} blocks or was started anew"
        )
        self.url = url
        self.number = number
