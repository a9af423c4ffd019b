"""What a judge thinks of an answer: the log-odds of yes over no, read from probabilities."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sharpen.examples import Valued
from sharpen.feedback.p_true import between
from sharpen.feedback.scored import scored
from sharpen.parts import part
from sharpen.protocols import Round
from sharpen.sample.demonstrated import given_answer
from sharpen.sample.templates import filled
from sharpen.sequences import flattened
from sharpen.types import Completion, Group, Prompt, user

__all__ = ["ASK", "asked", "question", "value_score"]

ASK = "Question: {question}\nAnswer: {answer}\n{principles}Is this a good answer? Say Yes or No."
_OPTIONS = ("Yes", "No")


def asked(prompt: Prompt, answer: str, *, ask: str = ASK, principles: Sequence[str] = ()) -> Prompt:
    """The question to the judge about an answer, with Yes and No as its options."""
    rules = "".join(f"Principle: {one}\n" for one in principles)
    told = filled(ask, principles=rules, question=prompt.text, answer=answer)
    return user(told, options=_OPTIONS, parents=(prompt.id,))


def question(
    prompt: Prompt, completion: Completion, *, value: float = 1.0, ask: str = ASK, principles: Sequence[str] = ()
) -> Valued:
    """The same question as an example: both options, and the share of Yes that is wanted."""
    put = asked(prompt, completion.text, ask=ask, principles=principles)
    yes, no = (given_answer(put, option).row for option in _OPTIONS)
    return Valued(yes=yes, no=no, value=value)


@part(reads=("{role}",), writes=("{name}",), needs=("options", "chat"))
def value_score(
    *, role: str = "incumbent", name: str = "reward", ask: str = ASK, principles: tuple[str, ...] = (), log_odds: bool = False
) -> Callable[[Sequence[Group], Round], Sequence[Group]]:
    """A judge's value of every completion: the share of Yes in what it gives Yes and No, or the log-odds of it.

    Args:
        role: who judges.
        name: of the score.
        ask: text with `{question}`, `{answer}` and `{principles}` in it, to be answered by Yes or No.
        principles: what a good answer keeps to.
        log_odds: give the log-odds (nats) in place of the share.
    """

    def stage(groups: Sequence[Group], round: Round) -> Sequence[Group]:
        prompts = flattened(groups, prompts_of)
        found = round.policy(role).options(prompts)
        scores = [yes - no if log_odds else between(yes, no) for yes, no in found]
        return scored(groups, name, scores, [len(group.completions) for group in groups])

    def prompts_of(group: Group) -> list[Prompt]:
        return [asked(group.prompt, one.text, ask=ask, principles=principles) for one in group.completions]

    return stage
