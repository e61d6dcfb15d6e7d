"""jobs, job, train, model, claim, audit: from a posted spec to a paid account."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

from cyclopts import Parameter

from node.cli import views
from node.cli.money_views import HOLDOUT_IDLE, PUBLISHES, claims, quoted
from node.cli.options import (
    Here,
    Job,
    MaxFee,
    NoNoise,
    Spec,
    Yes,
    fee_limit,
    holdout_file,
    read_spec,
)
from node.console.asking import agree
from node.console.currency import pay
from node.console.endings import ENDS, may_end, over, stands
from node.console.failure import Failure
from node.console.session import Session, write_json
from node.console.standing import fit_of_rows, noise_warning
from node.control.codes import Exit

if TYPE_CHECKING:
    from node.control.shapes import Event, ModelFile, Posted


_NO_HOLDOUT: Final = "warning: no hold-out set: accuracy stays blank (--holdout)"


def jobs(*, session: Here) -> int:
    """Jobs known here, newest first, and why each stands where it stands."""
    found = session.call("jobs")
    session.emit(found, views.jobs(found, session.tokens))
    return Exit.OK


def job_post(
    spec: Spec,
    *,
    session: Here,
    holdout: Annotated[
        str | None, Parameter(help="A dataset's name or a file; accuracy is measured on it.")
    ] = None,
    no_noise: NoNoise = False,
    max_fee: MaxFee = None,
    yes: Yes = False,
) -> int:
    """Post a job: check its spec, escrow its bounty, announce it to the swarm.

    It says what that locks up and costs, and asks before it spends. A job that pays in a token is
    preceded by one approval of exactly its escrow, if the contract may not take as much already.
    --max-fee bounds what the posting offers, not the transactions of the rounds that follow.
    """
    text, path = read_spec(spec), holdout_file(holdout)
    given = holdout if path is None else str(path.absolute())
    limit = fee_limit(max_fee)
    if not yes:
        quote = session.call("job.quote", {"spec": text, "no_noise": no_noise})
        if quote["problem"]:
            raise Failure(Exit.CHAIN, quote["problem"], next_=f"assay job check {spec}")
        said = quoted(quote, session.tokens)
        agree(said, "post it?", command=f"assay job post {spec}", left="nothing was posted")
    asked = {"spec": text, "holdout": given, "no_noise": no_noise, "max_fee": _wei(limit)}
    posted = session.call("job.post", asked)
    lines = [
        f"posted {posted['job']}",
        f"escrowed {pay(posted['escrowed'], posted['token'], session.tokens)}",
        *([f"transaction {posted['transaction']}"] if posted["transaction"] else []),
        *_holdout(posted, holdout),
        *noise_warning(posted),
        f"next: assay job watch {posted['job']}",
    ]
    session.emit(posted, lines)
    return Exit.OK


def _holdout(posted: Posted, holdout: str | None) -> list[str]:
    """What is measured on the hold-out set, and what becomes of it."""
    if holdout is None:
        return [_NO_HOLDOUT]
    if posted["merit"] == "0" or posted["merit_by"] == "discretion":
        return []
    if posted["merit_by"] == "worth":
        return [f"merit is by worth: {PUBLISHES}"]
    return [f"--holdout {HOLDOUT_IDLE}"]


def job_show(job: Job, *, session: Here) -> int:
    """All that this node knows of a job: rounds, owners, money, bytes, seconds."""
    found = session.call("job.show", {"job": job})
    session.emit(found, views.job(found, session.tokens))
    return Exit.OK


def job_watch(job: Job, *, session: Here) -> int:
    """Follow a job's events until it ends. With --json, one event a line.

    Exit code 0 if the job finished with all of its rounds, 6 if it was declined, cancelled or
    expired, 7 if it failed or ended early.
    """
    with session.connect() as client, session.connect() as asking:
        summary = asking.call("job.show", {"job": job})["summary"]
        if not over(summary):
            for event in client.events(summary["job"], since=0):
                _print_event(event, session)
                if may_end(event):
                    summary = asking.call("job.show", {"job": summary["job"]})["summary"]
                if over(summary):
                    break
        if not session.json:
            text = f"{summary['job']} {stands(summary)}. {summary['reason']}"
            session.emit(None, [text.rstrip(), *noise_warning(summary)])
    return Exit.FAULT if summary["early"] else ENDS[summary["state"]]


def _wei(amount: int | None) -> str | None:
    return None if amount is None else str(amount)


def _print_event(event: Event, session: Session) -> None:
    if session.json:
        write_json(event)
    else:
        session.emit(event, [views.event(event)])


def job_cancel(job: Job, *, session: Here) -> int:
    """Cancel a job of yours. The contract closes it after its notice; what was earned stays paid.

    Training ends once the cancellation is on the chain. Contributions that are committed by the
    closing stay paid, with an equal share of merit each; then the rest comes back. Twice is once.
    """
    cancelled = session.call("job.cancel", {"job": job})
    session.emit(cancelled, views.cancelled(cancelled))
    return Exit.OK


def job_decline(job: Job, *, session: Here) -> int:
    """Keep out of a job that waits for you, for good.

    Nobody is told. Whoever waits for your enrolment sees that none comes, and not why.
    """
    found = session.call("job.decline", {"job": job})
    session.emit(found, [f"{found['job']} is {found['state']}: {found['reason']}"])
    return Exit.OK


def leave(job: Job, *, session: Here) -> int:
    """Leave a job that you have taken: no attempt of it is begun on this node any more, for good.

    What you contributed is paid, and shares that you owe are released all the same. Its requester
    is told at its next attempt. A job without noise cannot go on with your block.
    """
    found = session.call("job.leave", {"job": job})
    text = f"left {found['job']}: an attempt that has begun is finished, then none begins here"
    session.emit(found, [text, f"what comes of it: assay job show {found['job']}"])
    return Exit.OK


def train(
    job: Job,
    *,
    data: Annotated[str, Parameter(help="The dataset that will train.")],
    session: Here,
) -> int:
    """Take a waiting job by hand with one dataset, though its policy only waits.

    That is your word for what the policy leaves to you: accept=ask, the price, purposes, kinds of
    model, sizes and deadlines that it asks for. What it rules out stays so (accept=never, blocked
    requesters, no_noise, epsilon), and so do the privacy budget and whether the data fit: change
    the policy first. What policy or budget refuse ends with exit code 6.
    """
    taken = session.call("job.consent", {"job": job, "dataset": data})
    text = f"{taken['dataset']} trains {taken['job']}; it is {taken['state']}"
    warnings = [f"warning: {each}" for each in fit_of_rows(taken["fits"])]
    session.emit(taken, [text, *noise_warning(taken), *warnings])
    return Exit.OK


def model_get(
    job: Job,
    *,
    session: Here,
    out: Annotated[Path | None, Parameter(help="Where to put it; default: here.")] = None,
    round_: Annotated[
        int | None, Parameter(name="--round", help="After this many rounds; default: the newest.")
    ] = None,
    force: Annotated[bool, Parameter(help="Replace the file if it exists.")] = False,
) -> int:
    """Copy a job's model to an .npz file."""
    model = session.call("model.get", {"job": job, "round": round_})
    target = (out or Path(f"model-{model['job'][:10]}-{model['round']}.npz")).absolute()
    try:
        _copy(Path(model["path"]), target, force)
    except FileExistsError:
        raise Failure(
            Exit.USAGE, f"{target} exists", next_="the same command with --force", field="out"
        ) from None
    except OSError as error:
        text = f"{target} cannot be written: {error.strerror}"
        raise Failure(Exit.USAGE, text, field="out") from None
    lines = [f"{_which(model)}: {target}", f"digest {model['digest']}"]
    session.emit({**model, "out": str(target)}, lines)
    return Exit.OK


def _which(model: ModelFile) -> str:
    if not model["round"]:
        return "initial weights: no round went into them"
    done = f"after round {model['round']} of {model['rounds']}"
    if not model["final"]:
        return f"model {done}"
    early = model["round"] < model["rounds"]
    return f"last model, {done}: the job ended early" if early else f"final model, {done}"


def _copy(source: Path, target: Path, force: bool) -> None:
    with source.open("rb") as read, target.open("wb" if force else "xb") as written:
        shutil.copyfileobj(read, written)


def claim(
    job: Job,
    *,
    session: Here,
    account: Annotated[str | None, Parameter(help="Whom to claim for; default: see above.")] = None,
    everybody: Annotated[
        bool, Parameter(name="--all", negative="", help="For everybody that this node can.")
    ] = False,
) -> int:
    """Send claims: the contract pays what each account has earned. Anybody may send them.

    An owner claims for this home's account, the requester for everybody, unless told otherwise.
    """
    given = {"job": job, "account": account, "everybody": everybody}
    found = session.call("claim", given)
    session.emit(found, claims(found, session.tokens))
    return Exit.OK


def audit(job: Job, *, session: Here) -> int:
    """Check a job's books again, from the chain and the stored evidence. Exit code 7 on a fault."""
    found = session.call("audit", {"job": job})
    session.emit(found, views.audit(found))
    return Exit.OK if found["ok"] else Exit.FAULT
