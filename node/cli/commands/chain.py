"""devnet and deploy: a chain to try things on, and the contract on any chain."""

from __future__ import annotations

import dataclasses
import sys
from typing import TYPE_CHECKING, Annotated, Final

from cyclopts import Parameter

from node.cli.options import Here, MaxFee, fee_limit
from node.console.amounts import money
from node.console.asking import agree
from node.console.failure import Failure
from node.console.session import Session, write_json
from node.console.show import Pairs
from node.control.codes import Exit

if TYPE_CHECKING:
    from node.home.config import Config
    from node.home.keys import Keys

#: Costs are shown in steps of so many wei, rounded up: a millionth of an ether.
_SHOWN: Final = 10**12

#: What an account gets where --fund names no amount, ether.
DEFAULT_FUND: Final = "1000 ether"


def devnet(
    *,
    session: Here,
    host: Annotated[str, Parameter(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, Parameter(help="Port; 0 takes a free one.")] = 8545,
    chain_id: Annotated[int, Parameter(help="The chain's id.")] = 1337,
    fund: Annotated[
        tuple[str, ...],
        Parameter(help='ACCOUNT or ACCOUNT=AMOUNT, such as 0x…="5 ether"; may be repeated.'),
    ] = (),
    block_time: Annotated[float, Parameter(help="Seconds between blocks.")] = 1.0,
) -> int:
    """Run an Ethereum chain in memory, for trying things out; it ends with this process.

    Without --fund, this home's account gets 1000 ether, if there is one. Anybody who reaches the
    port can use the chain: keep it on loopback.
    """
    from node.devnet.server import serve_devnet
    from protocol.addresses import to_checksum

    given = fund or _own_account(session)
    balances = dict(_funded(text) for text in given)
    if len(balances) != len(given):
        raise Failure(Exit.USAGE, "an account stands twice", field="fund")

    def ready(url: str) -> None:
        accounts = {to_checksum(address): str(wei) for address, wei in balances.items()}
        if session.json:
            write_json({"url": url, "chain_id": chain_id, "funded": accounts})
            return
        lines = [f"chain {chain_id} on {url}, a block every {block_time:g} s"]
        lines += [f"  {address}  {money(wei)}" for address, wei in accounts.items()]
        lines.append(f"next: assay init --chain-url {url} --chain-id {chain_id}, assay deploy")
        sys.stdout.write("\n".join(lines) + "\n")
        sys.stdout.flush()

    serve_devnet(host, port, chain_id, balances, block_time, ready)
    return Exit.OK


def _own_account(session: Session) -> tuple[str, ...]:
    from node.home.keys import public_account

    if not session.home.config.exists():
        return ()
    return ("0x" + public_account(session.home).hex(),)


def _funded(text: str) -> tuple[bytes, int]:
    from node.home.config import parse_contract
    from protocol.amounts import parse_amount

    account, _, amount = text.partition("=")
    return parse_contract(account, "fund"), parse_amount(amount or DEFAULT_FUND, "fund")


def deploy(
    *,
    session: Here,
    force: Annotated[bool, Parameter(help="Even though this home has a contract already.")] = False,
    yes: Annotated[bool, Parameter(help="Pay what it costs without being asked.")] = False,
    max_fee: MaxFee = None,
) -> int:
    """Deploy the bounty contract from this home's account, and keep its address in config.toml.

    Done once for a network; everybody else gets the address from a join line. It says what that
    costs at most, and asks before it spends.
    """
    import trio

    from node.home.config import load_config, save_config
    from node.home.keys import Keys
    from node.home.vault import read_passphrase
    from protocol.addresses import to_checksum

    home, limit = session.home, fee_limit(max_fee)
    config = load_config(home)
    if config.chain_url is None or config.chain_id is None:
        text = f"the chain's url or id is missing in {home.config}"
        raise Failure(Exit.USAGE, text, next_="assay init --chain-url URL --chain-id N")
    if config.contract is not None and not force:
        text = f"this home uses the contract {to_checksum(config.contract)} already"
        raise Failure(Exit.REFUSED, text, next_="assay up, or assay deploy --force")
    keys = Keys.open(home, read_passphrase())
    # Held throughout: a daemon that starts in between would come up without the contract.
    with home.lock():
        contract = trio.run(_deploy, config, keys, yes, limit)
        save_config(home, dataclasses.replace(config, contract=contract))
    address = to_checksum(contract)
    result = {
        "contract": address,
        "chain_id": config.chain_id,
        "account": to_checksum(keys.account),
    }
    session.emit(result, [Pairs([("contract", address), ("next", "assay up")])])
    return Exit.OK


async def _deploy(config: Config, keys: Keys, yes: bool, limit: int | None) -> bytes:
    from node.chain.client import ChainClient
    from node.chain.deploy import deploy_bounty, price_deployment

    if config.chain_url is None or config.chain_id is None:
        raise Failure(Exit.INTERNAL, "deploy without a chain")
    client = await ChainClient.open(config.chain_url, config.chain_id, None)
    try:
        price = await price_deployment(client, keys.account, limit=limit or config.max_fee)
        held = await client.balance(keys.account)
        most = -(-price.most // _SHOWN) * _SHOWN
        text = (
            f"a deployment on chain {config.chain_id} costs at most {money(most)} "
            f"({price.gas:,} gas at {price.max_fee / 10**9:.6g} gwei or less); "
            f"the account holds {money(held)}"
        )
        if held < price.most:
            raise Failure(Exit.REFUSED, text, next_="send ether to the account: assay account")
        if not yes:
            agree(text, "deploy it?", command="assay deploy", left="nothing was deployed")
        return await deploy_bounty(client, keys, price=price)
    finally:
        client.close()
