"""Reports with stated outcomes, for tests of what reads reports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sharpen.types import Completion, Report, Score, Segment

HEALTHY = {
    "distinct": 0.6,
    "entropy": 4.5,
    "stop_rate": 0.98,
    "mean_length": 9.0,
    "target_distinct": 0.62,
    "target_entropy": 4.6,
}


def answer(text: str = "42", *, num_tokens: int = 3, finish: str = "stop", index: int = 0, prompt_id: str = "p") -> Completion:
    return Completion(
        segments=(Segment(token_ids=tuple(range(num_tokens)), logprobs=(-0.5,) * num_tokens),),
        text=text,
        finish=finish,  # type: ignore[arg-type]
        prompt_id=prompt_id,
        checkpoint="base",
        index=index,
    )


ONE = answer()


def report(
    outcomes: Sequence[Score],
    *,
    checkpoint: str = "candidate",
    statistics: Mapping[str, float] | None = None,
    second: Report | None = None,
    clusters: Sequence[str] | None = None,
    metric: str = "accuracy",
    split: str = "gate",
    prompt_ids: Sequence[str] | None = None,
) -> Report:
    return Report(
        checkpoint=checkpoint,
        split=split,
        prompt_ids=tuple(prompt_ids) if prompt_ids is not None else tuple(f"p{i}" for i in range(len(outcomes))),
        outcomes={metric: tuple(outcomes)},
        completions=(ONE,) * len(outcomes),
        statistics=HEALTHY if statistics is None else statistics,
        second=second,
        clusters=None if clusters is None else tuple(clusters),
    )


def counts(wins: int, losses: int, both_right: int = 0, both_wrong: int = 0) -> tuple[Report, Report]:
    """Candidate and incumbent with these numbers of prompts of each kind."""
    new = [1.0] * wins + [0.0] * losses + [1.0] * both_right + [0.0] * both_wrong
    old = [0.0] * wins + [1.0] * losses + [1.0] * both_right + [0.0] * both_wrong
    return report(new), report(old, checkpoint="incumbent")
