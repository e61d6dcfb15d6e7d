"""Asks one of several chain nodes, the next where one fails, and several where they must agree."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeVar

import trio

from node.chain import replies
from node.chain.endpoints.standing import Standings
from node.chain.errors import (
    BadReply,
    Busy,
    Contradicted,
    NoContract,
    OtherContract,
    Refused,
    Reverted,
    Slow,
    TooFew,
    Unreachable,
    WrongChain,
)
from node.chain.replies import Head
from protocol.errors import ChainError, FatalError

if TYPE_CHECKING:
    from node.chain.provider import BoundedProvider

log = logging.getLogger(__name__)

T = TypeVar("T")

#: Calls to one node at once: one that hangs keeps no thread from the others.
MAX_CALLS: Final = 4

#: Tries of one call, and the first pause between them, seconds; each pause is twice the last, times
#: 0.5 to 1.5. Of a node that fails a third of its calls one call in 700 fails, after 3 s.
MAX_TRIES: Final = 6
FIRST_PAUSE: Final = 0.1

#: The longest that a node may have a call wait (Retry-After), seconds; if it wants more, the call
#: fails, and its caller asks later or another node.
MAX_WANTED: Final = 5.0

#: The same where another node can be asked: of two that each fail a third of their calls, one call
#: in nine goes on to the other.
FEW_TRIES: Final = 2

#: Seconds between comparisons of several nodes, and the most that one takes.
COMPARE_SECONDS: Final = 60.0
COMPARE_PATIENCE: Final = 10.0

#: So far below the lowest head nodes are compared: no fork of a day reaches it, and a lie does.
COMPARED_DEPTH: Final = 32

#: JSON-RPC's code for too many requests (EIP-1474); of logs it says that there are too many.
_LIMIT_CODE: Final = -32005

#: JSON-RPC's code for a revert (geth, anvil, erigon).
_REVERT_CODE: Final = 3

#: What speaks against a node, and not against the question.
_FAULTS: Final = (Unreachable, Slow, BadReply, Busy, WrongChain, NoContract, OtherContract)

_RANDOM: Final = secrets.SystemRandom()

#: Asks one node: (method, params, parse) -> the parsed result.
Ask = Callable[[str, Sequence[Any], Callable[[Any], Any]], Awaitable[Any]]


class Endpoints:
    """The chain nodes of one client, in the order in which they are asked.

    `agree`: how many must say the same where `agreed` asks. `timeout` is in seconds, for each try
    of a call. `reason` decodes what a contract reverted with. A call that finds nobody, or a node
    that has no room, is tried again by itself; `chance` (0 to 1) spreads the tries of many daemons.
    """

    def __init__(
        self,
        providers: Sequence[BoundedProvider],
        timeout: float,
        reason: Callable[[bytes, str], str],
        agree: int = 1,
        chance: Callable[[], float] = _RANDOM.random,
    ) -> None:
        self._providers = providers
        self._limiters = [trio.CapacityLimiter(MAX_CALLS) for _ in providers]
        self._timeout = timeout
        self._chance = chance
        self._reason = reason
        self._agree = agree
        self._verify: Callable[[str, Ask], Awaitable[None]] | None = None
        self._verified: set[int] = set()
        self._compared = float("-inf")
        self.standings = Standings([each.shown for each in providers])

    @property
    def url(self) -> str:
        """Of the node that is asked now, without what may be a secret."""
        return self._providers[self._order()[0]].shown

    def close(self) -> None:
        for each in self._providers:
            each.close()

    async def check(self, verify: Callable[[str, Ask], Awaitable[None]]) -> None:
        """Hold the nodes to `verify(url, ask)`, which raises for one that is not what was expected.

        The one that is asked now is looked at at once, every other before it is asked; who does not
        hold is left. Raises what the last one raised if none holds.
        """
        self._verify, self._verified = verify, set()
        if len(self._providers) == 1:
            await self._hold(0)
            return
        await self._first(lambda place, tries: self._hold(place))

    async def ask(self, method: str, params: Sequence[Any], parse: Callable[[Any], T]) -> T:
        """Ask, and again where the node was not there or had no room; then the next node.

        Every method here may be asked twice: a transaction that came twice is known by its hash.
        """
        if len(self._providers) == 1:
            return await self._ask(0, MAX_TRIES, method, params, parse)
        return await self._first(
            lambda place, tries: self._ask(place, tries, method, params, parse)
        )

    async def agreed(self, method: str, params: Sequence[Any], parse: Callable[[Any], T]) -> T:
        """What as many nodes say as must agree.

        Raises Contradicted, and TooFew where fewer answer.
        """
        if self._agree == 1:
            return await self.ask(method, params, parse)
        said = await self._several(method, params, parse)
        place, value = said[0]
        for other, found in said[1:]:
            if found != value:
                raise Contradicted(
                    self._providers[place].shown, self._providers[other].shown, method
                )
        return value

    async def head(self) -> Head:
        """The newest block; the newest that all know who must agree."""
        await self._compare()
        question = ("eth_getBlockByNumber", ["latest", False], replies.head)
        if self._agree == 1:
            return await self.ask(*question)
        heads = [found for _, found in await self._several(*question)]
        lowest = min(heads, key=lambda found: found.number)
        if all(found.hash == lowest.hash for found in heads):
            return lowest
        return await self.agreed("eth_getBlockByNumber", [hex(lowest.number), False], replies.head)

    def leave(self, error: ChainError) -> None:
        """What the node that is asked now shows cannot be used: ask another, where there is one."""
        if len(self._providers) > 1:
            self._leave(self._order()[0], error)

    # --- underneath -------------------------------------------------------------------------

    def _order(self) -> list[int]:
        return self.standings.order(trio.current_time())

    async def _first(self, ask: Callable[[int, int], Awaitable[T]]) -> T:
        """The first answer of the nodes in their order. `ask(place, tries)` asks one."""
        order = self._order()
        for place in order:
            try:
                await self._hold(place)
                value = await ask(place, MAX_TRIES if place == order[-1] else FEW_TRIES)
            except _FAULTS as error:
                self._leave(place, error)
                if place == order[-1]:
                    raise
                continue
            self.standings.answered(place, trio.current_time())
            return value
        raise FatalError("a client without a chain node")

    async def _several(
        self, method: str, params: Sequence[Any], parse: Callable[[Any], T]
    ) -> list[tuple[int, T]]:
        """The answers of as many nodes as must agree."""
        said: list[tuple[int, T]] = []
        failure: ChainError | None = None
        for place in self._order():
            try:
                await self._hold(place)
                said.append((place, await self._ask(place, FEW_TRIES, method, params, parse)))
            except _FAULTS as error:
                failure = error
                self._leave(place, error)
                continue
            self.standings.answered(place, trio.current_time())
            if len(said) == self._agree:
                return said
        raise TooFew(self._agree, len(said)) from failure

    async def _hold(self, place: int) -> None:
        """Hold a node to what is expected, once until it fails."""
        if self._verify is None or place in self._verified:
            return
        url = self._providers[place].shown
        tries = MAX_TRIES if len(self._providers) == 1 else FEW_TRIES

        async def ask(method: str, params: Sequence[Any], parse: Callable[[Any], Any]) -> Any:
            return await self._ask(place, tries, method, params, parse)

        await self._verify(url, ask)
        self._verified.add(place)

    def _leave(self, place: int, error: ChainError) -> None:
        self._verified.discard(place)
        before = self.standings.all[place].problem
        self.standings.leave(place, trio.current_time(), str(error))
        if not before:
            log.warning("another chain node is asked: %s", error)

    async def _compare(self) -> None:
        """Look once in a while whether a node lags behind the others, or contradicts them."""
        now = trio.current_time()
        if len(self._providers) == 1 or now - self._compared < COMPARE_SECONDS:
            return
        self._compared = now
        newest = await self._each(range(len(self._providers)), "latest")
        if len(newest) < 2:
            return
        heads = {place: found.number for place, found in newest.items()}
        number = max(0, min(heads.values()) - COMPARED_DEPTH)
        old = await self._each(heads, hex(number))
        hashes = {place: found.hash for place, found in old.items() if found.number == number}
        self.standings.compare(heads, number, hashes)

    async def _each(self, places: Iterable[int], tag: str) -> dict[int, Head]:
        """A block's header as each node has it, of those that answer in time."""
        found: dict[int, Head] = {}

        async def look(place: int) -> None:
            try:
                await self._hold(place)
                question = ("eth_getBlockByNumber", [tag, False], replies.head)
                found[place] = await self._ask(place, FEW_TRIES, *question)
            except _FAULTS as error:
                self._leave(place, error)
            except Refused as error:
                log.debug("comparing chain nodes: %s", error)

        with trio.move_on_after(COMPARE_PATIENCE):
            async with trio.open_nursery() as nursery:
                for place in places:
                    nursery.start_soon(look, place)
        return found

    async def _ask(
        self, place: int, tries: int, method: str, params: Sequence[Any], parse: Callable[[Any], T]
    ) -> T:
        pause = FIRST_PAUSE
        for left in reversed(range(tries)):
            try:
                return await self._try(place, method, params, parse)
            except (Unreachable, Busy) as error:
                if not left:
                    raise
                wanted = error.after if isinstance(error, Busy) else 0.0
                if wanted > MAX_WANTED:
                    raise
            # Who asks sooner than a node wants is kept out for longer.
            await trio.sleep(max(wanted, pause * (0.5 + self._chance())))
            pause *= 2
        raise FatalError("a call without a try")

    async def _try(
        self, place: int, method: str, params: Sequence[Any], parse: Callable[[Any], T]
    ) -> T:
        provider = self._providers[place]

        def work() -> T:
            reply = provider.make_request(method, params)  # type: ignore[arg-type]
            if "error" in reply:
                self._raise(provider.shown, method, reply["error"])
            try:
                return parse(reply["result"])
            except replies.Invalid as error:
                raise BadReply(provider.shown, method, str(error)) from error

        # The thread ends by itself at the provider's timeout. So nobody waits for it when the
        # caller is cancelled, or when a node lets headers drip in.
        with trio.move_on_after(2 * self._timeout):
            return await trio.to_thread.run_sync(
                work,
                limiter=self._limiters[place],
                abandon_on_cancel=True,  # type: ignore[call-arg]  # trio-typing's stubs are older
            )
        raise Slow(provider.shown, method, 2 * self._timeout)

    def _raise(self, url: str, method: str, error: Any) -> None:
        if not isinstance(error, dict):
            raise BadReply(url, method, "an error that is no object")
        code, text = error.get("code"), str(error.get("message", ""))[:500]
        code = code if isinstance(code, int) else 0
        data = error.get("data")
        if code == _REVERT_CODE or "revert" in text.lower():
            found = b""
            if isinstance(data, str) and data.startswith("0x") and len(data) <= 2 * 4096:
                try:
                    found = bytes.fromhex(data[2:])
                except ValueError:
                    found = b""
            raise Reverted(url, method, self._reason(found, text), found)
        if code == 429 or (code == _LIMIT_CODE and method != "eth_getLogs"):
            raise Busy(url, method, code, text)
        raise Refused(url, method, code, text)
