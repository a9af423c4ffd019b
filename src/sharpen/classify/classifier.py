"""A classifier from texts: what the labels mean first, then labels and rounds of self-training, each behind the gate."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sharpen.classify.asking import to_label_next
from sharpen.classify.basis import Basis, Method, begin
from sharpen.classify.corpus import Corpus
from sharpen.classify.estimate import Estimate, estimate
from sharpen.classify.labels_first import LabelsFirst
from sharpen.classify.zero_shot import classifier_folder, labelled_by_model, zero_shot_head
from sharpen.events import Event, Observer, silent
from sharpen.filed import FiledPolicy, Scope
from sharpen.gates import paired_gate
from sharpen.ledger import Ledger
from sharpen.methods.hast import hast
from sharpen.methods.pseudo_label import pseudo_label
from sharpen.models.cache import cache_folder
from sharpen.parts import Recipe
from sharpen.protocols import Policy, Runtime
from sharpen.rounds import improve
from sharpen.run import Run
from sharpen.runtime.linear_runtime import LinearRuntime
from sharpen.runtime.torch_runtime import model_digest
from sharpen.sample.demonstrated import given_answer
from sharpen.sample.predictions import shares
from sharpen.stats import Interval, paired_interval
from sharpen.tasks import Task
from sharpen.types import Checkpoint, Prompt
from sharpen.verifiers import choice

__all__ = ["Classified", "Labelled", "Measured", "classify", "label_all", "recipe_of", "task_of"]

_BLOCK = 32  # texts between two words on how far it is
_YARDSTICK = "language-model"  # folder of what the language model said
_RATE, _EPOCHS = 0.3, 50  # of a linear head; from pilots on mails and news, seed 0 of examples/jobs/classify.py


@dataclass(frozen=True, kw_only=True)
class Labelled:
    """A text with the label that it got.

    Attributes:
        share: of the label among all, by the classifier; 1 where a person gave it.
        shares: of every label.
        by_model: the language model's label, where one was asked.
    """

    prompt: Prompt
    label: str
    share: float
    shares: tuple[float, ...]
    by_model: str | None = None


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One way to label, on the held-back texts.

    Attributes:
        ahead: by how much the classifier that was kept is ahead of it, with an interval of the estimate's confidence; None for itself.
    """

    name: str
    estimate: Estimate
    ahead: tuple[float, Interval] | None = None


@dataclass(frozen=True, kw_only=True)
class Classified:
    """What came of it.

    Attributes:
        run: the run directory's, or None where no label could be held back, so that nothing could be proved and nothing was trained.
        model: folder of the classifier: the encoder and a head.
        measured: the classifier that was kept, then what it is compared with; empty without held-back texts.
        labelled: every text of the pool.
        ask: of those, the ones to label next, in order.
    """

    corpus: Corpus
    run: Run | None
    model: Path
    measured: tuple[Measured, ...]
    labelled: tuple[Labelled, ...]
    ask: tuple[Labelled, ...]
    notes: tuple[str, ...] = field(default=())


def classify(
    basis: Basis,
    *,
    out: Path,
    yardstick: Runtime | None = None,
    rounds: int = 3,
    num_ask: int = 20,
    threads: int | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
    observe: Observer = silent,
) -> Classified:
    """The classifier, its measure on the labels held back, a label for each text, and which texts to label next.

    It starts as a head over a frozen encoder that knows what the labels mean. Where people gave labels, it is trained on those that are
    not held back, and kept so unless that is worse on those that are. Then come rounds on its own predictions too, each kept only where the
    gate finds it better on the labels held back. Without labels to hold back nothing is trained.

    Args:
        out: run directory.
        yardstick: a language model that labels the texts as well; nothing is trained on its labels, which are filed in `out`.
        rounds: of self-training at most.
        num_ask: texts to label next.
        progress: told how many of how many texts are read by the encoder; what was read before is read from a cache.

    Raises:
        DataError: `out` holds a classifier that was begun otherwise.
        SharpenError: whatever a run raises.
    """
    corpus, encoder, gate = basis.corpus, basis.encoder, LabelsFirst(paired_gate(level=basis.level))
    plain = LinearRuntime(encoder.folder, base=encoder.digest, threads=threads, cache=cache_folder())
    begin(basis, out)  # what cannot be used is refused before
    folder = _started(basis, plain, out / "start", progress)
    runtime = LinearRuntime(folder, base=model_digest(folder), threads=threads, cache=cache_folder(), encoder=encoder.digest)
    notes: list[str] = []
    run, kept = None, runtime.base
    if corpus.taught and corpus.held_back:
        run = improve(
            recipe_of(basis.method),
            model=runtime,
            task=task_of(corpus),
            out=out,
            rounds=rounds,
            seed=basis.seed,
            gate=gate,
            controls=False,
            final=False,
            observe=observe,
        )
        kept = runtime.base if run.best_id == run.base else run.best
    else:
        notes.append(
            "no labels could be held back, so nothing could be proved, and nothing was trained: label the texts asked for"
        )
    said = _said(yardstick, basis, out / _YARDSTICK, observe) if yardstick is not None else {}
    labelled = _labelled(runtime.load(kept), corpus.pool, said)
    return Classified(
        corpus=corpus,
        run=run,
        model=folder if kept == runtime.base else classifier_folder(runtime, kept, out / f"classifier-{kept.id[:8]}"),
        measured=tuple(_measured(corpus, runtime, run, kept, said)),
        labelled=tuple(labelled),
        ask=tuple(_asked(labelled, runtime, corpus, num_ask)),
        notes=tuple(notes),
    )


def _started(basis: Basis, plain: LinearRuntime, folder: Path, progress: Callable[[int, int], None]) -> Path:
    """The folder of the encoder with a head that knows what the labels mean; every text has been read."""
    texts = basis.corpus.texts
    for start in range(0, len(texts), _BLOCK):
        plain.vectors(texts[start : start + _BLOCK])
        progress(min(start + _BLOCK, len(texts)), len(texts))
    if not folder.is_dir():
        classifier_folder(plain, plain.base, folder, head=zero_shot_head(plain, basis.corpus.labels, basis.meanings, texts))
    return folder


def _said(model: Runtime, basis: Basis, folder: Path, observe: Observer) -> Mapping[str, str]:
    """By text the language model's label; what it said of a block of texts is on file, and read where it is."""
    texts = basis.corpus.texts

    def told(done: int, total: int, tokens: int) -> None:
        observe(Event(kind="note", message=f"the language model has labelled {done} of {total} texts"))

    with Ledger(folder, tell=lambda sentence: observe(Event(kind="note", message=sentence))) as ledger:
        policy = FiledPolicy(
            checkpoint=model.base.id,
            ledger=ledger,
            runtime=model,
            realise=lambda checkpoint: model.load(model.base),
            scope=Scope(round=0, step="yardstick", stage="options"),
            on_block=told,
        )
        found = labelled_by_model(policy, texts, basis.corpus.labels, basis.meanings)
    return {prompt.id: label for prompt, (label, _) in zip(texts, found, strict=True)}


def label_all(policy: Policy, texts: Sequence[Prompt]) -> list[Labelled]:
    """Each text with the classifier's label."""
    return _labelled(policy, texts, {})


def recipe_of(method: Method) -> Recipe:
    """The method with what a linear head needs."""
    if method == "hast":
        return hast(learning_rate=_RATE, epochs=_EPOCHS)
    return pseudo_label(learning_rate=_RATE, epochs=_EPOCHS)


def task_of(corpus: Corpus) -> Task:
    """The corpus as a task: the pool to learn on, the labels held back as the gate, the others as given answers."""
    return Task(
        name="classify",
        train=corpus.pool,
        gate=corpus.held_back,
        demonstrations=tuple(given_answer(prompt, prompt.target or "") for prompt in corpus.taught),
        verifier=choice(),
        max_new_tokens=1,
        dropped=corpus.dropped,
    )


def _labelled(policy: Policy, texts: Sequence[Prompt], said: Mapping[str, str]) -> list[Labelled]:
    found = []
    for prompt, logprobs in zip(texts, policy.options(texts) if texts else (), strict=True):
        parts = shares(logprobs)
        place = max(range(len(parts)), key=parts.__getitem__)
        label = (prompt.options or ())[place]
        found.append(Labelled(prompt=prompt, label=label, share=parts[place], shares=parts, by_model=said.get(prompt.id)))
    return found


def _asked(labelled: Sequence[Labelled], runtime: LinearRuntime, corpus: Corpus, number: int) -> list[Labelled]:
    if not labelled:
        return []
    known = [*corpus.taught, *corpus.held_back]
    places = to_label_next(
        [one.shares for one in labelled],
        runtime.vectors([one.prompt for one in labelled]).numpy(),
        number,
        known=runtime.vectors(known).numpy() if known else None,
    )
    return [labelled[place] for place in places]


def _measured(
    corpus: Corpus, runtime: LinearRuntime, run: Run | None, kept: Checkpoint, said: Mapping[str, str]
) -> list[Measured]:
    """The classifier that was kept, and what a sceptic would ask first, on the labels held back."""
    texts = corpus.held_back
    if not texts:
        return []
    tested = [one for one in run.rounds if one.gate is not None] if run is not None else []
    known = [prompt.target or "" for prompt in texts]

    def by_head(checkpoint: Checkpoint) -> list[str]:
        return [one.label for one in _labelled(runtime.load(checkpoint), texts, {})]

    ways: dict[str, list[bool]] = {}
    given = by_head(kept)
    alone = next((one for one in tested if one.index < 0), None)
    if alone is not None and alone.gate is not None:
        ways["trained on the labels alone"] = [score == 1.0 for score in alone.gate[0].outcomes["accuracy"]]
    if kept != runtime.base:
        ways["what the labels mean, untrained"] = [
            one == label for one, label in zip(by_head(runtime.base), known, strict=True)
        ]
    if said:
        ways["the language model's labels"] = [said[prompt.id] == prompt.target for prompt in texts]
    most = Counter(prompt.target for prompt in corpus.taught).most_common(1)
    if most:
        ways["always the commonest label"] = [label == most[0][0] for label in known]
    right = [one == label for one, label in zip(given, known, strict=True)]
    ours = Measured(name="this classifier", estimate=estimate(corpus.labels, known, given, num_models=1 + len(tested)))
    return [ours, *(_beside(name, column, right, num_models=1 + len(tested)) for name, column in ways.items())]


def _beside(name: str, column: Sequence[bool], ours: Sequence[bool], *, num_models: int) -> Measured:
    wins = sum(own and not other for own, other in zip(ours, column, strict=True))
    losses = sum(other and not own for own, other in zip(ours, column, strict=True))
    return Measured(
        name=name,
        estimate=estimate(["right", "wrong"], ["right"] * len(column), ["right" if one else "wrong" for one in column]),
        ahead=((wins - losses) / len(column), paired_interval(wins, losses, len(column), confidence=1 - 0.05 / num_models)),
    )
