"""What a join line leaves in config.toml while a daemon runs: its peer and channel contract."""

from __future__ import annotations

import dataclasses

from node.home.config import load_config, save_config
from node.home.home import Home
from protocol.addresses import to_checksum
from protocol.errors import StateError


def check_channels(home: Home, channels: bytes | None) -> None:
    """Raises StateError where the home has another channel contract; None is of no network."""
    have = load_config(home).channel_contract
    if channels is not None and have is not None and have != channels:
        error = StateError(
            f"the line is for channel contract {to_checksum(channels)}, this home uses "
            f"{to_checksum(have)}; one home serves one contract on one chain"
        )
        error.add_note("assay --home OTHER init LINE")
        raise error


def remember(home: Home, address: str, channels: bytes | None) -> None:
    """Join again after a restart, and know then what pays for predictions; each is stored once."""
    config = load_config(home)
    known = address in config.bootstrap
    changed = dataclasses.replace(
        config,
        bootstrap=config.bootstrap if known else (*config.bootstrap, address),
        channel_contract=config.channel_contract or channels,
    )
    if changed != config:
        save_config(home, changed)
