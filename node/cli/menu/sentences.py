"""What each command says of itself on the first page of help; written by scripts/menu."""

from __future__ import annotations

from typing import Final

SENTENCES: Final = {
    "init": "Make a home: its directory, config.toml and keys.",
    "up": "Run the daemon of this home, here or in the background.",
    "down": "Drain and end the daemon. Jobs go on when it starts again.",
    "status": (
        "The daemon at a glance: addresses, chain, jobs, what is wrong. Never waits for its work."
    ),
    "pause": "Take no job and begin no attempt until `assay resume`.",
    "resume": "Take jobs and begin attempts again, after `assay pause`.",
    "web": "Show this home's jobs, data and money in a browser, until Ctrl-C.",
    "peers": "Connected peers.",
    "join": "Join a swarm by the line that one of its nodes printed; remembered over restarts.",
    "account": "This home's account; with a running daemon, its balance and what it can claim.",
    "doctor": (
        "Look for what is wrong with this node: each check with a sentence, and what to do next."
    ),
    "logs": "The end of the log of a daemon that was started by `assay up --background`.",
    "events": (
        "What happened since the daemon started, as far as it keeps it. With --json, one event "
        "a line."
    ),
    "metrics": "Answer Prometheus at /metrics with this home's daemon, until Ctrl-C.",
    "traces": (
        "Send rounds to a collector of yours as OpenTelemetry spans (OTLP over HTTP), until Ctrl-C."
    ),
    "notify": "Tell you what wants you: a job that waits for consent, pay, a job's end, trouble.",
    "send": "Send ether or a token from this home's account, such as what it has earned.",
    "rpc": "Call one method of the control socket and print its result as JSON.",
    "completion": "Print what makes a shell complete assay's commands and options.",
    "earnings": (
        "What this home's data sets earned: by job and round what left, what is due, what was paid."
    ),
    "receipts": (
        "What was earned as receipts: lines of JSON, chained by hashes and signed by this account."
    ),
    "privacy": "Privacy budgets of datasets: spent, reserved, left, and what each job told.",
    "train": "Take a waiting job by hand with one dataset, though its policy only waits.",
    "leave": (
        "Leave a job that you have taken: no attempt of it is begun on this node any more, for "
        "good."
    ),
    "jobs": "Jobs known here, newest first, and why each stands where it stands.",
    "params": "Choose a job's encryption from its goals: the shortest key, the narrowest values.",
    "sales": "Channels over which buyers ask this home: granted, redeemed, left.",
    "purchases": "Channels over which this home buys: what is granted, and what is left.",
    "redeem": (
        "Turn what buyers granted into money: a transaction each channel, followed until it is "
        "final."
    ),
    "reclaim": "Take back what is left of a channel now, with its seller's signature.",
    "predict": (
        "Predict for every row of a file, into a CSV: prediction, and each class's probability."
    ),
    "claim": "Send claims: the contract pays what each account has earned. Anybody may send them.",
    "audit": (
        "Check a job's books again, from the chain and the stored evidence. Exit code 7 on a fault."
    ),
    "demo": (
        "Run the main job: a chain, eight daemons, six owners' data, a trained model, all paid."
    ),
    "devnet": "Run an Ethereum chain in memory, for trying things out; it ends with this process.",
    "deploy": (
        "Deploy the bounty contract and the channel contract from this home's account, and "
        "keep their addresses in config.toml."
    ),
}
