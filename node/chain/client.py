"""The chain as the daemon sees it: typed questions to JSON-RPC nodes, asked in worker threads.

Every failure is a ChainError that names the node and the cause. web3 blocks, so each call runs in a
thread; few at a time, so that a slow node costs a bounded number of threads.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

import trio

from node.chain import fees, library, replies
from node.chain.endpoints.endpoints import MAX_CALLS, Ask, Endpoints
from node.chain.errors import BadReply, Busy, NoContract, Refused, WrongChain
from node.chain.events import ChainEvent
from node.chain.fees import Fees
from node.chain.replies import Head, Receipt, may_hold
from node.chain.views import JobView, RoundView
from protocol.errors import ChainError

if TYPE_CHECKING:
    from node.chain.contract import Codec
    from node.chain.provider import BoundedProvider

#: Logs of one query; a range that holds more is asked for in parts.
MAX_LOGS: Final = 10_000

_RANDOM: Final = secrets.SystemRandom()

Block = int | str


class ChainClient:
    """One chain, one contract (20 bytes; None before it is deployed), asked of one node or several.

    Build it with `open`. How calls are tried again is `Endpoints`'.
    """

    def __init__(
        self, endpoints: Endpoints, codec: Codec, chain_id: int, contract: bytes | None
    ) -> None:
        self._endpoints = endpoints
        self._ask, self._agreed = endpoints.ask, endpoints.agreed
        self.codec = codec
        self.chain_id = chain_id
        self.contract = contract

    @classmethod
    async def open(
        cls,
        url: str | Sequence[str],
        chain_id: int,
        contract: bytes | None = None,
        *,
        agree: int = 1,
        timeout: float = 10.0,
        chance: Callable[[], float] = _RANDOM.random,
    ) -> ChainClient:
        """Prepare a client; nothing is sent yet. Raises InputError for text that is no URL.

        Of several URLs the first is asked, and the others where it fails; `agree` of them must show
        the same blocks and logs. `timeout` is in seconds, for each try of a call.
        """
        urls = [url] if isinstance(url, str) else list(url)
        if not 1 <= agree <= len(urls):
            raise ValueError(f"{agree} of {len(urls)} nodes cannot agree")

        def build() -> tuple[list[BoundedProvider], Codec]:
            library.load()
            from node.chain.contract import Codec
            from node.chain.provider import BoundedProvider

            return [BoundedProvider(each, timeout, MAX_CALLS) for each in urls], Codec()

        providers, codec = await trio.to_thread.run_sync(build)
        endpoints = Endpoints(providers, timeout, codec.reason, agree, chance)
        return cls(endpoints, codec, chain_id, contract)

    @property
    def url(self) -> str:
        """The URL of the node that is asked now, without what may be a secret."""
        return self._endpoints.url

    @property
    def nodes(self) -> tuple[tuple[str, str], ...]:
        """Each node's URL and what speaks against it now, in the user's order."""
        return tuple((each.url, each.problem) for each in self._endpoints.standings.all)

    def close(self) -> None:
        """Close the connections."""
        self._endpoints.close()

    # --- the node ---------------------------------------------------------------------------

    async def check(self) -> None:
        """Raise WrongChain, NoContract or OtherContract unless a node serves what was expected.

        The contract's code is compared whole, because a join line may come from anybody.
        """
        await self._endpoints.check(self._verify)

    async def _verify(self, url: str, ask: Ask) -> None:
        got = await ask("eth_chainId", [], replies.quantity)
        if got != self.chain_id:
            raise WrongChain(url, self.chain_id, got)
        if self.contract is None:
            return
        code = await ask("eth_getCode", [_hex(self.contract), "latest"], replies.octets)
        if not code:
            raise NoContract(url, self.contract)
        if code != self.codec.runtime:
            raise self.codec.other(url, self.contract, code)

    def leave(self, error: ChainError) -> None:
        """What the node that is asked now shows cannot be used: ask another, where there is one."""
        self._endpoints.leave(error)

    async def head(self) -> Head:
        """The newest block."""
        return await self._endpoints.head()

    async def header(self, number: int) -> Head | None:
        """A chain block by number; None where the chain is shorter."""

        def parse(value: Any) -> Head | None:
            found = None if value is None else replies.head(value)
            if found is not None and found.number != number:
                raise replies.Invalid(f"asked for block {number}, got {found.number}")
            return found

        return await self._agreed("eth_getBlockByNumber", [hex(number), False], parse)

    async def finalized(self) -> Head | None:
        """The newest block that the chain's own rules call final; None where it tells of none."""
        try:
            return await self._ask(
                "eth_getBlockByNumber",
                ["finalized", False],
                lambda value: None if value is None else replies.head(value),
            )
        except Refused as error:
            if isinstance(error, Busy):
                raise
            return None

    async def block_hash(self, number: int) -> bytes | None:
        """The hash of a chain block; None where the chain is shorter."""
        found = await self.header(number)
        return None if found is None else found.hash

    async def sent_in(self, number: int, account: bytes, nonce: int) -> bytes | None:
        """The hash of an account's transaction of one nonce in a chain block; None if not there."""
        return await self._ask(
            "eth_getBlockByNumber",
            [hex(number), True],
            lambda value: replies.sent_in(value, number, account, nonce),
        )

    async def fees(self) -> Fees:
        """What the next block asks for: by what was paid of late, else by the node's suggestion."""
        params = [hex(fees.HISTORY_BLOCKS), "latest", [fees.HISTORY_PERCENTILE]]
        try:
            found = await self._ask("eth_feeHistory", params, fees.history)
        except (Refused, BadReply) as error:
            if isinstance(error, Busy):
                raise
            found = Fees((await self.head()).base_fee, 0)
        if not found.tip:
            tip = await self._ask("eth_maxPriorityFeePerGas", [], replies.quantity)
            found = Fees(found.base_fee, tip)
        return found.bounded()

    # --- accounts ---------------------------------------------------------------------------

    async def code(self, address: bytes) -> bytes:
        return await self._ask("eth_getCode", [_hex(address), "latest"], replies.octets)

    async def balance(self, address: bytes) -> int:
        """Wei, at the newest block."""
        return await self._ask("eth_getBalance", [_hex(address), "latest"], replies.quantity)

    async def nonce(self, address: bytes, at: Block = "latest") -> int:
        """Transactions of an account mined up to a block."""
        return await self._ask(
            "eth_getTransactionCount", [_hex(address), _tag(at)], replies.quantity
        )

    # --- transactions -----------------------------------------------------------------------

    async def send(self, raw: bytes) -> None:
        """Hand a signed transaction to the node. Raises Refused, in the node's own words."""
        await self._ask("eth_sendRawTransaction", [_hex(raw)], lambda v: replies.octets(v, size=32))

    async def knows(self, tx_hash: bytes) -> bool:
        """True if the node holds the transaction, mined or waiting."""
        return await self._ask("eth_getTransactionByHash", [_hex(tx_hash)], lambda v: v is not None)

    async def receipt(self, tx_hash: bytes) -> Receipt | None:
        """The receipt of a mined transaction, None otherwise."""

        def parse(value: Any) -> Receipt | None:
            # Some nodes give a receipt without a block to a transaction that still waits.
            if value is None or (isinstance(value, dict) and value.get("blockNumber") is None):
                return None
            return replies.receipt(value, tx_hash)

        return await self._ask("eth_getTransactionReceipt", [_hex(tx_hash)], parse)

    async def estimate(self, sender: bytes, to: bytes | None, data: bytes, value: int = 0) -> int:
        """Gas that a transaction would use. Raises Reverted with the contract's reason."""
        params = [_message(sender, to, data, value)]
        return await self._ask("eth_estimateGas", params, replies.quantity)

    async def run(
        self, sender: bytes, to: bytes, data: bytes, value: int = 0, at: Block = "latest"
    ) -> bytes:
        """Run a message on a block's state; what it returns. Raises Reverted."""
        params = [_message(sender, to, data, value), _tag(at)]
        return await self._ask("eth_call", params, replies.octets)

    async def agreed_code(self, address: bytes) -> bytes:
        """The code at an address, as all say who must agree."""
        params = [_hex(address), "latest"]
        return await self._agreed("eth_getCode", params, replies.octets)

    async def agreed_run(self, to: bytes, data: bytes, at: Block) -> bytes:
        """What a message from nobody returns on a block's state, as all say who must agree."""
        params = [_message(bytes(20), to, data, 0), _tag(at)]
        return await self._agreed("eth_call", params, replies.octets)

    # --- the contract -----------------------------------------------------------------------

    async def call(self, function: str, *args: Any, at: Block = "latest") -> Any:
        """A view of the contract: one value or a tuple; addresses are 20 bytes. Raises Reverted."""
        data = self.codec.encode(function, args)
        result = await self.run(bytes(20), self._contract(), data, at=at)
        try:
            return self.codec.decode(function, result)
        except replies.Invalid as error:
            if not result:
                raise NoContract(self.url, self._contract()) from error
            raise BadReply(self.url, "eth_call", str(error)) from error

    async def job(self, job: bytes, at: Block = "latest") -> JobView | None:
        """A job's state; None for one that was never posted."""
        view = JobView(*await self.call("jobs", job, at=at))
        return view if any(view.requester) else None

    async def round(self, job: bytes, number: int) -> RoundView | None:
        """A round's commitment; None while there is none."""
        view = RoundView(*await self.call("rounds", job, number))
        return view if view.count else None

    async def paid(self, job: bytes, account: bytes) -> int:
        """The account's word: a bit for each paid round, the top one for merit."""
        return int(await self.call("paid", job, account))

    async def logs(self, first: int, last: int) -> list[ChainEvent]:
        """The contract's events in blocks `first` to `last`, both included, in order."""
        events = await self._logs({"fromBlock": hex(first), "toBlock": hex(last)})
        if any(not first <= event.block <= last for event in events):
            raise BadReply(self.url, "eth_getLogs", f"a log outside blocks {first} to {last}")
        return events

    async def logs_of_job(self, job: bytes, first: int, last: int) -> list[ChainEvent]:
        """The logs of one job: nodes search by the job's id, which events index."""
        where = {"fromBlock": hex(first), "toBlock": hex(last)}
        events = await self._logs(where, [None, _hex(job)])
        if any(event.job != job or not first <= event.block <= last for event in events):
            raise BadReply(self.url, "eth_getLogs", "a log of another job or range")
        return events

    async def logs_of(self, block_hash: bytes) -> list[ChainEvent]:
        """The contract's events of one block by hash (EIP-234). Raises Refused if it is gone."""
        events = await self._logs({"blockHash": _hex(block_hash)})
        if any(event.block_hash != block_hash for event in events):
            raise BadReply(self.url, "eth_getLogs", "a log of another block")
        return events

    def may_have_logged(self, head: Head) -> bool:
        """Whether the contract may have logged in a block, by its header; True without a bloom."""
        topics = self.codec.topics()
        return not head.bloom or may_hold(head.bloom, self._contract(), topics)

    async def logged_in(self, block_hash: bytes) -> bool | None:
        """Whether the contract logged in a block, by its receipts; None: the node does not tell."""
        address = _hex(self._contract())

        def parse(value: Any) -> bool | None:
            return None if value is None else replies.logged(value, address)

        try:
            return await self._ask("eth_getBlockReceipts", [_hex(block_hash)], parse)
        except (Refused, BadReply):
            return None  # many nodes have no such method, and some want a number

    async def _logs(
        self, where: dict[str, str], topics: Sequence[str | None] = ()
    ) -> list[ChainEvent]:
        address = self._contract()
        query = {"address": _hex(address), **where, **({"topics": [*topics]} if topics else {})}

        def parse(value: Any) -> list[ChainEvent]:
            return [self.codec.event(log) for log in replies.logs(value, address, MAX_LOGS)]

        return await self._agreed("eth_getLogs", [query], parse)

    # --- underneath -------------------------------------------------------------------------

    def _contract(self) -> bytes:
        if self.contract is None:
            raise NoContract(self.url, bytes(20))
        return self.contract


def _hex(value: bytes) -> str:
    return "0x" + value.hex()


def _tag(block: Block) -> str:
    return hex(block) if isinstance(block, int) else block


def _message(sender: bytes, to: bytes | None, data: bytes, value: int) -> dict[str, str]:
    message = {"from": _hex(sender), "data": _hex(data), "value": hex(value)}
    if to is not None:
        message["to"] = _hex(to)
    return message
