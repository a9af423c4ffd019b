"""SelfCodeAlign: a model writes tasks from concepts in functions, answers them with tests of its own, and learns what passes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sharpen.cards import Card
from sharpen.feedback.verify import verify
from sharpen.forms import decaying
from sharpen.objectives import NLL
from sharpen.parts import Part, Recipe, recipe
from sharpen.prompts.code_concepts import code_tasks
from sharpen.protocols import Verifier
from sharpen.sample.framed import Marked, framed_completions
from sharpen.select.cleaned import Cleaned
from sharpen.select.self_tested import before_tests, passing_answers
from sharpen.types import Completion, Prompt
from sharpen.verifiers.code import code
from sharpen.verifiers.code.own_tests import MARK, own_tests

__all__ = ["CARD", "self_code_align"]

CARD = Card(
    title="Concept-based code self-alignment (SelfCodeAlign)",
    paper="Wei et al., 2024",
    arxiv="2410.24198",
    claim="A base code model trained on its own tasks and on answers that pass its own tests beats larger instructed models.",
    trains_on="demonstrations",
    needs=("verifier",),
    feedback=("verifier",),
    departs=(
        "seeds are the functions of the task's own train prompts, chosen by their syntax; no type checker, and the model is not "
        "asked whether a docstring suffices",
        "four and three exemplars for the source's eight, and a described form for its one of answers with tests, all in our words",
        "tests run beside the program in the sandbox, and none that reads input; 10 s as in the source, 1 GiB for its 4 GB",
        "exact duplicates are dropped; no MinHash, no repeated sets of names, and held-out prompts are left out by the run",
        "one pass of training in a round that ends at a gate, at learning rates of small models",
    ),
    shelf="faithful",
    oracle="tests/methods/test_self_code_align.py::test_only_what_passes_its_own_tests_is_kept",
)

TESTED = Marked(
    line="Answer with the program in one ```python block. Then write a line that reads exactly\n"
    f"{MARK}\nand after it, in another ```python block, asserts that test the program and call it directly."
)


def self_code_align(
    verifier: Verifier,
    *,
    instructions: Part[Sequence[Prompt], Sequence[Prompt]] | None = None,
    num_tasks: int = 512,
    num_samples: int = 10,  # 10 samples, the source
    temperature: float = 0.7,  # 0.7, the authors' script
    with_tests: Callable[[Prompt], Prompt] = TESTED,
    answers: Callable[[Completion], Cleaned | None] = before_tests,
    learning_rate: float = 1e-5,  # 1e-5, the source
    epochs: int = 4,  # 4 epochs, the source
    batch_size: int = 64,  # 64, the source
    lora_rank: int | None = None,
) -> Recipe:
    """Demonstrations from answers to own tasks that pass their own tests.

    Args:
        verifier: the task's. Where it is `code`, its sandboxes run each answer's own tests; any other one judges the answers itself.
        instructions: where tasks come from; None for `code_tasks` on the train prompts' functions.
        num_tasks: tasks that are asked for.
        num_samples: answers a task.
        temperature: of these.
        with_tests: how an answer with tests is asked for; training sees the plain task.
        answers: what of an answer is imitated, and which are.
        learning_rate, epochs, batch_size: of training, which starts from the base.
        lora_rank: of LoRA adapters (extra `lora`); None trains the full weights.
    """
    return recipe(
        name="self_code_align",
        prompts=instructions or code_tasks(num_tasks, temperature=temperature),
        sample=framed_completions(with_tests, num_samples, temperature=temperature, role="base"),
        feedback=verify(own_tests.of(verifier) if isinstance(verifier, code) else verifier),
        select=passing_answers(answers),
        objective=NLL(),
        training=decaying(learning_rate, epochs=epochs, batch_size=batch_size, lora_rank=lora_rank),
        start="base",
        rounds=1,
    )
