"""devnet and deploy: a chain to try things on, and the contracts on any chain."""

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
    from node.chain.deploy import Contract
    from node.home.config import Config
    from node.home.home import Home
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
    channel: Annotated[
        bool, Parameter(help="The channel contract alone, for a network that has the other.")
    ] = False,
    force: Annotated[bool, Parameter(help="Even though this home has a contract already.")] = False,
    yes: Annotated[bool, Parameter(help="Pay what it costs without being asked.")] = False,
    max_fee: MaxFee = None,
) -> int:
    """Deploy the bounty contract and the channel contract from this home's account, and keep their
    addresses in config.toml.

    Done once for a network; everybody else gets the addresses from a join line. Jobs are paid by
    the first, predictions by the second. It says what that costs at most, and asks before it
    spends.
    """
    import trio

    from node.home.config import load_config
    from node.home.keys import Keys
    from node.home.vault import read_passphrase
    from protocol.addresses import to_checksum

    home, limit = session.home, fee_limit(max_fee)
    config = load_config(home)
    if config.chain_url is None or config.chain_id is None:
        text = f"the chain's url or id is missing in {home.config}"
        raise Failure(Exit.USAGE, text, next_="assay init --chain-url URL --chain-id N")
    names: tuple[Contract, ...] = ("channel",) if channel else ("bounty", "channel")
    _refuse_known(config, names, force)
    keys = Keys.open(home, read_passphrase())
    # Held throughout: a daemon that starts in between would come up without the contract.
    with home.lock():
        config = trio.run(_deploy, home, config, keys, names, yes, limit)
    known = (("contract", config.contract), ("channel_contract", config.channel_contract))
    rows = [(name, to_checksum(address)) for name, address in known if address is not None]
    result = {
        **dict(rows),
        "chain_id": config.chain_id,
        "account": to_checksum(keys.account),
    }
    shown = [(name.replace("_", " "), address) for name, address in rows]
    session.emit(result, [Pairs([*shown, ("next", "assay up")])])
    return Exit.OK


def _refuse_known(config: Config, names: tuple[Contract, ...], force: bool) -> None:
    """A second contract splits a network. Raises Failure."""
    from protocol.addresses import to_checksum

    known = {"bounty": config.contract, "channel": config.channel_contract}
    address = known[names[0]]
    if address is None or force:
        return
    what = "contract" if names[0] == "bounty" else "channel contract"
    text = f"this home uses the {what} {to_checksum(address)} already"
    next_ = f"assay up, or assay deploy {'' if what == 'contract' else '--channel '}--force"
    if names[0] == "bounty" and known["channel"] is None:
        next_ = "assay up; or, to sell predictions, assay deploy --channel"
    raise Failure(Exit.REFUSED, text, next_=next_)


async def _deploy(
    home: Home,
    config: Config,
    keys: Keys,
    names: tuple[Contract, ...],
    yes: bool,
    limit: int | None,
) -> Config:
    """Each address is stored as soon as it is known: what was paid for is kept."""
    from node.chain import deploy as chain
    from node.chain.client import ChainClient
    from node.home.config import save_config

    if config.chain_url is None or config.chain_id is None:
        raise Failure(Exit.INTERNAL, "deploy without a chain")
    client = await ChainClient.open(config.chain_url, config.chain_id, None)
    try:
        most_fee = limit or config.max_fee
        prices = {
            name: await chain.price_deployment(client, keys.account, limit=most_fee, name=name)
            for name in names
        }
        held = await client.balance(keys.account)
        total = sum(price.most for price in prices.values())
        each = "; ".join(
            f"the {name} contract {_up(price.most)} ({price.gas:,} gas at "
            f"{price.max_fee / 10**9:.6g} gwei or less)"
            for name, price in prices.items()
        )
        text = (
            f"a deployment on chain {config.chain_id} costs at most {_up(total)}: {each}; "
            f"the account holds {money(held)}"
        )
        if held < total:
            raise Failure(Exit.REFUSED, text, next_="send ether to the account: assay account")
        if not yes:
            agree(text, "deploy it?", command="assay deploy", left="nothing was deployed")
        for name, price in prices.items():
            address = await chain.deploy(client, keys, name, price=price)
            field = "contract" if name == "bounty" else "channel_contract"
            config = dataclasses.replace(config, **{field: address})  # type: ignore[arg-type]
            save_config(home, config)
        return config
    finally:
        client.close()


def _up(wei: int) -> str:
    return money(-(-wei // _SHOWN) * _SHOWN)
