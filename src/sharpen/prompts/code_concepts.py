"""Programming tasks that a model writes: from functions to the concepts in them, and from concepts to tasks."""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Callable, Iterator, Sequence

from sharpen.parts import part
from sharpen.protocols import Policy, Request, Round, Sampling
from sharpen.types import Prompt, user
from sharpen.verifiers.code import code_of

__all__ = ["code_tasks", "seed_functions"]

_CONCEPTS = (
    ("def top(words):\n    return Counter(words).most_common(3)", "frequency counting, collections.Counter, ranking"),
    (
        "def parse(line):\n    return dict(pair.split('=') for pair in line.split(';'))",
        "string splitting, key-value parsing, dictionaries",
    ),
    (
        "def walk(node):\n    yield node\n    for child in node.children:\n        yield from walk(child)",
        "tree traversal, generators, recursion",
    ),
    ("def mean(rows):\n    return [sum(row) / len(row) for row in rows]", "list comprehensions, averages, nested lists"),
)
_TASKS = (
    ("frequency counting, ranking", "function", "easy", "Write a function `top_three(words)` that returns the "
     "three most frequent words of a list, most frequent first; of equally frequent ones the alphabetically first."),
    ("tree traversal, recursion", "class", "medium", "Write a class `Tree` with a value and children, and a method `depth()` "
     "that returns the number of nodes on the longest way from the root to a leaf."),
    ("key-value parsing, dictionaries", "function", "medium", "Write a function `settings(text)` that reads "
     "lines of the form name=value into a dictionary. Lines that begin with # and empty lines are left out; a name that comes twice keeps "
     "its last value."),
)  # fmt: skip
_CATEGORIES = ("function", "function", "class", "program")  # a function twice as likely, the source
_DIFFICULTIES = ("easy", "medium", "hard")
_HEAD = "### "
_UNWANTED = re.compile(r"\b(TODO|FIXME)\b|\b(?:import|from)\s+(?:os|sys)\b")
_TOKEN = re.compile(r"\w+")


def seed_functions(texts: Sequence[str], *, max_likeness: float = 0.5) -> list[str]:
    r"""The functions at the top level of these programs that can be seeds: documented, with an argument and a returned value, free of
    `os`, `sys` and to-do marks, and none like an earlier one.

    Args:
        texts: programs; text that is no Python has none.
        max_likeness: Jaccard similarity of two functions' sets of words from which on they are alike.

    >>> seed_functions(["def f(x):\\n    '''Twice.'''\\n    return 2 * x\\n\\ndef g():\\n    '''None.'''\\n"])
    ["def f(x):\\n    '''Twice.'''\\n    return 2 * x"]
    """
    found: list[tuple[str, set[str]]] = []
    for text in texts:
        for source in _functions(code_of(text)):
            words = set(_TOKEN.findall(source))
            if all(len(words & other) < max_likeness * len(words | other) for _, other in found):
                found.append((source, words))
    return [source for source, _ in found]


@part(reads=("{role}",), needs=("generate",))
def code_tasks(
    num_tasks: int,
    *,
    temperature: float = 0.7,  # 0.7, the authors' script
    max_words: int = 200,
    max_new_tokens: int = 256,
    role: str = "base",
    language: str = "Python",
) -> Callable[[Sequence[Prompt], Round], Sequence[Prompt]]:
    """Tasks that a policy writes from the functions in the prompts that come in (SelfCodeAlign: Wei et al. 2024, arXiv 2410.24198).

    The functions are those of the prompts' targets, or of their texts where they have none. Each asked-for item takes one of them, drawn by
    chance: the policy lists its concepts, and writes a task on these of a category and difficulty drawn by chance. Whatever was cut, has
    more than `max_words` words or was there before (white space aside) is left out. The prompts that come in are not among those that
    go out.

    Args:
        num_tasks: items that are asked for.
        temperature, max_new_tokens: of both samplings.
        max_words: of a task.
        role: who writes; texts are continued without a chat template.
        language: that tasks ask for.

    Raises:
        ValueError: num_tasks is below 1; or, when it runs, no prompt holds a function that can be a seed.
    """
    if num_tasks < 1:
        raise ValueError(f"code_tasks({num_tasks}) asks for nothing; num_tasks is at least 1")

    def stage(prompts: Sequence[Prompt], round: Round) -> Sequence[Prompt]:
        ordered = sorted(prompts, key=lambda prompt: prompt.id)
        seeds = seed_functions([prompt.target or prompt.text for prompt in ordered])
        if not seeds:
            raise ValueError(
                "no train prompt holds a documented function with an argument and a result; give programs as targets"
            )
        policy = round.policy(role)
        sampling = Sampling(temperature=temperature, max_new_tokens=max_new_tokens, stop=(_HEAD,))
        drawn = [round.rng("task", number) for number in range(num_tasks)]
        asked = [_concepts_asked(seeds[int(rng.integers(len(seeds)))]) for rng in drawn]
        concepts = [_listed(text) for text in _written(asked, sampling, policy, round.seed)]
        kinds = [(str(rng.choice(_CATEGORIES)), str(rng.choice(_DIFFICULTIES))) for rng in drawn]
        told = [(one, kind) for one, kind in zip(concepts, kinds, strict=True) if one]
        tasks = _written([_task_asked(one, *kind, language) for one, kind in told], sampling, policy, round.seed)
        found: dict[str, Prompt] = {}
        for (one, (category, difficulty)), text in zip(told, tasks, strict=True):
            if text and len(text.split()) <= max_words:
                tags = {"made": "concepts", "concepts": one, "category": category, "difficulty": difficulty}
                found.setdefault("".join(text.split()), user(text, tags=tags))
        return list(found.values())

    return stage


def _functions(program: str) -> Iterator[str]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(program)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return
    for node in tree.body:
        if not isinstance(node, ast.FunctionDef) or not ast.get_docstring(node) or not node.args.args:
            continue
        source = ast.get_source_segment(program, node) or ""
        if any(isinstance(one, ast.Return) and one.value is not None for one in ast.walk(node)) and not _UNWANTED.search(
            source
        ):
            yield source


def _concepts_asked(seed: str) -> str:
    shown = "".join(f"{_HEAD}Program\n{program}\n\nConcepts: {concepts}\n\n" for program, concepts in _CONCEPTS)
    return (
        f"Each program is followed by the concepts of programming that it shows.\n\n{shown}{_HEAD}Program\n{seed}\n\nConcepts:"
    )


def _task_asked(concepts: str, category: str, difficulty: str, language: str) -> str:
    shown = "".join(f"{_item(of, kind, grade, language)} {text}\n\n" for of, kind, grade, text in _TASKS)
    return (
        "Each item is a self-contained task in which its concepts come up by themselves, without being named.\n\n"
        f"{shown}{_item(concepts, category, difficulty, language)}"
    )


def _item(concepts: str, category: str, difficulty: str, language: str) -> str:
    return f"{_HEAD}Item\nConcepts: {concepts}\nCategory: {category}\nDifficulty: {difficulty}\nLanguage: {language}\nTask:"


def _listed(text: str) -> str:
    """Concepts as a list between commas; empty where there are none."""
    return ", ".join(one.strip() for one in text.split("\n")[0].split(",") if one.strip())


def _written(texts: Sequence[str], sampling: Sampling, policy: Policy, seed: int) -> list[str]:
    """What the policy goes on with, up to the next head; empty where it was cut."""
    asked = [Request(prompt=user(text, next="raw"), index=place, seed=seed) for place, text in enumerate(texts)]
    made = policy.generate(asked, sampling) if asked else ()
    return [one.text.partition(_HEAD)[0].strip() if one.finish == "stop" else "" for one in made]
