"""Trees of fragments of a call, grown where ratings and likeness to the right answer promise most, and the pairs that they hold."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from sharpen.examples import Preference, Row
from sharpen.parts import part
from sharpen.protocols import Request, Round, Sampling
from sharpen.sample.fragments import LETTERS, first_value, overlap, promise, rating
from sharpen.sample.search import Ask, Draw, Search, driven, tree_search
from sharpen.sample.templates import filled
from sharpen.sample.tree import Node, tree_of
from sharpen.sequences import flattened
from sharpen.types import Completion, Group, Prompt, user

__all__ = ["FRAGMENT_ENDS", "RATE", "fragment_search", "siblings"]

FRAGMENT_ENDS = (". ", ", ", "=", "(")

RATE = (
    "Right answer: {right}\nAnswer: {answer}\nBeside the right answer this answer is\n(A) excellent\n(B) acceptable\n(C) fair\n(D) poor\n"
    "Say one letter."
)


@part(reads=("{role}",), writes=("value",), needs=("generate", "continue", "options", "chat"))
def fragment_search(
    num_iterations: int = 5,
    *,
    breadth: int = 3,
    depth: int = 3,
    weight: float = 1.0,
    temperature: float = 1.5,
    max_fragment_tokens: int = 50,
    stop: tuple[str, ...] = FRAGMENT_ENDS,
    role: str = "current",
    ask: str = RATE,
) -> Callable[[Sequence[Prompt], Round], Sequence[Group]]:
    """A tree of fragments a prompt, as one group of all its nodes; the score `value` is each one's sum of values.

    In each iteration the search goes down to a node without children by `promise`, gives it `breadth` fragments (equal ones merged), each
    worth `first_value`, and writes the best of them on to the end of the answer. The policy rates what was so written beside the prompt's
    target, and the rating is added to that fragment and all above it. The trees of all prompts grow together. A node's completion names
    the one that it goes on from among its parents; those that can be gone on from are partial.

    Args:
        num_iterations: fragments that are gone on from, a prompt.
        breadth: fragments drawn of a node.
        depth: fragments on a path at most.
        weight: of exploring.
        temperature: of sampling.
        max_fragment_tokens: of a fragment.
        stop: what ends a fragment.
        role: who writes and rates.
        ask: text with `{right}` and `{answer}` in it, to be answered by a letter from A to D.

    Raises:
        ValueError: a number is below 1; or, when it runs, a prompt has no target.
    """
    if min(num_iterations, breadth, depth, max_fragment_tokens) < 1:
        raise ValueError(
            f"num_iterations {num_iterations}, breadth {breadth}, depth {depth} and max_fragment_tokens {max_fragment_tokens} "
            "are at least 1"
        )

    def stage(prompts: Sequence[Prompt], round: Round) -> Sequence[Group]:
        limit = round.max_new_tokens
        fragment = Sampling(temperature=temperature, max_new_tokens=min(max_fragment_tokens, limit), stop=stop)

        def search(prompt: Prompt) -> Search[Group]:
            if prompt.target is None:
                raise ValueError(f"prompt {prompt.tags.get('id', prompt.id)!r} has no target, and fragments are valued by it")
            rules = _Fragments(
                prompt=prompt,
                right=prompt.target,
                fragment=fragment,
                seed=round.seed,
                limit=limit,
                breadth=breadth,
                depth=depth,
                weight=weight,
                ask=ask,
            )
            root = Node()
            yield from tree_search(root, rules, num_iterations)
            nodes = [node for node in root.nodes() if node.completion is not None]
            made = tuple(node.completion for node in nodes if node.completion is not None)
            return Group(prompt=prompt, completions=made).with_scores(value=[node.value for node in nodes])

        policy = round.policy(role)
        return driven([search(prompt) for prompt in prompts], policy=policy, judge=policy)

    return stage


@part()
def siblings(
    by: str = "value", *, min_gap: float = 0.1, max_overlap: float = 0.95, min_best: float = -0.3
) -> Callable[[Sequence[Group], Round], Sequence[Preference]]:
    """At each node of a group's tree its best child over its worst: two answers, up to there, that part in their last fragments alone.

    Nothing where their values are less than `min_gap` apart, where the fragments share more than `max_overlap` of their words, or where the
    best is below `min_best` (iTool: Zeng et al. 2025, arXiv 2501.09766, authors' code). Of equal children the one drawn first is taken.

    Args:
        by: the score that is the value; completions whose score abstained are on neither side.
        min_gap: least difference of values.
        max_overlap: of the two fragments' words, in [0, 1].
        min_best: least value of the better one.

    Raises:
        ValueError: when it runs, no stage has written that score.
    """

    def stage(groups: Sequence[Group], round: Round) -> Sequence[Preference]:
        return flattened(groups, pairs)

    def pairs(group: Group) -> list[Preference]:
        root, nodes = tree_of(group.completions, [False] * len(group.completions))
        known = {node: score for node, score in zip(nodes, group.score(by), strict=True) if score is not None}
        return [pair for node in root.nodes() if (pair := _pair(group, node, known)) is not None]

    def _pair(group: Group, node: Node, known: dict[Node, float]) -> Preference | None:
        valued = [child for child in node.children if child in known]
        if len(valued) < 2:
            return None
        best, worst = max(valued, key=known.__getitem__), min(valued, key=known.__getitem__)
        ends = [one.text[len(node.text) :] for one in (best, worst)]
        if known[best] - known[worst] < min_gap or known[best] < min_best or overlap(*ends) > max_overlap:
            return None
        chosen, rejected = (
            Row(prompt=group.prompt, completion=one.completion) for one in (best, worst) if one.completion is not None
        )
        return Preference(chosen=chosen, rejected=rejected)

    return stage


@dataclass(frozen=True, kw_only=True)
class _Fragments:
    """Rules of a tree of fragments; the attributes are those of `fragment_search`."""

    prompt: Prompt
    right: str
    fragment: Sampling
    seed: int
    limit: int
    breadth: int
    depth: int
    weight: float
    ask: str
    indices: Iterator[int] = field(default_factory=itertools.count)
    ratings: dict[Node, float] = field(default_factory=dict)

    def select(self, root: Node) -> Search[Node]:
        """The most promising node that has no children yet and may have some."""
        yield from ()
        node = root
        while node.children:
            node = max((one for one in node.children if self._open(one)), key=lambda one: promise(one, self.weight))
        return node

    def extend(self, node: Node) -> Search[Sequence[Node]]:
        """New fragments, the best of which is written on and rated."""
        requests = [
            Request(prompt=self.prompt, index=next(self.indices), seed=self.seed, partial=node.completion)
            for _ in range(self.breadth)
        ]
        told = yield Ask(draws=tuple(Draw(request=request, sampling=self.fragment) for request in requests))
        fresh: dict[str, Completion] = {}
        for one in told.completions:
            fresh.setdefault(one.text, one)
        for child in node.grow(fresh.values(), stop=self.fragment.stop, limit=self.limit):
            child.prior = _mean_probability(child)
            child.value = first_value(child.text[len(node.text) :], self.right)
        best = max(node.children, key=lambda child: child.value)
        written = best.text
        if not best.ended:
            sampling = Sampling(temperature=self.fragment.temperature, max_new_tokens=self.limit - best.num_tokens)
            request = Request(prompt=self.prompt, index=next(self.indices), seed=self.seed, partial=best.completion)
            told = yield Ask(draws=(Draw(request=request, sampling=sampling),))
            written = told.completions[0].text
        asked = filled(self.ask, right=self.right, answer=written[len(node.text) :])
        read = yield Ask(options=(user(asked, options=LETTERS, parents=(self.prompt.id,)),))
        self.ratings[best] = rating(read.options[0])
        return [best]

    def back_up(self, node: Node) -> None:
        """Count a visit on the path to the root, and add the rating to each value on it."""
        for one in node.path():
            one.visits += 1
            one.value += self.ratings[node]

    def done(self, root: Node) -> bool:
        """Whether nothing can be gone on from."""
        return not self._open(root)

    def _open(self, node: Node) -> bool:
        if node.children:
            return any(map(self._open, node.children))
        return not node.ended and sum(1 for _ in node.path()) <= self.depth


def _mean_probability(node: Node) -> float:
    """Geometric mean of the probabilities, at the sampling temperature, of a node's own tokens."""
    assert node.completion is not None
    assert node.parent is not None
    own = (node.completion.logprobs or ())[node.parent.num_tokens :]
    return math.exp(math.fsum(own) / len(own)) if own else 1.0
