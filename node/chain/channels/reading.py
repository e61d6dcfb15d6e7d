"""What the channel contract holds, at a final head and as all chain nodes say that must agree."""

from __future__ import annotations

from contracts import interface
from node.chain.channels import calls
from node.chain.channels.calls import ChannelState
from node.chain.client import ChainClient
from node.chain.errors import BadReply, NoContract, OtherContract
from node.chain.replies import Invalid


async def check_code(client: ChainClient, contract: bytes) -> None:
    """Raise NoContract or OtherContract unless the channel contract stands there, whole: a join
    line may come from anybody, and deposits go to what it names. Raises ChainError."""
    code = await client.agreed_code(contract)
    if not code:
        raise NoContract(client.url, contract)
    if code != interface("channel").runtime:
        raise OtherContract(client.url, contract)


async def look(
    client: ChainClient, contract: bytes, channel: bytes, depth: int
) -> ChannelState | None:
    """A channel `depth` blocks below the head; None where it is not there. Raises ChainError, also
    where the chain node no longer holds that block's state."""
    head = await client.head()
    if head.number < depth:
        return None
    found = await client.agreed_run(contract, calls.question(channel), head.number - depth)
    if not found:
        return None  # the contract itself is younger
    try:
        return calls.held(found)
    except Invalid as error:
        raise BadReply(client.url, "eth_call", str(error)) from error
