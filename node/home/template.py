"""The text of config.toml, with its explanations; `node.home.config` fills it in."""

from __future__ import annotations

from typing import Final

TEMPLATE: Final = """\
# assay's settings. `assay init` and `assay join` write this file whole, so comments of your own
# are lost then; a running daemon reads it when it starts.

[network]
# Where this node listens for peers: /ip4/ADDRESS/tcp/PORT. Port 0 takes any that is free,
# another one at each start: peers that were given the old one then have to find this node anew.
# A node behind NAT may leave this as it is: it takes part by connections that it opens.
listen = {listen}
# What others are told instead of this machine's own addresses: behind a router that forwards a
# port, its address outside and that port, and those of this network that are to be told as well.
announce = {announce}
# Peers to call first, each with its identity: /ip4/ADDRESS/tcp/PORT/p2p/PEER.
bootstrap = {bootstrap}

[chain]
# Any Ethereum JSON-RPC endpoint that you trust to tell you the truth about the chain.
{url}
# Others of the same chain: one is asked where those before it fail, lag or contradict the others.
urls = {urls}
# So many of all these must show the same blocks and events before the node acts on them. With 2,
# no single endpoint can make it release or pay anything; it waits while fewer answer.
agree = {agree}
# The chain's number and the bounty contract's address; `assay join` fills them in.
{id}
{contract}
# The address of the contract that pays for predictions, which `assay deploy` puts beside it; a
# network may have none, and then nothing is bought or sold there.
{channel_contract}
# Blocks on top of an event before the node acts on it, 0 to {max_finality}.
finality = {finality}
# The most that a transaction offers for a unit of gas, gwei, 1 to {most_gwei}. While gas costs
# more, transactions wait and say so. A tip is at most ten times the base fee, or 30 gwei.
max_fee_gwei = {max_fee_gwei}

[node]
# One of: {log_levels}.
log_level = {log_level}
# How the log is written, one of: {log_formats}. With json a line is an object: time, level, logger,
# message, and the traceback of a defect.
log_format = {log_format}
# Processes that train and encrypt, each on one core at low priority, 1 to {max_workers}.
workers = {workers}

[limits]
# The part of a core that each worker may take, percent, {min_share} to 100. Half of one takes twice
# as long; a round that is not met in time pays nothing.
share = {share}
# When this node takes jobs and begins attempts, in this machine's time, as in "22:00-06:00"; empty:
# always. What was begun is finished, and what is owed is released, at any time.
hours = {hours}

[payout]
# Who receives what this home's data sets earn: an account whose keys may lie elsewhere. It is
# signed with each enrolment, and stays for that job. A data set's policy may name another
# (`payout`).
{payout}

[jobs]
# Whether a job that this home posts pays everybody in one transaction at its end, or with a
# transaction for each account. The first is cheaper wherever more than one account is paid.
whole_rounds = {whole_rounds}

[privacy]
# Data sets that have more than this part of the smaller one's rows in common share one privacy
# budget, 0 to {max_overlap}. It is asked when a data set is added; what is shared stays shared.
overlap = {overlap}
"""
