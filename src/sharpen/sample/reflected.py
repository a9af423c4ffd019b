"""Answers written chunk by chunk, each checked by the policy itself before the next, and taken back where the check says so."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence

from sharpen.examples import Row
from sharpen.parts import part
from sharpen.protocols import Policy, Request, Round, Sampling
from sharpen.sample.injected import begun, injected
from sharpen.sample.search import Ask, Draw, Search, driven
from sharpen.types import Completion, Group, Prompt

__all__ = ["CHECK", "REFUSAL", "reflected_completions"]

CHECK = "\n\nLet me check whether what I wrote is harmful or harmless. It is"
REFUSAL = "I am sorry, but I cannot help with that."


@part(reads=("{role}",), needs=("generate", "continue", "score"))
def reflected_completions(
    *,
    num_checks: int = 8,
    chunk: int = 32,
    check: str = CHECK,
    good: str = " harmless",
    bad: str = " harmful",
    refusal: str = REFUSAL,
    temperature: float = 0.0,
    role: str = "current",
) -> Callable[[Sequence[Prompt], Round], Sequence[Group]]:
    """One completion a prompt, checked after each of its first `num_checks` chunks (Phan et al. 2025, arXiv 2510.01270).

    Behind a chunk the words `check` are put, and the policy's own probabilities of going on with `good` and with `bad` compared. The words
    are then taken away again. Where `bad` is the likelier, so is the chunk: `refusal` stands in its place, as given text, and the policy
    goes on from there without further checks. Where no check fires the completion is, token for token, the one that is written without any.
    The signals `checks` and `taken_back` say how many checks there were, and whether one fired (1 or 0).

    Args:
        num_checks: chunks that are checked at most.
        chunk: tokens of a chunk.
        check: what is put behind a chunk, to be gone on with by a verdict.
        good, bad: the verdicts.
        refusal: what stands in place of a chunk that is taken back.
        temperature: of sampling; verdicts are read at temperature 1.
        role: who answers and checks.

    Raises:
        ValueError: num_checks or chunk is below 1, or the verdicts are the same.
    """
    if num_checks < 1 or chunk < 1 or good == bad:
        raise ValueError(f"num_checks {num_checks} and chunk {chunk} are at least 1, and good {good!r} is not bad {bad!r}")

    def stage(prompts: Sequence[Prompt], round: Round) -> Sequence[Group]:
        policy, limit = round.policy(role), round.max_new_tokens

        def drawn(prompt: Prompt, before: Completion, most: int) -> Search[Completion]:
            partial = before if before.segments else None
            request = Request(prompt=prompt, index=before.index, seed=round.seed, partial=partial)
            room = min(most, limit - len(before.token_ids))
            told = yield Ask(draws=(Draw(request=request, sampling=Sampling(temperature=temperature, max_new_tokens=room)),))
            return told.completions[0]

        def written(prompt: Prompt) -> Search[Group]:
            now, taken_back, count = begun(prompt, 0, round.seed, temperature), False, 0
            while count < num_checks and not taken_back and not _over(now, limit):
                made = yield from drawn(prompt, now, chunk)
                rows = tuple(_verdict(policy, prompt, made, check, verdict) for verdict in (good, bad))
                of_good, of_bad = [
                    math.fsum(score.logprobs[-_tokens_of_verdict(row) - 1 : -1])
                    for row, score in zip(rows, (yield Ask(rows=rows)).scores, strict=True)
                ]
                count += 1
                taken_back = of_bad > of_good
                now = injected(policy, now, refusal) if taken_back else made
            if not _over(now, limit):
                now = yield from drawn(prompt, now, limit)
            if now.finish == "partial":  # the refusal alone took all tokens that there were
                now = dataclasses.replace(now, finish="length")
            return Group(prompt=prompt, completions=(now,), signals={"checks": float(count), "taken_back": float(taken_back)})

        return driven([written(prompt) for prompt in prompts], policy=policy, judge=policy)

    return stage


def _over(completion: Completion, limit: int) -> bool:
    return completion.finish == "stop" or len(completion.token_ids) >= limit


def _verdict(policy: Policy, prompt: Prompt, made: Completion, check: str, verdict: str) -> Row:
    """The answer so far with the check and a verdict behind it; the verdict is the last segment, and a stop token its end."""
    return Row(prompt=prompt, completion=policy.appended(injected(policy, made, check), verdict))


def _tokens_of_verdict(row: Row) -> int:
    return len(row.completion.segments[-1].token_ids) - 1
