"""The course of a job's rounds: the first one, the next, a failed attempt's successor, the last."""

from __future__ import annotations

from protocol import params
from protocol.machines import inputs
from protocol.machines.job import JobEvent, JobPhase
from protocol.requester import commit, enrol, pay, unmask
from protocol.requester.attempt import open_attempt
from protocol.requester.state import RequesterRound
from protocol.requester.turn import RequesterTurn, go


def begin(
    turn: RequesterTurn, _: None, input_: inputs.ChainBlockHash | inputs.InitialModelMade
) -> None:
    """Open the first round once its blocks are drawn and the first model is there."""
    state = turn.state
    first = state.groups[0] if state.groups else None
    if state.phase is JobPhase.ROOTING and first is not None and first.seed and state.model_digest:
        go(turn, JobEvent.BLOCKS_DRAWN)
        _open_round(turn, input_.at, 0)


def _open_round(turn: RequesterTurn, at: int, number: int) -> None:
    """Open a round for everybody whose root is final by now."""
    enrol.adopt(turn)
    open_attempt(turn, at, number, 0)


def try_again(turn: RequesterTurn, round_: RequesterRound, input_: inputs.Tick) -> None:
    """Follow a failed attempt by the next."""
    if input_.at < round_.retry_at:
        return
    if round_.attempt + 1 >= params.MAX_ATTEMPTS:
        reason = f"round {round_.number} failed {params.MAX_ATTEMPTS} attempts"
        pay.give_up(turn, reason)
    else:
        open_attempt(turn, input_.at, round_.number, round_.attempt + 1)


def applied(turn: RequesterTurn, round_: RequesterRound, input_: inputs.ModelMoved) -> None:
    """Open the next round. After the last one, finish as soon as no shares can be waited for."""
    commit.apply(turn, round_, input_)
    state, rounds = turn.state, turn.context.spec.training.rounds
    if state.lost_rounds >= params.MAX_LOST_ROUNDS:
        why = f"{state.lost_rounds} rounds in a row moved nothing: no block's sum could be opened"
        pay.give_up(turn, why)
    elif len(state.records) < rounds:
        _open_round(turn, input_.at, len(state.records))
    else:
        _finish_when_given(turn, input_.at)


def could_not_apply(turn: RequesterTurn, round_: RequesterRound, input_: inputs.MoveFailed) -> None:
    """Training left the range of floats: the job ends, and its owners are paid."""
    pay.give_up(turn, f"round {round_.number} could not be applied: {input_.reason}")


def finish_when_given(turn: RequesterTurn, _: RequesterRound, input_: inputs.Tick) -> None:
    """Time passes for whoever owes shares of the last round."""
    _finish_when_given(turn, input_.at)


def last_shares_checked(
    turn: RequesterTurn, round_: RequesterRound, input_: inputs.Unmasked
) -> None:
    """Shares of the last round came late; perhaps they were the last ones owed."""
    unmask.late_checked(turn, round_, input_)
    _finish_when_given(turn, input_.at)


def _finish_when_given(turn: RequesterTurn, at: int) -> None:
    """Close the books, once every share of the last round has come or its time is over."""
    round_ = turn.state.round
    if round_ is None or len(turn.state.records) < turn.context.spec.training.rounds:
        return
    owing = any(owed.round == round_.number for owed in turn.state.owed)
    if not owing or at >= round_.unmask_until:
        pay.finish(turn, JobEvent.LAST_ROUND)
