"""Further turns in which a policy is told what its program did wrong, and writes it again."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

from sharpen.errors import VerifierError
from sharpen.identity import function_key
from sharpen.parts import part
from sharpen.protocols import Round, Sampling, Verifier
from sharpen.sample.follow_ups import replied
from sharpen.sample.templates import check_places, filled
from sharpen.types import Completion, Group
from sharpen.verifiers import Verdict, VerifierPool

__all__ = ["debugged"]

_TELL = (
    "That program is wrong.\n{feedback}\n\nExplain line by line what it does, and where that differs from what was asked. Then give "
    "the whole corrected program in one fenced block."
)


@part(reads=("{role}", "task"), needs=("generate", "chat", "continue"))
def debugged(
    check: Verifier,
    num_turns: int = 10,
    *,
    temperature: float = 0.0,
    role: str = "current",
    tell: str = _TELL,
    max_abstain: float = 0.5,
) -> Callable[[Sequence[Group], Round], Sequence[Group]]:
    """Every completion after as many corrections as `check` asks for, or `num_turns` (Self-Debug: Chen et al. 2023, arXiv 2304.05128).

    A completion that `check` accepts, or cannot judge, stands. To any other the user says what was wrong, as far as the verifier tells
    it, and the policy explains and answers again; all earlier turns stay in the conversation. A completion keeps the tokens of all its
    turns; its text is the last one alone. The signal `corrected` counts the new answers of a group.

    Args:
        check: what the policy is told by; never what its answers are scored by.
        num_turns: corrections at most.
        temperature: of sampling; the same as of the turns before.
        role: who answers.
        tell: what is said to a wrong answer, with `{feedback}` in it.
        max_abstain: share of abstentions in [0, 1] above which nothing is corrected.

    Raises:
        ValueError: num_turns is below 1, or `tell` has no place for the feedback; or, when it runs, the task's own verifier is `check`.
        VerifierError: when it runs, `check` abstained on more than `max_abstain` of the answers.
    """
    if num_turns < 1:
        raise ValueError(f"debugged(num_turns={num_turns}) corrects nothing; num_turns is at least 1")
    check_places("tell", tell, "feedback")

    def stage(groups: Sequence[Group], round: Round) -> Sequence[Group]:
        if round.task.verifier is not None and function_key(round.task.verifier) == function_key(check):
            raise ValueError(
                f"answers are corrected by what scores them, {check!r}, so that their score would say nothing; score by other tests "
                "(--verifier code:hidden), or correct by another verifier"
            )
        policy, sampling = round.policy(role), Sampling(temperature=temperature, max_new_tokens=round.max_new_tokens)
        now = list(groups)
        going = [[True] * len(group.completions) for group in now]
        corrected = [0] * len(now)
        with VerifierPool(check) as pool:
            for _ in range(num_turns):
                verdicts = _judged(pool, now, going, max_abstain)
                messages = [[_said(tell, one) for one in some] for some in verdicts]
                going = [[one is not None for one in some] for some in messages]
                if not any(map(any, going)):
                    break
                answered = replied(now, messages, sampling, policy=policy, seed=round.seed)
                now = [_read(group, open_) for group, open_ in zip(answered, going, strict=True)]
                corrected = [count + sum(open_) for count, open_ in zip(corrected, going, strict=True)]
        return [group.with_signals(corrected=float(count)) for group, count in zip(now, corrected, strict=True)]

    return stage


def _judged(
    pool: VerifierPool, groups: Sequence[Group], going: Sequence[Sequence[bool]], max_abstain: float
) -> list[list[Verdict | None]]:
    """Of each completion that is gone on with its verdict, None of the others."""
    pairs = [
        (group.prompt, one)
        for group, here in zip(groups, going, strict=True)
        for one, open_ in zip(group.completions, here, strict=True)
        if open_
    ]
    found = pool.verify(pairs)
    silent = [verdict.reason for verdict in found if verdict.score is None]
    if len(silent) > max_abstain * len(found):
        raise VerifierError(
            f"verifier {pool.verifier!r} abstained on {len(silent)} of {len(found)} answers ({silent[0]}), more than the "
            f"{max_abstain:.0%} allowed; mend it, or see `sharpen audit-verifier`"
        )
    told = iter(found)
    return [[next(told) if open_ else None for open_ in here] for here in going]


def _said(tell: str, verdict: Verdict | None) -> str | None:
    """What is said to an answer; None where it stands."""
    if verdict is None or verdict.score is None or verdict.score >= 1.0:
        return None
    return filled(tell, feedback=verdict.detail or "").replace("\n\n\n", "\n\n")


def _read(group: Group, going: Sequence[bool]) -> Group:
    """The group with the text of the last turn in place of all turns', where a completion has just gone on."""

    def read(one: Completion, open_: bool) -> Completion:
        return one.in_turn(one.turns[-1]) if open_ else one

    return dataclasses.replace(group, completions=tuple(map(read, group.completions, going)))
